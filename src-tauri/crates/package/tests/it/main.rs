//! The crate from outside: real folders, real programs of this computer.

mod packing;

//! The image crate from outside: what is written is read back, by our readers, by the tools of the
//! distribution and by guests.

mod corrupt;
mod ext4;
mod real_osv;
mod rofs;
mod trees;

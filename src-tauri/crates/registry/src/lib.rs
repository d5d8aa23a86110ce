//! The library: guest kernels and packages held on this computer.

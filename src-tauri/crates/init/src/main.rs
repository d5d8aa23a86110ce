//! The first program of a Linux guest, and the sample program hello.

fn main() {}

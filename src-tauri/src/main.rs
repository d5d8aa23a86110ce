//! Windlass.

fn main() {}

//! windlassctl: everything the window can do, for scripts.

fn main() {}

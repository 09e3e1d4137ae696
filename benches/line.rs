//! The benchmark of the whole line.

fn main() {}

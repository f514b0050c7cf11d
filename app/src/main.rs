//! The chat app's program.
fn main() {}

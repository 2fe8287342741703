//! Checks with many clients and processes against a real nginx.

fn main() {}

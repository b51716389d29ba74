//! Read the configuration, assemble the rooms, run the chosen role; the command line.

fn main() {}

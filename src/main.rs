//! The `workmate` command: parses, sets up telemetry, dispatches.
fn main() {}

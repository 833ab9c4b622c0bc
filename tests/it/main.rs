//! The integration tests: one binary, against a real Synapse and real matrix-sdk clients.
#![recursion_limit = "256"]

mod addressing;
mod answering;
mod architecture;
mod assistants;
mod claude_and_standin;
mod context;
mod control;
mod encryption;
mod faults;
#[allow(dead_code, unused_imports, reason = "each test uses its part of the harness")]
mod harness;
mod identity;
mod joining;
mod media;
mod model_faults;
mod order;
mod privacy;
mod restarts;
mod service_bot;
mod standin_sdks;
mod upgrades;

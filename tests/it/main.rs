//! The integration tests: one binary, against a real Synapse and real matrix-sdk clients.
#![recursion_limit = "256"]

mod answering;
mod assistants;
mod claude_and_standin;
#[allow(dead_code, unused_imports, reason = "each test uses its part of the harness")]
mod harness;
mod privacy;
mod service_bot;
mod standin_sdks;

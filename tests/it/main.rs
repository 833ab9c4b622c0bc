//! The integration tests: one binary, against a real Synapse and real matrix-sdk clients.
#![recursion_limit = "256"]

mod addressing;
mod answering;
mod approvals;
mod architecture;
mod assistants;
mod audit;
mod chaos;
mod claude_and_standin;
mod connections;
mod context;
mod control;
mod encryption;
mod examples;
mod facts;
mod faults;
mod grants;
#[allow(dead_code, unused_imports, reason = "each test uses its part of the harness")]
mod harness;
mod identity;
mod injection;
mod joining;
mod lasting;
mod late;
mod mcp;
mod media;
mod model_faults;
mod noise;
mod notes;
mod opening;
mod order;
mod poison;
mod privacy;
mod provisioning;
mod queues;
mod restarts;
mod rules;
mod sandbox;
mod sealed;
mod secrets;
mod service_bot;
mod standin_sdks;
mod steering;
mod tools;
mod trust;
mod upgrades;

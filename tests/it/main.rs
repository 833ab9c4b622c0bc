//! The integration tests: one binary, against a real Synapse and real matrix-sdk clients.
#![recursion_limit = "256"]

mod harness;

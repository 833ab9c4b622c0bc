//! Workmate: a Matrix application service that puts Claude into any homeserver.
//!
//! `ARCHITECTURE.md` has the map of the crate and its invariants. `core` decides and does no IO; the edges
//! (`appservice`, `matrix`, `claude`, `store`, `tools`, `sandbox`, `recogniser`) do IO and decide nothing; `engine` joins them.
//!
//! Comments and tests cite rules of behaviour by number (C5, A7), which `docs/behaviour.md` lists. `docs/glossary.md`
//! defines our own terms (run, lane, ward, card).
#![recursion_limit = "256"]

pub mod appservice;
pub mod claude;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod core;
pub mod engine;
#[cfg(feature = "doubles")]
pub mod fuzzing;
#[cfg(test)]
mod kept;
pub mod listener;
pub mod matrix;
pub mod mcp_server;
pub mod prompts;
pub mod recogniser;
pub mod sandbox;
pub mod secret;
#[cfg(feature = "doubles")]
pub mod simulation;
#[cfg(feature = "doubles")]
pub mod standin;
pub mod store;
pub mod tools;

//! Workmate: a Matrix application service that puts Claude into any homeserver.
//!
//! The map of the crate and its invariants are in `ARCHITECTURE.md`. `core` decides and does no IO; the
//! edges (`appservice`, `matrix`, `claude`, `store`) do IO and decide nothing; `engine` joins them.
//!
//! Comments and tests cite rules of behaviour by their numbers (C5, A7): `docs/behaviour.md` has them. Our own words
//! (run, lane, ward, card) are in `docs/glossary.md`.
#![recursion_limit = "256"]

pub mod appservice;
pub mod claude;
pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod engine;
pub mod fuzzing;
#[cfg(test)]
mod kept;
pub mod listener;
pub mod matrix;
pub mod prompts;
pub mod sandbox;
pub mod secret;
pub mod standin;
pub mod store;
pub mod tools;

//! Decisions without IO: inputs and `now` in, effects out.
//!
//! Nothing here may import tokio, reqwest, axum, sled or matrix-sdk: `tests/it/architecture.rs` reads the sources and
//! fails if it does.

pub(crate) mod address;
pub(crate) mod admission;
pub(crate) mod approval;
pub(crate) mod asker;
pub mod audit;
pub(crate) mod batch;
pub(crate) mod beginning;
pub(crate) mod belonging;
pub(crate) mod breaker;
pub(crate) mod brief;
pub(crate) mod budget;
pub mod changes;
pub mod cited;
pub(crate) mod citing;
pub(crate) mod command;
pub(crate) mod company;
pub mod computing;
pub mod connection;
pub(crate) mod console;
pub mod context;
pub(crate) mod copying;
pub(crate) mod destination;
pub(crate) mod edits;
pub(crate) mod errand;
pub(crate) mod escaped;
pub mod event;
pub(crate) mod fault;
pub(crate) mod file_name;

pub mod hex;
pub mod hook;
pub(crate) mod id;
pub(crate) mod invite;
pub(crate) mod json;
pub(crate) mod legible;
pub mod links;
pub(crate) mod markup;
pub mod mask;
pub mod media;
pub(crate) mod model;
pub(crate) mod names;
pub(crate) mod notes;
pub mod opened;
pub(crate) mod origin;
pub(crate) mod outcome;
pub(crate) mod owed;
pub mod pace;
pub(crate) mod people;
pub mod power;
pub mod prompt;
pub(crate) mod provider;
pub(crate) mod reach;
pub mod recogniser;
pub mod redaction;
pub mod refused;
pub mod render;
pub(crate) mod retry;
pub(crate) mod room_check;
pub(crate) mod room_tools;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod sealed;
pub(crate) mod served;
pub(crate) mod session;
pub(crate) mod steering;
pub(crate) mod succession;
pub mod thought;
pub mod time;
pub(crate) mod timetable;
pub(crate) mod tokens;
pub(crate) mod told;
pub mod tool;
pub(crate) mod trail;
pub(crate) mod upgrade;
pub mod visibility;
pub(crate) mod voice;
pub(crate) mod watch;
pub mod words;
pub(crate) mod work;
pub(crate) mod zone;

#[cfg(test)]
mod tests;

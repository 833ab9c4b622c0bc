//! Decisions without IO: inputs and `now` in, effects out.
//!
//! Nothing here may import tokio, reqwest, axum, sled or matrix-sdk: `tests/it/architecture.rs` reads the sources and
//! fails if it does.

pub mod address;
pub mod admission;
pub mod approval;
pub mod asker;
pub mod audit;
pub mod beginning;
pub mod belonging;
pub mod breaker;
pub mod brief;
pub mod budget;
pub mod command;
pub mod company;
pub mod context;
pub mod copying;
pub mod destination;
pub mod edits;
pub mod errand;
pub mod escaped;
pub mod event;
pub mod fault;

pub mod hex;
pub mod hook;
pub mod id;
pub mod invite;
pub mod json;
pub mod legible;
pub mod links;
pub mod mask;
pub mod media;
pub mod model;
pub mod names;
pub mod notes;
pub mod opened;
pub mod origin;
pub mod outcome;
pub mod owed;
pub mod pace;
pub mod people;
pub mod power;
pub mod prompt;
pub mod provider;
pub mod reach;
pub mod redaction;
pub mod refused;
pub mod render;
pub mod retry;
pub mod room_check;
pub mod room_tools;
pub mod run;
pub mod schedule;
pub mod sealed;
pub mod session;
pub mod steering;
pub mod succession;
pub mod time;
pub mod timetable;
pub mod tokens;
pub mod told;
pub mod tool;
pub mod trail;
pub mod upgrade;
pub mod visibility;
pub mod voice;
pub mod watch;
pub mod words;
pub mod work;
pub mod zone;

#[cfg(test)]
mod tests;

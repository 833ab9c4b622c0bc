//! Decisions without IO: inputs and `now` in, effects out.
//!
//! Nothing here may import tokio, reqwest, axum, sled or matrix-sdk: `tests/it/architecture.rs` reads the sources and
//! fails if it does.

pub mod address;
pub mod breaker;
pub mod command;
pub mod company;
pub mod context;
pub mod event;
pub mod hex;
pub mod invite;
pub mod media;
pub mod pace;
pub mod people;
pub mod prompt;
pub mod render;
pub mod room_check;
pub mod run;
pub mod session;
pub mod time;
pub mod words;

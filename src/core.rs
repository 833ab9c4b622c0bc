//! Decisions without IO: inputs and `now` in, effects out.
//!
//! Nothing here may import tokio, reqwest, axum, sled or matrix-sdk; a test (`tests/it`) reads the sources and fails if it does.

pub mod event;
pub mod people;
pub mod prompt;
pub mod run;
pub mod time;

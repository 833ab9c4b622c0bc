//! A thin client of the Claude Messages API (`POST /v1/messages`), streaming only.
//!
//! It knows the protocol and decides nothing about rooms: the engine builds a [`Request`] from the core's
//! prompt, reads [`Delta`]s from a [`Stream`], and asks an [`Error`] what to do ([`Error::advice`]).
//! Sampling parameters, prefill and the `thinking` field do not exist here: current models refuse them, and every model
//! takes a request without them. `effort` is sent to those that take it ([`Client::facts`]). `docs/claude-api.md` has
//! what is relied on of the API.

pub mod client;
pub mod error;
pub mod prices;
pub mod request;
pub mod retry;
pub mod stream;
pub mod wire;

pub use client::{Answer, Client, ClientConfig, Looked, Stream, Timeouts};
pub use error::{Advice, Cause, Error};
pub use prices::{Cost, Dearest, cost, dearest};
pub use request::Request;
pub use retry::{Decision, Made, Waiting};
pub use stream::Delta;
pub use wire::{ContentBlock, Effort, Message, StopReason, Usage};

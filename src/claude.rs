//! A thin client of the Claude Messages API (`POST /v1/messages`, streamed) and of its batches.
//!
//! It knows the protocol and decides nothing about rooms. The engine builds a [`Request`] from core's prompt, reads
//! [`Delta`]s from a [`Stream`], and asks an [`Error`] what to do ([`Error::advice`]). It has no sampling parameters,
//! prefill or `thinking` field: current models refuse them, and every model works without. `effort` is sent to models
//! that accept it ([`Client::facts`]). `docs/claude-api.md` lists what we rely on.

pub(crate) mod batch;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod prices;
pub(crate) mod request;
pub(crate) mod retry;
pub mod stream;
pub mod wire;

pub use batch::{Batch, BatchOutcome, BatchStatus, NotMade};
pub use client::{Answer, Client, ClientConfig, FileContent, FileInfo, Looked, Stream, Timeouts};
pub use error::{Advice, Cause, Error, Phase};
pub use prices::{BATCH_TIER, Cost, Dearest, cost, dearest};
pub use request::Request;
pub use retry::{Decision, Made, Waiting};
pub use stream::Delta;
pub use wire::{Container, ContentBlock, Effort, Message, StopReason, Usage};

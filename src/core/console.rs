//! The operators' console: who may see it, what they may ask it for, and how that is written in an address. No IO.

pub(crate) mod door;
pub(crate) mod query;

//! The commands of the `workmate` binary.

pub mod demo;

//! `workmate demo`: a homeserver, people and Workmate on this machine, and a conversation between them.

pub mod homeserver;
pub mod person;
mod private_file;

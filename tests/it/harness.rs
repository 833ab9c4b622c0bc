//! The tests' foundation: a shared homeserver with appservice slots, Workmate as a process, people.

pub(crate) mod between;
pub(crate) mod faults;
pub(crate) mod homeserver;
pub(crate) mod office;
pub(crate) mod readiness;
pub(crate) mod relay;
mod selftest;
pub(crate) mod slot;
pub(crate) mod workmate;

use std::path::PathBuf;

pub(crate) use ::workmate::cli::demo::person::{
    HistoryOnInvite, Options as PersonOptions, Person, RoomKind, UnsignedDevices,
    file::SentFile,
    message::Message,
    timeline::{Encryption, SeenEvent, Timeline},
};
pub(crate) use workmate::{Setup, Workmate};

/// Returns the Python environment shared by all tests and by the demo in a checkout.
pub(crate) fn venv_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("synapse-venv")
}

/// Prints what is being waited for, under `--nocapture`.
pub(crate) fn progress(what: &str) {
    eprintln!("{what}");
}

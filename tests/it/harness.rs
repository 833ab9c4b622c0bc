//! What the tests stand on: a shared homeserver with appservice slots, Workmate as a process, people.

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

/// Returns where the Python environment of all tests (and of the demo in a checkout) is.
pub(crate) fn venv_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("synapse-venv")
}

/// Tells what is being waited for; shown by `--nocapture`.
pub(crate) fn progress(what: &str) {
    eprintln!("{what}");
}

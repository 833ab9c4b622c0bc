//! Why a child died, and what that says about its file.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use crate::core::media::Unread;

/// What to do with a file whose child gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file is at fault.
    Unread(Unread),
    /// The child was killed from outside: try once more.
    Again,
}

/// Signal numbers, the same on every supported system.
mod signal {
    pub(super) const HANGUP: i32 = 1;
    pub(super) const INTERRUPT: i32 = 2;
    pub(super) const ABORT: i32 = 6;
    pub(super) const KILL: i32 = 9;
    pub(super) const TERMINATE: i32 = 15;
    #[cfg(target_os = "linux")]
    pub(super) const TIME_IS_UP: i32 = libc::SIGXCPU;
    #[cfg(not(target_os = "linux"))]
    pub(super) const TIME_IS_UP: i32 = 24;
}

/// What the standard library prints before it aborts on a failed allocation.
const OUT_OF_MEMORY: &[u8] = b"memory allocation of";

impl Verdict {
    /// Judges by the exit status and by standard error.
    pub(super) fn of(status: Option<ExitStatus>, said: &[u8]) -> Self {
        let Some(status) = status else { return Self::Unread(Unread::Broken) };
        match status.signal() {
            Some(signal::ABORT) if memchr::memmem::find(said, OUT_OF_MEMORY).is_some() => {
                Self::Unread(Unread::TooLargeUnpacked)
            }
            Some(signal::TIME_IS_UP) => Self::Unread(Unread::TookTooLong),
            Some(signal::HANGUP | signal::INTERRUPT | signal::KILL | signal::TERMINATE) => Self::Again,
            // A stack overflow, a crashed decoder or a malformed answer.
            _ => Self::Unread(Unread::Broken),
        }
    }
}

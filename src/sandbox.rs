//! Decoding what strangers sent, in child processes that may die (invariant 11).
//!
//! A child is this same binary (`workmate decode`) with limits on memory, time and descriptors, an empty environment
//! and almost no system calls: no files, no sockets, no other programs. It takes a file and returns the decoded form,
//! or why it cannot be read. A file that kills its child costs that file alone. Children are kept warm and are replaced
//! after a number of jobs.
//!
//! `core/media` decides what is decoded and how. A new kind of file is a [`Kind`] there; nothing changes here.

pub mod child;
mod confine;
mod frame;
mod line;
mod pool;
mod verdict;
mod worker;

use std::{path::PathBuf, time::Duration};

pub use self::{line::Owner, pool::Sandbox};

#[cfg(doc)]
use crate::core::media::Kind;

/// The hidden subcommand that runs our binary as a child.
pub const COMMAND: &str = "decode";

/// Children, and so files decoded at once, over all rooms.
pub const CHILDREN_MAX: usize = 3;
/// How long decoding one file may take, not counting its wait for a place.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a file waits for a place before it counts as unavailable.
pub const PLACE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a child may take to say hello.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Files that a child decodes before it is replaced.
pub const JOBS_MAX: u32 = 64;
/// How long a child works on all its files together before it is replaced: its CPU limit counts them all.
pub const WORK_MAX: Duration = Duration::from_secs(30);
/// How often a file is tried when its child is killed from outside.
pub const TRIES_MAX: u32 = 2;

/// The binary that children run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The running binary, even if its file was replaced or removed since: both sides are the same build.
    Own,
    /// The binary at this path.
    At(PathBuf),
}

/// The pool's limits; each defaults to the constant of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`CHILDREN_MAX`].
    pub children_max: usize,
    /// See [`JOB_TIMEOUT`].
    pub job_timeout: Duration,
    /// See [`PLACE_TIMEOUT`].
    pub place_timeout: Duration,
    /// See [`START_TIMEOUT`].
    pub start_timeout: Duration,
    /// See [`JOBS_MAX`].
    pub jobs_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            children_max: CHILDREN_MAX,
            job_timeout: JOB_TIMEOUT,
            place_timeout: PLACE_TIMEOUT,
            start_timeout: START_TIMEOUT,
            jobs_max: JOBS_MAX,
        }
    }
}

#[cfg(test)]
mod tests;

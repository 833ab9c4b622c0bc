//! Decoding what strangers sent, in child processes that may die (invariant 11).
//!
//! A child is this same binary (`workmate decode`), with limits of memory, time and descriptors, an empty environment
//! and hardly a system call left: no file, no socket, no other program. It takes a file and gives back what was made
//! of it, or why it cannot be read. A file that kills its child costs that file. Children are kept warm, each for a
//! number of jobs, and replaced.
//!
//! What is decoded, and how, is `core/media`'s. A new kind of file is a [`Kind`] there; nothing changes here.

pub mod child;
mod confine;
mod frame;
mod pool;
mod verdict;
mod worker;

use std::{path::PathBuf, time::Duration};

pub use self::pool::Sandbox;

#[cfg(doc)]
use crate::core::media::Kind;

/// The hidden command that makes a process of our binary a child.
pub const COMMAND: &str = "decode";

/// Children, and so files that are decoded at once, over all rooms.
pub const CHILDREN_MAX: usize = 3;
/// Files of one room that are decoded at once: a room that sends what is slow holds up the others' files little.
pub const CHILDREN_OF_A_ROOM_MAX: usize = 1;
/// How long decoding one file may take, its place in the queue aside.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a file waits for its place.
pub const PLACE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a child may take to start.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Files that a child decodes before it is replaced.
pub const JOBS_MAX: u32 = 64;
/// How long a child works, all its files together, before it is replaced: its limit of time counts them all.
pub const WORK_MAX: Duration = Duration::from_secs(30);
/// How often a file is begun whose child was killed by somebody else.
pub const TRIES_MAX: u32 = 2;

/// The binary that children are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one that runs now, also where its file was replaced or removed since: the same build on both sides.
    Own,
    /// The one at this path.
    At(PathBuf),
}

/// What bounds the pool; the defaults are the constants beside it.
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

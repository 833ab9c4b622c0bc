//! The pool: which file gets a child when, and what happens if the child dies.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    Limits, Program, TRIES_MAX,
    line::{Line, Owner},
    verdict::Verdict,
    worker::Worker,
};
use crate::core::media::{Decoded, Kind, Unread};

/// A pool of children that decode files.
pub struct Sandbox {
    program: Program,
    limits: Limits,
    line: Mutex<Line<oneshot::Sender<()>>>,
    idle: Mutex<Vec<Worker>>,
    /// Whether the missing system-call filter was logged.
    warned: AtomicBool,
}

/// A place in the pool, from the moment when its owner begins to wait for it.
struct Place<'a> {
    sandbox: &'a Sandbox,
    owner: Owner,
    /// When the owner got it.
    since: Option<Instant>,
    turn: oneshot::Receiver<()>,
}

impl Place<'_> {
    /// Waits for its turn.
    async fn turn(&mut self) {
        // The pool keeps the other end until the turn comes.
        let _ = (&mut self.turn).await;
        self.since = Some(Instant::now());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The turn may have come at the very moment when the owner gave up.
        self.turn.close();
        let has_it = self.since.is_some() || self.turn.try_recv().is_ok();
        let now = Instant::now();
        if has_it {
            self.sandbox.line().done(&self.owner, self.since.map(|since| now - since).unwrap_or_default(), now);
        }
        self.sandbox.call_next();
    }
}

/// How one try with one child ended.
enum Try {
    Done(Result<Decoded, Unread>),
    Again,
}

impl Sandbox {
    /// Makes a pool and starts its children; call it on a runtime. While they cannot be started, every file is reported
    /// as unavailable.
    #[must_use]
    pub fn new(program: Program, limits: Limits) -> Self {
        let sandbox = Self {
            program,
            limits,
            line: Mutex::new(Line::new(limits.children_max)),
            idle: Mutex::default(),
            warned: AtomicBool::new(false),
        };
        for _ in 0..limits.children_max {
            sandbox.refill();
        }
        sandbox
    }

    /// Decodes a file. Dropping the future kills the child.
    ///
    /// # Errors
    /// Why the file cannot be read; [`Unread::Unavailable`] if the file is not at fault.
    pub async fn decode(&self, owner: Owner, kind: Kind, bytes: &[u8]) -> Result<Decoded, Unread> {
        let mut place = self.enter(owner);
        if timeout(self.limits.place_timeout, place.turn()).await.is_err() {
            tracing::warn!("a file waited too long for a place in the sandbox; it is tried again later");
            return Err(Unread::Unavailable);
        }
        for _ in 0..TRIES_MAX {
            let worker = match self.take_idle().map_or_else(|| Worker::start(&self.program), Ok) {
                Ok(worker) => worker,
                Err(error) => {
                    self.complain(&error);
                    return Err(Unread::Unavailable);
                }
            };
            if let Try::Done(outcome) = self.attempt(worker, kind, bytes).await {
                return outcome;
            }
        }
        // Two killed in a row means a system out of memory, and this file is the likely cause.
        tracing::warn!("two children that decoded a file were killed from outside; the file is given up");
        Err(Unread::TooLargeUnpacked)
    }

    async fn attempt(&self, mut worker: Worker, kind: Kind, bytes: &[u8]) -> Try {
        match timeout(self.limits.start_timeout, worker.greet()).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(why))) => self.warn_unfiltered(&why),
            Ok(Err(error)) => {
                let end = worker.end().await;
                self.complain(&error);
                return match Verdict::of(end.status, &end.said) {
                    Verdict::Again => Try::Again,
                    Verdict::Unread(_) => Try::Done(Err(Unread::Unavailable)),
                };
            }
            Err(_) => {
                worker.kill().await;
                self.complain(&io::ErrorKind::TimedOut.into());
                return Try::Done(Err(Unread::Unavailable));
            }
        }
        let asked = timeout(self.limits.job_timeout, worker.ask(kind, bytes)).await;
        match asked {
            Ok(Ok(outcome)) => {
                self.put_back(worker);
                Try::Done(outcome)
            }
            Ok(Err(_)) => {
                let end = worker.end().await;
                self.refill();
                let verdict = Verdict::of(end.status, &end.said);
                tracing::warn!(?kind, ended = ?end.status, ?verdict, "a child of the sandbox died on a file");
                match verdict {
                    Verdict::Again => Try::Again,
                    Verdict::Unread(why) => Try::Done(Err(why)),
                }
            }
            Err(_) => {
                worker.kill().await;
                self.refill();
                tracing::warn!(?kind, "decoding a file took too long; its child was killed");
                Try::Done(Err(Unread::TookTooLong))
            }
        }
    }

    fn enter(&self, owner: Owner) -> Place<'_> {
        let (ticket, turn) = oneshot::channel();
        self.line().enter(owner.clone(), ticket);
        let place = Place { sandbox: self, owner, since: None, turn };
        self.call_next();
        place
    }

    /// Gives free places to those whose turn it is.
    fn call_next(&self) {
        let mut line = self.line();
        line.retain(|ticket| !ticket.is_closed());
        let now = Instant::now();
        while let Some((owner, ticket)) = line.next(now) {
            if ticket.send(()).is_err() {
                line.done(&owner, std::time::Duration::ZERO, now);
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line<oneshot::Sender<()>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Worker> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut worker) = idle.pop() {
            if worker.is_good(self.limits.jobs_max) {
                return Some(worker);
            }
        }
        None
    }

    fn put_back(&self, mut worker: Worker) {
        if worker.is_good(self.limits.jobs_max) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        } else {
            drop(worker);
            self.refill();
        }
    }

    /// Starts a child to replace one that is gone.
    fn refill(&self) {
        match Worker::start(&self.program) {
            Ok(worker) => self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker),
            // The next file tries again and logs an error if that fails.
            Err(error) => tracing::debug!(%error, "a child of the sandbox cannot be started yet"),
        }
    }

    fn complain(&self, error: &io::Error) {
        tracing::error!(
            program = ?self.program,
            %error,
            "files cannot be decoded, because no child of the sandbox starts; each file is named as unavailable"
        );
    }

    fn warn_unfiltered(&self, why: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                why,
                "this system cannot refuse system calls to the children that decode files: they have limits of memory, \
                 time and descriptors, and could reach files and the network"
            );
        }
    }
}

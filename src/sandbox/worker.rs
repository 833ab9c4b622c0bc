//! The parent's side of one child.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout},
};

use super::{
    COMMAND, Program, WORK_MAX,
    frame::{self, Answer, Hello, Job, PROTOCOL},
};
use crate::core::media::{Decoded, Kind, Unread};

/// Linux's link to the running program, even if its file was replaced or removed.
const RUNNING: &str = "/proc/self/exe";
/// Bytes kept of a child's standard error.
const SAID_BYTES_MAX: u64 = 4096;
/// How long a child that closed its output may take to exit.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A child process and what it has done so far.
pub(super) struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    greeted: bool,
    jobs: u32,
    worked: Duration,
    spent: bool,
}

/// How a child exited, and what it wrote to standard error.
pub(super) struct End {
    pub(super) status: Option<ExitStatus>,
    pub(super) said: Vec<u8>,
}

impl Worker {
    /// Starts a child without waiting for its hello. Dropping it kills it.
    pub(super) fn start(program: &Program) -> io::Result<Self> {
        let mut starting = Command::new(path(program)?);
        starting
            .arg0("workmate")
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal must reach only the parent, which shuts down in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = starting.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(io::ErrorKind::BrokenPipe.into()) };
        Ok(Self { child, stdin, stdout, stderr, greeted: false, jobs: 0, worked: Duration::ZERO, spent: false })
    }

    /// Returns whether the child may take another job.
    pub(super) fn is_good(&mut self, jobs_max: u32) -> bool {
        !self.spent && self.jobs < jobs_max && self.worked < WORK_MAX && matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the hello; returns why system calls are not refused, if this was the hello.
    pub(super) async fn greet(&mut self) -> io::Result<Option<String>> {
        if self.greeted {
            return Ok(None);
        }
        let hello: Hello = frame::receive(&mut self.stdout).await?;
        if hello.protocol != PROTOCOL {
            return Err(frame::malformed("it speaks another protocol"));
        }
        self.greeted = true;
        Ok(hello.unfiltered)
    }

    /// Has the child decode a file. After an error, or if the future is dropped, the child must not be used again.
    pub(super) async fn ask(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Result<Decoded, Unread>> {
        let began = Instant::now();
        let length = u32::try_from(bytes.len()).map_err(|_| frame::malformed("a file is too long"))?;
        self.stdin.write_all(&frame::header(&Job { kind, bytes: length })?).await?;
        self.stdin.write_all(bytes).await?;
        let outcome = match frame::receive(&mut self.stdout).await? {
            Answer::Made { made, tokens, shown, bytes } => {
                let bytes = frame::receive_bytes(&mut self.stdout, bytes).await?;
                Ok(Decoded { made, tokens, shown, bytes })
            }
            Answer::Refused(why) => Err(why),
            Answer::Panicked => {
                self.spent = true;
                Err(Unread::Broken)
            }
        };
        self.jobs += 1;
        self.worked += began.elapsed();
        Ok(outcome)
    }

    /// Waits for the child to exit, kills it after [`END_PATIENCE`], and reaps it.
    pub(super) async fn end(self) -> End {
        let Self { mut child, stdin, stdout, stderr, .. } = self;
        drop((stdin, stdout));
        let mut said = Vec::new();
        let last_words = async {
            let _ = stderr.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
            child.wait().await.ok()
        };
        let ended = timeout(END_PATIENCE, last_words).await;
        let status = if let Ok(status) = ended {
            status
        } else {
            // We killed it, so its status says nothing about the file.
            let _ = child.kill().await;
            None
        };
        End { status, said }
    }

    /// Kills the child and reaps it.
    pub(super) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

fn path(program: &Program) -> io::Result<PathBuf> {
    match program {
        Program::At(path) => Ok(path.clone()),
        Program::Own if Path::new(RUNNING).exists() => Ok(RUNNING.into()),
        Program::Own => std::env::current_exe(),
    }
}

//! A server that is a local program, reached over its pipes.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rmcp::{RoleClient, transport::async_rw::AsyncRwTransport};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinSet,
    time::timeout,
};

use crate::{core::tool::Setting, secret::Secret};

use super::{mending::Mended, trouble::Trouble, watched::Metered};

/// Most bytes of a message; a longer one is dropped, and its call times out.
pub(super) const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// How long a program may take to end by itself, once its input is closed, and then once it is told to.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);
/// How long a killed program may take to be gone, and the rest of standard error to be read.
const SIGNAL_MAX: Duration = Duration::from_secs(2);
/// Variables of our own environment that a program is given.
const PASSED_ON: [&str; 2] = ["PATH", "HOME"];

/// The program's pipes as rmcp's transport.
pub(super) type Pipes = AsyncRwTransport<RoleClient, Mended<Metered<ChildStdout>>, ChildStdin>;

/// A running program with its child processes.
pub(super) struct Program {
    child: Child,
    /// Its process group, shared with its children.
    group: Option<u32>,
    stderr: JoinSet<u64>,
}

impl Program {
    /// Starts it in its own process group, with only the named environment variables.
    pub(super) fn start(
        command: &[String],
        env: &BTreeMap<String, Setting>,
        credentials: &BTreeMap<String, Secret>,
    ) -> Result<(Self, Pipes), Trouble> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Trouble::Spawn(std::io::ErrorKind::InvalidInput));
        };
        let mut starting = Command::new(program);
        starting.args(arguments).env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                starting.env(name, value);
            }
        }
        for (name, setting) in env {
            starting.env(name, exposed(setting, credentials)?);
        }
        starting
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = starting.spawn().map_err(|error| Trouble::Spawn(error.kind()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Trouble::Spawn(std::io::ErrorKind::BrokenPipe));
        };
        let stdout = Mended::new(Metered::new(stdout), MESSAGE_BYTES_MAX);
        let pipes = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(MESSAGE_BYTES_MAX);
        let group = child.id();
        let mut lines = JoinSet::new();
        lines.spawn(count_lines(stderr));
        Ok((Self { child, group, stderr: lines }, pipes))
    }

    /// Ends the program, whose pipes are closed, and its children; returns how many lines it wrote to standard error.
    pub(super) async fn end(mut self) -> u64 {
        if timeout(EXIT_PATIENCE, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGTERM);
            let _ = timeout(EXIT_PATIENCE, self.child.wait()).await;
        }
        // Always: the program may have left children behind.
        self.signal(Signal::SIGKILL);
        let _ = self.child.start_kill();
        let _ = timeout(SIGNAL_MAX, self.child.wait()).await;
        match timeout(SIGNAL_MAX, self.stderr.join_next()).await {
            Ok(Some(Ok(lines))) => lines,
            _ => 0,
        }
    }

    /// Signals the whole group; that nobody of it is left is no failure.
    fn signal(&self, signal: Signal) {
        let group = self.group.and_then(|group| i32::try_from(group).ok()).filter(|group| *group > 1);
        if let Some(group) = group {
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }
}

/// Returns a setting's value, looking up a credential.
pub(super) fn exposed<'a>(setting: &'a Setting, credentials: &'a BTreeMap<String, Secret>) -> Result<&'a str, Trouble> {
    match setting {
        Setting::Plain(value) => Ok(value),
        Setting::Credential(label) => {
            credentials.get(label).map(Secret::expose).ok_or_else(|| Trouble::Credential(label.clone()))
        }
    }
}

/// Drains standard error, so that the program never blocks on it; keeps nothing.
async fn count_lines(mut stderr: ChildStderr) -> u64 {
    let (mut lines, mut buffer) = (0, [0; 4096]);
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        lines += buffer[..length].iter().filter(|byte| **byte == b'\n').map(|_| 1).sum::<u64>();
    }
    lines
}

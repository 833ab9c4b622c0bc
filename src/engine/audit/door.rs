//! The socket on which a running Workmate answers `workmate audit`; only this user may open it.
//!
//! sled admits one process, so a running one must answer for its store. A caller sends one line with an [`Ask`] and
//! receives lines of [`Answer`]s. The folder is private before the socket exists, so there is no moment in which others
//! could connect.

use std::{
    fs::{DirBuilder, File, Permissions, remove_file, set_permissions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, PermissionsExt as _},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
};

use super::Audit;
use crate::{
    core::{
        audit::{Answer, Ask, By, Day, Entry, Filter, Spending, Sums, add_up, select},
        time::Timestamp,
    },
    engine::{
        retiring,
        runtime::{AskedBy, Reloaded, Runtime},
    },
    store::StoreError,
};

/// Callers answered at once; the next one waits.
const CALLERS_AT_ONCE_MAX: usize = 4;
/// Most bytes of a question.
const ASK_BYTES_MAX: u64 = 64 << 10;
/// How long a caller may take to ask, and to read each answer.
const CALLER_PATIENCE: Duration = Duration::from_mins(1);
/// Answers buffered ahead of the caller.
const READ_AHEAD: usize = 64;

/// Returns the socket's path for this data folder.
#[must_use]
pub fn door_of(data_dir: &Path) -> PathBuf {
    data_dir.join("run/audit.sock")
}

/// The longest path of a socket (unix(7): 108 bytes with the final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Binds or connects a socket by its path, of any length: a longer one is named by its open folder.
///
/// # Errors
/// Those of `act`, and those of opening the folder.
pub fn at_socket<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return act(path) };
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX {
        return act(path);
    }
    let dir = File::open(dir)?;
    act(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

/// Listens until Workmate stops.
pub(super) async fn serve(audit: Arc<Audit>) {
    let path = door_of(&audit.runtime.config().data_dir);
    let listener = match open(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "`workmate audit` cannot ask this process; it works while workmate is stopped");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CALLERS_AT_ONCE_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let caller = tokio::select! {
            () = audit.runtime.stop.cancelled() => break,
            caller = listener.accept() => caller,
        };
        match caller {
            Ok((caller, _)) => {
                let (audit, stop) = (audit.clone(), audit.runtime.stop.clone());
                audit.runtime.tasks.clone().spawn(async move {
                    let _place = place;
                    let answered = stop.run_until_cancelled(answer(&audit, caller)).await;
                    if let Some(Err(error)) = answered {
                        tracing::debug!(%error, "a question about past runs was broken off");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the door for `workmate audit` cannot take a caller");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    // From now on callers read the store themselves.
    let _ = remove_file(&path);
}

/// Takes new tokens from their files; the ones before them hold until the homeserver uses these.
fn take_tokens(runtime: &Runtime) -> Answer {
    match runtime.config().appservice.read_tokens() {
        Ok([ours, theirs]) => {
            runtime.tokens.ours.rotate(ours);
            runtime.tokens.theirs.rotate(theirs);
            tracing::info!("new tokens are there; the ones before them hold until the homeserver uses the new ones");
            Answer::Said { done: true, text: "the new tokens are taken".to_owned() }
        }
        Err(why) => Answer::Said { done: false, text: why },
    }
}

fn open(path: &Path) -> io::Result<UnixListener> {
    let dir = path.parent().expect("the door is in a folder");
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Also closes a folder that existed already.
    set_permissions(dir, Permissions::from_mode(0o700))?;
    match remove_file(path) {
        // A killed process leaves its socket behind. We hold the store's lock, so that process is gone.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = at_socket(path, |path| UnixListener::bind(path))?;
    set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(audit: &Arc<Audit>, caller: UnixStream) -> io::Result<()> {
    let (reading, mut writing) = caller.into_split();
    let mut line = String::new();
    let mut reading = BufReader::new(reading.take(ASK_BYTES_MAX));
    tokio::time::timeout(CALLER_PATIENCE, reading.read_line(&mut line)).await??;
    let (answers, mut answered) = mpsc::channel(READ_AHEAD);
    let audit = audit.clone();
    let deed = match serde_json::from_str(&line) {
        Ok(Ask::Retire(id)) => Some(Box::pin(retiring::retire(&audit.runtime, &id)).await),
        Ok(Ask::Reload) => {
            let Reloaded { done, text } = audit.runtime.reloads.reload(AskedBy::Command).await;
            Some(Ok(Answer::Said { done, text }))
        }
        Ok(Ask::Tokens) => Some(Ok(take_tokens(&audit.runtime))),
        _ => None,
    };
    if let Some(said) = deed {
        let said = said.unwrap_or_else(|error| Answer::Failed(error.to_string()));
        for answer in [said, Answer::Done] {
            let mut line = serde_json::to_vec(&answer)?;
            line.push(b'\n');
            tokio::time::timeout(CALLER_PATIENCE, writing.write_all(&line)).await??;
        }
        return writing.shutdown().await;
    }
    // Reading the whole index takes long and blocks on the disk.
    let reading = tokio::task::spawn_blocking(move || match serde_json::from_str(&line) {
        Ok(ask) => audit.answer_ask(&ask, &answers),
        Err(error) => {
            let why = format!("the question cannot be read: {error}\n  Mend: use the workmate that is running to ask.");
            let _ = answers.blocking_send(Answer::Failed(why));
        }
    });
    while let Some(answer) = answered.recv().await {
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        tokio::time::timeout(CALLER_PATIENCE, writing.write_all(&line)).await??;
    }
    drop(answered);
    reading.await.map_err(io::Error::other)?;
    writing.shutdown().await
}

impl Audit {
    /// Sends answers until all are sent or the caller has gone.
    fn answer_ask(&self, ask: &Ask, answers: &mpsc::Sender<Answer>) {
        let said = match ask {
            Ask::Spend { by, since } => self.say_spending(*by, *since, answers),
            Ask::Report { by, since } => self.say_report(*by, *since, answers),
            Ask::List(_) | Ask::Show(_) | Ask::Retire(_) | Ask::Tokens | Ask::Reload => self.say_runs(ask, answers),
        };
        let last = match said {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(error.to_string()),
        };
        let _ = answers.blocking_send(last);
    }

    fn say_spending(&self, by: By, since: Option<Timestamp>, answers: &mpsc::Sender<Answer>) -> Result<(), StoreError> {
        let (outlays, index) = (self.budget.ledger.outlays(), self.runtime.tables.run_index.iter());
        let (rows, sum) = add_up(
            Spending::new(by, since, self.runtime.config().workspace.zone.clone()),
            outlays,
            index,
            &self.runtime.namespace(),
        )?;
        for answer in rows.into_iter().map(Answer::Spent).chain([Answer::SpentInAll(sum)]) {
            if answers.blocking_send(answer).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn say_report(&self, by: By, since: Option<Timestamp>, answers: &mpsc::Sender<Answer>) -> Result<(), StoreError> {
        let (outlays, index) = (self.budget.ledger.outlays(), self.runtime.tables.run_index.iter());
        let sums = Sums::of(self.runtime.config().workspace.zone.clone(), outlays, index, &self.runtime.namespace())?;
        let (rows, sum) = sums.report(by, (since.map(Day::of), None));
        let rows = rows.into_iter().map(|row| Answer::Reported(Box::new(row)));
        for answer in rows.chain([Answer::ReportedInAll(Box::new(sum))]) {
            if answers.blocking_send(answer).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn say_runs(&self, ask: &Ask, answers: &mpsc::Sender<Answer>) -> Result<(), StoreError> {
        let newest_first = self.runtime.tables.run_index.iter().rev();
        let (filter, named) = match ask {
            Ask::List(filter) => (filter.clone(), None),
            Ask::Show(run) => (Filter::default(), Some(run)),
            Ask::Spend { .. } | Ask::Report { .. } | Ask::Retire(_) | Ask::Tokens | Ask::Reload => return Ok(()),
        };
        for entry in select(newest_first, &filter, &self.runtime.namespace()) {
            let entry: Entry = entry?;
            let wanted = named.is_none_or(|run| entry.is_named(run));
            if wanted && answers.blocking_send(Answer::Run(Box::new(entry))).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn op10_a_socket_in_a_data_folder_with_a_long_path_opens_and_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        for length in [10, 90, 200] {
            let folder = dir.path().join("x".repeat(length));
            std::fs::create_dir(&folder).expect("made");
            let path = folder.join("audit.sock");
            let listener = at_socket(&path, |path| std::os::unix::net::UnixListener::bind(path)).expect("bound");
            let mut asks = at_socket(&path, |path| std::os::unix::net::UnixStream::connect(path)).expect("connected");
            asks.write_all(b"!").expect("written");
            let mut said = [0];
            listener.accept().expect("accepted").0.read_exact(&mut said).expect("read");
            assert_eq!((said, path.exists()), (*b"!", true), "{length}");
        }
    }
}

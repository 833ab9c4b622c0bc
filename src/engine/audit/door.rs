//! The door of a running Workmate for `workmate audit`: a unix socket that only this user may open.
//!
//! sled lets one process in, so a running one answers for itself: one line with an [`Ask`] comes, lines with
//! [`Answer`]s go. The folder is private from the moment it is made, so there is no moment in which others could knock.

use std::{
    fs::{DirBuilder, Permissions, remove_file, set_permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
};

use crate::{
    core::audit::{Answer, Ask, Entry, Filter, select},
    engine::{Engine, Shared},
    store::StoreError,
};

/// Callers that are answered at once; the next one waits.
const CALLERS_AT_ONCE_MAX: usize = 4;
/// The longest question, in bytes.
const ASK_BYTES_MAX: u64 = 64 << 10;
/// How long a question may take, and a caller may not read.
const CALLER_PATIENCE: Duration = Duration::from_mins(1);
/// Answers that are read ahead of the caller.
const READ_AHEAD: usize = 64;

/// Returns where the door of the Workmate with this data folder is.
#[must_use]
pub fn door_of(data_dir: &Path) -> PathBuf {
    data_dir.join("run/audit.sock")
}

/// Opens the door until Workmate stops.
pub(super) async fn serve(engine: Shared) {
    let path = door_of(&engine.config.data_dir);
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
            () = engine.stop.cancelled() => break,
            caller = listener.accept() => caller,
        };
        match caller {
            Ok((caller, _)) => {
                let (engine, stop) = (engine.clone(), engine.stop.clone());
                engine.tasks.clone().spawn(async move {
                    let _place = place;
                    let answered = stop.run_until_cancelled(answer(&engine, caller)).await;
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
    // Whoever comes now is to read the store itself.
    let _ = remove_file(&path);
}

fn open(path: &Path) -> io::Result<UnixListener> {
    let dir = path.parent().expect("the door is in a folder");
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Ours alone, also where it was there before.
    set_permissions(dir, Permissions::from_mode(0o700))?;
    match remove_file(path) {
        // A killed process leaves its door behind; the store's lock says that it is gone.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(engine: &Shared, caller: UnixStream) -> io::Result<()> {
    let (reading, mut writing) = caller.into_split();
    let mut line = String::new();
    let mut reading = BufReader::new(reading.take(ASK_BYTES_MAX));
    tokio::time::timeout(CALLER_PATIENCE, reading.read_line(&mut line)).await??;
    let (answers, mut answered) = mpsc::channel(READ_AHEAD);
    let engine = engine.clone();
    if let Ok(Ask::Retire(id)) = serde_json::from_str(&line) {
        let said = Box::pin(engine.retire(&id)).await.unwrap_or_else(|error| Answer::Failed(error.to_string()));
        for answer in [said, Answer::Done] {
            let mut line = serde_json::to_vec(&answer)?;
            line.push(b'\n');
            tokio::time::timeout(CALLER_PATIENCE, writing.write_all(&line)).await??;
        }
        return writing.shutdown().await;
    }
    // Reading all of the index is long work on the disk.
    let reading = tokio::task::spawn_blocking(move || match serde_json::from_str(&line) {
        Ok(ask) => engine.answer_ask(&ask, &answers),
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

impl Engine {
    /// Answers until all is said or nobody listens any more.
    fn answer_ask(&self, ask: &Ask, answers: &mpsc::Sender<Answer>) {
        let last = match self.say_runs(ask, answers) {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(error.to_string()),
        };
        let _ = answers.blocking_send(last);
    }

    fn say_runs(&self, ask: &Ask, answers: &mpsc::Sender<Answer>) -> Result<(), StoreError> {
        let newest_first = self.tables.run_index.iter().rev();
        let (filter, named) = match ask {
            Ask::List(filter) => (filter.clone(), None),
            Ask::Show(run) => (Filter::default(), Some(run)),
            Ask::Retire(_) => return Ok(()),
        };
        for entry in select(newest_first, &filter, &self.namespace) {
            let entry: Entry = entry?;
            let wanted = named.is_none_or(|run| entry.is_named(run));
            if wanted && answers.blocking_send(Answer::Run(Box::new(entry))).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

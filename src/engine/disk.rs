//! A failed store or a full disk. After a failed write, the database refuses every later write, even once there is room
//! again. So Workmate waits until the disk takes writes, and then starts itself again. A start waits for room before it
//! opens the store, which writes even while it reads.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    data_dir::{ROOM_WANTED, full, too_full_to_start},
};
use crate::{appservice::health::Health, matrix::disk::left, store::StoreError};

/// How often the disk is checked for being full.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a write is tried, which is also the shortest wait before a restart.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// How long a disk must be full until the thread outside the runtime notices.
const FULL_FOR: Duration = Duration::from_secs(3);
/// Longer than an orderly stop takes, and than the runtime needs to notice that the disk has room again.
const END_MAX: Duration = Duration::from_mins(1);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// The store had failed, and the disk takes writes again; a new process continues.
    StartsAgain,
}

/// Waits until the store fails, then until the disk takes writes, and then stops everything for a restart.
pub(super) async fn keep_store(engine: Shared) {
    let mut failed = engine.store.watch_failure();
    let reason = tokio::select! {
        () = engine.stop.cancelled() => return,
        reason = failed.wait_for(Option::is_some) => match reason {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => return,
        },
        reason = until_full(engine.config().data_dir.clone()) => reason,
    };
    tracing::error!(
        "the store failed; nothing is accepted until the disk takes writes again, then workmate starts anew: {reason}"
    );
    if !is_there_room_again(&engine.config().data_dir, &engine.health, &engine.stop, reason).await {
        return;
    }
    tracing::warn!("the disk takes writes again; workmate starts anew");
    engine.life.start_again();
    engine.stop.cancel();
}

/// Opens the store once the disk has room for it. Without room, or if the disk fills meanwhile, `/healthz` and
/// `/readyz` say so.
///
/// # Errors
/// As of `open`, except for a full disk. The inner result says how serving ends instead.
pub(super) async fn open_when_there_is_room<T: Send + 'static>(
    data_dir: &Path,
    health: &Health,
    stop: &CancellationToken,
    open: impl Fn() -> Result<T, StoreError> + Clone + Send + 'static,
) -> Result<Result<T, Ended>, StoreError> {
    loop {
        if let Some(reason) = too_full_to_start(data_dir) {
            tracing::error!("workmate waits with its start: {reason}");
            if !is_there_room_again(data_dir, health, stop, reason).await {
                return Ok(Err(Ended::Stopped));
            }
            tracing::warn!("the disk takes writes again; the start goes on");
            health.set_alive();
        }
        let open = open.clone();
        let opening = tokio::task::spawn_blocking(open);
        tokio::select! {
            () = stop.cancelled() => return Ok(Err(Ended::Stopped)),
            opened = opening => match opened.expect("opening the store does not panic") {
                // A quota may be exhausted, which cannot be seen beforehand.
                Err(error @ StoreError::Full { .. }) => {
                    tracing::error!(%error, "workmate waits with its start");
                    if !is_there_room_again(data_dir, health, stop, error.to_string()).await {
                        return Ok(Err(Ended::Stopped));
                    }
                    health.set_alive();
                }
                opened => return opened.map(Ok),
            },
            reason = until_full(data_dir.to_owned()) => {
                // Opening may wait for ever for a write that failed.
                tracing::error!("the disk filled while the store was opened: {reason}");
                if !is_there_room_again(data_dir, health, stop, reason).await {
                    return Ok(Err(Ended::Stopped));
                }
                tracing::warn!("the disk takes writes again; workmate starts anew");
                return Ok(Err(Ended::StartsAgain));
            }
        }
    }
}

/// Ends or restarts this process if it cannot do so itself because its threads wait for an unresponsive disk. It
/// watches from its own thread, which nothing in the runtime can block.
pub(super) fn watch_from_outside(data_dir: PathBuf, health: Health, stop: CancellationToken) {
    let watching = move || {
        let (mut full_for, mut free_for, mut stopping_for) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let counted = |so_far: Duration, holds: bool| if holds { so_far + LOOK_EVERY } else { Duration::ZERO };
        loop {
            thread::sleep(LOOK_EVERY);
            let reason = full(&data_dir);
            full_for = counted(full_for, reason.is_some());
            if let Some(reason) = reason.filter(|_| full_for >= FULL_FOR && !health.is_dead()) {
                health.set_dead(reason);
            }
            let is_free = left(&data_dir).is_none_or(|left| left >= ROOM_WANTED as u64);
            free_for = counted(free_for, is_free && health.is_dead());
            stopping_for = counted(stopping_for, stop.is_cancelled());
            if free_for >= END_MAX {
                free_for = Duration::ZERO;
                // A quota or a mount may refuse what the free space allows; then the runtime waits rightly.
                if has_room(&data_dir.join(".room-outside")).is_ok() {
                    tracing::error!(error = %start_again(), "workmate cannot start itself again");
                }
            }
            if stopping_for >= END_MAX {
                tracing::error!("a stop takes longer than any; the process ends as it is");
                std::process::exit(1);
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("disk".to_owned()).spawn(watching) {
        tracing::warn!(%error, "nothing outside the runtime looks after this process");
    }
}

/// Replaces the process by the same program with the same arguments; returns only if that fails.
#[must_use]
pub fn start_again() -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    std::process::Command::new(program).args(std::env::args_os().skip(1)).exec()
}

/// Says why the disk takes no writes, and waits until it does; returns false if a stop comes first.
async fn is_there_room_again(data_dir: &Path, health: &Health, stop: &CancellationToken, reason: String) -> bool {
    health.set_dead(reason);
    tokio::select! {
        () = stop.cancelled() => false,
        () = until_there_is_room(data_dir) => true,
    }
}

async fn until_there_is_room(data_dir: &Path) {
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        let probe = data_dir.join(".room");
        match tokio::task::spawn_blocking(move || has_room(&probe)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::debug!(%error, "the disk does not take writes yet"),
            Err(error) => tracing::warn!(%error, "whether the disk takes writes cannot be tried"),
        }
    }
}

/// Waits until the disk is full; returns the reason to show.
async fn until_full(data_dir: PathBuf) -> String {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let dir = data_dir.clone();
        if let Ok(Some(reason)) = tokio::task::spawn_blocking(move || full(&dir)).await {
            return reason;
        }
    }
}

/// Tries to write as much as a start may need.
fn has_room(probe: &Path) -> io::Result<()> {
    let written = File::create(probe).and_then(|mut file| {
        file.write_all(&vec![0x5a; ROOM_WANTED])?;
        file.sync_all()
    });
    match std::fs::remove_file(probe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    written
}

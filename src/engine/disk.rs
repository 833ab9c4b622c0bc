//! A failed store or a full disk. After a failed write, the database refuses every later write, even once there is room
//! again. So Workmate waits until the disk takes writes, and then starts itself again. A start waits for room before it
//! opens the store, which writes even while it reads.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    start::{Ended, full, too_full_to_start},
};
use crate::{
    appservice::health::Health,
    matrix::disk::{FULL_BYTES, left},
    store::StoreError,
};

/// How often the disk is checked for being full.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a write is tried, which is also the shortest wait before a restart.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// What has to fit for a start, in bytes: more than one segment of the database, and more than counts as full.
pub(super) const ROOM_WANTED: usize = 16 << 20;
/// Longer than an end in order takes, and a start that goes on after a full disk.
const END_MAX: Duration = Duration::from_mins(1);

/// Waits until the store fails, then until the disk takes writes, and then stops everything for a restart.
pub(super) async fn keep_store(engine: Shared) {
    let mut failed = engine.store.watch_failure();
    let reason = tokio::select! {
        () = engine.stop.cancelled() => return,
        reason = failed.wait_for(Option::is_some) => match reason {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => return,
        },
        reason = until_full(engine.config.data_dir.clone()) => reason,
    };
    tracing::error!(
        "the store failed; nothing is accepted until the disk takes writes again, then workmate starts anew: {reason}"
    );
    engine.health.set_dead(reason);
    tokio::select! {
        () = engine.stop.cancelled() => return,
        () = until_there_is_room(&engine.config.data_dir) => {}
    }
    tracing::warn!("the disk takes writes again; workmate starts anew");
    engine.starts_again.store(true, Ordering::Relaxed);
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
            health.set_dead(reason);
            tokio::select! {
                () = stop.cancelled() => return Ok(Err(Ended::Stopped)),
                () = until_there_is_room(data_dir) => {}
            }
            tracing::warn!("the disk takes writes again; the start goes on");
            health.set_alive();
        }
        let open = open.clone();
        let opening = tokio::task::spawn_blocking(open);
        tokio::select! {
            () = stop.cancelled() => return Ok(Err(Ended::Stopped)),
            opened = opening => match opened.expect("opening the store does not panic") {
                Err(StoreError::Full { .. }) => {}
                opened => return opened.map(Ok),
            },
            reason = until_full(data_dir.to_owned()) => {
                // Opening may wait for ever for a write that failed.
                tracing::error!("the disk filled while the store was opened: {reason}");
                health.set_dead(reason);
                tokio::select! {
                    () = stop.cancelled() => return Ok(Err(Ended::Stopped)),
                    () = until_there_is_room(data_dir) => {}
                }
                tracing::warn!("the disk takes writes again; workmate starts anew");
                return Ok(Err(Ended::StartsAgain));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends or starts this process again where it cannot do that by itself, because whatever should do it waits for a disk that
/// does not answer: `start` once the disk was full and has room again for longer than an end takes, `end` where a stop
/// takes longer than any. Looks from a thread of its own, which nothing here can hold up.
pub fn watch_from_outside(
    data_dir: PathBuf,
    stop: CancellationToken,
    start: impl Fn() + Send + 'static,
    end: impl Fn() + Send + 'static,
) {
    let watching = move || {
        let (mut was_full, mut free_for, mut stopping_for) = (false, Duration::ZERO, Duration::ZERO);
        loop {
            thread::sleep(LOOK_EVERY);
            let left = left(&data_dir);
            was_full |= left.is_some_and(|left| left < FULL_BYTES);
            let is_free = left.is_none_or(|left| left >= ROOM_WANTED as u64);
            free_for = if was_full && is_free { free_for + LOOK_EVERY } else { Duration::ZERO };
            stopping_for = if stop.is_cancelled() { stopping_for + LOOK_EVERY } else { Duration::ZERO };
            if free_for >= END_MAX {
                start();
            }
            if stopping_for >= END_MAX {
                end();
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("disk".to_owned()).spawn(watching) {
        tracing::warn!(%error, "nobody looks after this process from outside its runtime");
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

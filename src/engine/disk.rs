//! A store that failed, or a disk that is full: after a failed write the database refuses every later one, even once there
//! is room again. So it is waited until the disk takes writes, and then Workmate starts itself again.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use super::Shared;
use crate::{
    appservice::health::{Condition, State},
    matrix::disk::{FULL_BYTES, left},
};

/// How often it is looked whether the disk is full.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried whether the disk takes writes again, and the least time before a start.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// What has to fit for a start, in bytes: more than one segment of the database, and more than counts as full.
const ROOM_WANTED: usize = 16 << 20;

/// Waits for the store to fail, then for the disk, and has everything stop in order to start again.
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
    engine.health.set(Condition::Store, State::Waiting(reason.clone()));
    engine.health.set_dead(reason);
    let probe = engine.config.data_dir.join(".room");
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(TRY_EVERY) => {}
        }
        let probe: PathBuf = probe.clone();
        let tried = tokio::task::spawn_blocking(move || has_room(&probe)).await;
        match tried {
            Ok(Ok(())) => break,
            Ok(Err(error)) => tracing::debug!(%error, "the disk does not take writes yet"),
            Err(_) => return,
        }
    }
    tracing::warn!("the disk takes writes again; workmate starts anew");
    engine.starts_again.store(true, Ordering::Relaxed);
    engine.stop.cancel();
}

/// Returns, once the disk is full, that it is.
async fn until_full(data_dir: PathBuf) -> String {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let dir = data_dir.clone();
        let looked = tokio::task::spawn_blocking(move || left(&dir)).await;
        if let Ok(Some(left)) = looked
            && left < FULL_BYTES
        {
            let dir = data_dir.display();
            return format!(
                "{dir}: the disk is full, {left} bytes are left\n  Mend: free space on that disk; workmate starts anew by \
                 itself then, and the homeserver sends again what was not acknowledged."
            );
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

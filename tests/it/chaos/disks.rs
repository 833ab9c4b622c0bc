//! Faults of the disk and the clock: full, read-only, restored from a copy made while it was written, and jumping time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::time::{self, Duration};

use crate::{
    chaos::{
        parts::{SETTLE_MAX, settled, under_load},
        tally::Tally,
        world::{Kind, Size, World},
    },
    harness::workmate::Workmate,
};

/// A small disk's size in MiB: little more than the stores of a small world.
const DISK_MB: u32 = 192;
/// The library that fakes a process's clock, below the system's library folder (Debian).
#[allow(dead_code, reason = "the bench uses it")]
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// A small mounted disk; dropping it unmounts it.
struct Disk {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Disk {
    /// Mounts a disk; `None` if this account may not mount.
    fn make() -> Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("disk");
        fs::create_dir(&path)?;
        let size = format!("size={DISK_MB}m");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &path.to_string_lossy()]);
        Ok(mounted.then_some(Self { path, _dir: dir }))
    }

    /// Fills the disk to the last byte and keeps it full for a while.
    async fn fill(&self) -> Result<()> {
        for _ in 0..10 {
            let from = ["if=/dev/zero", "bs=64k", "oflag=append", "conv=notrunc"].map(str::to_owned);
            let to = format!("of={}", self.path.join("fill").display());
            Command::new("dd").args(from).arg(to).stderr(Stdio::null()).status()?;
            time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.path.join("fill"))?)
    }

    fn remount(&self, how: &str) -> Result<()> {
        let how = format!("remount,{how}");
        anyhow::ensure!(run("mount", &["-o", &how, &self.path.to_string_lossy()]), "the disk cannot be mounted anew");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.path.to_string_lossy()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    let ran = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

fn skip(why: &str) -> Option<Tally> {
    eprintln!("SKIPPED: {why}");
    None
}

/// Fills Workmate's disk at several moments, also across a stop and a start, and frees it again. Then starts it on a
/// read-only disk. `None` if no disk can be mounted.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn disk(moments_ms: &[u64]) -> Result<Option<Tally>> {
    let Some(disk) = Disk::make()? else {
        return Ok(skip("no disk can be mounted here to be filled"));
    };
    let data = disk.path.join("data");
    let size = Size { people: 2, rooms: 2, assistants: 1, piece_ms: 50 };
    let mut world = World::make_with(size, |setup| setup.section("data_dir", json!(data))).await?;
    for (round, moment_ms) in moments_ms.iter().enumerate() {
        let mut workmate = world.take_workmate();
        workmate.end().await;
        workmate.spawn();
        time::sleep(Duration::from_millis(*moment_ms)).await;
        disk.fill().await?;
        for kind in [Kind::Question, Kind::Chat] {
            world.ask(kind).await?;
        }
        time::sleep(Duration::from_secs(6)).await;
        if round % 2 == 1 {
            // An operator would do this on seeing that nothing works.
            workmate.end().await;
            workmate.spawn();
            time::sleep(Duration::from_secs(2)).await;
        }
        disk.free()?;
        workmate.until_ready_whatever_ends().await?;
        world.give_back(workmate);
        world.settle(SETTLE_MAX).await?;
        eprintln!("full {moment_ms} ms behind the start: settled");
    }
    let mut workmate = world.take_workmate();
    workmate.end().await;
    disk.fill().await?;
    let before = files_of(&data.join("state"))?;
    for _ in 0..2 {
        workmate.spawn();
        until_both_tell_of_a_full_disk(&workmate).await?;
        // A start that is stopped while it waits leaves the store unchanged too.
        workmate.stop().await;
        anyhow::ensure!(files_of(&data.join("state"))? == before, "a start on a full disk touched the store");
    }
    workmate.spawn();
    world.ask(Kind::Question).await?;
    until_both_tell_of_a_full_disk(&workmate).await?;
    disk.free()?;
    // It continues by itself.
    workmate.until_ready().await?;
    eprintln!("a start on a full disk: waited and went on");
    workmate.end().await;
    disk.remount("ro")?;
    workmate.spawn();
    world.ask(Kind::Question).await?;
    time::sleep(Duration::from_secs(3)).await;
    disk.remount("rw")?;
    workmate.until_ready_whatever_ends().await?;
    world.give_back(workmate);
    Ok(Some(settled(&world).await?))
}

/// Waits until `/healthz` and `/readyz` are 503 and both name the disk.
async fn until_both_tell_of_a_full_disk(workmate: &Workmate) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = |path: &str| format!("http://{}/{path}", workmate.slot().health_listen);
    let tells = async |path: &str| match http.get(url(path)).send().await {
        Ok(answer) if answer.status().as_u16() == 503 => {
            answer.text().await.is_ok_and(|text| text.contains("the disk is full"))
        }
        _ => false,
    };
    let told = async {
        while !(tells("healthz").await && tells("readyz").await) {
            time::sleep(Duration::from_millis(50)).await;
        }
    };
    time::timeout(Duration::from_mins(1), told).await.context("nobody tells of the full disk")
}

/// Returns the names, sizes and times of a folder's files.
fn files_of(dir: &Path) -> Result<Vec<(PathBuf, u64, std::time::SystemTime)>> {
    let each = fs::read_dir(dir)?.map(|entry| {
        let entry = entry?;
        let known = entry.metadata()?;
        Ok((entry.path(), known.len(), known.modified()?))
    });
    let mut files = each.collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Copies the state while it is written, kills Workmate later, and starts it from the copy. The users' stores are
/// recovered, as its log says at such a start.
///
/// # Errors
/// If the world breaks in a way that is not counted.
#[allow(dead_code, reason = "the bench runs it")]
pub(crate) async fn copies(number: usize) -> Result<Tally> {
    let mut world = World::make(Size { people: 2, rooms: 4, assistants: 1, piece_ms: 100 }).await?;
    for _ in 0..number {
        let mut workmate = world.take_workmate();
        let data = workmate.data_dir();
        let copy = data.with_file_name("copy-of-state");
        let torn = async {
            time::sleep(Duration::from_secs(2)).await;
            copy_slowly(&data.join("state"), &copy).await
        };
        under_load(&world, Duration::from_millis(700), torn).await?;
        // The copy does not know what was answered after it was made.
        world.settle(SETTLE_MAX).await?;
        workmate.kill();
        fs::remove_dir_all(data.join("state"))?;
        fs::remove_dir_all(data.join("users"))?;
        fs::rename(&copy, data.join("state"))?;
        workmate.start_again().await;
        world.give_back(workmate);
        world.ask_everywhere(SETTLE_MAX).await?;
    }
    settled(&world).await
}

/// Copies file by file with pauses, so that the first files are older than the last.
#[allow(dead_code, reason = "the bench runs it")]
async fn copy_slowly(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut entries: Vec<_> = fs::read_dir(from)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            Box::pin(copy_slowly(&entry.path(), &target)).await?;
        } else if let Err(error) = fs::copy(entry.path(), &target) {
            anyhow::ensure!(error.kind() == std::io::ErrorKind::NotFound, "a file cannot be copied: {error}");
        }
        time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Moves Workmate's clock, in seconds, while people ask: forwards, back, and far. `None` if the clock cannot be faked.
///
/// # Errors
/// If the world breaks in a way that is not counted.
#[allow(dead_code, reason = "the bench runs it")]
pub(crate) async fn clock(jumps_s: &[i64]) -> Result<Option<Tally>> {
    let libraries = fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path().join(FAKETIME)));
    let Some(library) = libraries.into_iter().find(|path| path.exists()) else {
        return Ok(skip("there is no libfaketime to move the clock with (Debian: faketime)"));
    };
    let dir = tempfile::tempdir()?;
    let set = dir.path().join("faketimerc");
    fs::write(&set, "+0")?;
    let size = Size { people: 2, rooms: 4, assistants: 1, piece_ms: 100 };
    let mut world = World::make_with(size, |setup| {
        setup
            .env("LD_PRELOAD", library.to_string_lossy().into_owned())
            .env("FAKETIME_TIMESTAMP_FILE", set.to_string_lossy().into_owned())
            .env("FAKETIME_CACHE_DURATION", "1".to_owned())
            // Pauses use the monotonic clock, which stays real.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned())
            .env("DONT_FAKE_MONOTONIC", "1".to_owned())
            // Moving the clock may expire a card, so cards stay open for longer than the jumps.
            .section(
                "limits",
                json!({"person_requests_max": 10_000, "room_requests_max": 10_000, "approval_minutes": 10_080}),
            )
    })
    .await
    .context("with a clock that can be moved")?;
    let jumping = async {
        for jump in jumps_s {
            time::sleep(Duration::from_secs(3)).await;
            fs::write(&set, format!("{jump:+}"))?;
            eprintln!("the clock is {jump:+} s off");
            time::sleep(Duration::from_secs(3)).await;
        }
        Ok(())
    };
    under_load(&world, Duration::from_millis(900), jumping).await?;
    world.settle(SETTLE_MAX).await?;
    let mut workmate: Workmate = world.take_workmate();
    workmate.kill();
    fs::write(&set, "+0")?;
    workmate.start_again().await;
    world.give_back(workmate);
    Ok(Some(settled(&world).await?))
}

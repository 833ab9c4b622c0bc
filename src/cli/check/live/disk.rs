//! Judges the disk of the data folder: its type of file system, its free space, and how long a durable write takes.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::{Check, Found, Tried};
use crate::matrix::disk::left;

/// Free bytes below which a disk is soon full.
const SPACE_WANTED: u64 = 1 << 30;
/// How many durable writes are timed; the median counts.
const WRITES: usize = 5;
/// Bytes of each.
const WRITE_BYTES: usize = 4 << 10;
/// How long one may take before it holds up every transaction.
const SLOW: Duration = Duration::from_millis(250);

/// Looks at the disk of `data_dir`, or of what there is of it.
pub(super) fn look(data_dir: &Path) -> Tried {
    let here = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let nearest = data_dir.ancestors().map(here).find(|path| path.is_dir()).unwrap_or_else(|| "/".into());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let nearest = nearest.canonicalize().unwrap_or(nearest);
    let kind = kind_of(&mounts, &nearest);
    // Where the folder is still to be made, somebody else's folder is not written to.
    let write = (nearest == data_dir.canonicalize().unwrap_or_default()).then(|| durable_write(&nearest));
    Tried::new(Check::Disk, judged(data_dir, kind.as_deref(), left(&nearest), write))
}

/// Returns the type of the file system that a path is on, by `/proc/self/mountinfo` (proc(5)).
fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        Some((PathBuf::from(point), after.split(' ').next()?.to_owned()))
    };
    let holding = mounts.lines().filter_map(mount).filter(|(point, _)| path.starts_with(point));
    // Of two mounts at one place, the later one is seen.
    holding.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

/// Returns the median time of a durable write.
fn durable_write(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let timed = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut times = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let began = Instant::now();
            file.write_all(&[0x5a; WRITE_BYTES])?;
            file.sync_all()?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times[WRITES / 2])
    };
    let times = timed();
    fs::remove_file(&path).or_else(|error| if times.is_ok() { Err(error) } else { Ok(()) })?;
    times
}

/// Returns what is doubtful about a type of file system, and what to do.
fn doubt(kind: &str) -> Option<(&'static str, &'static str)> {
    const ELSEWHERE: &str = "set data_dir to a local disk";
    Some(match kind {
        "tmpfs" | "ramfs" => ("is in memory, and gone with the next restart of this machine", ELSEWHERE),
        "overlay" | "aufs" => (
            "may be the layer of a container, and gone when that is made anew",
            "mount a volume at data_dir; where this is no container's layer, nothing needs to be done",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "glusterfs" | "afs" | "davfs" => {
            ("is on the network, where neither locks nor durable writes can be relied on", ELSEWHERE)
        }
        "vfat" | "msdos" | "exfat" | "ntfs" | "ntfs3" => ("keeps no modes, so everybody here can read it", ELSEWHERE),
        fuse if fuse.starts_with("fuse.") => {
            ("is served by a program, which may keep neither locks nor what was written", ELSEWHERE)
        }
        _ => return None,
    })
}

fn judged(dir: &Path, kind: Option<&str>, left: Option<u64>, write: Option<io::Result<Duration>>) -> Found {
    let shown = dir.display();
    if let Some(Err(error)) = &write {
        return Found::Fault(format!(
            "{shown}: a durable write fails ({error})\n  What is acknowledged has to be on disk.\n  Mend: look at the disk and its \
             mount."
        ));
    }
    let space = left.map(|bytes| format!("{:.1} GiB free", gib(bytes)));
    let took = write.and_then(Result::ok);
    let doubts = [
        kind.and_then(|kind| doubt(kind).map(|(what, mend)| (format!("{shown} ({kind}) {what}"), mend))),
        left.filter(|left| *left < SPACE_WANTED).map(|bytes| {
            let text = format!("{shown}: only {:.1} GiB are free", gib(bytes));
            (text, "free space on that disk; full, nothing is accepted any more")
        }),
        took.filter(|took| *took > SLOW).map(|took| {
            let text =
                format!("{shown}: a durable write takes {} ms, and every transaction waits for one", took.as_millis());
            (text, "use a faster disk, or see what else writes to it")
        }),
    ];
    if let Some((what, mend)) = doubts.into_iter().flatten().next() {
        return Found::Open(format!("{what}\n  Mend: {mend}."));
    }
    let took = took.map(|took| format!("a durable write takes {} ms", took.as_millis().max(1)));
    let facts: Vec<String> = kind.map(str::to_owned).into_iter().chain(space).chain(took).collect();
    Found::Fine(if facts.is_empty() { "the system says nothing about it".to_owned() } else { facts.join(", ") })
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                          30 22 0:26 / /var/lib rw - xfs /dev/sdb1 rw\n\
                          31 30 0:27 / /var/lib/work\\040mate rw - nfs4 host:/x rw\n\
                          32 22 0:28 / /run rw - tmpfs tmpfs rw\n";

    #[test]
    fn op3_the_file_system_is_that_of_the_nearest_mount() {
        for (path, kind) in [
            ("/home/x", "ext4"),
            ("/var/lib", "xfs"),
            ("/var/library", "ext4"),
            ("/var/lib/work mate/data", "nfs4"),
            ("/run/x", "tmpfs"),
        ] {
            assert_eq!(kind_of(MOUNTS, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
        assert_eq!(kind_of("", Path::new("/x")), None);
    }

    #[test]
    fn op3_a_disk_that_forgets_lies_or_is_soon_full_is_doubtful_with_its_mend() {
        let (much, fast) = (Some(50 << 30), || Some(Ok(Duration::from_millis(3))));
        for (kind, left, write, expected) in [
            (Some("ext4"), much, fast(), "pass ext4, 50.0 GiB free, a durable write takes 3 ms"),
            (Some("btrfs"), much, None, "pass btrfs, 50.0 GiB free"),
            (Some("fuseblk"), much, None, "pass fuseblk"),
            (None, None, None, "pass the system says nothing"),
            (Some("tmpfs"), much, fast(), "warn /d (tmpfs) is in memory"),
            (Some("overlay"), much, fast(), "mount a volume"),
            (Some("nfs4"), much, fast(), "warn /d (nfs4) is on the network"),
            (Some("fuse.sshfs"), much, fast(), "warn /d (fuse.sshfs) is served by a program"),
            (Some("vfat"), much, fast(), "keeps no modes"),
            (Some("ext4"), Some(512 << 20), fast(), "warn /d: only 0.5 GiB are free"),
            (Some("ext4"), much, Some(Ok(Duration::from_millis(900))), "warn /d: a durable write takes 900 ms"),
            (Some("ext4"), much, Some(Err(io::ErrorKind::ReadOnlyFilesystem.into())), "fail /d: a durable write fails"),
        ] {
            let text = match judged(Path::new("/d"), kind, left, write) {
                Found::Fine(text) => format!("pass {text}"),
                Found::Open(text) => format!("warn {text}"),
                Found::Fault(text) => format!("fail {text}"),
                Found::Skipped(text) => text,
            };
            assert!(text.contains(expected), "{expected} is not in {text}");
            assert!(text.starts_with("pass") || text.contains("\n  Mend: "), "{text}");
        }
    }

    #[test]
    fn op3_a_timed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        durable_write(dir.path()).expect("it can be written");
        assert!(fs::read_dir(dir.path()).expect("readable").next().is_none());
    }
}

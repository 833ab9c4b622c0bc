//! Decoding in children that may die (docs/sandbox.md, invariant 11), with the real program.

pub(crate) mod bombs;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use image::ImageFormat;
use ruma::OwnedRoomId;
use workmate::{
    core::media::{Kind, Made, Unread},
    sandbox::{COMMAND, Limits, Owner, Program, Sandbox},
};

use crate::{
    harness::{Person, RoomKind, SentFile, Setup, homeserver::shared, office::Office},
    media::{asked, attachment, pdf, picture},
};

/// How much the parent's peak memory may grow over all bombs together.
const PARENT_GROWTH_KB_MAX: u64 = 96 << 10;
const ROOM: &str = "!a:hs";

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_workmate"))
}

fn sandbox() -> Sandbox {
    Sandbox::new(Program::At(program()), Limits::default())
}

/// Makes a sandbox whose children are a shell script.
fn script(dir: &Path, lines: &str) -> Sandbox {
    let path = dir.join("decoder");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("a script can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of one's own");
    let limits = Limits { children_max: 1, job_timeout: Duration::from_secs(2), ..Limits::default() };
    Sandbox::new(Program::At(path), limits)
}

/// A child's hello, for a script.
const HELLO: &str = r#"printf '\040\000\000\000{"protocol":2,"unfiltered":null}'"#;

async fn good_is_read(sandbox: &Sandbox) {
    let read =
        sandbox.decode(Owner::room(ROOM), Kind::Png, &picture(20, 10, ImageFormat::Png)).await.expect("a picture");
    assert_eq!((read.made, read.tokens), (Made::Jpeg, 1));
    let read = sandbox.decode(Owner::room(ROOM), Kind::Pdf, &pdf()).await.expect("a PDF");
    assert_eq!((read.made, read.bytes.len()), (Made::AsItCame, 0));
}

#[tokio::test]
async fn s3_bombs_of_every_format_cost_themselves_and_the_next_file_is_read() {
    let sandbox = sandbox();
    let (mut ended, mut expected) = (Vec::new(), Vec::new());
    for bomb in bombs::all() {
        let outcome = sandbox.decode(Owner::room(ROOM), bomb.kind, &bomb.bytes).await;
        ended.push((bomb.name, outcome.err()));
        expected.push((bomb.name, bomb.why));
        good_is_read(&sandbox).await;
    }
    assert_eq!(ended, expected);
}

#[tokio::test]
async fn s3_a_file_that_takes_too_long_is_given_up_with_its_child() {
    let limits = Limits { job_timeout: Duration::from_secs(3), ..Limits::default() };
    let sandbox = Sandbox::new(Program::At(program()), limits);
    let outcome = sandbox.decode(Owner::room(ROOM), Kind::Jpeg, &bombs::endless()).await;
    assert_eq!(outcome, Err(Unread::TookTooLong));
    good_is_read(&sandbox).await;
}

#[tokio::test]
async fn s3_a_child_that_hangs_is_killed_and_reaped() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let noted = dir.path().join("pid");
    let sandbox = script(dir.path(), &format!("echo $$ >>{}\n{HELLO}\nexec sleep 1000", noted.display()));
    assert_eq!(sandbox.decode(Owner::room(ROOM), Kind::Text, b"hello").await, Err(Unread::TookTooLong));
    let first = fs::read_to_string(&noted)?.lines().next().context("it was started")?.to_owned();
    assert!(!Path::new("/proc").join(first).exists(), "a zombie, or alive");
    Ok(())
}

#[tokio::test]
async fn s3_a_child_that_somebody_kills_in_the_middle_costs_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (first, decoder) = (dir.path().join("first"), program());
    let lines = format!(
        "if mkdir {}; then\n{HELLO}\nread x\nkill -9 $$\nfi\nexec {} decode",
        first.display(),
        decoder.display()
    );
    let sandbox = script(dir.path(), &lines);
    let read = sandbox.decode(Owner::room(ROOM), Kind::Text, b"hello\nagain").await.expect("a text");
    assert_eq!(read.bytes, b"hello\nagain");
    assert!(first.exists(), "the first child was killed");

    // Killing every child costs the file, and nothing else.
    let sandbox = script(dir.path(), &format!("{HELLO}\nread x\nkill -9 $$"));
    assert_eq!(sandbox.decode(Owner::room(ROOM), Kind::Text, b"hello\n").await, Err(Unread::TooLargeUnpacked));
    Ok(())
}

#[tokio::test]
async fn a_program_that_is_no_decoder_costs_files_and_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let rows = [
        ("ends at once", "exit 1".to_owned(), Unread::Unavailable),
        (
            "speaks otherwise",
            r#"printf '\037\000\000\000{"protocol":9,"unfiltered":"a"}'; sleep 9"#.to_owned(),
            Unread::Unavailable,
        ),
        ("answers nonsense", format!("{HELLO}\nread x\necho nonsense\nsleep 9"), Unread::Broken),
        ("announces too much", format!("{HELLO}\nread x\nprintf '\\377\\377\\377\\377'\nsleep 9"), Unread::Broken),
    ];
    for (name, lines, expected) in rows {
        let sandbox = script(dir.path(), &lines);
        assert_eq!(sandbox.decode(Owner::room(ROOM), Kind::Text, b"hello\n").await, Err(expected), "{name}");
    }

    // A program that is missing is looked for again with each file.
    let later = dir.path().join("later");
    let sandbox = Sandbox::new(Program::At(later.clone()), Limits::default());
    assert_eq!(sandbox.decode(Owner::room(ROOM), Kind::Text, b"hello\n").await, Err(Unread::Unavailable));
    fs::copy(program(), &later)?;
    good_is_read(&sandbox).await;
    Ok(())
}

#[tokio::test]
async fn a_child_is_replaced_after_its_jobs_and_a_room_does_not_hold_up_the_others() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let started = dir.path().join("started");
    let lines = format!("echo $$ >>{}\nexec {} decode", started.display(), program().display());
    let path = dir.path().join("decoder");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let sandbox = Sandbox::new(Program::At(path), Limits { children_max: 1, jobs_max: 2, ..Limits::default() });
    for _ in 0..5 {
        sandbox.decode(Owner::room(ROOM), Kind::Text, b"hello\n").await.expect("a text");
    }
    assert!(fs::read_to_string(&started)?.lines().count() >= 3, "two files for each child");

    let limits = Limits { children_max: 2, job_timeout: Duration::from_secs(10), ..Limits::default() };
    let sandbox = Sandbox::new(Program::At(program()), limits);
    let endless = bombs::endless();
    let slow = || sandbox.decode(Owner::room("!slow:hs"), Kind::Jpeg, &endless);
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        good_is_read(&sandbox).await;
    };
    tokio::select! {
        _ = async { tokio::join!(slow(), slow(), slow()) } => panic!("the slow room came first"),
        () = others => {}
    }
    Ok(())
}

/// A child without our parent side, to be inspected from outside.
struct Alone(Child);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn s3_a_child_has_nothing_that_is_its_parents() -> Result<()> {
    use std::io::Read as _;
    let mut starting = Command::new("/bin/sh");
    // Workmate may have inherited an open descriptor.
    starting.args(["-c", "exec env -i \"$0\" \"$1\" 7</dev/null"]).arg(program()).arg(COMMAND);
    starting.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Alone(starting.stderr(Stdio::null()).spawn()?);
    // Its hello: it is confined now.
    let mut length = [0; 4];
    let out = child.0.stdout.as_mut().context("a pipe")?;
    out.read_exact(&mut length)?;
    let mut hello = vec![0; usize::try_from(u32::from_le_bytes(length))?];
    out.read_exact(&mut hello)?;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&hello)?["unfiltered"], serde_json::Value::Null);

    let proc = Path::new("/proc").join(child.0.id().to_string());
    let mut open: Vec<_> = fs::read_dir(proc.join("fd"))?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    assert_eq!(fs::read(proc.join("environ"))?, b"");
    assert_eq!(fs::read_link(proc.join("cwd"))?, Path::new("/"));
    let status = fs::read_to_string(proc.join("status"))?;
    let has = |line: &str| assert!(status.lines().any(|found| found == line), "no {line:?} in:\n{status}");
    has("Seccomp:\t2");
    has("NoNewPrivs:\t1");
    has("Threads:\t1");
    let limits = fs::read_to_string(proc.join("limits"))?;
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().map(str::to_owned)
    };
    let rows = [
        ("Max cpu time", "50"),
        ("Max file size", "0"),
        ("Max data size", "671088640"),
        ("Max address space", "1744830464"),
        ("Max core file size", "0"),
        ("Max open files", "3"),
        ("Max processes", "0"),
    ];
    for (name, expected) in rows {
        assert_eq!(limit(name).as_deref(), Some(expected), "{name}");
    }
    Ok(())
}

fn kilobytes_at_most(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc names no VmHWM")?;
    Ok(line.split_whitespace().next().context("a number")?.parse()?)
}

/// Returns a process's decoding children.
fn decoders_of(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ids = processes.filter_map(|name| name.parse::<u32>().ok());
    ids.filter(|id| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let theirs = status.lines().any(|line| line == format!("PPid:\t{parent}"));
        theirs && command.split(|byte| *byte == 0).any(|word| word == COMMAND.as_bytes())
    })
    .collect()
}

async fn send(sender: &Person, room: &OwnedRoomId, bombs: &[bombs::Bomb]) -> Result<()> {
    for bomb in bombs {
        let file = SentFile::new(bomb.name, "application/octet-stream", bomb.bytes.clone());
        sender.send_file(room, &file, None).await?;
    }
    Ok(())
}

/// Sends bombs to Alice's room: each is named with its reason, and a good file beside them is read.
async fn bombs_are_named(office: &Office, room: &OwnedRoomId, bombs: &[bombs::Bomb], question: &str) -> Result<()> {
    send(&office.alice, room, bombs).await?;
    let plan = SentFile::new("plan.pdf", "application/pdf", pdf());
    office.alice.send_file(room, &plan, None).await?;
    office.asked_and_answered(room, question).await?;
    let request = asked(office, question);
    for bomb in bombs {
        let said = attachment(&request, bomb.name);
        let expected = bomb.why.map_or(serde_json::Value::Null, |why| why.key().into());
        assert_eq!(said["not_given"], expected, "{}", bomb.name);
    }
    assert_eq!(attachment(&request, "plan.pdf")["file"], "follows");
    Ok(())
}

#[tokio::test]
async fn s3_bombs_in_a_room_cost_neither_memory_nor_an_answer_and_an_upgrade_in_place_breaks_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let installed = dir.path().join("workmate");
    fs::copy(program(), &installed)?;
    let people = [shared().person("alice").await, shared().person("bob").await];
    let office = Office::open_for(people, |setup: Setup| setup.program(installed.clone())).await?;
    let room = office.room(RoomKind::Plain).await?;
    office.asked_and_answered(&room, "are you there?").await?;
    let pid = office.workmate.pid().context("it runs")?;
    let before = kilobytes_at_most(pid)?;

    // As many at a time as fit a prompt.
    let all: Vec<_> = bombs::all().into_iter().filter(|bomb| bomb.name != "line.txt").collect();
    for (at, some) in all.chunks(6).enumerate() {
        let room = office.room(RoomKind::Plain).await?;
        bombs_are_named(&office, &room, some, &format!("what are these, {at}?")).await?;
    }
    let after = kilobytes_at_most(pid)?;
    assert!(after - before < PARENT_GROWTH_KB_MAX, "from {before} to {after} kB");
    office.asked_and_answered(&room, "and still?").await?;
    assert_eq!(office.workmate.pid(), Some(pid));

    // An incompatible version replaces the program's file and the children die; new children still run the old version.
    fs::rename(&installed, dir.path().join("workmate.old"))?;
    fs::remove_file(dir.path().join("workmate.old"))?;
    fs::write(&installed, "#!/bin/sh\nexit 1\n")?;
    fs::set_permissions(&installed, fs::Permissions::from_mode(0o755))?;
    for child in decoders_of(pid) {
        Command::new("kill").args(["-9", &child.to_string()]).status()?;
    }
    let wall = SentFile::new("wall.png", "image/png", picture(30, 20, ImageFormat::Png)).as_image();
    office.alice.send_file(&room, &wall, None).await?;
    office.asked_and_answered(&room, "what is on the wall?").await?;
    assert_eq!(attachment(&asked(&office, "what is on the wall?"), "wall.png")["file"], "follows");
    let logs = office.workmate.logs();
    assert!(!logs.contains("plan.pdf") && !logs.contains("wall.png"), "names of files are not logged");
    Ok(())
}

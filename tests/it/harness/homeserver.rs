//! The homeserver that all tests share, and private ones for tests that stop it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use url::Url;
use workmate::cli::demo::{
    homeserver::{Homeserver, Options, free_port},
    person::{Options as PersonOptions, Person},
};

use super::{progress, slot::Slot, venv_dir};

/// The number of slots, and so of tests with their own Workmate on the shared homeserver.
const SLOTS: usize = 400;

/// The test binary's shared homeserver. It is never dropped, and ends with the process.
pub(crate) struct Shared {
    homeserver: Homeserver,
    slots: Vec<Arc<Slot>>,
    taken: AtomicUsize,
    people: AtomicUsize,
    _dir_lock: File,
}

/// Ports that others took in between, before the last try.
const PORTS_TRIED_MAX: usize = 3;

/// Returns the shared homeserver; the first caller starts it, and the others wait.
pub(crate) fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        // Its own thread and runtime, because the caller's runtime ends with its test.
        let starting = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Shared::start())
        });
        let started = starting.join().expect("starting the shared homeserver does not panic");
        started.unwrap_or_else(|error| panic!("the shared homeserver did not start: {error:?}"))
    })
}

impl Shared {
    async fn start() -> Result<Self> {
        let (dir, lock) = own_dir(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("it"))?;
        let slots = (0..SLOTS).map(|number| Slot::prepare(number, &dir).map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let homeserver = start(&dir, &slots).await?;
        let (taken, people) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { homeserver, slots, taken, people, _dir_lock: lock })
    }

    pub(crate) fn url(&self) -> &Url {
        self.homeserver.url()
    }

    /// Takes a slot that no other test uses.
    pub(crate) fn take_slot(&self) -> Arc<Slot> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        self.slots.get(number).unwrap_or_else(|| panic!("more than {SLOTS} tests take a slot: raise SLOTS")).clone()
    }

    /// Registers a new account; returns an ordinary client's options for it.
    ///
    /// The localpart is `name` and a number, so that tests do not collide.
    pub(crate) async fn account(&self, name: &str) -> PersonOptions {
        let localpart = format!("{name}-{}", self.people.fetch_add(1, Ordering::Relaxed));
        account(&self.homeserver, &localpart).await
    }

    /// Registers a new account and logs in an ordinary client.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let options = self.account(name).await;
        Person::start(options).await.expect("a new account can log in")
    }
}

/// A homeserver of a single test, which the test may stop and start.
pub(crate) struct Private {
    /// The homeserver itself.
    pub(crate) homeserver: Homeserver,
    /// Its only appservice.
    pub(crate) slot: Arc<Slot>,
    dir: TempDir,
}

impl Private {
    /// Starts a private homeserver.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let slot = Arc::new(Slot::prepare(0, dir.path()).expect("a slot can be prepared"));
        let started = start(dir.path(), std::slice::from_ref(&slot)).await;
        let homeserver = started.unwrap_or_else(|error| panic!("the private homeserver did not start: {error:?}"));
        Self { homeserver, slot, dir }
    }

    /// Registers an account and logs in an ordinary client.
    pub(crate) async fn person(&self, localpart: &str) -> Person {
        let options = account(&self.homeserver, localpart).await;
        Person::start(options).await.expect("a new account can log in")
    }

    /// Logs in another client of an account.
    pub(crate) async fn login(&self, localpart: &str) -> Result<Person> {
        Person::start(PersonOptions::new(self.homeserver.url(), localpart, &password_of(localpart))).await
    }

    /// Returns the folder with the homeserver's database.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().join("homeserver")
    }
}

/// Starts a homeserver on a free port. Between the choice of a port and Synapse's taking it, another process may have it:
/// then another one is chosen.
async fn start(dir: &Path, slots: &[Arc<Slot>]) -> Result<Homeserver> {
    for _ in 0..PORTS_TRIED_MAX {
        match start_on_a_free_port(dir, slots).await {
            Err(error) if format!("{error:?}").contains("Address already in use") => {}
            started => return started,
        }
    }
    start_on_a_free_port(dir, slots).await
}

async fn start_on_a_free_port(dir: &Path, slots: &[Arc<Slot>]) -> Result<Homeserver> {
    let port = free_port()?.local_addr()?.port();
    let registrations = slots.iter().map(|slot| slot.registration.clone()).collect();
    let options = Options { venv: venv_dir(), dir: dir.join("homeserver"), port, registrations, runner: runner() };
    Homeserver::start(options, &progress).await
}

/// The program that runs Synapse, if the environment asks for another setup than one process on SQLite.
fn runner() -> Option<PathBuf> {
    let set_up = std::env::var("WORKMATE_TESTS_SYNAPSE").ok()?;
    assert_eq!(set_up, "workers", "WORKMATE_TESTS_SYNAPSE knows no other set-up");
    Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness/workers.py"))
}

fn password_of(localpart: &str) -> String {
    format!("password-of-{localpart}")
}

async fn account(homeserver: &Homeserver, localpart: &str) -> PersonOptions {
    let password = password_of(localpart);
    homeserver.register(localpart, &password).await.expect("an account can be registered");
    PersonOptions::new(homeserver.url(), localpart, &password)
}

/// Creates a directory for this process, and removes those of ended processes.
///
/// While a process runs, it holds a lock on a file in its directory.
fn own_dir(parent: &Path) -> Result<(PathBuf, File)> {
    fs::create_dir_all(parent)?;
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()) {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
    }
    let dir = tempfile::Builder::new().prefix("run-").tempdir_in(parent)?.keep();
    let lock = File::create(dir.join("lock"))?;
    lock.try_lock()?;
    Ok((dir, lock))
}

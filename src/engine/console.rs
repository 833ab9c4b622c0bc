//! The operators' console: who may open it, and what its pages are told. Pages come from `crate::console`.

mod collecting;
mod examining;
mod finding;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::{net::TcpListener, sync::mpsc};

use super::{EngineError, budget::Budget, runtime::Runtime, toolsets::Toolsets};
use crate::{
    clock,
    console::{
        self, Act, Admitted, Call, Door,
        view::{Answer, Examined, Wanted},
    },
    core::{
        connection::place::Reached,
        console::door::{Links, Purpose, Session, hash, making_room},
        words::console as words,
    },
    secret::Secret,
    store::{StoreError, Table},
};

/// Pages that wait to be made.
const CALLS_WAITING_MAX: usize = 32;

/// What waits in the engine: it is counted where it waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    /// Runs that are being answered, and that wait for their turn.
    pub(super) running: (usize, usize),
    /// Events that wait for their keys, by room.
    pub(super) undecryptable: Vec<(OwnedRoomId, usize)>,
    /// Events that were given up.
    pub(super) given_up: usize,
    /// Connections of owners' own programs.
    pub(super) connections: usize,
}

type Count = Box<dyn Fn() -> Waiting + Send + Sync>;

/// The console.
pub(super) struct Console {
    runtime: Arc<Runtime>,
    budget: Arc<Budget>,
    toolsets: Arc<Toolsets>,
    sessions: Table<String, Session>,
    links: Mutex<Links>,
    examined: Mutex<Examined>,
    count: OnceLock<Count>,
    /// Under which tokens are hashed.
    key: [u8; 32],
}

impl Console {
    /// Returns one whose door nobody has opened.
    pub(super) fn new(runtime: &Arc<Runtime>, budget: &Arc<Budget>, toolsets: &Arc<Toolsets>) -> Self {
        Self {
            runtime: runtime.clone(),
            budget: budget.clone(),
            toolsets: toolsets.clone(),
            sessions: runtime.store.console_sessions(),
            links: Mutex::default(),
            examined: Mutex::default(),
            count: OnceLock::new(),
            key: runtime.config().master.derive("console-tokens"),
        }
    }

    /// Learns how to count what waits.
    pub(super) fn counts_by(&self, count: impl Fn() -> Waiting + Send + Sync + 'static) {
        let _ = self.count.set(Box::new(count));
    }

    fn waiting(&self) -> Waiting {
        self.count.get().map(|count| count()).unwrap_or_default()
    }

    fn admins(&self) -> BTreeSet<OwnedUserId> {
        self.runtime.config().workspace.admins.clone()
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, purpose: Purpose, token: &str) -> Option<String> {
        hash(purpose, &self.key, token)
    }

    /// Answers an admin's `!console`: with a link in an encrypted chat with them alone, and with a word elsewhere.
    pub(super) fn offer(&self, admin: &UserId, is_private: bool) -> String {
        let config = self.runtime.config();
        let Some(reached) = &config.console else { return words::off() };
        if !is_private {
            return words::plain_chat();
        }
        let token = Secret::random();
        let Some(hash) = self.hash(Purpose::Link, token.expose()) else { return words::off() };
        self.links().offer(admin, hash, clock::now());
        tracing::info!(user.id = %admin, "an admin was given a link to the console");
        words::link(&format!("{}/in/{}", reached.public.as_str().trim_end_matches('/'), token.expose()))
    }

    /// Ends all of an admin's sessions; returns what they are told.
    pub(super) async fn end_all(&self, admin: &UserId) -> Result<String, EngineError> {
        self.links().drop_of(admin);
        let (mut ended, admins, now) = (0, self.admins(), clock::now());
        for read in self.sessions.iter() {
            let (hash, session) = read?;
            if session.admin == admin {
                ended += usize::from(session.holds(&admins, now));
                self.sessions.remove(&hash)?;
            }
        }
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %admin, ended, "an admin ended their sessions in the console");
        Ok(words::ended(ended))
    }

    fn begin_session(&self, token: &str) -> Result<Option<Secret>, StoreError> {
        let now = clock::now();
        let admin = self.hash(Purpose::Link, token).and_then(|hash| self.links().take(&hash, now));
        let admins = self.admins();
        let Some(admin) = admin.filter(|admin| admins.contains(admin)) else { return Ok(None) };
        let kept: Vec<(String, Session)> = self.sessions.iter().collect::<Result<_, _>>()?;
        for over in making_room(&kept, &admin, &admins, now) {
            self.sessions.remove(&over)?;
        }
        let token = Secret::random();
        let Some(hash) = self.hash(Purpose::Session, token.expose()) else { return Ok(None) };
        tracing::info!(user.id = %admin, "an admin signed in to the console");
        self.sessions.put(&hash, &Session::new(admin, now))?;
        Ok(Some(token))
    }

    fn session_of(&self, token: &str) -> Result<Option<Admitted>, StoreError> {
        let Some(hash) = self.hash(Purpose::Session, token) else { return Ok(None) };
        let Some(session) = self.sessions.get(&hash)? else { return Ok(None) };
        let now = clock::now();
        if !session.holds(&self.admins(), now) {
            self.sessions.remove(&hash)?;
            return Ok(None);
        }
        if let Some(used) = session.used_at(now) {
            // Only where it is still there: it may have been ended in this moment.
            self.sessions.update(&hash, |kept: Option<Session>| kept.map(|_| used))?;
        }
        let form = self.hash(Purpose::Form, token).unwrap_or_default();
        Ok(Some(Admitted { admin: session.admin, session: hash, form }))
    }

    /// Makes what a page shows.
    fn answer(&self, wanted: Wanted) -> Result<Answer, EngineError> {
        Ok(match wanted {
            Wanted::Now => Answer::Now(Box::new(self.now()?)),
            Wanted::Runs(asked) => Answer::Runs(Box::new(self.runs(*asked)?)),
            Wanted::Run(key) => self.run(key)?.map_or(Answer::Nothing, |run| Answer::Run(Box::new(run))),
            Wanted::Spend(by, span) => Answer::Spend(Box::new(self.spend(by, span)?)),
            Wanted::Coworkers => Answer::Coworkers(Box::new(self.coworkers()?)),
            Wanted::Queues => Answer::Queues(Box::new(self.queues()?)),
            Wanted::Assistants => Answer::Assistants(Box::new(self.assistants()?)),
            Wanted::Changes => Answer::Changes(Box::new(self.changes()?)),
            Wanted::Nothing => Answer::Nothing,
        })
    }
}

/// The console's side of the door.
struct AtDoor(Arc<Console>);

/// Logs a failure of the store; nobody is let in then.
fn said<T>(result: Result<Option<T>, StoreError>) -> Option<T> {
    result.unwrap_or_else(|error| {
        tracing::error!(%error, "a session of the console cannot be looked up");
        None
    })
}

impl Door for AtDoor {
    fn knows_link(&self, token: &str) -> bool {
        let hash = self.0.hash(Purpose::Link, token);
        hash.is_some_and(|hash| self.0.links().knows(&hash, clock::now()))
    }

    fn enter(&self, token: &str) -> Option<Secret> {
        said(self.0.begin_session(token))
    }

    fn admit(&self, token: &str) -> Option<Admitted> {
        said(self.0.session_of(token))
    }

    fn leave(&self, admitted: &Admitted) {
        if let Err(error) = self.0.sessions.remove(&admitted.session) {
            tracing::error!(%error, "a session of the console cannot be ended");
        }
    }

    fn act(&self, admin: &UserId, act: Act) {
        match act {
            Act::Examine => examining::begin(&self.0, admin),
        }
    }

    fn pulse(&self) -> u64 {
        self.0.pulse()
    }
}

/// Serves the console until Workmate stops, if there is a listener for it.
pub(super) fn serve(console: &Arc<Console>, opened: Option<(TcpListener, Reached)>) {
    let Some((listener, reached)) = opened else { return };
    let (calls, called) = mpsc::channel(CALLS_WAITING_MAX);
    let stop = console.runtime.stop.clone();
    let routes = console::router(reached, AtDoor(console.clone()), calls, stop.clone());
    console.runtime.tasks.spawn(answer_calls(console.clone(), called));
    console.runtime.tasks.spawn(crate::listener::serve(listener, routes, console::CONNECTIONS_MAX, stop));
}

/// Makes pages until Workmate stops, as many at once as the listener lets through: reading blocks on the disk.
async fn answer_calls(console: Arc<Console>, mut calls: mpsc::Receiver<Call>) {
    loop {
        let call = tokio::select! {
            () = console.runtime.stop.cancelled() => return,
            call = calls.recv() => call,
        };
        let Some(Call { wanted, answer }) = call else { return };
        let asked = console.clone();
        console.runtime.tasks.spawn(async move {
            let made = tokio::task::spawn_blocking(move || asked.answer(wanted)).await;
            let said = match made {
                Ok(Ok(said)) => said,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a page of the console cannot be made");
                    Answer::Failed(error.to_string())
                }
                Err(error) => {
                    tracing::error!(%error, "a page of the console cannot be made");
                    Answer::Failed("Workmate has a fault; the log says where.".to_owned())
                }
            };
            // The browser may have gone.
            let _ = answer.send(said);
        });
    }
}

//! Connections of an owner's own programs (A13): the commands in the owner's chat, who a call is, and where it ends.
//!
//! Whatever a call proves itself with ends in an owner and one of their connections ([`Connections::admit_connection`]).
//! Everything that it then asks for is read by `reading`, with the check of `!open` at that moment.

mod reading;
mod search;
mod shelf;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ruma::{OwnedEventId, UserId};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    EngineError, readable::Readable, runtime::Runtime, word, word_transaction, workspace::Members, zones::Zones,
};
use crate::{
    appservice::metrics::Labelled,
    clock,
    core::{
        breaker::SaidOnce,
        command::Connecting,
        connection::{
            self, Became, By, Called, Connections as Kept, NotConnected, Proof,
            pace::{CALLS_PER_MINUTE_MAX, Pace, READS_PER_MINUTE_MAX},
            place::Reached,
        },
        event::{Membership, RoomEvent},
        served::answer::{FAILED, NOT_THERE, too_fast},
        time::Timestamp,
        words::connections as words,
    },
    matrix::Account,
    mcp_server::{self, Answer, Call, Denied, Wanted},
    secret::Secret,
    store::StoreError,
};

/// Calls that wait to be answered.
const CALLS_WAITING_MAX: usize = 64;
/// Reads of one connection at once; more wait.
const READS_AT_ONCE_MAX: usize = 4;
/// How long a read may take, its wait for a place included.
const READ_MAX: Duration = Duration::from_secs(20);
/// Connections whose pace is remembered at most; then those that have been idle for a minute are forgotten.
const PACES_MAX: usize = 1_024;
/// Refused calls are logged at most this often, in milliseconds.
const REFUSED_LOGGED_EVERY_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The connections, and how fast each goes.
pub(super) struct Connections {
    runtime: Arc<Runtime>,
    zones: Arc<Zones>,
    readable: Arc<Readable>,
    members: Arc<Members>,
    paces: Mutex<BTreeMap<By, Going>>,
    refused: Mutex<(SaidOnce, u64)>,
    counted: [AtomicU64; Became::ALL.len()],
    /// Authenticates tokens' hashes and cursors.
    key: [u8; 32],
    cursor_key: [u8; 32],
}

/// How fast one connection goes.
struct Going {
    calls: Pace,
    reads: Pace,
    at_once: Arc<Semaphore>,
}

impl Default for Going {
    fn default() -> Self {
        let at_once = Arc::new(Semaphore::new(READS_AT_ONCE_MAX));
        Self { calls: Pace::default(), reads: Pace::default(), at_once }
    }
}

impl Connections {
    /// Returns none, with keys derived from the master secret.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        zones: &Arc<Zones>,
        readable: &Arc<Readable>,
        members: &Arc<Members>,
    ) -> Self {
        let master = &runtime.config().master;
        Self {
            runtime: runtime.clone(),
            zones: zones.clone(),
            readable: readable.clone(),
            members: members.clone(),
            paces: Mutex::default(),
            refused: Mutex::default(),
            counted: Became::ALL.map(|_| AtomicU64::new(0)),
            key: master.derive("connection-tokens"),
            cursor_key: master.derive("connection-cursors"),
        }
    }

    fn with<T>(&self, by: &By, now: Timestamp, ask: impl FnOnce(&mut Going) -> T) -> T {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        if paces.len() >= PACES_MAX {
            paces.retain(|_, going| !(going.calls.is_idle(now) && going.reads.is_idle(now)));
        }
        ask(paces.entry(by.clone()).or_default())
    }

    fn count(&self, became: Became) {
        if let Some(at) = Became::ALL.iter().position(|one| *one == became) {
            self.counted[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many calls there were, by what became of them; whose they were is not told (A4).
    pub(super) fn counted(&self) -> Vec<Labelled> {
        let count = |(became, counted): (Became, &AtomicU64)| {
            // Exact up to 2^53 calls.
            #[expect(clippy::cast_precision_loss, reason = "a sample is a float")]
            let counted = counted.load(Ordering::Relaxed) as f64;
            (vec![("outcome", became.label().to_owned())], counted)
        };
        Became::ALL.into_iter().zip(&self.counted).map(count).collect()
    }
}

/// Serves owners' programs until Workmate stops, if there is a listener for them.
pub(super) fn serve(connections: &Arc<Connections>, opened: Option<(TcpListener, Reached)>) {
    let Some((listener, reached)) = opened else { return };
    let (calls, called) = mpsc::channel(CALLS_WAITING_MAX);
    let (door, stop) = (connections.clone(), connections.runtime.stop.clone());
    let admit = move |header: Option<&str>| door.admit_connection(header);
    let routes = mcp_server::router(reached, calls, admit, stop.clone());
    connections.runtime.tasks.spawn(answer_calls(connections.clone(), called));
    connections.runtime.tasks.spawn(crate::listener::serve(listener, routes, mcp_server::CONNECTIONS_MAX, stop));
}

/// Answers calls until Workmate stops, each in a task of its own, as many as the listener lets through.
async fn answer_calls(connections: Arc<Connections>, mut calls: mpsc::Receiver<Call>) {
    loop {
        let call = tokio::select! {
            () = connections.runtime.stop.cancelled() => return,
            call = calls.recv() => call,
        };
        let Some(Call { by, wanted, answer }) = call else { return };
        let connections = connections.clone();
        connections.runtime.tasks.clone().spawn(async move {
            let answered = tokio::select! {
                () = connections.runtime.stop.cancelled() => return,
                answered = Box::pin(connections.answer_connection(&by, wanted)) => answered,
            };
            // The client may have hung up.
            let _ = answer.send(answered);
        });
    }
}

/// What a call was given.
struct Given {
    answer: Answer,
    became: Became,
    room: Option<ruma::OwnedRoomId>,
    messages: usize,
}

impl Given {
    fn refused(became: Became, text: impl Into<String>) -> Self {
        Self { answer: Answer::Refused(text.into()), became, room: None, messages: 0 }
    }

    fn not_there() -> Self {
        Self::refused(Became::NotThere, NOT_THERE)
    }

    fn text(room: Option<&ruma::RoomId>, messages: usize, text: String) -> Self {
        let room = room.map(ToOwned::to_owned);
        Self { answer: Answer::Given(text), became: Became::Answered, room, messages }
    }
}

impl Connections {
    fn unused_ms(&self) -> u64 {
        u64::from(self.runtime.config().connections.unused_days) * DAY_MS
    }

    /// Decides by its proof whose call it is.
    pub(super) fn admit_connection(&self, header: Option<&str>) -> Result<By, Denied> {
        let admitted = header.and_then(Proof::of_header).map_or(Ok(None), |proof| self.prove(proof));
        let by = match admitted {
            Ok(Some(by)) => by,
            Ok(None) => {
                self.log_unproven();
                return Err(Denied::NotProven);
            }
            Err(error) => {
                tracing::error!(%error, "whose connection calls cannot be looked up");
                return Err(Denied::NotNow);
            }
        };
        let now = clock::now();
        let counted = self.with(&by, now, |going| going.calls.count(now, CALLS_PER_MINUTE_MAX));
        counted.map_err(|after_s| Denied::TooFast { after_s })?;
        Ok(by)
    }

    /// Returns whose connection a proof is. The next kind of proof is looked up beside this one.
    fn prove(&self, proof: Proof<'_>) -> Result<Option<By>, EngineError> {
        let hash = proof.hash(&self.key);
        let Some(owner) = self.runtime.tables.connection_tokens.get(&hash)? else { return Ok(None) };
        let kept = self.runtime.tables.connections.get(&owner)?.unwrap_or_default();
        let now = clock::now();
        let Some(number) = kept.proven(&hash, now, self.unused_ms()).map(|one| one.number) else { return Ok(None) };
        if !self.runtime.config().assistants.enabled || !self.members.may_have_assistant(&owner)? {
            return Ok(None);
        }
        Ok(Some(By { owner, number }))
    }

    /// Says in the log, from time to time, that calls without a valid token are refused, and how many.
    fn log_unproven(&self) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.1 += 1;
        if refused.0.is_due(clock::now(), REFUSED_LOGGED_EVERY_MS) {
            let count = std::mem::take(&mut refused.1);
            tracing::warn!(count, "calls to mcp_listen without a valid token are refused");
        }
    }

    /// Answers one call, within its owner's rights at this moment, and notes it in their trail before it is answered.
    async fn answer_connection(self: &Arc<Self>, by: &By, wanted: Wanted) -> Answer {
        let now = clock::now();
        let what = wanted.name();
        let counted =
            self.with(by, now, |going| going.reads.count(now, READS_PER_MINUTE_MAX).map(|()| going.at_once.clone()));
        let given = match counted {
            Err(after_s) => Given::refused(Became::TooFast, too_fast(after_s)),
            Ok(at_once) => {
                let read = async {
                    let _place = at_once.acquire().await;
                    Box::pin(self.give(by, wanted)).await
                };
                match timeout(READ_MAX, read).await {
                    Ok(Ok(given)) => given,
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "a connection's call failed");
                        Given::refused(Became::Failed, FAILED)
                    }
                    Err(_) => Given::refused(Became::Failed, FAILED),
                }
            }
        };
        self.count(given.became);
        let Given { answer, became, room, messages } = given;
        let call = Called { at: now, by: by.number, what: what.to_owned(), room, messages, became, earlier: None };
        match self.note_connections_call(&by.owner, call).await {
            Ok(Noted::Here { shown }) => {
                if let Some(shown) = shown {
                    self.take_token_back(by, shown);
                }
                answer
            }
            // It was ended while it read.
            Ok(Noted::Gone) => Answer::Refused(NOT_THERE.to_owned()),
            Err(error) => {
                tracing::error!(%error, "a connection's call cannot be noted in its owner's trail");
                Answer::Refused(FAILED.to_owned())
            }
        }
    }

    async fn note_connections_call(&self, owner: &UserId, call: Called) -> Result<Noted, StoreError> {
        let number = call.by;
        let mut shown = None;
        let mut is_here = false;
        self.runtime.tables.connections.update(&owner.to_owned(), |kept: Option<Kept>| {
            // A record that was forgotten is not made again.
            let mut kept = kept?;
            is_here = kept.named(number).is_some();
            shown = kept.note_call(call);
            Some(kept)
        })?;
        self.runtime.store.flush().await?;
        Ok(if is_here { Noted::Here { shown } } else { Noted::Gone })
    }

    /// Returns whether the owner belongs to the workspace at this moment.
    async fn belongs(&self, owner: &UserId) -> Result<bool, EngineError> {
        if !self.members.may_have_assistant(owner)? {
            return Ok(false);
        }
        let (Some(space), Some(service)) = (self.members.space(), self.runtime.pool.kept(&self.runtime.service_user()))
        else {
            return Ok(true);
        };
        Ok(service.membership_of(&space, owner).await? == Some(Membership::Join))
    }

    async fn give(self: &Arc<Self>, by: &By, wanted: Wanted) -> Result<Given, EngineError> {
        if !self.belongs(&by.owner).await? {
            return Ok(Given::not_there());
        }
        match wanted {
            Wanted::Tool { tool, arguments } => match tool.ask(&arguments) {
                Ok(ask) => Box::pin(self.read_for_connection(&by.owner, ask)).await,
                Err(error) => Ok(Given::refused(Became::Wrong, error.to_string())),
            },
            Wanted::Rooms { cursor } => self.list_rooms(&by.owner, None, cursor.as_deref()).await,
            Wanted::Room(room) => self.open_for_connection(&by.owner, &room).await,
            Wanted::Prompt(name) => self.prompt_for_connection(&by.owner, &name).await,
        }
    }

    /// Takes back the message that shows a token, once the token is used: nobody needs to read it any more.
    fn take_token_back(self: &Arc<Self>, by: &By, shown: OwnedEventId) {
        let (connections, by) = (self.clone(), by.clone());
        self.runtime.tasks.spawn(async move {
            let taken = tokio::select! {
                () = connections.runtime.stop.cancelled() => return,
                taken = Box::pin(connections.redact_token(&by.owner, &shown)) => taken,
            };
            if let Err(error) = taken {
                tracing::warn!(user.id = %by.owner, %error, "the message with a connection's token cannot be deleted");
            }
        });
    }

    async fn redact_token(&self, owner: &UserId, shown: &ruma::EventId) -> Result<(), EngineError> {
        let room = self.runtime.tables.assistants.get(&owner.to_owned())?.and_then(|record| record.room);
        let Some(room) = room else { return Ok(()) };
        let account = Box::pin(self.runtime.pool.passing(&self.runtime.assistant_persona(owner))).await?;
        super::take_back(&account, &room, shown).await
    }

    /// Does what an owner's command about connections says.
    pub(super) async fn obey_connecting(
        self: &Arc<Self>,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
        command: &Connecting,
    ) -> Result<(), EngineError> {
        self.expire_connections(owner)?;
        let text = match command {
            Connecting::Add(name) => return Box::pin(self.connect(account, owner, event, name)).await,
            Connecting::List => {
                let kept = self.runtime.tables.connections.get(&owner.to_owned())?.unwrap_or_default();
                words::connections(
                    kept.list(),
                    self.runtime.config().connections.unused_days,
                    &self.zones.zone_of(owner).await,
                )
            }
            Connecting::Remove(number) => {
                let ended = self.end_connection(owner, *number).await?;
                if let Some(shown) = ended.as_ref().and_then(|one| one.shown.clone()) {
                    super::take_back(account, &event.room, &shown).await?;
                }
                words::disconnected(*number, ended.is_some())
            }
            Connecting::RemoveAll => {
                let kept = self.runtime.tables.connections.get(&owner.to_owned())?.unwrap_or_default();
                let numbers: Vec<u32> = kept.list().iter().map(|one| one.number).collect();
                for number in &numbers {
                    let ended = self.end_connection(owner, *number).await?;
                    if let Some(shown) = ended.and_then(|one| one.shown) {
                        super::take_back(account, &event.room, &shown).await?;
                    }
                }
                words::all_disconnected(numbers.len())
            }
            Connecting::Trail => {
                let kept = self.runtime.tables.connections.get(&owner.to_owned())?.unwrap_or_default();
                words::trail(&kept, &self.runtime.namespace().server, &self.zones.zone_of(owner).await)
            }
        };
        self.say_in_chat(account, event, &text).await
    }

    async fn say_in_chat(&self, account: &Account, event: &RoomEvent, text: &str) -> Result<(), EngineError> {
        let txn = word_transaction("command", event.id.as_str(), account.user());
        account.send(&event.room, &word(text, None), txn).await?;
        Ok(())
    }

    async fn connect(
        self: &Arc<Self>,
        account: &Account,
        owner: &UserId,
        event: &RoomEvent,
        name: &str,
    ) -> Result<(), EngineError> {
        let by = match &event.kind {
            // An edited command is the same command.
            crate::core::event::EventKind::Edit { target, .. } => target,
            _ => &event.id,
        };
        let Some(reached) = &self.runtime.config().connections.reached else {
            return self.say_in_chat(account, event, &words::not_offered()).await;
        };
        let token = Secret::new(connection::token(Secret::random().expose()));
        let hash = Proof::Pasted(token.expose()).hash(&self.key);
        let mut added = Err(NotConnected::Full);
        let now = clock::now();
        self.runtime.tables.connections.update(&owner.to_owned(), |kept: Option<Kept>| {
            let mut kept = kept.unwrap_or_default();
            // After a crash in between nobody knows the token that the command made; it makes another.
            kept.forget_unshown(by);
            added = kept.add(hash.clone(), name, by.clone(), now);
            Some(kept)
        })?;
        let connection = match added {
            Ok(connection) => connection,
            Err(NotConnected::Already) => return Ok(()),
            Err(NotConnected::Full) => {
                return self.say_in_chat(account, event, &words::too_many_connections()).await;
            }
        };
        self.runtime.tables.connection_tokens.put(&hash, &owner.to_owned())?;
        self.runtime.store.flush().await?;
        tracing::info!(user.id = %owner, "an owner connects a program of theirs");
        let text = words::connected(
            &connection,
            &reached.endpoint(),
            token.expose(),
            self.runtime.config().connections.unused_days,
        );
        // Each token has a message of its own: the homeserver takes the same transaction only once.
        let txn = word_transaction("connect", &hash, account.user());
        let shown = account.send(&event.room, &word(&text, None), txn).await?;
        self.change_connections(owner, |kept| kept.note_shown(connection.number, Some(shown)))?;
        Ok(self.runtime.store.flush().await?)
    }

    async fn end_connection(&self, owner: &UserId, number: u32) -> Result<Option<connection::Connection>, EngineError> {
        let mut ended = None;
        self.change_connections(owner, |kept| ended = kept.remove(number))?;
        if let Some(ended) = &ended {
            self.runtime.tables.connection_tokens.remove(&ended.hash)?;
            self.runtime.store.flush().await?;
        }
        Ok(ended)
    }

    fn expire_connections(&self, owner: &UserId) -> Result<(), StoreError> {
        let mut expired = Vec::new();
        self.change_connections(owner, |kept| expired = kept.expire(clock::now(), self.unused_ms()))?;
        expired.iter().try_for_each(|one| self.runtime.tables.connection_tokens.remove(&one.hash))
    }

    fn change_connections(&self, owner: &UserId, change: impl FnOnce(&mut Kept)) -> Result<(), StoreError> {
        self.runtime.tables.connections.update(&owner.to_owned(), |kept: Option<Kept>| {
            let mut kept = kept?;
            change(&mut kept);
            Some(kept)
        })?;
        Ok(())
    }

    /// Ends all connections of an owner, with their trail; durable after the next flush.
    pub(super) fn end_connections(&self, owner: &UserId) -> Result<(), StoreError> {
        let key = owner.to_owned();
        // Where the record cannot be read, its tokens prove nothing any more.
        let kept = self.runtime.tables.connections.get(&key).ok().flatten().unwrap_or_default();
        for one in kept.list() {
            self.runtime.tables.connection_tokens.remove(&one.hash)?;
        }
        self.runtime.tables.connections.remove(&key)?;
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).retain(|by, _| by.owner != *owner);
        Ok(())
    }

    /// Returns how many connections there are.
    pub(super) fn connections_len(&self) -> usize {
        self.runtime.tables.connection_tokens.len()
    }
}

/// Whether a call could be noted.
enum Noted {
    /// It was; the message shows its token still.
    Here { shown: Option<OwnedEventId> },
    /// Its connection is gone.
    Gone,
}

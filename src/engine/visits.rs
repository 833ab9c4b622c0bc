//! Short visits: a coworker in a room with a single person does not stay (C4). It says there why it leaves. It also
//! lets itself be verified, because clients open a direct chat to do that (A11).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    EngineError,
    records::{RoomRecord, Visiting},
    trust,
};
use crate::{
    core::{
        event::{EventKind, RoomEvent},
        links::room_link,
        retry::SEND_PAUSES,
        voice::Voice,
        words::declining,
    },
    engine::{company::Company, lobby::Lobby, runtime::Runtime, trust::Trust, voice::Voices},
    matrix::Account,
};

/// How long a coworker waits for the person to write or to start a verification.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it stays after a verification: the person's app has a last step to take, and the person reads the outcome.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// Joined rooms checked for the person, at most; the next constant limits how many are named.
const ROOMS_LOOKED_AT_MAX: usize = 20;
const ROOMS_NAMED_MAX: usize = 3;

/// The visits in progress, by room.
#[derive(Default)]
pub(super) struct Current(Mutex<HashMap<OwnedRoomId, Arc<Visit>>>);

/// A coworker's visit to one person's room.
struct Visit {
    user: OwnedUserId,
    person: OwnedUserId,
    /// Notified by events in the room.
    woken: Notify,
    heard: Mutex<Heard>,
}

/// What was heard in the room so far.
#[derive(Default)]
struct Heard {
    words: bool,
    /// The requested verification; cancelled once it has ended.
    verification: Option<CancellationToken>,
}

impl Current {
    fn of(&self, room: &RoomId) -> Option<Arc<Visit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(room).cloned()
    }

    fn begin(&self, room: &RoomId, visiting: &Visiting) -> Arc<Visit> {
        let visit = Arc::new(Visit {
            user: visiting.user.clone(),
            person: visiting.person.clone(),
            woken: Notify::new(),
            heard: Mutex::default(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(room.to_owned(), visit.clone());
        visit
    }

    fn end(&self, room: &RoomId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
    }

    /// Has a visit check who is in the room; returns whether there is a visit.
    pub(super) fn company_changed(&self, room: &RoomId) -> bool {
        let visit = self.of(room);
        if let Some(visit) = &visit {
            visit.woken.notify_one();
        }
        visit.is_some()
    }
}

impl Visit {
    fn hear(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.woken.notify_one();
    }
}

/// What a visit does after an event or at its end.
enum Next {
    /// Keep waiting.
    Wait,
    /// Stay for good: others have joined or are invited.
    Stay,
    /// Say why, then leave.
    SayAndGo,
    /// Leave without a word.
    Go,
}

/// Coworkers' visits to single persons.
pub(super) struct Visits {
    runtime: Arc<Runtime>,
    company: Arc<Company>,
    trust: Arc<Trust>,
    voices: Arc<Voices>,
    lobby: Arc<Lobby>,
    pub(super) current: Current,
}

impl Visits {
    /// Makes it on what it may call.
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        company: &Arc<Company>,
        trust: &Arc<Trust>,
        voices: &Arc<Voices>,
        lobby: &Arc<Lobby>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            company: company.clone(),
            trust: trust.clone(),
            voices: voices.clone(),
            lobby: lobby.clone(),
            current: Current::default(),
        }
    }

    /// Handles an event that concerns one of ours in a direct chat: a verification, or a message to a visiting
    /// coworker. Returns true if it was such an event, so that it asks nobody else.
    pub(super) async fn take_in_direct_chat(self: &Arc<Self>, event: &RoomEvent) -> Result<bool, EngineError> {
        if self.lobby.is_lobby(&event.room)? {
            return Ok(true);
        }
        let visit = self.current.of(&event.room);
        if !trust::is_request(event) {
            let Some(visit) = visit else { return Ok(false) };
            if event.sender == visit.person && matches!(event.kind, EventKind::Message(_)) {
                visit.hear(|heard| heard.words = true);
            }
            return Ok(true);
        }
        if !self.runtime.namespace().who(&event.sender).is_person() {
            return Ok(true);
        }
        if let Some(visit) = visit.filter(|visit| visit.person == event.sender) {
            if let Some(account) = self.runtime.pool.kept(&visit.user) {
                let verification = self.trust.verify_in_chat(&account, event);
                visit.hear(|heard| heard.verification = verification);
            }
        } else if self
            .runtime
            .tables
            .rooms
            .get(&event.room)?
            .is_some_and(|room| room.service_dm.as_ref() == Some(&event.sender))
            && let Some(account) = self.runtime.pool.kept(&self.runtime.service_user())
        {
            self.trust.verify_in_chat(&account, event);
        } else {
            Box::pin(self.trust.verify_among_others(event)).await?;
        }
        Ok(true)
    }

    /// Starts a visit of a coworker that has joined a single person's room.
    pub(super) async fn begin_visit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        room: &RoomId,
        person: &UserId,
    ) -> Result<(), EngineError> {
        let visiting = Visiting { user: account.user().to_owned(), person: person.to_owned() };
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { visit: Some(visiting.clone()), ..record.unwrap_or_default() })
        })?;
        self.runtime.store.flush().await?;
        self.start_visit(room.to_owned(), &visiting, PATIENCE);
        Ok(())
    }

    /// Resumes visits that a shutdown interrupted, and ends them at once.
    pub(super) fn take_up_visits(self: &Arc<Self>) {
        let rooms = self.runtime.tables.rooms.iter().filter_map(Result::ok);
        let visits = rooms.filter_map(|(room, record)| Some((room, record.visit?)));
        for (room, visiting) in visits.collect::<Vec<_>>() {
            self.start_visit(room, &visiting, Duration::ZERO);
        }
    }

    fn start_visit(self: &Arc<Self>, room: OwnedRoomId, visiting: &Visiting, patience: Duration) {
        let visit = self.current.begin(&room, visiting);
        let visits = self.clone();
        self.runtime.tasks.spawn(async move {
            let visited = async {
                let mut next = visits.wait_on_visit(&room, &visit, patience).await;
                for pause in SEND_PAUSES {
                    match Box::pin(visits.end_visit(&room, &visit, &next)).await {
                        Ok(()) => break,
                        Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
                        Err(error) => {
                            // It may not speak there; its leave event carries the reason.
                            tracing::info!(room.id = %room, user.id = %visit.user, %error, "why a coworker goes cannot be said");
                            if matches!(next, Next::Go) {
                                break;
                            }
                            next = Next::Go;
                        }
                    }
                }
            };
            tokio::select! {
                // The next start resumes it.
                () = visits.runtime.stop.cancelled() => {}
                () = Box::pin(visited) => {}
            }
            visits.current.end(&room);
        });
    }

    async fn wait_on_visit(self: &Arc<Self>, room: &RoomId, visit: &Visit, patience: Duration) -> Next {
        let until = Instant::now() + patience;
        loop {
            let woken = tokio::time::timeout_at(until, visit.woken.notified()).await.is_ok();
            match self.look_on_visit(room, visit).await {
                Ok(Next::Wait) if woken => {}
                Ok(Next::Wait) => return Next::SayAndGo,
                Ok(next) => return next,
                Err(error) => {
                    tracing::debug!(room.id = %room, %error, "who is with a coworker on a visit cannot be told");
                    return Next::SayAndGo;
                }
            }
        }
    }

    async fn look_on_visit(&self, room: &RoomId, visit: &Visit) -> Result<Next, EngineError> {
        let (words, verification) = {
            let heard = visit.heard.lock().unwrap_or_else(PoisonError::into_inner);
            (heard.words, heard.verification.clone())
        };
        if let Some(verification) = verification {
            verification.cancelled().await;
            tokio::time::sleep(AFTERWARDS).await;
            return Ok(Next::Go);
        }
        let Some(account) = self.runtime.pool.kept(&visit.user) else { return Ok(Next::Go) };
        account.sync().await?;
        if account.is_in(room) && self.company.company(&account.facts(room).await?).may_become_lively() {
            return Ok(Next::Stay);
        }
        Ok(if words { Next::SayAndGo } else { Next::Wait })
    }

    async fn end_visit(self: &Arc<Self>, room: &RoomId, visit: &Visit, next: &Next) -> Result<(), EngineError> {
        if let Some(account) = self.runtime.pool.kept(&visit.user).filter(|account| account.is_in(room)) {
            let service = self.runtime.service_user();
            match next {
                Next::Stay => {
                    self.note_visit_over(room)?;
                    self.current.end(room);
                    self.company.stay_if_lively(&account, room, None).await?;
                    return Ok(());
                }
                Next::SayAndGo | Next::Wait if self.voices.voice_in(&account, room).await? == Voice::Heard => {
                    let shared = self.rooms_shared(&account, &visit.person, room).await?;
                    let text = declining::works_in_rooms(&self.runtime.service_pill(), &shared);
                    // Use the join event as the cause, so that a coworker invited again says it again under a new
                    // transaction id.
                    let joined_by = account.joined_by(room).await?;
                    let cause = joined_by.as_ref().map_or(room.as_str(), |event| event.as_str());
                    let txn = super::word_transaction("visit", cause, &visit.user);
                    account.send_first_words(room, &super::word(&text, Some(&visit.person)), txn).await?;
                }
                _ => {}
            }
            account.leave(room, Some(&declining::only_in_rooms(service.as_str()))).await?;
            self.runtime.roster.leave(room, &visit.user);
        }
        self.note_visit_over(room)
    }

    fn note_visit_over(&self, room: &RoomId) -> Result<(), EngineError> {
        self.runtime.tables.rooms.update(&room.to_owned(), |record: Option<RoomRecord>| {
            Some(RoomRecord { visit: None, ..record.unwrap_or_default() })
        })?;
        Ok(())
    }

    /// Returns links to other rooms that the person shares with the coworker, as of its last sync.
    async fn rooms_shared(&self, account: &Account, person: &UserId, but: &RoomId) -> Result<Vec<String>, EngineError> {
        let mut links = Vec::new();
        for room in account.joined().into_iter().filter(|room| room != but).take(ROOMS_LOOKED_AT_MAX) {
            if self.lobby.is_lobby(&room)? {
                continue;
            }
            let facts = account.facts(&room).await?;
            if facts.joined.contains(person)
                && let Some(name) = facts.name
            {
                links.push(room_link(&name, &room, &self.runtime.namespace().server));
            }
            if links.len() >= ROOMS_NAMED_MAX {
                break;
            }
        }
        Ok(links)
    }
}

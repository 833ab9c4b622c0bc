//! A room in the engine's form, with only core's machines deciding.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};
use ruma::{EventId, OwnedEventId, OwnedUserId, room_id};

use super::steps::{COWORKERS, Happening, Saying, USERS, user};
use crate::core::{
    address::{self, Asked, CoworkerHere, EDIT_WINDOW_MS, Original, Scene, ThreadSoFar, Verdict},
    admission::{Admission, Request, admit},
    breaker::{Breaker, BreakerLimits, STRANGER_WORD_INTERVAL_MS, SaidOnce, Whose},
    command::{CoworkerCommand, CoworkerRequest, coworker_request},
    company::{Company, Liveliness},
    event::{EventKind, MemberChange, Membership, Mentions, Message, MessageKind, Place, RoomEvent},
    people::{Namespace, Who},
    run::{RunId, RunRecord, showing::Showing},
    schedule::{Lane, Schedule, ScheduleLimits, Ticket},
    time::Timestamp,
};

mod runs;

type Checked = Result<(), TestCaseError>;

const SCHEDULE: ScheduleLimits = ScheduleLimits { runs_max: 3, room_runs_max: 2, waiting_runs_max: 3 };
const BREAKER: BreakerLimits = BreakerLimits { whose: Whose::Room, runs_max: 7, window_ms: 60_000, pause_ms: 120_000 };
const DEADLINE_MS: u64 = 30 * 60_000;

static NAMESPACE: LazyLock<Namespace> = LazyLock::new(|| Namespace {
    allowed_servers: [ruma::owned_server_name!("friends.org")].into(),
    bots: [user(4)].into(),
    ..Namespace::of_tests(ruma::owned_server_name!("here.org"))
});

/// The room, its stored state, and its runs.
pub(super) struct Room {
    now_ms: i64,
    timeline: Vec<RoomEvent>,
    members: BTreeMap<OwnedUserId, Membership>,
    liveliness: Liveliness,
    muted: BTreeSet<OwnedUserId>,
    breaker: Breaker,
    stranger_told: SaidOnce,
    threads: BTreeMap<OwnedEventId, ThreadSoFar>,
    triggered: BTreeMap<OwnedEventId, BTreeSet<OwnedUserId>>,
    /// Event ids that the inbox knows.
    known: BTreeSet<OwnedEventId>,
    /// Events whose completion may not be on disk yet, by their index in the timeline.
    not_durable: Vec<usize>,
    schedule: Schedule,
    runs: BTreeMap<RunId, Run>,
    /// Every run that was ever started.
    begun: BTreeSet<(OwnedEventId, OwnedUserId)>,
    begun_at_ms: Vec<i64>,
    ended: usize,
    declined: usize,
    told_stopped_at_ms: Vec<i64>,
    told_stranger_at_ms: Vec<i64>,
}

struct Run {
    record: RunRecord,
    ticket: Ticket,
    /// While it goes on.
    machine: Option<Showing>,
    text: String,
    told_waiting: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        let here = [0, 1, 2, 4, COWORKERS.start, COWORKERS.start + 1];
        Self {
            now_ms: 1_800_000_000_000,
            timeline: Vec::new(),
            members: here.into_iter().map(|at| (user(at), Membership::Join)).collect(),
            liveliness: Liveliness::default(),
            muted: BTreeSet::new(),
            breaker: Breaker::default(),
            stranger_told: SaidOnce::default(),
            threads: BTreeMap::new(),
            triggered: BTreeMap::new(),
            known: BTreeSet::new(),
            not_durable: Vec::new(),
            schedule: Schedule::new(SCHEDULE),
            runs: BTreeMap::new(),
            begun: BTreeSet::new(),
            begun_at_ms: Vec::new(),
            ended: 0,
            declined: 0,
            told_stopped_at_ms: Vec::new(),
            told_stranger_at_ms: Vec::new(),
        }
    }

    pub(super) fn begun(&self) -> usize {
        self.begun.len()
    }

    pub(super) fn ended(&self) -> usize {
        self.ended
    }

    pub(super) fn declined(&self) -> usize {
        self.declined
    }

    pub(super) fn told_stopped(&self) -> usize {
        self.told_stopped_at_ms.len()
    }

    pub(super) fn take(&mut self, happening: Happening) -> Checked {
        let (sender, minutes_ago, kind) = match happening {
            Happening::Say(saying) => (saying.who, saying.minutes_ago, EventKind::Message(self.message(&saying))),
            Happening::Edit { saying, target } => {
                let new = self.message(&saying);
                let newly_mentioned = new.mentions.clone().unwrap_or_default().users;
                let Some(target) = self.id_at(target) else { return Ok(()) };
                (saying.who, saying.minutes_ago, EventKind::Edit { target, new, newly_mentioned })
            }
            Happening::React { who, target, key } => {
                let Some(target) = self.id_at(target) else { return Ok(()) };
                (who, 0, EventKind::Reaction { target, key: key.to_owned() })
            }
            Happening::Redact { who, target } => {
                let Some(target) = self.id_at(target) else { return Ok(()) };
                (who, 0, EventKind::Redaction { target, authority: crate::core::redaction::Authority::OwnServer })
            }
            Happening::Member { who, membership } => {
                let change = MemberChange { user: user(who), membership, display_name: None };
                (who, 0, EventKind::Member(change))
            }
            Happening::Again(at) => {
                let Some(event) = self.timeline.get(at % self.timeline.len().max(1)).cloned() else { return Ok(()) };
                return self.accept(&event);
            }
            Happening::Restart => return self.restart(),
            Happening::Pass(ms) => {
                self.now_ms += ms;
                return Ok(());
            }
            Happening::Model(run, progress) => return self.progress(run, progress),
        };
        let sent_at = Timestamp::from_ms(self.now_ms - minutes_ago * 60_000);
        let event = self.event(user(sender), sent_at, kind);
        self.timeline.push(event.clone());
        self.accept(&event)
    }

    fn event(&self, sender: OwnedUserId, sent_at: Timestamp, kind: EventKind) -> RoomEvent {
        let id = OwnedEventId::try_from(format!("$e{}", self.timeline.len())).expect("an event id");
        RoomEvent { room: room_id!("!room:here.org").to_owned(), id, sender, sent_at, kind }
    }

    fn id_at(&self, at: usize) -> Option<OwnedEventId> {
        self.timeline.get(at % self.timeline.len().max(1)).map(|event| event.id.clone())
    }

    fn message(&self, saying: &Saying) -> Message {
        let users = |bits: u16| (0..USERS.len()).filter(|at| bits & (1 << at) != 0).map(user).collect();
        Message {
            kind: if saying.notice { MessageKind::Notice } else { MessageKind::Text },
            mentions: saying.mentions.map(|bits| Mentions { users: users(bits), room: saying.room }),
            thread_root: saying.thread.and_then(|at| self.id_at(at)),
            reply_to: saying.reply.and_then(|at| self.id_at(at)),
            ..Message::text(saying.body)
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    /// The inbox, which takes each event once.
    fn accept(&mut self, event: &RoomEvent) -> Checked {
        if !self.known.insert(event.id.clone()) {
            return Ok(());
        }
        self.not_durable.extend(self.timeline.iter().position(|known| known.id == event.id));
        self.handle(event)
    }

    fn handle(&mut self, event: &RoomEvent) -> Checked {
        match &event.kind {
            EventKind::Member(change) => self.member(change),
            EventKind::Redaction { target, .. } => self.end_where(|run| run.record.request == *target),
            EventKind::Reaction { target, key } if key == "🛑" && NAMESPACE.who(&event.sender) == Who::Person => {
                self.end_where(|run| run.record.request == *target)
            }
            _ => self.consider(event),
        }
    }

    fn member(&mut self, change: &MemberChange) -> Checked {
        self.members.insert(change.user.clone(), change.membership);
        let company = Company::of(&NAMESPACE, self.members.iter().map(|(user, membership)| (&**user, *membership)));
        self.liveliness.take(&company, self.now());
        if NAMESPACE.is_ours(&change.user) && change.membership != Membership::Join {
            self.end_where(|run| run.record.user == change.user)?;
        }
        Ok(())
    }

    fn coworkers(&self) -> Vec<(OwnedUserId, &'static str)> {
        let is_here = |user: &OwnedUserId| self.members.get(user) == Some(&Membership::Join);
        COWORKERS.map(user).zip(["oncall", "ci"]).filter(|(user, _)| is_here(user)).collect()
    }

    /// Mirrors `Engine::consider`.
    fn consider(&mut self, event: &RoomEvent) -> Checked {
        let users = self.coworkers();
        let here: Vec<_> =
            users.iter().map(|(user, id)| CoworkerHere { user, id, name: id, display_name: None }).collect();
        if here.is_empty() || self.liveliness.is_paused() {
            return Ok(());
        }
        if let EventKind::Edit { target, .. } = &event.kind {
            self.begin_anew(target, &event.sender);
        }
        let root = match &event.kind {
            EventKind::Message(message) => message.thread_root.clone(),
            _ => None,
        };
        let triggering = match &event.kind {
            EventKind::Edit { target, .. } => target.clone(),
            _ => event.id.clone(),
        };
        let known = root.as_ref().map(|root| self.threads.get(root).cloned().unwrap_or_default());
        let replaced = matches!(event.kind, EventKind::Edit { .. }).then(|| self.find(&triggering).cloned()).flatten();
        let before = self.triggered.get(&triggering).cloned().unwrap_or_default();
        let mut scene = Scene {
            namespace: &NAMESPACE,
            coworkers: &here,
            reply_sender: None,
            thread: known.as_ref(),
            root_sender: None,
            asked_back: None,
            members: &[],
            original: replaced.as_ref().map(|original| Original { event: original, asked: &before }),
            now: self.now(),
            accepted_at: self.now(),
            deadline_ms: DEADLINE_MS,
        };
        let reply_sender = address::needs_reply_target(event, &scene).and_then(|target| self.find(target)).cloned();
        scene.reply_sender = reply_sender.as_ref().map(|replied_to| &*replied_to.sender);
        let root_sender = address::needs_root(event, &scene).and_then(|root| self.find(root)).cloned();
        scene.root_sender = root_sender.as_ref().map(|root| &*root.sender);
        let verdict = address::addressed(event, &scene);
        match &verdict {
            Verdict::Asked(asked) => {
                Self::check_asked(event, asked, replaced.as_ref(), &users)?;
                for asked in asked {
                    let coworker = here.iter().find(|coworker| coworker.user == asked.user).copied();
                    let coworker = coworker.ok_or_else(|| TestCaseError::fail("somebody is asked who is not here"))?;
                    self.begin(event, asked, &coworker, &triggering, root.as_ref())?;
                }
            }
            Verdict::Nobody(address::Silence::Stranger { tell_stranger: true }) => {
                prop_assert_eq!(NAMESPACE.who(&event.sender), Who::Stranger);
                if self.stranger_told.is_due(self.now(), STRANGER_WORD_INTERVAL_MS) {
                    self.told_stranger_at_ms.push(self.now_ms);
                }
            }
            Verdict::Nobody(_) => {}
        }
        let root = root.unwrap_or_else(|| triggering.clone());
        if let Verdict::Asked(asked) = &verdict {
            self.triggered.entry(triggering).or_default().extend(asked.iter().map(|asked| asked.user.clone()));
        }
        if self.threads.contains_key(&root) || matches!(verdict, Verdict::Asked(_)) {
            self.threads.entry(root).or_default().note(event, &verdict, &scene);
        }
        Ok(())
    }

    /// Only people are answered, never a notice, and each coworker at most once.
    fn check_asked(
        event: &RoomEvent,
        asked: &[Asked],
        replaced: Option<&RoomEvent>,
        here: &[(OwnedUserId, &str)],
    ) -> Checked {
        prop_assert_eq!(NAMESPACE.who(&event.sender), Who::Person);
        match &event.kind {
            EventKind::Message(message) => prop_assert!(message.kind != MessageKind::Notice),
            EventKind::Edit { new, .. } => {
                let original = replaced.ok_or_else(|| TestCaseError::fail("an edit of nothing asks"))?;
                prop_assert!(new.kind != MessageKind::Notice && original.sender == event.sender);
                prop_assert!(event.sent_at.ms_since(original.sent_at) <= EDIT_WINDOW_MS);
            }
            other => return Err(TestCaseError::fail(format!("{other:?} asks"))),
        }
        let users: BTreeSet<_> = asked.iter().map(|asked| &asked.user).collect();
        prop_assert!(!users.is_empty() && users.len() == asked.len());
        prop_assert!(users.iter().all(|user| here.iter().any(|(present, _)| present == *user)));
        Ok(())
    }

    /// Mirrors `Engine::begin_coworker`.
    fn begin(
        &mut self,
        event: &RoomEvent,
        asked: &Asked,
        coworker: &CoworkerHere<'_>,
        request: &EventId,
        root: Option<&OwnedEventId>,
    ) -> Checked {
        let (EventKind::Message(message) | EventKind::Edit { new: message, .. }) = &event.kind else { return Ok(()) };
        let command = match coworker_request(message, coworker) {
            CoworkerRequest::Prompt(_) => None,
            command => Some(command),
        };
        let id = RunId::of(request, &asked.user);
        let asks = Request { user: &asked.user, command, known: self.runs.contains_key(&id) };
        let now = self.now();
        let admitted = admit(&asks, &self.muted, || Ok::<_, TestCaseError>(self.breaker.begin_run(now, &BREAKER)))?;
        match admitted {
            Admission::Command(CoworkerRequest::Command(CoworkerCommand::Mute)) => {
                self.muted.insert(asked.user.clone());
            }
            Admission::Command(CoworkerRequest::Command(CoworkerCommand::Unmute)) => {
                self.muted.remove(&asked.user);
            }
            Admission::Command(CoworkerRequest::Command(CoworkerCommand::Stop)) => {
                self.end_where(|run| run.record.user == asked.user)?;
            }
            Admission::Command(_) | Admission::Known | Admission::Muted => {}
            Admission::Stopped { say, .. } => self.told_stopped_at_ms.extend(say.then_some(self.now_ms)),
            Admission::Run => {
                self.begun_at_ms.push(self.now_ms);
                let root = root.cloned().unwrap_or_else(|| request.to_owned());
                let place = Place::Thread { latest: root.clone(), root };
                let record = RunRecord {
                    late: asked.late,
                    asked_at: event.sent_at,
                    ..RunRecord::new(&asked.user, &event.room, request, &event.sender, place, now)
                };
                match self.schedule.request(lane(&record), record.wanted()) {
                    Ok(ticket) => {
                        let is_first = self.begun.insert((request.to_owned(), asked.user.clone()));
                        // A run that survives a crash was flushed together with the completion of every earlier event.
                        self.not_durable.retain(|at| self.timeline[*at].id == event.id);
                        prop_assert!(is_first, "{} asked {} and is run twice", request, asked.user);
                        self.runs
                            .insert(id, Run { record, ticket, machine: None, text: String::new(), told_waiting: 0 });
                        self.let_go()?;
                    }
                    Err(_) => self.declined += 1,
                }
            }
        }
        Ok(())
    }

    fn find(&self, id: &EventId) -> Option<&RoomEvent> {
        self.timeline.iter().find(|event| event.id == id)
    }

    /// Restarts the runs of an edited request.
    fn begin_anew(&mut self, request: &EventId, asker: &OwnedUserId) {
        let now = self.now();
        for run in self.runs.values_mut().filter(|run| run.record.request == request && run.record.asker == *asker) {
            run.machine = run.machine.take().map(|_| Showing::new(&run.record, now));
            // Said again under the same transaction id: the same event for the homeserver.
            run.told_waiting = 0;
        }
    }
}

fn lane(record: &RunRecord) -> Lane {
    Lane {
        room: record.room.clone(),
        thread: record.place.thread_root().map(ToOwned::to_owned),
        user: record.user.clone(),
    }
}

//! The steps that can happen in a room.

use proptest::prelude::*;
use ruma::{OwnedUserId, UserId};

use crate::core::{event::Membership, run::Stop};

/// All users that occur: people here and on an allowed server, a stranger, a bot, and our own.
pub(super) const USERS: [&str; 9] = [
    "@alice:here.org",
    "@bob:here.org",
    "@carol:friends.org",
    "@mallory:evil.org",
    "@buildbot:here.org",
    "@coworker-oncall:here.org",
    "@coworker-ci:here.org",
    "@assistant-alice:here.org",
    "@workmate:here.org",
];
/// The two coworkers in [`USERS`].
pub(super) const COWORKERS: std::ops::Range<usize> = 5..7;
/// The assistant in [`USERS`].
pub(super) const ASSISTANT: usize = 7;

const BODIES: [&str; 12] = [
    "what is going on?",
    "oncall: have a look",
    "ci: build it",
    "@oncall !help",
    "oncall: !mute",
    "oncall: !unmute",
    "ci !stop",
    "@coworker-ci:here.org !status",
    "> <@bob:here.org> oncall: look\n\nindeed",
    "`oncall` and `ci`",
    "",
    "@room everybody",
];
const SPANS_MS: [i64; 6] = [100, 5_000, 30_000, 90_000, 10 * 60_000, 25 * 3_600_000];

/// A step. Numbers of events and runs are taken modulo their count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Say(Saying),
    Edit {
        saying: Saying,
        target: usize,
    },
    React {
        who: usize,
        target: usize,
        key: &'static str,
    },
    Redact {
        who: usize,
        target: usize,
    },
    Member {
        who: usize,
        membership: Membership,
    },
    /// The homeserver delivers an event again.
    Again(usize),
    /// The process is killed and restarted; what was not durably done is repeated.
    Restart,
    Pass(i64),
    Model(usize, Progress),
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saying {
    pub(super) who: usize,
    pub(super) body: &'static str,
    /// Users of [`USERS`] in `m.mentions`, as bits; `None` without such a key.
    pub(super) mentions: Option<u16>,
    pub(super) room: bool,
    pub(super) notice: bool,
    pub(super) thread: Option<usize>,
    pub(super) reply: Option<usize>,
    pub(super) minutes_ago: i64,
}

/// What the model does for one of the runs in progress.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    Text(usize),
    Tick,
    Waiting(u64),
    Answer(Stop),
    Fail,
}

impl Saying {
    /// Returns an empty timeline message from a client without `m.mentions`.
    pub(super) fn plain(who: usize) -> Self {
        Self { who, body: "", mentions: None, room: false, notice: false, thread: None, reply: None, minutes_ago: 0 }
    }
}

pub(super) fn user(at: usize) -> OwnedUserId {
    UserId::parse(USERS[at]).expect("a user id")
}

fn any_user() -> impl Strategy<Value = usize> {
    // Mostly people, so that something happens.
    prop_oneof![2 => 0..3_usize, 1 => 0..USERS.len()]
}

prop_compose! {
    fn any_saying()(
        who in any_user(), body in prop::sample::select(&BODIES[..]), notice in prop::bool::weighted(0.1),
        mentions in prop::option::weighted(0.7, prop_oneof![Just(0_u16), Just(1 << 5), Just(1 << 6), 0..512_u16]),
        room in prop::bool::weighted(0.1), thread in prop::option::weighted(0.4, 0..100_usize),
        reply in prop::option::weighted(0.2, 0..100_usize), minutes_ago in prop_oneof![3 => Just(0_i64), 1 => 0..90_i64],
    ) -> Saying {
        Saying { who, body, mentions, room, notice, thread, reply, minutes_ago }
    }
}

fn any_progress() -> impl Strategy<Value = Progress> {
    prop_oneof![
        2 => (0..30_usize).prop_map(Progress::Text),
        1 => Just(Progress::Tick),
        1 => (0..60_000_u64).prop_map(Progress::Waiting),
        2 => prop::sample::select(&[Stop::End, Stop::Cut, Stop::Refused][..]).prop_map(Progress::Answer),
        1 => Just(Progress::Fail),
    ]
}

pub(super) fn any_happening() -> impl Strategy<Value = Happening> {
    let membership =
        prop::sample::select(&[Membership::Join, Membership::Leave, Membership::Ban, Membership::Invite][..]);
    let key = prop::sample::select(&["🛑", "🔁", "👍"][..]);
    prop_oneof![
        12 => any_saying().prop_map(Happening::Say),
        3 => (any_saying(), 0..100_usize).prop_map(|(saying, target)| Happening::Edit { saying, target }),
        1 => (any_user(), 0..100_usize, key).prop_map(|(who, target, key)| Happening::React { who, target, key }),
        1 => (any_user(), 0..100_usize).prop_map(|(who, target)| Happening::Redact { who, target }),
        1 => (0..USERS.len(), membership).prop_map(|(who, membership)| Happening::Member { who, membership }),
        2 => (0..100_usize).prop_map(Happening::Again),
        1 => Just(Happening::Restart),
        3 => prop::sample::select(&SPANS_MS[..]).prop_map(Happening::Pass),
        6 => (0..8_usize, any_progress()).prop_map(|(run, progress)| Happening::Model(run, progress)),
    ]
}

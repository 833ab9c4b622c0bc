//! Edits of a request in progress, and files added to it (C6, C23): they wait for a pause, then restart the run, up to
//! a limit.

use ruma::{EventId, UserId};

use super::{
    breaker::{Gate, Whose},
    event::{EventKind, RoomEvent},
    time::Timestamp,
};

/// How long after the last edit the model is asked with the new text, in milliseconds.
pub(crate) const QUIET_MS: u64 = 2_500;
/// How long a file that asks alone waits for others, in milliseconds; less than two seconds, in which people see that it
/// was read (C9).
pub(crate) const GATHER_MS: u64 = 1_500;
/// How long after the first edit it is asked at the latest, in milliseconds.
pub(crate) const WAIT_MAX_MS: u64 = 30_000;
/// How long a message that is still being written may pause before it is answered as it stands, in milliseconds
/// (MSC4357).
pub(crate) const LIVE_QUIET_MS: u64 = 20_000;
/// How long after its first word it is answered at the latest, in milliseconds.
pub(crate) const LIVE_WAIT_MAX_MS: u64 = 5 * 60 * 1_000;
/// How often edits restart a run whose model was already asked.
pub(crate) const RESTARTS_MAX: u32 = 5;

/// How long after a request in a timeline, or after its last file, another file of the asker belongs to it, in
/// milliseconds. In the request's thread it does while the run goes on, and this long after the request or its answer.
pub(crate) const JOIN_WINDOW_MS: u64 = 30_000;
/// Most files added to one request.
pub(crate) const JOINED_MAX: usize = 20;

/// A request in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open<'a> {
    /// The requesting message.
    pub request: &'a EventId,
    /// Who asks.
    pub asker: &'a UserId,
    /// The thread of the answer.
    pub thread: Option<&'a EventId>,
    /// When the request or its last addition was sent.
    pub since: Timestamp,
}

/// Returns whether an event is a file that belongs to a request, because people ask first and then send the picture.
#[must_use]
pub(crate) fn joins(event: &RoomEvent, to: &Open<'_>) -> bool {
    let EventKind::Message(message) = &event.kind else { return false };
    let is_file = !message.kind.files().is_empty();
    let mentions_nobody = message.mentions.as_ref().is_none_or(|mentions| mentions.users.is_empty() && !mentions.room);
    let replies_to_other = message.reply_to.as_deref().is_some_and(|replied_to| replied_to != to.request);
    let is_here = if let Some(thread) = message.thread_root.as_deref() {
        Some(thread) == to.thread
    } else {
        let on_timeline = to.thread.is_none_or(|thread| thread == to.request);
        on_timeline && event.sent_at.ms_since(to.since) <= JOIN_WINDOW_MS
    };
    event.sender == to.asker && is_file && mentions_nobody && !replies_to_other && is_here
}

/// Returns whether an event is a file that continues a request whose run is over: like [`joins`], but soon, also in its
/// thread. A file with a caption asks by itself, or does not.
#[must_use]
pub(crate) fn goes_on(event: &RoomEvent, with: &Open<'_>) -> bool {
    let EventKind::Message(message) = &event.kind else { return false };
    let is_soon = event.sent_at.ms_since(with.since) <= JOIN_WINDOW_MS;
    message.is_uncaptioned() && !message.kind.is_sticker() && is_soon && joins(event, with)
}

/// The effect of edits on one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// Restarts so far.
    restarts: u32,
    /// Whether the model was asked with the current text.
    asked: bool,
    /// The first and the last edit since then.
    since: Option<(Timestamp, Timestamp)>,
    /// Whether the request is still being written, so that the next edit is sure to come.
    live: bool,
    told: bool,
}

/// The effect of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The request is read again after a pause, at no cost.
    Replaces,
    /// The run is interrupted, and starts over after a pause.
    Restarts,
    /// None: the run was restarted too often.
    Ignored {
        /// Whether to say so.
        say: bool,
    },
    /// None: a breaker has stopped the editor or the room.
    Stopped {
        /// Whose breaker it is.
        whose: Whose,
        /// Whether to tell them.
        say: bool,
        /// When they may try again.
        until: Timestamp,
    },
}

impl Edits {
    /// Resumes a run that was restarted this often.
    #[must_use]
    pub(crate) fn resumed(restarts: u32) -> Self {
        Self { restarts, ..Self::default() }
    }

    /// Makes the run of a file alone wait a moment, because people send several files one by one.
    #[must_use]
    pub(crate) fn gathering(self, now: Timestamp) -> Self {
        let since = Timestamp::from_ms(now.as_ms() - i64::try_from(QUIET_MS - GATHER_MS).unwrap_or_default());
        Self { since: Some((since, since)), ..self }
    }

    /// Makes the run of a message that is still being written wait for its end.
    #[must_use]
    pub(crate) fn live(self, now: Timestamp) -> Self {
        Self { since: Some((now, now)), live: true, ..self }
    }

    /// Records whether an edit leaves the request unfinished.
    pub(crate) fn note_live(&mut self, is_live: bool) {
        self.live = is_live;
    }

    /// Returns how often edits have restarted the run.
    #[must_use]
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Applies an edit. `gate` asks the breakers whether a run may start, which counts it; it is called only if the
    /// edit restarts the run.
    ///
    /// # Errors
    /// If `gate` fails; nothing has changed then.
    pub(crate) fn take<E>(&mut self, now: Timestamp, gate: impl FnOnce() -> Result<Gate, E>) -> Result<Edit, E> {
        let edit = if !self.asked {
            Edit::Replaces
        } else if self.restarts >= RESTARTS_MAX {
            return Ok(Edit::Ignored { say: !std::mem::replace(&mut self.told, true) });
        } else {
            match gate()? {
                Gate::Stopped { whose, say, until } => return Ok(Edit::Stopped { whose, say, until }),
                Gate::Open => Edit::Restarts,
            }
        };
        if edit == Edit::Restarts {
            self.restarts += 1;
            self.asked = false;
        }
        self.since = Some((self.since.map_or(now, |(first, _)| first), now));
        Ok(edit)
    }

    /// Returns how long to wait before asking the model, in milliseconds; `None` if it may be asked now.
    ///
    /// A clock that was set back ends the wait.
    #[must_use]
    pub(crate) fn quiet_in_ms(&self, now: Timestamp) -> Option<u64> {
        let (first, last) = self.since?;
        if first > now || last > now {
            return None;
        }
        let (quiet_ms, wait_max_ms) =
            if self.live { (LIVE_QUIET_MS, LIVE_WAIT_MAX_MS) } else { (QUIET_MS, WAIT_MAX_MS) };
        let quiet = quiet_ms.saturating_sub(now.ms_since(last));
        let left = quiet.min(wait_max_ms.saturating_sub(now.ms_since(first)));
        (left > 0).then_some(left)
    }

    /// Records that the model is asked with the current text.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::core::breaker::{Breaker, BreakerLimits};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn edit(edits: &mut Edits, ms: i64) -> Edit {
        let Ok(edit) = edits.take(at(ms), || Ok::<_, Infallible>(Gate::Open));
        edit
    }

    #[test]
    fn c6_edits_wait_for_a_pause_and_several_make_one_restart() {
        let mut edits = Edits::default();
        assert_eq!(edits.quiet_in_ms(at(0)), None, "nothing was edited");
        assert_eq!(edit(&mut edits, 0), Edit::Replaces, "the model was not asked yet");
        assert_eq!(edits.quiet_in_ms(at(1_000)), Some(1_500));
        edits.ask();
        assert_eq!(edits.quiet_in_ms(at(1_001)), None);
        let made: Vec<_> = (0..60).map(|n| edit(&mut edits, 2_000 + n * 100)).collect();
        assert_eq!(made.iter().filter(|edit| **edit == Edit::Restarts).count(), 1, "{made:?}");
        assert_eq!(edits.quiet_in_ms(at(7_900)), Some(QUIET_MS));
        assert_eq!(edits.quiet_in_ms(at(7_900 + 2_500)), None, "it is quiet");
        assert_eq!(edits.quiet_in_ms(at(1_000)), None, "the clock was set back");
    }

    #[test]
    fn c7_a_file_alone_waits_a_moment_for_others_and_each_of_them_prolongs_it() {
        let mut edits = Edits::default().gathering(at(10_000));
        assert_eq!(edits.quiet_in_ms(at(10_000)), Some(GATHER_MS));
        assert_eq!(edit(&mut edits, 11_000), Edit::Replaces, "it costs nothing");
        assert_eq!(edits.quiet_in_ms(at(11_500)), Some(QUIET_MS - 500));
        assert_eq!(edits.quiet_in_ms(at(13_500)), None);
    }

    #[test]
    fn c6_a_live_message_is_answered_once_it_is_whole_and_asked_once() {
        // Each fragment: when it comes, and whether the message is still being written.
        let asked_at = |fragments: &[(i64, bool)]| -> Vec<i64> {
            let (mut edits, mut asked) = (Edits::default().live(at(0)), Vec::new());
            let mut waits = true;
            for ms in (0..400_000).step_by(500) {
                if let Some((_, is_live)) = fragments.iter().find(|(at, _)| *at == ms) {
                    waits |= edit(&mut edits, ms) == Edit::Restarts;
                    edits.note_live(*is_live);
                }
                if waits && edits.quiet_in_ms(at(ms)).is_none() {
                    edits.ask();
                    waits = false;
                    asked.push(ms);
                }
            }
            asked
        };
        let quiet = i64::try_from(QUIET_MS).expect("short");
        let live_quiet = i64::try_from(LIVE_QUIET_MS).expect("short");
        for (name, fragments, expected) in [
            ("whole after seconds", vec![(3_000, true), (8_000, true), (9_000, false)], vec![9_000 + quiet]),
            ("whole after more than edits may take", (1..50).map(|n| (n * 1_000, n < 49)).collect(), vec![49_000]),
            ("never finished", vec![(3_000, true)], vec![3_000 + live_quiet]),
            ("nothing more comes", vec![], vec![live_quiet]),
            ("a long pause, then the rest", vec![(30_000, true), (35_000, false)], vec![live_quiet, 35_000 + quiet]),
            ("written on and on", (1..400).map(|n| (n * 1_000, true)).collect(), vec![300_000, 320_000]),
        ] {
            let found = asked_at(&fragments);
            let is_on_and_on = name == "written on and on";
            assert_eq!(found.first(), expected.first(), "{name}");
            assert!(is_on_and_on || found == expected, "{name}: {found:?}");
        }
    }

    #[test]
    fn c6_whoever_types_on_and_on_holds_up_a_run_for_a_named_time() {
        let mut edits = Edits::default();
        let asked_at = (0..100).map(|second| second * 1_000).find(|ms| {
            let quiet = *ms > 0 && edits.quiet_in_ms(at(*ms)).is_none();
            edit(&mut edits, *ms);
            quiet
        });
        assert_eq!(asked_at, Some(30_000));
    }

    #[test]
    fn c6_restarts_of_a_request_are_capped_and_that_is_said_once() {
        let mut edits = Edits::resumed(RESTARTS_MAX - 1);
        edits.ask();
        assert_eq!(edit(&mut edits, 0), Edit::Restarts);
        edits.ask();
        let said = [1, 2, 3].map(|ms| edit(&mut edits, ms));
        assert_eq!(said, [true, false, false].map(|say| Edit::Ignored { say }));
        assert_eq!((edits.restarts(), edits.quiet_in_ms(at(4))), (RESTARTS_MAX, None), "the run goes on");
    }

    #[test]
    fn c23_an_edit_that_restarts_counts_and_may_be_stopped() {
        let limits = BreakerLimits::of(Whose::Person, 1);
        let (mut edits, mut breaker) = (Edits::default(), Breaker::default());
        let mut made = Vec::new();
        for ms in 0..3 {
            edits.ask();
            let Ok(edit) = edits.take(at(ms), || Ok::<_, Infallible>(breaker.begin_run(at(ms), &limits)));
            made.push(matches!(edit, Edit::Restarts));
        }
        assert_eq!(made, [true, false, false]);
        assert_eq!(edits.take(at(4), || Err("the store")), Err("the store"));
    }

    #[test]
    fn f_a_file_that_its_asker_sends_behind_a_request_belongs_to_it() {
        use ruma::{event_id, room_id, user_id};

        use crate::core::event::{Mentions, Message, MessageKind};

        let (alice, bob) = (user_id!("@alice:hs"), user_id!("@bob:hs"));
        let (ask, root, other) = (event_id!("$ask"), event_id!("$root"), event_id!("$other"));
        let file = |sender: &UserId, ms: i64, change: &dyn Fn(&mut Message)| {
            let kind = MessageKind::Attachment {
                msgtype: "m.image".to_owned(),
                name: "a.png".to_owned(),
                mime: None,
                size: None,
                voice: false,
                media: None,
            };
            let mut message = Message { kind, ..Message::text("a.png") };
            change(&mut message);
            RoomEvent {
                room: room_id!("!r:hs").to_owned(),
                id: event_id!("$file").to_owned(),
                sender: sender.to_owned(),
                sent_at: at(ms),
                kind: EventKind::Message(message),
            }
        };
        let as_is = |_: &mut Message| {};
        let in_thread =
            |thread: &'static EventId| move |message: &mut Message| message.thread_root = Some(thread.to_owned());
        let to_bob = |message: &mut Message| {
            message.mentions = Some(Mentions { users: [bob.to_owned()].into(), room: false });
        };
        let words = |message: &mut Message| message.kind = MessageKind::Text;
        let on = |thread| Open { request: ask, asker: alice, thread, since: at(0) };
        let table: [(&str, RoomEvent, Open<'_>, bool); 11] = [
            ("at once", file(alice, 1_500, &as_is), on(Some(ask)), true),
            ("answered on the timeline", file(alice, 1_500, &as_is), on(None), true),
            ("much later", file(alice, 31_000, &as_is), on(Some(ask)), false),
            ("somebody else's", file(bob, 1_500, &as_is), on(Some(ask)), false),
            ("words", file(alice, 1_500, &words), on(Some(ask)), false),
            ("to somebody else", file(alice, 1_500, &to_bob), on(Some(ask)), false),
            (
                "in reply to another",
                file(alice, 1, &|m: &mut Message| m.reply_to = Some(other.to_owned())),
                on(Some(ask)),
                false,
            ),
            (
                "in reply to the request",
                file(alice, 1, &|m: &mut Message| m.reply_to = Some(ask.to_owned())),
                on(Some(ask)),
                true,
            ),
            ("in its thread, late", file(alice, 90_000, &in_thread(root)), on(Some(root)), true),
            ("in another thread", file(alice, 1, &in_thread(other)), on(Some(root)), false),
            ("on the timeline, asked in a thread", file(alice, 1, &as_is), on(Some(root)), false),
        ];
        for (name, event, to, expected) in table {
            assert_eq!(joins(&event, &to), expected, "{name}");
        }
        // After the answer, a file without a caption continues the request, for a short time also in its thread.
        let captioned = |message: &mut Message| message.body = "and this?".to_owned();
        let table: [(&str, RoomEvent, Open<'_>, bool); 8] = [
            ("at once", file(alice, 1_500, &as_is), on(Some(ask)), true),
            ("at the window's end", file(alice, 30_000, &as_is), on(Some(ask)), true),
            ("later", file(alice, 30_001, &as_is), on(Some(ask)), false),
            ("in its thread", file(alice, 1_500, &in_thread(ask)), on(Some(ask)), true),
            ("in its thread, later", file(alice, 30_001, &in_thread(ask)), on(Some(ask)), false),
            ("before the answer that was slower", file(alice, -1, &in_thread(ask)), on(Some(ask)), true),
            ("somebody else's", file(bob, 1_500, &as_is), on(Some(ask)), false),
            ("with words", file(alice, 1_500, &captioned), on(Some(ask)), false),
        ];
        for (name, event, to, expected) in table {
            assert_eq!(goes_on(&event, &to), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn c23_however_a_request_is_edited_the_model_is_asked_a_named_number_of_times(
            steps in prop::collection::vec((any::<bool>(), 0..5_000_i64), 0..400),
        ) {
            let (mut edits, mut now, mut asked, mut restart) = (Edits::default(), 0, 0_u32, true);
            for (is_edit, passed) in steps {
                now += passed;
                if is_edit {
                    restart |= edit(&mut edits, now) == Edit::Restarts;
                } else if restart && edits.quiet_in_ms(at(now)).is_none() {
                    edits.ask();
                    (asked, restart) = (asked + 1, false);
                }
            }
            prop_assert!(asked <= RESTARTS_MAX + 1, "asked {asked} times");
        }
    }
}

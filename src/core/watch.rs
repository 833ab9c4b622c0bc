//! Watches (C22): which words of a named bot or bridge ask a coworker, without a mention.
//!
//! No loop can come of it: our own users never match, whatever a config names, and an answer to a watch is ours.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use ruma::{OwnedRoomOrAliasId, OwnedUserId, UserId};

use super::{
    errand::{Errand, ErrandId, Origin, OriginKind},
    event::{EventKind, Message, MessageKind, RoomEvent},
    people::Namespace,
    sealed::Carriage,
    time::Timestamp,
};

/// Most characters of a pattern.
pub const PATTERN_CHARS_MAX: usize = 1_000;
/// Most bytes that a compiled pattern may take, and the same for its cache.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// How deeply a pattern's groups may be nested.
const PATTERN_DEPTH_MAX: u32 = 50;

/// What a message must say.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a regular expression of the Rust crate `regex`, which takes linear time.
    ///
    /// # Errors
    /// What is wrong with it, in the crate's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX)
            .multi_line(true)
            .build();
        built.map(Self).map_err(|error| error.to_string())
    }
}

/// A configured watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// The room.
    pub room: OwnedRoomOrAliasId,
    /// Whose messages count, by full user id.
    pub senders: BTreeSet<OwnedUserId>,
    /// What they must say; `None` for anything.
    pub pattern: Option<Pattern>,
    /// What the coworker is to do.
    pub task: String,
    /// Whom the answer mentions.
    pub mention: BTreeSet<OwnedUserId>,
}

impl Watch {
    /// Returns whether an event of the watched room matches: a new message of a named sender's that says what the
    /// pattern wants.
    #[must_use]
    pub fn matches(&self, event: &RoomEvent, namespace: &Namespace) -> bool {
        if !self.senders.contains(&event.sender) || namespace.is_ours(&event.sender) {
            return false;
        }
        // An edit changes words that were there: whoever edits its report would ask again with each.
        let EventKind::Message(message) = &event.kind else { return false };
        let says = |text: &str| self.pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(text));
        has_words(message) && says(&message.body)
    }

    /// Returns the errand that a matching message causes.
    #[must_use]
    pub fn errand(&self, event: &RoomEvent, came: Carriage, user: &UserId, now: Timestamp) -> Errand {
        let (thread, relates) = match &event.kind {
            EventKind::Message(message) => (message.thread_root.clone(), message.relates),
            _ => (None, false),
        };
        let id = ErrandId::of(OriginKind::Watch, &[user.as_str(), &self.name, event.id.as_str()]);
        let origin = Origin { kind: OriginKind::Watch, name: self.name.clone(), set_by: None };
        Errand {
            // Another server's clock may be ahead of ours.
            due_at: event.sent_at.min(now),
            mention: self.mention.clone(),
            request: Some(event.id.clone()),
            threadless: relates && thread.is_none(),
            thread,
            came,
            ..Errand::new(id, user, &event.room, origin, &self.task, now)
        }
    }
}

/// Returns whether a message consists of words that somebody wrote.
fn has_words(message: &Message) -> bool {
    let is_text =
        matches!(message.kind, MessageKind::Text | MessageKind::Notice | MessageKind::Emote | MessageKind::Card);
    is_text && !message.body.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_user_id, room_id};

    use super::*;
    use crate::core::event::Place;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn namespace() -> Namespace {
        Namespace {
            // As the config makes it.
            bots: watch("x").senders,
            ..Namespace::of_tests(ruma::owned_server_name!("hs"))
        }
    }

    fn watch(pattern: &str) -> Watch {
        Watch {
            name: "red-builds".to_owned(),
            room: room_id!("!dev:hs").to_owned().into(),
            senders: ["@ci-bot:hs", "@coworker-oncall:hs", "@workmate:hs"]
                .map(|user| UserId::parse(user).expect("a user id"))
                .into(),
            pattern: Some(Pattern::parse(pattern).expect("a pattern")),
            task: "Digest it.".to_owned(),
            mention: BTreeSet::new(),
        }
    }

    fn said(sender: &str, message: Message) -> RoomEvent {
        RoomEvent {
            room: room_id!("!dev:hs").to_owned(),
            id: event_id!("$red").to_owned(),
            sender: UserId::parse(sender).expect("a user id"),
            sent_at: NOW,
            kind: EventKind::Message(message),
        }
    }

    #[test]
    fn c22_named_senders_match_by_their_words_and_ours_never_do() {
        let (names, red) = (namespace(), "Build 12 of main FAILED");
        let notice = Message { kind: MessageKind::Notice, ..Message::text(red) };
        let picture = Message { kind: MessageKind::Other("m.image".to_owned()), ..Message::text(red) };
        for (sender, message, expected) in [
            ("@ci-bot:hs", Message::text(red), true),
            ("@ci-bot:hs", notice.clone(), true),
            ("@ci-bot:hs", Message::text("Build 12 passed"), false),
            ("@ci-bot:hs", picture, false),
            // Somebody else who says the same.
            ("@ci-bot:elsewhere", Message::text(red), false),
            ("@alice:hs", Message::text(red), false),
            // Ours, although the config names them.
            ("@coworker-oncall:hs", Message::text(red), false),
            ("@coworker-oncall:hs", notice.clone(), false),
            ("@workmate:hs", notice, false),
        ] {
            let event = said(sender, message);
            assert_eq!(watch("FAILED|ERROR").matches(&event, &names), expected, "{event:?}");
        }
        let edit = EventKind::Edit {
            target: event_id!("$red").to_owned(),
            new: Message::text(red),
            newly_mentioned: BTreeSet::new(),
        };
        assert!(!watch("FAILED").matches(&RoomEvent { kind: edit, ..said("@ci-bot:hs", Message::text(red)) }, &names));
        let any = Watch { pattern: None, ..watch("x") };
        assert!(any.matches(&said("@ci-bot:hs", Message::text("anything")), &names));
        assert!(!any.matches(&said("@ci-bot:hs", Message::text(" \n")), &names));
    }

    #[test]
    fn c22_patterns_are_bounded_and_a_faulty_one_is_told() {
        for bad in ["(", "a{1000000}", "(?:(?:a{100}){100}){100}", &"(".repeat(60)] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        // What makes other engines take for ever takes linear time.
        let evil = watch("(a+)+$");
        assert!(!evil.matches(&said("@ci-bot:hs", Message::text(format!("{}!", "a".repeat(60_000)))), &namespace()));
    }

    #[test]
    fn c22_an_answer_goes_into_the_matched_messages_thread() {
        let user = owned_user_id!("@coworker-ci:hs");
        let root = event_id!("$root").to_owned();
        let place_of = |message: Message| {
            let event = said("@ci-bot:hs", message);
            let errand = watch("x").errand(&event, Carriage::Encrypted, &user, NOW);
            assert_eq!(errand.came, Carriage::Encrypted, "c8: what came encrypted is answered encrypted");
            assert_eq!((errand.request.as_ref(), errand.user.clone()), (Some(&event.id), user.clone()));
            let record = errand.run(&event.id, errand.place(&event.id, None), Carriage::Plain, 60_000, NOW);
            assert!(record.is_unasked());
            record.place
        };
        let request = event_id!("$red").to_owned();
        let alone = Place::Thread { root: request.clone(), latest: request.clone() };
        assert_eq!(place_of(Message::text("x")), alone);
        let in_thread = Message { thread_root: Some(root.clone()), ..Message::text("x") };
        assert_eq!(place_of(in_thread), Place::Thread { root, latest: request.clone() });
        assert_eq!(place_of(Message { relates: true, ..Message::text("x") }), Place::Reply { to: request });
    }
}

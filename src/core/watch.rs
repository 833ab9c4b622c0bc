//! Watches (C22): which words or events of a named bot or bridge ask a coworker, without a mention.
//!
//! No loop can come of it: our own users never match, whatever a config names, and an answer to a watch is ours. A bot
//! that answers our answers is stopped by a breaker of its own ([`super::errand::gate`]).

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use ruma::{OwnedRoomOrAliasId, OwnedUserId, UserId};

use super::{
    errand::{Errand, ErrandId, Origin, OriginKind, PAYLOAD_BYTES_MAX},
    event::{EventKind, LiveLocation, Message, MessageKind, RoomEvent, STICKER},
    people::Namespace,
    sealed::Carriage,
    time::Timestamp,
    words,
};

/// Most characters of a pattern.
pub(crate) const PATTERN_CHARS_MAX: usize = 1_000;
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

/// The type of messages.
const MESSAGE: &str = "m.room.message";
/// The types that no watch can have: what is in them is not what happened.
pub(crate) const UNWATCHED: [&str; 2] = ["m.room.encrypted", "m.room.redaction"];
/// Most characters of an event's type (spec, "Size limits": 255 bytes).
pub(crate) const TYPE_CHARS_MAX: usize = 255;

/// A configured watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// The room.
    pub room: OwnedRoomOrAliasId,
    /// Whose messages count, by full user id.
    pub senders: BTreeSet<OwnedUserId>,
    /// Which type of event counts; `None` for messages.
    pub event: Option<String>,
    /// What they must say; `None` for anything. Of an event that is no message its content as JSON counts.
    pub pattern: Option<Pattern>,
    /// What the coworker is to do.
    pub task: String,
    /// Whom the answer mentions.
    pub mention: BTreeSet<OwnedUserId>,
}

/// How an event matches a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is a message, whose words are what the coworker reads.
    Words,
    /// It is another event of the watched type; its content has to be read, and may not match ([`Watch::says`]).
    Event,
}

impl Watch {
    /// Returns how an event of the watched room matches: it is new, a named sender's, and of the watched type; a message
    /// says what the pattern wants.
    #[must_use]
    pub fn matches(&self, event: &RoomEvent, namespace: &Namespace) -> Option<Match> {
        if !self.senders.contains(&event.sender) || namespace.is_ours(&event.sender) {
            return None;
        }
        let wanted = self.event.as_deref().unwrap_or(MESSAGE);
        if !is_of_type(&event.kind, wanted) {
            return None;
        }
        match &event.kind {
            EventKind::Message(message) if has_words(message, wanted) => {
                self.says(own_words(message)).then_some(Match::Words)
            }
            EventKind::Message(_) if wanted == MESSAGE => None,
            _ => Some(Match::Event),
        }
    }

    /// Returns whether a text is what the pattern wants.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(text))
    }

    /// Returns the errand that a matching event which is no message causes. Nobody can write a thread on it, so a notice
    /// announces it; `content` is its content as JSON.
    #[must_use]
    pub fn errand_of_event(&self, event: &RoomEvent, content: &str, user: &UserId, now: Timestamp) -> Errand {
        let cut = content.len() > PAYLOAD_BYTES_MAX;
        let kept = &content[..content.floor_char_boundary(PAYLOAD_BYTES_MAX)];
        Errand {
            headline: words::errands::seen(&self.name, self.event.as_deref().unwrap_or(MESSAGE), &event.sender),
            payload: Some(kept.to_owned()),
            payload_cut: cut,
            request: None,
            thread: None,
            threadless: false,
            ..self.errand(event, Carriage::Plain, user, now)
        }
    }

    /// Returns the errand that a message causes which these watches of a coworker's match: one, with all their tasks.
    #[must_use]
    pub fn errand_of_all(
        watches: &[&Self],
        event: &RoomEvent,
        came: Carriage,
        user: &UserId,
        now: Timestamp,
    ) -> Option<Errand> {
        let (first, others) = watches.split_first()?;
        let mut errand = first.errand(event, came, user, now);
        for other in others {
            errand.task = format!("{}\n\n{}", errand.task, other.task);
            errand.mention.extend(other.mention.iter().cloned());
        }
        Some(errand)
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
            of: Some(event.sender.clone()),
            request: Some(event.id.clone()),
            threadless: relates && thread.is_none(),
            thread,
            came,
            ..Errand::new(id, user, &event.room, origin, &self.task, now)
        }
    }
}

/// Returns what a message says itself, without the lines that a client put before a reply to quote what it replies to.
fn own_words(message: &Message) -> &str {
    let body = message.body.as_str();
    if message.reply_to.is_none() && message.thread_root.is_none() {
        return body;
    }
    let mut rest = body;
    while let Some(line) = rest.split_inclusive('\n').next().filter(|line| line.starts_with('>')) {
        rest = &rest[line.len()..];
    }
    rest
}

/// Returns whether an event is of a type, as far as it is known: an edit is nothing new, whoever edits its report would
/// ask again with each.
fn is_of_type(kind: &EventKind, wanted: &str) -> bool {
    match kind {
        EventKind::Message(message) => match &message.kind {
            // The type of an event of an unknown type, or the `msgtype` of a message.
            MessageKind::Other(name) => name == wanted || wanted == MESSAGE,
            MessageKind::Attachment { msgtype, .. } if msgtype == STICKER => wanted == STICKER,
            MessageKind::Poll(_) => wanted == "m.poll.start" || wanted == "org.matrix.msc3381.poll.start",
            _ => wanted == MESSAGE,
        },
        EventKind::Reaction { .. } => wanted == "m.reaction",
        EventKind::Member(_) => wanted == "m.room.member",
        EventKind::LiveLocation(LiveLocation::At(_)) => wanted.ends_with(".beacon"),
        EventKind::LiveLocation(_) => wanted.ends_with(".beacon_info"),
        EventKind::RoomName(_) => wanted == "m.room.name",
        EventKind::RoomTopic(_) => wanted == "m.room.topic",
        EventKind::HistoryVisibility(_) => wanted == "m.room.history_visibility",
        EventKind::Other(name) => name == wanted && !UNWATCHED.contains(&wanted),
        EventKind::PollVote { .. } => wanted.ends_with("poll.response"),
        EventKind::PollEnd { .. } => wanted.ends_with("poll.end"),
        EventKind::Edit { .. } | EventKind::Redaction { .. } | EventKind::Redacted | EventKind::Undecryptable(_) => {
            false
        }
    }
}

/// Returns whether a message consists of words that somebody wrote. What an unknown `msgtype` holds are none; an event of
/// the wanted type may hold some.
fn has_words(message: &Message, wanted: &str) -> bool {
    let is_text = match &message.kind {
        MessageKind::Text | MessageKind::Notice | MessageKind::Emote | MessageKind::Card => true,
        MessageKind::Other(_) => wanted != MESSAGE,
        _ => false,
    };
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
            event: None,
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
            let expected = expected.then_some(Match::Words);
            assert_eq!(watch("FAILED|ERROR").matches(&event, &names), expected, "{event:?}");
        }
        let edit = EventKind::Edit {
            target: event_id!("$red").to_owned(),
            new: Message::text(red),
            newly_mentioned: BTreeSet::new(),
        };
        let edit = RoomEvent { kind: edit, ..said("@ci-bot:hs", Message::text(red)) };
        assert_eq!(watch("FAILED").matches(&edit, &names), None);
        let any = Watch { pattern: None, ..watch("x") };
        assert_eq!(any.matches(&said("@ci-bot:hs", Message::text("anything")), &names), Some(Match::Words));
        assert_eq!(any.matches(&said("@ci-bot:hs", Message::text(" \n")), &names), None);
    }

    #[test]
    fn c22_events_of_a_type_match_and_no_others() {
        let names = namespace();
        let of = |wanted: &str| Watch { event: Some(wanted.to_owned()), ..watch("red") };
        let event = |sender: &str, kind: EventKind| RoomEvent { kind, ..said(sender, Message::text("")) };
        let build = || EventKind::Other("org.example.build".to_owned());
        let spoken = Message { kind: MessageKind::Other("org.example.build".to_owned()), ..Message::text("it is red") };
        let topic = EventKind::RoomTopic("red".to_owned());
        for (wanted, sender, kind, expected) in [
            ("org.example.build", "@ci-bot:hs", build(), Some(Match::Event)),
            ("org.example.build", "@alice:hs", build(), None),
            ("org.example.build", "@workmate:hs", build(), None),
            ("org.example.build", "@ci-bot:hs", EventKind::Message(spoken.clone()), Some(Match::Words)),
            ("org.example.build", "@ci-bot:hs", EventKind::Message(Message::text("red")), None),
            ("org.example.other", "@ci-bot:hs", build(), None),
            ("m.room.topic", "@ci-bot:hs", topic.clone(), Some(Match::Event)),
            ("m.room.name", "@ci-bot:hs", topic, None),
            ("m.room.message", "@ci-bot:hs", EventKind::Message(Message::text("red")), Some(Match::Words)),
            ("m.room.message", "@ci-bot:hs", EventKind::Message(Message::text("green")), None),
            ("m.room.encrypted", "@ci-bot:hs", EventKind::Other("m.room.encrypted".to_owned()), None),
            ("org.example.build", "@ci-bot:hs", EventKind::Redacted, None),
        ] {
            let event = event(sender, kind);
            assert_eq!(of(wanted).matches(&event, &names), expected, "{wanted}: {event:?}");
        }
        // What such an event says is its content; a notice of ours announces it.
        let watch = of("org.example.build");
        assert!(watch.says(r#"{"state":"red"}"#) && !watch.says(r#"{"state":"green"}"#));
        let user = owned_user_id!("@coworker-ci:hs");
        let long = format!("{{\"a\":\"{}\"}}", "ü".repeat(PAYLOAD_BYTES_MAX));
        let errand = watch.errand_of_event(&event("@ci-bot:hs", build()), &long, &user, NOW);
        assert!(errand.is_announced() && errand.payload_cut && errand.request.is_none());
        assert!(errand.payload.is_some_and(|payload| payload.len() <= PAYLOAD_BYTES_MAX));
        assert_eq!(errand.of.as_deref(), Some(ruma::user_id!("@ci-bot:hs")));
    }

    #[test]
    fn c22_what_a_reply_quotes_is_not_what_it_says() {
        let reply = |body: &str| Message { reply_to: Some(event_id!("$ours").to_owned()), ..Message::text(body) };
        for (message, expected) in [
            (reply("> <@coworker-oncall:hs> the build FAILED\n\nThank you, noted."), None),
            (reply("> <@coworker-oncall:hs> the build\n> FAILED"), None),
            (reply("> <@coworker-oncall:hs> all is well\n\nno: it FAILED"), Some(Match::Words)),
            (reply("it FAILED"), Some(Match::Words)),
            // A bot that quotes its log where it replies to nothing says it.
            (Message::text("> FAILED"), Some(Match::Words)),
        ] {
            let event = said("@ci-bot:hs", message);
            assert_eq!(watch("FAILED").matches(&event, &namespace()), expected, "{event:?}");
        }
    }

    #[test]
    fn c22_a_message_that_several_watches_match_is_one_errand_with_all_their_tasks() {
        let bob = owned_user_id!("@bob:hs");
        let other =
            Watch { name: "b".to_owned(), task: "Tell Bob.".to_owned(), mention: [bob.clone()].into(), ..watch("x") };
        let (first, event) = (watch("x"), said("@ci-bot:hs", Message::text("x")));
        let user = owned_user_id!("@coworker-ci:hs");
        let both = Watch::errand_of_all(&[&first, &other], &event, Carriage::Plain, &user, NOW).expect("two match");
        assert_eq!((both.task.as_str(), both.mention.contains(&bob)), ("Digest it.\n\nTell Bob.", true));
        assert_eq!(both.id, first.errand(&event, Carriage::Plain, &user, NOW).id);
        assert_eq!(Watch::errand_of_all(&[], &event, Carriage::Plain, &user, NOW), None);
    }

    #[test]
    fn c22_patterns_are_bounded_and_a_faulty_one_is_told() {
        for bad in ["(", "a{1000000}", "(?:(?:a{100}){100}){100}", &"(".repeat(60)] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        // What makes other engines take for ever takes linear time.
        let evil = watch("(a+)+$");
        let long = said("@ci-bot:hs", Message::text(format!("{}!", "a".repeat(60_000))));
        assert_eq!(evil.matches(&long, &namespace()), None);
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

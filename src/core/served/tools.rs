//! What a connected program can call: names, descriptions, schemas, and arguments checked. All of it reads.

use ruma::{OwnedEventId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::{
    id,
    links::{self, Target},
    room_tools::{ArgumentError, given, shape, short, times, user},
    time::Timestamp,
};

/// Messages on a page unless the call says otherwise.
pub(crate) const MESSAGES_ON_PAGE: usize = 40;
/// Most messages on a page.
pub(crate) const MESSAGES_ON_PAGE_MAX: usize = 100;
/// Most messages given on each side of one.
pub(crate) const AROUND_MAX: usize = 20;
/// Longest id, alias or link that is looked at.
const NAME_BYTES_MAX: usize = 1_024;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConnectionTool {
    /// `rooms`
    Rooms,
    /// `room_read`
    Read,
    /// `room_search`
    Search,
    /// `thread_read`
    Thread,
    /// `message`
    Message,
    /// `room_members`
    Members,
}

/// A call with checked arguments. What names a room, an event or a place in a list is looked at later, where whatever is
/// not there and whatever is not allowed read the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The rooms that the owner and a coworker share.
    Rooms {
        /// A lower-case part of the name.
        name: Option<String>,
        /// Where to go on.
        cursor: Option<String>,
    },
    /// A room's messages, the newest page first.
    Read {
        /// The room.
        room: Named,
        /// How many.
        most: usize,
        /// Only those sent before.
        before: Option<Timestamp>,
        /// Where to go on.
        cursor: Option<String>,
    },
    /// A room's messages that hold all of the words, newest first.
    Search {
        /// The room.
        room: Named,
        /// Lower-case words.
        words: Vec<String>,
        /// The sender.
        sender: Option<OwnedUserId>,
        /// Sent at this time or later.
        from: Option<Timestamp>,
        /// Sent before this time.
        to: Option<Timestamp>,
        /// Where to go on.
        cursor: Option<String>,
    },
    /// A thread's messages, the newest page first.
    Thread {
        /// The room.
        room: Named,
        /// The thread's root, or a message in the thread.
        event: Named,
        /// Where to go on.
        cursor: Option<String>,
    },
    /// A message, and those around it.
    Message {
        /// The room.
        room: Named,
        /// The message.
        event: Named,
        /// How many on each side.
        around: usize,
    },
    /// A room's members.
    Members {
        /// The room.
        room: Named,
        /// A lower-case part of the name or id.
        name: Option<String>,
        /// Where to go on.
        cursor: Option<String>,
    },
}

/// What a client wrote to name a room or an event, not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named(String);

impl Named {
    /// Wraps a text.
    #[must_use]
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the room, and the event if it is a link to one; a local alias needs no server.
    #[must_use]
    pub(crate) fn room(&self, server: &ruma::ServerName) -> Option<Target> {
        let text = self.text()?;
        if text.starts_with('#') && !text.contains(':') {
            return links::target(&format!("{text}:{server}"));
        }
        links::target(text)
    }

    /// Returns the event.
    #[must_use]
    pub(crate) fn event(&self) -> Option<OwnedEventId> {
        let text = self.text()?;
        id::event(text).or_else(|| links::target(text)?.event)
    }

    fn text(&self) -> Option<&str> {
        let text = self.0.trim();
        (text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control)).then_some(text)
    }
}

impl ConnectionTool {
    /// All of them, in the order in which they are listed.
    pub(crate) const ALL: [Self; 6] =
        [Self::Rooms, Self::Read, Self::Search, Self::Thread, Self::Message, Self::Members];

    /// Returns the tool with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Returns its name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rooms => "rooms",
            Self::Read => "room_read",
            Self::Search => "room_search",
            Self::Thread => "thread_read",
            Self::Message => "message",
            Self::Members => "room_members",
        }
    }

    /// Returns its title for people.
    #[must_use]
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Rooms => "List my rooms",
            Self::Read => "Read a room",
            Self::Search => "Search a room",
            Self::Thread => "Read a thread",
            Self::Message => "Read a message",
            Self::Members => "List a room's members",
        }
    }

    /// Returns its description for the model.
    #[must_use]
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Rooms => {
                "Lists the chat rooms that can be read: those that the owner of this connection and a coworker of their \
                 workspace share. Begin here to find a room's id."
            }
            Self::Read => {
                "Reads a room's messages: the newest page, oldest message first. `next` of the answer, given as `cursor`, \
                 reads the page before it; `before` begins at a time."
            }
            Self::Search => {
                "Searches a room's messages for words that must all be in a message, newest first. A call looks back for a \
                 bounded time and says in `looked_back_to` how far; as long as the answer has `next`, calling again with it \
                 as `cursor` looks further back, whether or not anything was found so far."
            }
            Self::Thread => {
                "Reads a thread: its first message and its newest page. `next` of the answer, given as `cursor`, reads the \
                 page before it."
            }
            Self::Message => "Reads one message, with a few messages before and after it.",
            Self::Members => "Lists the members of a room with their names and user ids.",
        }
    }

    /// Returns the JSON schema of its arguments.
    #[must_use]
    pub(crate) fn input_schema(self) -> Value {
        let text = |what: &str| json!({ "type": "string", "description": what });
        let time = |what: &str| text(&format!("{what}; RFC 3339, e.g. 2026-03-01T09:00:00Z."));
        let room = text("The room: its id as `rooms` gives it, an alias such as #ops:example.org, or a link to it.");
        let event = text("The message: an `event_id`, or a link to it.");
        let cursor = text("What the answer before gave as `next`; the other arguments stay the same.");
        let number = |what: &str, least: usize, most: usize, usual: usize| json!({ "type": "integer", "minimum": least, "maximum": most, "default": usual, "description": what });
        let (properties, required): (Value, &[&str]) = match self {
            Self::Rooms => (json!({ "name": text("Part of the room's name."), "cursor": cursor }), &[]),
            Self::Read => (
                json!({
                    "room": room,
                    "limit": number("How many messages.", 1, MESSAGES_ON_PAGE_MAX, MESSAGES_ON_PAGE),
                    "before": time("Only messages sent before this time"),
                    "cursor": cursor,
                }),
                &["room"],
            ),
            Self::Search => (
                json!({
                    "room": room,
                    "text": text("Words that must all be in the message, in any order and case."),
                    "sender": text("Only messages of this full user id, e.g. @alice:example.org."),
                    "from": time("Only messages sent at this time or later"),
                    "to": time("Only messages sent before this time"),
                    "cursor": cursor,
                }),
                &["room", "text"],
            ),
            Self::Thread => (
                json!({
                    "room": room,
                    "event": text("The thread's first message, or any message in it: an `event_id`, or a link to it."),
                    "cursor": cursor,
                }),
                &["room", "event"],
            ),
            Self::Message => (
                json!({
                    "room": room,
                    "event": event,
                    "around": number("How many messages before and after it.", 0, AROUND_MAX, 3),
                }),
                &["room", "event"],
            ),
            Self::Members => {
                (json!({ "room": room, "name": text("Part of the name or user id."), "cursor": cursor }), &["room"])
            }
        };
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    /// Checks a call's arguments.
    ///
    /// # Errors
    /// A text for the model: which argument is wrong, and what it should be. It depends on nothing that is stored.
    pub(crate) fn ask(self, arguments: &Value) -> Result<Ask, ArgumentError> {
        let raw: Raw = shape(arguments)?;
        if let Some(unknown) = self.unknown(&raw) {
            return Err(ArgumentError::Shape(format!("there is no `{unknown}`")));
        }
        let cursor = raw.cursor.as_ref().map(|value| word(value, "cursor")).transpose()?;
        let room = || given(raw.room.as_ref(), "room").and_then(|value| word(value, "room")).map(Named);
        let event = || given(raw.event.as_ref(), "event").and_then(|value| word(value, "event")).map(Named);
        let name = short(raw.name.as_ref(), "name")?.map(str::to_lowercase);
        Ok(match self {
            Self::Rooms => Ask::Rooms { name, cursor },
            Self::Read => Ask::Read {
                room: room()?,
                most: number(raw.limit.as_ref(), "limit", 1, MESSAGES_ON_PAGE_MAX, MESSAGES_ON_PAGE)?,
                before: times(None, raw.before.as_ref())?.1,
                cursor,
            },
            Self::Search => {
                let (from, to) = times(raw.from.as_ref(), raw.to.as_ref())?;
                let text = short(Some(given(raw.text.as_ref(), "text")?), "text")?.unwrap_or_default();
                let words: Vec<String> = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
                if words.is_empty() {
                    return Err(ArgumentError::Missing("text"));
                }
                Ask::Search { room: room()?, words, sender: user(raw.sender.as_ref(), "sender")?, from, to, cursor }
            }
            Self::Thread => Ask::Thread { room: room()?, event: event()?, cursor },
            Self::Message => Ask::Message {
                room: room()?,
                event: event()?,
                around: number(raw.around.as_ref(), "around", 0, AROUND_MAX, 3)?,
            },
            Self::Members => Ask::Members { room: room()?, name, cursor },
        })
    }

    /// Returns an argument that this tool does not have.
    fn unknown(self, raw: &Raw) -> Option<&'static str> {
        let schema = self.input_schema();
        let all = [
            ("room", &raw.room),
            ("event", &raw.event),
            ("text", &raw.text),
            ("sender", &raw.sender),
            ("from", &raw.from),
            ("to", &raw.to),
            ("before", &raw.before),
            ("limit", &raw.limit),
            ("around", &raw.around),
            ("name", &raw.name),
            ("cursor", &raw.cursor),
        ];
        let is_there = |name: &str| schema["properties"].get(name).is_some();
        all.into_iter().find(|(name, value)| value.is_some() && !is_there(name)).map(|(name, _)| name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    room: Option<Value>,
    event: Option<Value>,
    text: Option<Value>,
    sender: Option<Value>,
    from: Option<Value>,
    to: Option<Value>,
    before: Option<Value>,
    limit: Option<Value>,
    around: Option<Value>,
    name: Option<Value>,
    cursor: Option<Value>,
}

fn word(value: &Value, name: &'static str) -> Result<String, ArgumentError> {
    let text = value.as_str().map(ToOwned::to_owned);
    text.ok_or_else(|| ArgumentError::wrong(name, "a text"))
}

fn number(
    value: Option<&Value>,
    name: &'static str,
    least: usize,
    most: usize,
    usual: usize,
) -> Result<usize, ArgumentError> {
    let Some(value) = value else { return Ok(usual) };
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| ArgumentError::wrong(name, format!("a whole number from {least} to {most}")))
}

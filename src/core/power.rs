//! Power levels in a room, entry by entry, by the room's version (client-server API v1.17, "m.room.power_levels"; room
//! versions 1, 10, 11 and 12).
//!
//! People write the entries, so each is read alone. An unreadable entry gives nobody power, takes none from others, and
//! never counts as missing. The creator has the specification's default power only if the room has no such event at
//! all.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};

/// A creator's level if nothing is set.
const CREATOR: i64 = 100;
/// The level for redacting others' messages if nothing is set.
const REDACT: i64 = 50;
/// The level of a user with an unreadable entry: below any entry.
const NOTHING: i64 = i64::MIN;
/// The level required by an unreadable entry: above any entry. Creators since version 12 still have it.
const OUT_OF_REACH: i64 = i64::MAX;
/// The largest magnitude of an integer in canonical JSON.
const CANONICAL_MAX: i64 = (1 << 53) - 1;

/// A room version's rules about power and redactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own that a version has or has not")]
pub struct Version {
    /// Whether levels may be strings and non-integers (until version 9).
    pub lenient_levels: bool,
    /// Whether the creator is named in the creation event's content (until version 10), and not by its sender.
    pub creator_in_content: bool,
    /// Whether a redaction names its target in its content (since version 11), and not beside it.
    pub redacts_in_content: bool,
    /// Whether creators outrank every level, whatever the entries say (since version 12).
    pub creators_above_all: bool,
}

impl Version {
    /// Returns a room version's rules by its id; `None` if the version is unknown.
    #[must_use]
    pub fn of(id: &str) -> Option<Self> {
        let number: u8 = id.parse().ok().filter(|_| !id.starts_with(['0', '+']))?;
        (1..=12).contains(&number).then_some(Self {
            lenient_levels: number <= 9,
            creator_in_content: number <= 10,
            redacts_in_content: number >= 11,
            creators_above_all: number >= 12,
        })
    }
}

/// The parts of a room's state that decide about power.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The rules of the room's version; `None` if it is unknown.
    pub version: Option<Version>,
    /// The sender of `m.room.create`, as the homeserver vouches for it, and the content.
    pub creation: Option<(&'a UserId, &'a Value)>,
    /// The content of `m.room.power_levels`, valid or not; `None` if the room has no such event.
    pub levels: Option<&'a Value>,
}

/// A room's power levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    users: BTreeMap<OwnedUserId, i64>,
    users_default: i64,
    /// The creators, if they outrank every level.
    above_all: BTreeSet<OwnedUserId>,
    redact: i64,
    /// Required levels of non-state event types that have an entry.
    events: BTreeMap<String, i64>,
    events_default: i64,
}

/// The event types of messages.
const SAID_WITH: [&str; 2] = ["m.room.message", "m.room.encrypted"];

impl Levels {
    /// Reads the levels from the room's state.
    #[must_use]
    pub fn of(state: &State<'_>) -> Self {
        let above = state.version.is_some_and(|version| version.creators_above_all);
        let above_all = if above { creators(state) } else { BTreeSet::new() };
        let Some(content) = state.levels else { return Self::without_event(state, above_all) };
        let Some(content) = content.as_object() else { return Self::unreadable(above_all) };
        let lenient = state.version.is_some_and(|version| version.lenient_levels);
        let named = |name: &str, missing: i64, unreadable: i64| match entry(content, name, lenient) {
            Entry::Missing => missing,
            Entry::Level(level) => level,
            Entry::Unreadable => unreadable,
        };
        let (users, users_default) = match content.get("users") {
            None => (BTreeMap::new(), named("users_default", 0, NOTHING)),
            Some(Value::Object(users)) => (levels_of(users, lenient), named("users_default", 0, NOTHING)),
            // The entries are unreadable, so nobody may be assumed to have any level.
            Some(_) => (BTreeMap::new(), NOTHING),
        };
        let events_default = named("events_default", 0, OUT_OF_REACH);
        let (events, events_default) = match content.get("events") {
            None | Some(Value::Null) => (BTreeMap::new(), events_default),
            Some(Value::Object(events)) => (needed(events, lenient), events_default),
            Some(_) => (BTreeMap::new(), OUT_OF_REACH),
        };
        Self { users, users_default, above_all, redact: named("redact", REDACT, OUT_OF_REACH), events, events_default }
    }

    /// Returns a user's level.
    #[must_use]
    pub fn of_user(&self, user: &UserId) -> i64 {
        if self.above_all.contains(user) {
            return i64::MAX;
        }
        self.users.get(user).copied().unwrap_or(self.users_default)
    }

    /// Returns whether a user may redact others' messages.
    #[must_use]
    pub fn may_redact(&self, user: &UserId) -> bool {
        self.of_user(user) >= self.redact
    }

    /// Returns whether a user may send a non-state event of this type.
    #[must_use]
    pub fn may_send(&self, user: &UserId, event_type: &str) -> bool {
        self.of_user(user) >= self.events.get(event_type).copied().unwrap_or(self.events_default)
    }

    /// Returns whether a user may send messages, encrypted or not.
    #[must_use]
    pub fn may_speak(&self, user: &UserId) -> bool {
        SAID_WITH.iter().all(|event_type| self.may_send(user, event_type))
    }

    fn without_event(state: &State<'_>, above_all: BTreeSet<OwnedUserId>) -> Self {
        let users = match state.version {
            Some(version) if !version.creators_above_all => creators(state),
            _ => BTreeSet::new(),
        };
        let users = users.into_iter().map(|user| (user, CREATOR)).collect();
        Self { users, users_default: 0, above_all, redact: REDACT, events: BTreeMap::new(), events_default: 0 }
    }

    fn unreadable(above_all: BTreeSet<OwnedUserId>) -> Self {
        let (users, events) = (BTreeMap::new(), BTreeMap::new());
        Self { users, users_default: NOTHING, above_all, redact: OUT_OF_REACH, events, events_default: OUT_OF_REACH }
    }
}

fn creators(state: &State<'_>) -> BTreeSet<OwnedUserId> {
    let (Some((sender, content)), Some(version)) = (state.creation, state.version) else { return BTreeSet::new() };
    let parsed = |value: &Value| value.as_str().and_then(|user| UserId::parse(user).ok());
    if version.creator_in_content {
        return content.get("creator").and_then(parsed).into_iter().collect();
    }
    let additional = content.get("additional_creators").and_then(Value::as_array);
    let additional = additional.into_iter().flatten().filter(|_| version.creators_above_all).filter_map(parsed);
    additional.chain([sender.to_owned()]).collect()
}

fn levels_of(users: &Map<String, Value>, lenient: bool) -> BTreeMap<OwnedUserId, i64> {
    let entries = users.keys().filter_map(|name| {
        let user = UserId::parse(name.as_str()).ok()?;
        match entry(users, name, lenient) {
            Entry::Missing => None,
            Entry::Level(level) => Some((user, level)),
            Entry::Unreadable => Some((user, NOTHING)),
        }
    });
    entries.collect()
}

fn needed(events: &Map<String, Value>, lenient: bool) -> BTreeMap<String, i64> {
    let entries = events.keys().filter_map(|name| match entry(events, name, lenient) {
        Entry::Missing => None,
        Entry::Level(level) => Some((name.clone(), level)),
        Entry::Unreadable => Some((name.clone(), OUT_OF_REACH)),
    });
    entries.collect()
}

enum Entry {
    Missing,
    Level(i64),
    Unreadable,
}

/// Reads one level. Synapse treats `null` as missing.
fn entry(entries: &Map<String, Value>, name: &str, lenient: bool) -> Entry {
    let level = match entries.get(name) {
        None | Some(Value::Null) => return Entry::Missing,
        Some(Value::Number(number)) => match number.as_i64() {
            Some(level) if lenient || level.abs() <= CANONICAL_MAX => Some(level),
            _ if lenient => number.as_f64().map(truncated),
            _ => None,
        },
        Some(Value::String(text)) if lenient => in_words(text),
        Some(Value::Bool(value)) if lenient => Some(i64::from(*value)),
        Some(_) => None,
    };
    level.map_or(Entry::Unreadable, Entry::Level)
}

/// Truncates to an integer, as homeservers do until version 9, clamped to the range of levels.
#[expect(clippy::cast_possible_truncation, reason = "what is beyond the range saturates, which is what is wanted")]
fn truncated(level: f64) -> i64 {
    level as i64
}

/// Parses a level given as a string: whitespace around it, a sign, ASCII digits (client-server API, "Power levels
/// accepted as strings").
fn in_words(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let beyond = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(beyond))
}

#[cfg(test)]
mod tests;

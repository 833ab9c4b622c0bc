//! The room tools' arguments from the model: checked, with errors that it can correct.

use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::core::{id, notes::NOTE_CHARS_MAX, time::Timestamp};

/// Most characters of a search text.
const TEXT_CHARS_MAX: usize = 200;

/// What is wrong with a call's arguments, in words for the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// The arguments as a whole are malformed.
    #[error("the arguments are not as the tool's schema says: {0}")]
    Shape(String),
    /// An argument has the wrong form.
    #[error("`{name}` must be {expected}")]
    Wrong {
        /// The argument's name.
        name: &'static str,
        /// The required form.
        expected: String,
    },
    /// A required argument is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// There is nothing to search for.
    #[error("give at least one of `text`, `sender`, `from`, `to`, `thread`")]
    NothingAsked,
    /// The time range ends before it begins.
    #[error("`to` must be later than `from`")]
    EmptyRange,
}

impl ArgumentError {
    pub(in crate::core) fn wrong(name: &'static str, expected: impl Into<String>) -> Self {
        Self::Wrong { name, expected: expected.into() }
    }
}

/// A search; a `None` matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Lower-case words that a message must all contain.
    pub words: Vec<String>,
    /// The message's sender.
    pub sender: Option<OwnedUserId>,
    /// Sent at this time or later.
    pub from: Option<Timestamp>,
    /// Sent before this time.
    pub to: Option<Timestamp>,
    /// The thread's root, which belongs to the thread.
    pub thread: Option<OwnedEventId>,
    /// Continue after this message, the previous page's `next`.
    pub page: Option<OwnedEventId>,
}

/// A stretch to read; a `None` matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// Sent at this time or later.
    pub from: Option<Timestamp>,
    /// Sent before this time.
    pub to: Option<Timestamp>,
    /// The thread's root, which belongs to the thread.
    pub thread: Option<OwnedEventId>,
    /// Continue after this message, the previous page's `next`.
    pub page: Option<OwnedEventId>,
}

/// Which members to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MembersQuery {
    /// A lower-case part of the name or user id.
    pub name: Option<String>,
    /// Continue after this member, the previous page's `next`.
    pub page: Option<OwnedUserId>,
}

impl Query {
    pub(super) fn parse(arguments: &Value) -> Result<Self, ArgumentError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            text: Option<Value>,
            sender: Option<Value>,
            from: Option<Value>,
            to: Option<Value>,
            thread: Option<Value>,
            page: Option<Value>,
        }
        let raw: Raw = shape(arguments)?;
        let text = short(raw.text.as_ref(), "text")?.unwrap_or_default().to_lowercase();
        let (from, to) = times(raw.from.as_ref(), raw.to.as_ref())?;
        let query = Self {
            words: text.split_whitespace().map(str::to_owned).collect(),
            sender: user(raw.sender.as_ref(), "sender")?,
            from,
            to,
            thread: event(raw.thread.as_ref(), "thread")?,
            page: event(raw.page.as_ref(), "page")?,
        };
        let unbounded = Self { page: query.page.clone(), ..Self::default() };
        if query == unbounded { Err(ArgumentError::NothingAsked) } else { Ok(query) }
    }
}

impl Range {
    pub(super) fn parse(arguments: &Value) -> Result<Self, ArgumentError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            from: Option<Value>,
            to: Option<Value>,
            thread: Option<Value>,
            page: Option<Value>,
        }
        let raw: Raw = shape(arguments)?;
        let (from, to) = times(raw.from.as_ref(), raw.to.as_ref())?;
        let (thread, page) = (event(raw.thread.as_ref(), "thread")?, event(raw.page.as_ref(), "page")?);
        Ok(Self { from, to, thread, page })
    }
}

impl MembersQuery {
    pub(super) fn parse(arguments: &Value) -> Result<Self, ArgumentError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            name: Option<Value>,
            page: Option<Value>,
        }
        let raw: Raw = shape(arguments)?;
        let name = short(raw.name.as_ref(), "name")?.map(str::to_lowercase);
        Ok(Self { name, page: user(raw.page.as_ref(), "page")? })
    }
}

/// Parses the text of a `note_add`.
pub(super) fn note_text(arguments: &Value) -> Result<String, ArgumentError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        text: Option<Value>,
    }
    let raw: Raw = shape(arguments)?;
    let expected = || format!("a text of 1 to {NOTE_CHARS_MAX} characters");
    let text = given(raw.text.as_ref(), "text")?.as_str().map(str::trim).filter(|text| !text.is_empty());
    match text.filter(|text| text.chars().count() <= NOTE_CHARS_MAX) {
        Some(text) => Ok(text.to_owned()),
        None => Err(ArgumentError::wrong("text", expected())),
    }
}

/// Parses the number of a `note_remove`.
pub(super) fn note_number(arguments: &Value) -> Result<u32, ArgumentError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        number: Option<Value>,
    }
    let raw: Raw = shape(arguments)?;
    let number = given(raw.number.as_ref(), "number")?.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| ArgumentError::wrong("number", "a note's number, e.g. 3; note_list shows them"))
}

/// Checks that there are no arguments.
pub(super) fn none(arguments: &Value) -> Result<(), ArgumentError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {}
    shape::<Raw>(arguments).map(|_| ())
}

pub(in crate::core) fn shape<T: DeserializeOwned>(arguments: &Value) -> Result<T, ArgumentError> {
    if !arguments.is_object() {
        return Err(ArgumentError::Shape("an object is expected".to_owned()));
    }
    T::deserialize(arguments).map_err(|error| ArgumentError::Shape(error.to_string()))
}

pub(in crate::core) fn given<'a>(value: Option<&'a Value>, name: &'static str) -> Result<&'a Value, ArgumentError> {
    value.ok_or(ArgumentError::Missing(name))
}

pub(in crate::core) fn short<'a>(
    value: Option<&'a Value>,
    name: &'static str,
) -> Result<Option<&'a str>, ArgumentError> {
    let Some(value) = value else { return Ok(None) };
    let text = value.as_str().filter(|text| text.chars().count() <= TEXT_CHARS_MAX);
    text.map(Some).ok_or_else(|| ArgumentError::wrong(name, format!("a text of at most {TEXT_CHARS_MAX} characters")))
}

pub(in crate::core) fn user(value: Option<&Value>, name: &'static str) -> Result<Option<OwnedUserId>, ArgumentError> {
    let Some(value) = value else { return Ok(None) };
    let user = value.as_str().and_then(id::user);
    let expected = "a full user id, e.g. \"@alice:example.org\"; room_members lists them";
    user.map(Some).ok_or_else(|| ArgumentError::wrong(name, expected))
}

fn event(value: Option<&Value>, name: &'static str) -> Result<Option<OwnedEventId>, ArgumentError> {
    let Some(value) = value else { return Ok(None) };
    let event = value.as_str().and_then(id::event);
    let expected = "an event id as a record's `event_id` gives it, e.g. \"$aBc…\"";
    event.map(Some).ok_or_else(|| ArgumentError::wrong(name, expected))
}

pub(in crate::core) fn times(
    from: Option<&Value>,
    to: Option<&Value>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), ArgumentError> {
    let (from, to) = (time(from, "from")?, time(to, "to")?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(ArgumentError::EmptyRange);
    }
    Ok((from, to))
}

fn time(value: Option<&Value>, name: &'static str) -> Result<Option<Timestamp>, ArgumentError> {
    let Some(value) = value else { return Ok(None) };
    let time = value.as_str().and_then(|text| text.trim().parse::<jiff::Timestamp>().ok());
    time.map(|time| Some(Timestamp::from_ms(time.as_millisecond())))
        .ok_or_else(|| ArgumentError::wrong(name, "RFC 3339 with its zone, e.g. \"2026-03-01T09:00:00Z\""))
}

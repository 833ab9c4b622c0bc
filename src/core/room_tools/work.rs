//! The arguments of `schedule_add`.

use serde::Deserialize;
use serde_json::Value;

use super::arguments::{ArgumentError, given, shape};
use crate::core::{
    batch::{Hours, WITHIN_HOURS},
    timetable::{TASK_CHARS_MAX, TEXT_CHARS_MAX},
    zone::Zone,
};

/// Work at set times that a member wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewWork {
    /// When, as it was said.
    pub when: String,
    /// The IANA zone whose wall clock counts; `None` for that of who asks.
    pub zone: Option<String>,
    /// What is to be done each time.
    pub task: String,
    /// Whether it stays silent where nobody wrote since it ran.
    pub only_if_new_messages: bool,
    /// Whether its answers mention who set it up.
    pub mention: bool,
    /// How many hours the answer may take, if it may wait: at half price.
    pub answer_within_hours: Option<u32>,
}

impl NewWork {
    /// Checks the arguments of a call.
    ///
    /// # Errors
    /// A text for the model.
    pub(crate) fn parse(arguments: &Value) -> Result<Self, ArgumentError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            when: Option<Value>,
            zone: Option<Value>,
            task: Option<Value>,
            only_if_new_messages: Option<Value>,
            mention: Option<Value>,
            answer_within_hours: Option<Value>,
        }
        let raw: Raw = shape(arguments)?;
        let zone = match &raw.zone {
            None => None,
            Some(zone) => {
                let named = zone.as_str().filter(|name| Zone::named(name).is_some());
                let expected = "an IANA time zone, e.g. \"Europe/Berlin\"";
                Some(named.ok_or_else(|| ArgumentError::wrong("zone", expected))?.to_owned())
            }
        };
        Ok(Self {
            when: text(raw.when.as_ref(), "when", TEXT_CHARS_MAX)?,
            zone,
            task: text(raw.task.as_ref(), "task", TASK_CHARS_MAX)?,
            only_if_new_messages: truth(raw.only_if_new_messages.as_ref(), "only_if_new_messages")?,
            mention: truth(raw.mention.as_ref(), "mention")?,
            answer_within_hours: raw.answer_within_hours.as_ref().map(hours).transpose()?,
        })
    }
}

fn text(value: Option<&Value>, name: &'static str, chars_max: usize) -> Result<String, ArgumentError> {
    let text = given(value, name)?.as_str().map(str::trim).filter(|text| !text.is_empty());
    match text.filter(|text| text.chars().count() <= chars_max) {
        Some(text) => Ok(text.to_owned()),
        None => Err(ArgumentError::wrong(name, format!("a text of 1 to {chars_max} characters"))),
    }
}

fn hours(value: &Value) -> Result<u32, ArgumentError> {
    let Hours { min, max, .. } = WITHIN_HOURS;
    let hours = value.as_u64().and_then(|hours| u32::try_from(hours).ok()).filter(|hours| (min..=max).contains(hours));
    hours.ok_or_else(|| ArgumentError::wrong("answer_within_hours", format!("a whole number from {min} to {max}")))
}

fn truth(value: Option<&Value>, name: &'static str) -> Result<bool, ArgumentError> {
    match value {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| ArgumentError::wrong(name, "true or false")),
    }
}

//! An owner's reminders, and what their assistant does for them at set times (A12): made by them alone, kept under their
//! key, each delivered once.

use serde::{Deserialize, Serialize};

use super::{
    due::{Owing, next_due, owing},
    phrase::{Meant, Reading, TEXT_CHARS_MAX},
    when::{EVERY_MS_MIN, Rule, When, WhenError},
};
use crate::core::{time::Timestamp, zone::Zone};

/// Most reminders of one owner.
pub(super) const REMINDERS_MAX: usize = 50;
/// Most characters of what is reminded of.
pub(crate) const REMINDER_CHARS_MAX: usize = 1_000;
/// How late a reminder that comes again and again may be, in milliseconds: a day. One that comes once is never skipped.
pub(super) const REMINDER_GRACE_MS: u64 = 24 * 60 * 60 * 1_000;

/// A reminder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reminder {
    /// Its number, from 1; not used again while there are others.
    pub number: u32,
    /// What is reminded of.
    pub text: String,
    /// Whether the text is a task, which the assistant does instead of saying it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_task: bool,
    /// When it is due.
    pub when: When,
    /// The IANA zone whose wall clock counts; UTC if none.
    #[serde(default)]
    pub zone: Option<String>,
    /// Up to when its due times are handled.
    pub until: Timestamp,
    /// What made it; the same cause makes no second one.
    #[serde(default)]
    pub cause: String,
}

/// An owner's reminders, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reminders {
    #[serde(default)]
    list: Vec<Reminder>,
    /// The highest number given out.
    #[serde(default)]
    last: u32,
    /// The zone that the owner named, where their profile names none.
    #[serde(default)]
    pub zone: Option<String>,
}

/// What an owner is reminded of, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// When.
    pub when: When,
    /// Of what, or what is to be done.
    pub text: String,
    /// See [`Reminder::is_task`].
    pub is_task: bool,
    /// The zone whose wall clock counts, where they named one.
    pub zone: Option<Zone>,
}

/// Why there is no reminder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReminderError {
    /// The time is not understood, or never comes.
    #[error("{0}")]
    When(#[from] WhenError),
    /// It says nothing to be reminded of.
    #[error("say what to remind you of, for example `!remind 10m tea`")]
    NoText,
    /// It says nothing to be done.
    #[error("say what I should do then, for example `!schedule every friday at 16:00 plan my week with me`")]
    NoTask,
    /// The text is too long.
    #[error("a reminder has at most {REMINDER_CHARS_MAX} characters")]
    LongText,
    /// It would come too often.
    #[error("it would come more often than every {} minutes", EVERY_MS_MIN / 60_000)]
    TooOften,
    /// There are too many.
    #[error("you have {REMINDERS_MAX} reminders, which is the most; `!unremind 1` ends one")]
    Full,
}

impl Asked {
    /// Reads what follows `!remind`: `10m tea`, `me tomorrow at ten to call Anna`, `tea in 10 minutes`.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn parse(said: &str, reading: &Reading<'_>) -> Result<Self, ReminderError> {
        let said = without_word(said.trim(), "me");
        if said.chars().count() > TEXT_CHARS_MAX + REMINDER_CHARS_MAX {
            return Err(ReminderError::LongText);
        }
        let Some((meant, text)) = When::split_off(said, reading) else {
            return Err(ReminderError::When(When::fault_in(said, reading)));
        };
        let text = without_word(without_word(text, "to"), "that").trim();
        if text.is_empty() { Err(ReminderError::NoText) } else { Ok(Self::meant(meant, text, false)) }
    }

    /// Reads what follows `!schedule`: when, and what the assistant is to do then.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_task(said: &str, reading: &Reading<'_>) -> Result<Self, ReminderError> {
        match Self::parse(said, reading) {
            Ok(asked) => Ok(Self { is_task: true, ..asked }),
            Err(ReminderError::NoText) => Err(ReminderError::NoTask),
            Err(why) => Err(why),
        }
    }

    /// Reads what a tool is called with.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn of(when: &str, text: &str, is_task: bool, reading: &Reading<'_>) -> Result<Self, ReminderError> {
        Ok(Self::meant(When::parse(when, reading)?, text, is_task))
    }

    fn meant(meant: Meant, text: &str, is_task: bool) -> Self {
        Self { when: meant.when, text: text.to_owned(), is_task, zone: meant.names_zone.then_some(meant.zone) }
    }

    /// Returns the zone whose wall clock counts; `own` where they named none.
    #[must_use]
    pub(crate) fn zone_or<'z>(&'z self, own: &'z Zone) -> &'z Zone {
        self.zone.as_ref().unwrap_or(own)
    }

    /// Returns whether what `read` reads is the same moment in every zone, as in 20 minutes.
    #[must_use]
    pub(crate) fn is_same_everywhere(
        read: impl Fn(&Reading<'_>) -> Result<Self, ReminderError>,
        now: Timestamp,
    ) -> bool {
        let at = |zone: &str| {
            let zone = Zone::named(zone)?;
            read(&Reading { zone: &zone, now }).ok()
        };
        at("Pacific/Kiritimati") == at("Pacific/Pago_Pago")
            && at("UTC").is_none_or(|asked| asked.zone.is_some() || matches!(asked.when, When::At(_)))
    }
}

impl Reminder {
    /// Returns its rule.
    ///
    /// # Errors
    /// If the stored expression is not understood any more.
    pub(crate) fn rule(&self) -> Result<Rule, WhenError> {
        Rule::of(&self.when, &Zone::stored(self.zone.as_deref()))
    }

    /// Returns what it owes now.
    ///
    /// # Errors
    /// As [`Self::rule`].
    pub(crate) fn owing(&self, now: Timestamp) -> Result<Owing, WhenError> {
        let rule = self.rule()?;
        let grace_ms = if rule.repeats() { REMINDER_GRACE_MS } else { u64::MAX };
        Ok(owing(&rule, self.until, grace_ms, now))
    }

    /// Returns when it is due next; `None` if it never is again.
    #[must_use]
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        next_due(&self.rule().ok()?, self.until, now)
    }
}

impl Reminders {
    /// Returns the reminders, oldest first.
    #[must_use]
    pub(crate) fn list(&self) -> &[Reminder] {
        &self.list
    }

    /// Returns the reminder with this number.
    #[must_use]
    pub(crate) fn get(&self, number: u32) -> Option<&Reminder> {
        self.list.iter().find(|one| one.number == number)
    }

    /// Adds a reminder and returns it; the existing one if the cause is known.
    ///
    /// # Errors
    /// [`ReminderError`]; nothing is changed then.
    pub(crate) fn add(
        &mut self,
        asked: &Asked,
        zone: &Zone,
        cause: &str,
        now: Timestamp,
    ) -> Result<Reminder, ReminderError> {
        if let Some(known) = self.list.iter().find(|known| !cause.is_empty() && known.cause == cause) {
            return Ok(known.clone());
        }
        check_reminder(asked, zone, now)?;
        if self.list.len() >= REMINDERS_MAX {
            return Err(ReminderError::Full);
        }
        self.last = self.last.saturating_add(1);
        let added = Reminder {
            number: self.last,
            text: asked.text.trim().to_owned(),
            is_task: asked.is_task,
            when: asked.when.clone(),
            zone: asked.zone_or(zone).name().map(ToOwned::to_owned),
            until: now,
            cause: cause.to_owned(),
        };
        self.list.push(added.clone());
        Ok(added)
    }

    /// Removes what earlier wordings of a request made, and returns their numbers. The causes of all begin with the
    /// request, those of its present wording with `wording`.
    pub(crate) fn replace(&mut self, request: &str, wording: &str) -> Vec<u32> {
        let is_old = |one: &Reminder| is_of(&one.cause, request) && !is_of(&one.cause, wording);
        let old: Vec<u32> = self.list.iter().filter(|one| is_old(one)).map(|one| one.number).collect();
        self.list.retain(|one| !old.contains(&one.number));
        old
    }

    /// Removes what a request made, whatever its wording, and returns the numbers.
    pub(crate) fn take_back(&mut self, request: &str) -> Vec<u32> {
        let (taken, kept) = std::mem::take(&mut self.list).into_iter().partition(|one| is_of(&one.cause, request));
        self.list = kept;
        let taken: Vec<Reminder> = taken;
        taken.iter().map(|one| one.number).collect()
    }

    /// Removes the reminder with this number and returns it.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Reminder> {
        let at = self.list.iter().position(|one| one.number == number)?;
        Some(self.list.remove(at))
    }

    /// Notes up to when a reminder's due times are handled; one that never comes again goes.
    pub(crate) fn handled(&mut self, number: u32, until: Timestamp) {
        let Some(one) = self.list.iter_mut().find(|one| one.number == number) else { return };
        one.until = until;
        if one.next(until).is_none() {
            self.remove(number);
        }
    }
}

/// Checks what an owner wants, and returns when it would be due.
///
/// # Errors
/// [`ReminderError`].
pub(crate) fn check_reminder(asked: &Asked, zone: &Zone, now: Timestamp) -> Result<Rule, ReminderError> {
    if asked.text.trim().is_empty() {
        return Err(if asked.is_task { ReminderError::NoTask } else { ReminderError::NoText });
    }
    if asked.text.chars().count() > REMINDER_CHARS_MAX {
        return Err(ReminderError::LongText);
    }
    let rule = Rule::of(&asked.when, asked.zone_or(zone))?;
    if rule.is_too_often(now)? { Err(ReminderError::TooOften) } else { Ok(rule) }
}

/// Returns whether a cause is this one, or a part of it that stands behind a line.
pub(super) fn is_of(cause: &str, whole: &str) -> bool {
    cause.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
}

/// Returns a text without this word at its start.
fn without_word<'t>(text: &'t str, word: &str) -> &'t str {
    match text.split_once(char::is_whitespace) {
        Some((first, rest)) if first.eq_ignore_ascii_case(word) => rest.trim_start(),
        _ => text,
    }
}

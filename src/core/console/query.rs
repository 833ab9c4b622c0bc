//! What a page of the console is asked for, read from its address and written into links.

use std::str::FromStr as _;

use ruma::{OwnedRoomId, OwnedUserId};
use url::form_urlencoded;

use crate::core::{
    audit::{Bound, By, Day, Filter, RunKey, moment, outcome_named},
    id,
    time::Timestamp,
    zone::Zone,
};

/// Most bytes of an address' query; a filter needs far fewer.
pub(crate) const QUERY_BYTES_MAX: usize = 4 << 10;
/// Runs on one page.
pub(crate) const PAGE_RUNS: usize = 50;

/// The fields of the filter of runs, in their order in the form.
pub(crate) const FIELDS: [&str; 7] = ["coworker", "outcome", "room", "person", "tool", "since", "until"];

/// Which runs are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What they must match.
    pub filter: Filter,
    /// Show those before this one; `None` for the newest.
    pub before: Option<RunKey>,
    /// The fields as they were written, to show them again.
    pub written: Vec<(&'static str, String)>,
    /// What is wrong with a field, in words.
    pub faults: Vec<(&'static str, String)>,
}

impl Asked {
    /// Reads a query. A field that cannot be read matches nothing less: it is left out, and said.
    #[must_use]
    pub(crate) fn read(query: &str, now: Timestamp) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            if name == "before" {
                asked.before = key_of(value);
            }
            let Some(field) = FIELDS.into_iter().find(|field| *field == name) else { continue };
            if value.is_empty() || asked.written.iter().any(|(written, _)| *written == field) {
                continue;
            }
            asked.written.push((field, value.to_owned()));
            if let Err(fault) = asked.set(field, value, now) {
                asked.faults.push((field, fault));
            }
        }
        asked
    }

    fn set(&mut self, field: &str, value: &str, now: Timestamp) -> Result<(), String> {
        let filter = &mut self.filter;
        match field {
            "coworker" => filter.coworker = Some(value.to_owned()),
            "outcome" => filter.outcome = Some(outcome_named(value)?),
            "room" => filter.room = Some(room(value).ok_or("not a room's id, such as !abc:example.org")?),
            "person" => filter.person = Some(person(value).ok_or("not a full user id, such as @alice:example.org")?),
            "tool" => filter.tool = Some(value.to_owned()),
            "since" => filter.since = Some(moment(value, Bound::Since, now)?),
            _ => filter.until = Some(moment(value, Bound::Until, now)?),
        }
        Ok(())
    }

    /// Returns what was written in a field.
    #[must_use]
    pub(crate) fn written(&self, field: &str) -> &str {
        self.written.iter().find(|(name, _)| *name == field).map_or("", |(_, value)| value)
    }

    /// Returns the query that asks for the same, before this run.
    #[must_use]
    pub(crate) fn query(&self, before: Option<&RunKey>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.written);
        if let Some(before) = before {
            query.append_pair("before", &key_written(before));
        }
        query.finish()
    }
}

/// Returns the query that filters by one field.
#[must_use]
pub(crate) fn only(field: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(field, value).finish()
}

/// Returns a run's key as addresses hold it.
#[must_use]
pub(crate) fn key_written((at, run): &RunKey) -> String {
    format!("{}.{run}", at.as_ms())
}

/// Reads what [`key_written`] wrote.
#[must_use]
pub(crate) fn key_of(written: &str) -> Option<RunKey> {
    const RUN_BYTES_MAX: usize = 64;
    let (at, run) = written.split_once('.')?;
    let is_run = run.len() <= RUN_BYTES_MAX && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let at = i64::from_str(at).ok()?;
    (is_run && !run.is_empty()).then(|| (Timestamp::from_ms(at), run.to_owned()))
}

fn room(value: &str) -> Option<OwnedRoomId> {
    id::room(value)
}

fn person(value: &str) -> Option<OwnedUserId> {
    id::user(value)
}

/// The days that a page adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Span {
    /// The last week.
    Week,
    /// The last 30 days.
    #[default]
    Days30,
    /// This month, as budgets count it.
    Month,
    /// The last 90 days.
    Days90,
    /// Everything that is kept.
    All,
}

impl Span {
    /// All of them, in the order of the page.
    pub(crate) const ALL: [Self; 5] = [Self::Week, Self::Days30, Self::Month, Self::Days90, Self::All];

    /// Returns its name in addresses.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Week => "7d",
            Self::Days30 => "30d",
            Self::Month => "month",
            Self::Days90 => "90d",
            Self::All => "all",
        }
    }

    /// Returns what it is called.
    #[must_use]
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Week => "7 days",
            Self::Days30 => "30 days",
            Self::Month => "this month",
            Self::Days90 => "90 days",
            Self::All => "everything kept",
        }
    }

    /// Returns its first day by the budgets' zone.
    #[must_use]
    pub(crate) fn first(self, now: Timestamp, zone: &Zone) -> Option<Day> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        let today = zone.shown_as_utc(now);
        match self {
            Self::Week => Some(Day::of(today.earlier(6 * DAY_MS))),
            Self::Days30 => Some(Day::of(today.earlier(29 * DAY_MS))),
            Self::Month => Some(Day::written(&format!("{}-01", &Day::of(today).shown()[..7]))),
            Self::Days90 => Some(Day::of(today.earlier(89 * DAY_MS))),
            Self::All => None,
        }
    }
}

/// Returns the name of what amounts are added up by, in addresses.
#[must_use]
pub(crate) const fn by_name(by: By) -> &'static str {
    match by {
        By::Day => "day",
        By::Coworker => "coworker",
        By::Room => "room",
        By::Person => "person",
        By::Model => "model",
    }
}

/// What amounts may be added up by, in the order of the page.
pub(crate) const BYS: [By; 5] = [By::Day, By::Coworker, By::Room, By::Person, By::Model];

/// Reads what the page about spending is asked for; what is not known is as if it were not there.
#[must_use]
pub(crate) fn spending(query: &str) -> (By, Span) {
    let (mut by, mut span) = (By::Day, Span::default());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "by" => by = BYS.into_iter().find(|by| by_name(*by) == value).unwrap_or(by),
            "span" => span = Span::ALL.into_iter().find(|span| span.name() == value).unwrap_or(span),
            _ => {}
        }
    }
    (by, span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::outcome::Outcome;

    /// 29 November 2026, 17:05:09 UTC.
    const NOW: Timestamp = Timestamp::from_ms(1_795_971_909_000);

    #[test]
    fn console_a_filter_is_read_from_an_address_and_written_back() {
        let query =
            "coworker=ci&outcome=failed&room=%21r%3Ahs&person=%40a%3Ahs&tool=http_get&since=7d&until=2026-11-28";
        let asked = Asked::read(query, NOW);
        assert_eq!((&asked.faults, asked.filter.outcome), (&Vec::new(), Some(Outcome::Failed)));
        assert_eq!(asked.filter.room.as_ref().map(|room| room.as_str()), Some("!r:hs"));
        assert_eq!(Asked::read(&asked.query(None), NOW), asked);
        let before = (NOW, "0123abc-2".to_owned());
        assert_eq!(Asked::read(&asked.query(Some(&before)), NOW).before, Some(before));
    }

    #[test]
    fn console_what_cannot_be_read_is_said_and_filters_nothing() {
        let asked = Asked::read("outcome=odd&room=here&person=alice&since=yesterday&x=1&tool=&until=", NOW);
        assert_eq!(asked.filter, Filter::default());
        assert_eq!(
            asked.faults.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
            ["outcome", "room", "person", "since"]
        );
        assert_eq!((asked.written("room"), asked.written("tool")), ("here", ""));
        for hostile in ["before=x", "before=1.", "before=1.%2e%2e", "before=99999999999999999999.a", "&&&=&%zz"] {
            assert_eq!(Asked::read(hostile, NOW).before, None, "{hostile}");
        }
    }

    #[test]
    fn console_spans_begin_on_the_budgets_days() {
        let first = |span: Span| span.first(NOW, &Zone::default()).map(Day::shown);
        assert_eq!(first(Span::Week).as_deref(), Some("2026-11-23"));
        assert_eq!(first(Span::Month).as_deref(), Some("2026-11-01"));
        assert_eq!(first(Span::All), None);
        assert_eq!(spending("by=person&span=90d"), (By::Person, Span::Days90));
        assert_eq!(spending("by=x&span=&by"), (By::Day, Span::Days30));
    }
}

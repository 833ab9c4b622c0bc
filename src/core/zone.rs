//! A person's time zone, from the field `m.tz` of their profile (MSC4175, in the spec since 1.16; before that
//! `us.cloke.msc4175.tz`).

use std::{collections::HashMap, sync::OnceLock};

use jiff::{Zoned, tz::TimeZone};

use super::time::Timestamp;

/// The profile fields that name a zone; the first readable one counts.
pub(crate) const PROFILE_FIELDS: [&str; 2] = ["m.tz", "us.cloke.msc4175.tz"];
/// The longest zone name that is looked up, in bytes; the longest IANA name has 32.
const NAME_BYTES_MAX: usize = 64;

/// A time zone. The default is UTC, named as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// Returns the zone with this IANA name (`Europe/Berlin`); `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '_' | '-' | '+');
        let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_name);
        // The library would look for such a name in the file system.
        let fits = fits && !name.starts_with(['/', '-', '+']) && !name.contains("//");
        fits.then(|| TimeZone::get(name).ok()).flatten().map(|zone| Self(Some(zone)))
    }

    /// Returns the zone that is named after a city (`New York`), or an island, in whatever case; `None` if there is none.
    #[must_use]
    pub fn of_city(city: &str) -> Option<Self> {
        static NAMES: OnceLock<HashMap<String, String>> = OnceLock::new();
        let names = NAMES.get_or_init(|| {
            let names = jiff::tz::db().available().map(|name| name.as_str().to_owned());
            // Of an old and a new name for the same place, either will do.
            names.filter_map(|name| Some((city_in(&name)?, name))).collect()
        });
        names.get(&plain(city)).and_then(|name| Self::named(name))
    }

    /// Returns the zone whose name is stored, or UTC.
    #[must_use]
    pub fn stored(name: Option<&str>) -> Self {
        name.and_then(Self::named).unwrap_or_default()
    }

    /// Returns the zone that a profile names, or UTC.
    #[must_use]
    pub fn of_profile(profile: &serde_json::Value) -> Self {
        let mut named = PROFILE_FIELDS.iter().filter_map(|field| Self::named(profile.get(field)?.as_str()?.trim()));
        named.next().unwrap_or_default()
    }

    /// Formats a day and time with the zone as people write it.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> String {
        self.write(at, "%-d %B %Y, %H:%M")
    }

    /// Formats a time of day to the second with the zone as people write it.
    #[must_use]
    pub fn time(&self, at: Timestamp) -> String {
        self.write(at, "%H:%M:%S")
    }

    /// Returns the zone's IANA name; `None` for the default.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref()?.iana_name()
    }

    /// Formats a day of the week, a date and a time with the zone as people write it.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> String {
        self.write(at, "%A, %-d %B %Y, %H:%M")
    }

    /// Returns what the wall clock shows; `None` beyond the calendar.
    pub(in crate::core) fn wall_clock(&self, at: Timestamp) -> Option<Zoned> {
        let at = jiff::Timestamp::from_millisecond(at.as_ms()).ok()?;
        Some(at.to_zoned(self.0.clone().unwrap_or(TimeZone::UTC)))
    }

    /// Returns the moment at which a clock in UTC shows what this zone's clock shows at `at`.
    #[must_use]
    pub(crate) fn shown_as_utc(&self, at: Timestamp) -> Timestamp {
        let shown = self.wall_clock(at).and_then(|wall| wall.datetime().to_zoned(TimeZone::UTC).ok());
        shown.map_or(at, |shown| Timestamp::from_ms(shown.timestamp().as_millisecond()))
    }

    /// Returns the moment at which this zone's clock shows what a clock in UTC shows at `shown`; the first of two.
    #[must_use]
    pub(crate) fn when_it_shows(&self, shown: Timestamp) -> Timestamp {
        let clock = jiff::Timestamp::from_millisecond(shown.as_ms()).ok().map(|at| at.to_zoned(TimeZone::UTC));
        let here = clock.and_then(|clock| clock.datetime().to_zoned(self.0.clone().unwrap_or(TimeZone::UTC)).ok());
        here.map_or(shown, |here| Timestamp::from_ms(here.timestamp().as_millisecond()))
    }

    fn write(&self, at: Timestamp, format: &str) -> String {
        let Some(at) = self.wall_clock(at) else { return "some time".to_owned() };
        let Ok(time) = jiff::fmt::strtime::format(format, &at) else { return "some time".to_owned() };
        let abbreviation = jiff::fmt::strtime::format("%Z", &at).unwrap_or_default();
        format!("{time} {}", zone_as_written(&abbreviation, at.offset().seconds()))
    }
}

/// The parts of the world in the names of zones; what other names begin with is no place.
const AREAS: [&str; 10] =
    ["Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"];

/// Returns the city in a zone's name.
fn city_in(name: &str) -> Option<String> {
    let (area, rest) = name.split_once('/')?;
    AREAS.contains(&area).then(|| plain(rest.rsplit('/').next().unwrap_or(rest)))
}

/// Returns a city's name as it is compared.
fn plain(city: &str) -> String {
    city.trim().to_lowercase().replace(['_', '-'], " ")
}

/// Returns a zone as people write it. If it has no abbreviation, the database has only the offset (`+0545`).
fn zone_as_written(abbreviation: &str, offset_seconds: i32) -> String {
    if abbreviation.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return abbreviation.to_owned();
    }
    let minutes = offset_seconds / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    match (minutes.abs() / 60, minutes.abs() % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 29 November 2026, 17:05:09 UTC.
    const AT: Timestamp = Timestamp::from_ms(1_795_971_909_000);

    #[test]
    fn g_times_are_shown_in_the_zone_of_the_readers_profile() {
        let table = [
            (json!({ "m.tz": "Europe/Berlin" }), "29 November 2026, 18:05 CET"),
            (json!({ "us.cloke.msc4175.tz": "America/New_York" }), "29 November 2026, 12:05 EST"),
            (json!({ "m.tz": "Asia/Kolkata", "us.cloke.msc4175.tz": "UTC" }), "29 November 2026, 22:35 IST"),
            (json!({ "m.tz": "Nowhere/Land", "us.cloke.msc4175.tz": "Asia/Tokyo" }), "30 November 2026, 02:05 JST"),
            (json!({ "m.tz": "Nowhere/Land" }), "29 November 2026, 17:05 UTC"),
            (json!({ "m.tz": 2 }), "29 November 2026, 17:05 UTC"),
            (json!({ "m.tz": "/etc/localtime" }), "29 November 2026, 17:05 UTC"),
            (json!({ "m.tz": "../../etc/passwd" }), "29 November 2026, 17:05 UTC"),
            (json!({}), "29 November 2026, 17:05 UTC"),
            (json!(null), "29 November 2026, 17:05 UTC"),
        ];
        for (profile, expected) in table {
            assert_eq!(Zone::of_profile(&profile).date(AT), expected, "{profile}");
        }
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        assert_eq!((berlin.time(AT).as_str(), berlin.name()), ("18:05:09 CET", Some("Europe/Berlin")));
        let summer = Timestamp::from_ms(1_782_000_000_000);
        assert!(berlin.date(summer).ends_with("CEST"), "across summer time");
        assert_eq!(Zone::default().date(Timestamp::from_ms(i64::MAX)), "some time");
    }

    #[test]
    fn g_zones_without_an_abbreviation_are_written_as_people_write_them() {
        let table = [
            ("Asia/Kathmandu", "22:50:09 UTC+5:45"),
            ("America/Sao_Paulo", "14:05:09 UTC-3"),
            ("Asia/Dubai", "21:05:09 UTC+4"),
            ("America/Caracas", "13:05:09 UTC-4"),
            ("Asia/Tehran", "20:35:09 UTC+3:30"),
            ("Pacific/Chatham", "06:50:09 UTC+13:45"),
            ("Pacific/Marquesas", "07:35:09 UTC-9:30"),
            ("Australia/Eucla", "01:50:09 UTC+8:45"),
            ("Etc/GMT+5", "12:05:09 UTC-5"),
            ("Atlantic/Azores", "16:05:09 UTC-1"),
            ("Asia/Yangon", "23:35:09 UTC+6:30"),
            ("Africa/Nairobi", "20:05:09 EAT"),
            ("Etc/UTC", "17:05:09 UTC"),
        ];
        for (zone, expected) in table {
            assert_eq!(Zone::named(zone).expect(zone).time(AT), expected, "{zone}");
        }
    }

    #[test]
    fn c23_a_day_begins_at_midnight_of_its_zone_also_where_clocks_change() {
        let at = |text: &str| {
            let at: jiff::Timestamp = text.parse().expect(text);
            Timestamp::from_ms(at.as_millisecond())
        };
        let table = [
            ("Europe/Berlin", "2026-11-30T22:59:59Z", "2026-11-30T23:59:59Z", "2026-11-30T22:59:59Z"),
            ("Europe/Berlin", "2026-11-30T23:00:00Z", "2026-12-01T00:00:00Z", "2026-11-30T23:00:00Z"),
            ("America/New_York", "2026-12-01T04:59:00Z", "2026-11-30T23:59:00Z", "2026-12-01T04:59:00Z"),
            // 02:30 comes twice there, and the first one counts.
            ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"),
            // The day begins an hour later in Beirut, where midnight is skipped.
            ("Asia/Beirut", "2026-03-28T22:00:00Z", "2026-03-29T01:00:00Z", "2026-03-28T22:00:00Z"),
            ("UTC", "2026-11-30T22:59:59Z", "2026-11-30T22:59:59Z", "2026-11-30T22:59:59Z"),
        ];
        for (name, real, shown, back) in table {
            let zone = Zone::named(name).expect(name);
            assert_eq!(zone.shown_as_utc(at(real)), at(shown), "{name} at {real}");
            assert_eq!(zone.when_it_shows(at(shown)), at(back), "{name} shows {shown}");
        }
        let beirut = Zone::named("Asia/Beirut").expect("a zone");
        assert_eq!(beirut.when_it_shows(at("2026-03-29T00:00:00Z")), at("2026-03-28T22:00:00Z"), "the end of the gap");
        assert_eq!(Zone::default().shown_as_utc(Timestamp::from_ms(i64::MAX)), Timestamp::from_ms(i64::MAX));
    }

    #[test]
    fn a12_c20_a_city_names_its_zone() {
        let table = [
            ("new york", "America/New_York"),
            ("New York", "America/New_York"),
            ("Berlin", "Europe/Berlin"),
            ("PORT AU PRINCE", "America/Port-au-Prince"),
            ("ho chi minh", "Asia/Ho_Chi_Minh"),
        ];
        for (city, name) in table {
            assert_eq!(Zone::of_city(city).as_ref().and_then(Zone::name), Some(name), "{city}");
        }
        for none in ["", "york", "gmt", "Etc", "Pacific", "../berlin", "the office"] {
            assert_eq!(Zone::of_city(none), None, "{none}");
        }
    }
}

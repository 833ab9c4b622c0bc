//! Calendar files (iCalendar, RFC 5545): each event with what people look for, without what only programs need.
//!
//! The format is lines of `NAME;PARAMETER=VALUE:VALUE`, folded at 75 bytes, so that no library is needed to read it.

use super::{Decoded, Form, Unread, script::Script, text};

/// How such a file begins.
const BEGINNING: &[u8] = b"BEGIN:VCALENDAR";
/// Most entries that are read.
const ENTRIES_MAX: usize = 5_000;
/// Most bytes of a line.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Properties that say nothing to people.
const PROGRAMS: [&str; 10] = [
    "UID",
    "DTSTAMP",
    "SEQUENCE",
    "CREATED",
    "LAST-MODIFIED",
    "TRANSP",
    "PRODID",
    "VERSION",
    "CALSCALE",
    "REQUEST-STATUS",
];

/// Returns whether a text is a calendar file.
pub(super) fn is_calendar(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    bytes.get(..BEGINNING.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(BEGINNING))
}

/// Decodes a calendar file.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Unread> {
    let text = text::read(bytes).ok_or(Unread::Unsupported)?.text;
    let mut script = Script::default();
    read(&text, &mut script);
    script.decoded(Form::Calendar)
}

/// Reads a calendar's entries.
pub(super) fn read(text: &str, script: &mut Script) {
    let (mut entries, mut within): (usize, Vec<String>) = (0, Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut line = line.to_owned();
        // A line goes on in those that begin with a space (RFC 5545, section 3.1).
        while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
            if line.len() + more.len() <= LINE_BYTES_MAX {
                line.push_str(&more[1..]);
            }
        }
        let Some(property) = Property::of(&line) else { continue };
        match &*property.name {
            "BEGIN" => {
                let kind = property.value.trim().to_ascii_uppercase();
                if matches!(&*kind, "VEVENT" | "VTODO" | "VJOURNAL" | "VFREEBUSY") {
                    entries += 1;
                    let what = match &*kind {
                        "VEVENT" => "event",
                        "VTODO" => "task",
                        "VJOURNAL" => "entry",
                        _ => "busy times",
                    };
                    if entries <= ENTRIES_MAX {
                        script.begin(&format!("{what} {entries}"));
                    }
                }
                within.push(kind);
            }
            "END" => drop(within.pop()),
            _ if entries > ENTRIES_MAX => {}
            name if PROGRAMS.contains(&name) || name.starts_with("X-") => {}
            name => match within.last().map(String::as_str) {
                // Rules of time zones; their names stand at the times.
                Some("VTIMEZONE" | "STANDARD" | "DAYLIGHT") | None => {}
                Some("VALARM") if name != "TRIGGER" => {}
                Some(_) => script.line(&property.shown()),
            },
        }
    }
    script.left_out(entries.saturating_sub(ENTRIES_MAX), "entry", "entries");
}

/// A line taken apart.
struct Property<'a> {
    name: String,
    parameters: Vec<(String, &'a str)>,
    value: &'a str,
}

impl<'a> Property<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (mut is_quoted, mut begin, mut parts, mut value) = (false, 0, Vec::new(), None);
        for (at, letter) in line.char_indices() {
            match letter {
                '"' => is_quoted = !is_quoted,
                ';' | ':' if !is_quoted => {
                    parts.push(&line[begin..at]);
                    begin = at + 1;
                    if letter == ':' {
                        value = Some(&line[begin..]);
                        break;
                    }
                }
                _ => {}
            }
        }
        let value = value?;
        let mut parts = parts.into_iter();
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_uppercase();
        let parameters = parts.filter_map(|part| part.split_once('='));
        let parameters = parameters.map(|(name, value)| (name.to_ascii_uppercase(), value.trim_matches('"'))).collect();
        Some(Self { name, parameters, value })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Returns the property as a line for people.
    fn shown(&self) -> String {
        let (label, value) = match &*self.name {
            "DTSTART" => ("Starts", times(self.value)),
            "DTEND" => ("Ends", times(self.value)),
            "DUE" => ("Due", times(self.value)),
            "RDATE" => ("Also on", times(self.value)),
            "EXDATE" => ("Not on", times(self.value)),
            "RECURRENCE-ID" => ("Instead of the one on", times(self.value)),
            "COMPLETED" => ("Completed", times(self.value)),
            "RRULE" => ("Repeats", self.value.to_owned()),
            "TRIGGER" => ("Reminder", self.value.to_owned()),
            "SUMMARY" => ("Summary", unescaped(self.value)),
            "DESCRIPTION" => ("Description", unescaped(self.value)),
            "LOCATION" => ("Location", unescaped(self.value)),
            "ORGANIZER" => ("Organizer", self.person()),
            "ATTENDEE" => ("Attendee", self.person()),
            "ATTACH" if self.parameter("ENCODING").is_some() => {
                return format!("Attached: a file of {} bytes, not read", self.value.len() / 4 * 3);
            }
            "STATUS" => ("Status", self.value.to_lowercase()),
            other => return format!("{}: {}", sentence(other), unescaped(self.value)),
        };
        let zone = self.parameter("TZID").map(|zone| format!(" ({zone})")).unwrap_or_default();
        format!("{label}: {value}{zone}")
    }

    fn person(&self) -> String {
        let address = self.value.split_once(':').map_or(self.value, |(_, address)| address);
        let name = self.parameter("CN").map(|name| format!("{name} <{address}>"));
        let status = self.parameter("PARTSTAT").map(|status| format!(", {}", status.to_lowercase().replace('-', " ")));
        format!("{}{}", name.unwrap_or_else(|| address.to_owned()), status.unwrap_or_default())
    }
}

fn sentence(name: &str) -> String {
    let lower = name.to_lowercase().replace('-', " ");
    let mut letters = lower.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Returns dates and times as people write them: `20261130T090000Z` as `2026-11-30 09:00 UTC`.
fn times(value: &str) -> String {
    value.split(',').map(|time| legible(time.trim()).unwrap_or_else(|| time.to_owned())).collect::<Vec<_>>().join(", ")
}

fn legible(time: &str) -> Option<String> {
    let part =
        |from: usize, to: usize| time.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    if time.len() == 8 {
        return Some(date);
    }
    time.get(8..9).filter(|mark| *mark == "T")?;
    let clock = format!("{}:{}", part(9, 11)?, part(11, 13)?);
    let (second, zone) = match time.get(13..)? {
        zone @ ("" | "Z") => ("00", zone),
        _ => (part(13, 15)?, time.get(15..)?),
    };
    let second = if second == "00" { String::new() } else { format!(":{second}") };
    match zone {
        "Z" => Some(format!("{date} {clock}{second} UTC")),
        "" => Some(format!("{date} {clock}{second}")),
        _ => None,
    }
}

fn unescaped(text: &str) -> String {
    let (mut plain, mut letters) = (String::with_capacity(text.len()), text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n' | 'N') => plain.push_str("\n  "),
                Some(other) => plain.push(other),
                None => {}
            },
            letter => plain.push(letter),
        }
    }
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c7_a_calendar_is_its_events_without_what_only_programs_need() {
        let file = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\n\
            BEGIN:STANDARD\r\nDTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n\
            BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20261101T000000Z\r\nDTSTART;TZID=Europe/Berlin:20261130T090000\r\n\
            DTEND;TZID=Europe/Berlin:20261130T093015\r\nSUMMARY:Roll\r\n back\\, then\\nlunch\r\n\
            ORGANIZER;CN=\"Doe; Jane: Ops\":mailto:jane@example.org\r\n\
            ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bob@example.org\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\nEXDATE:20261207T080000Z\r\n\
            X-SECRET:no\r\nATTACH;ENCODING=BASE64;VALUE=BINARY:QUJD\r\n\
            BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT\r\n\
            BEGIN:VTODO\r\nDUE;VALUE=DATE:20261201\r\nSTATUS:IN-PROCESS\r\nEND:VTODO\r\nEND:VCALENDAR\r\n";
        assert!(is_calendar(file.as_bytes()) && !is_calendar(b"BEGIN:VCARD"));
        let decoded = decode(file.as_bytes()).expect("a calendar");
        let expected = "Method: REQUEST\n\n[event 1]\nStarts: 2026-11-30 09:00 (Europe/Berlin)\nEnds: 2026-11-30 09:30:15 (Europe/Berlin)\n\
            Summary: Rollback, then\n  lunch\nOrganizer: Doe; Jane: Ops <jane@example.org>\n\
            Attendee: bob@example.org, needs action\nRepeats: FREQ=WEEKLY;COUNT=3\nNot on: 2026-12-07 08:00 UTC\n\
            Attached: a file of 3 bytes, not read\nReminder: -PT15M\n\n[task 2]\nDue: 2026-12-01\nStatus: in-process\n";
        assert_eq!(String::from_utf8(decoded.bytes).expect("text"), expected);
    }

    #[test]
    fn c7_of_very_many_entries_the_text_says_how_many_are_left_out() {
        let entries = "BEGIN:VEVENT\r\nSUMMARY:a\r\nEND:VEVENT\r\n".repeat(ENTRIES_MAX + 2);
        let decoded = decode(format!("BEGIN:VCALENDAR\r\n{entries}END:VCALENDAR\r\n").as_bytes()).expect("a calendar");
        let text = String::from_utf8(decoded.bytes).expect("text");
        assert!(text.ends_with("[event 5000]\nSummary: a\n\n[left out: 2 more entries]\n"), "{text}");
    }

    #[test]
    fn what_is_odd_in_a_calendar_costs_its_line() {
        let mut script = Script::default();
        read(
            "BEGIN:VEVENT\nno colon\n:empty\nDTSTART:2026\nDTSTART:20261130T0900\u{e4}\nEND:VEVENT\nEND:VEVENT\nSUMMARY:x",
            &mut script,
        );
        let text = String::from_utf8(script.decoded(Form::Calendar).expect("text").bytes).expect("text");
        assert_eq!(text, "[event 1]\nStarts: 2026\nStarts: 20261130T0900\u{e4}\n");
    }
}

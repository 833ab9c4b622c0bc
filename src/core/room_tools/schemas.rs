//! The JSON schemas of the arguments that `arguments.rs` and `file.rs` parse.

use serde_json::{Value, json};

use super::{FILE_BYTES_MAX, MEDIA_TYPES, RoomTool};
use crate::core::{batch::WITHIN_HOURS, notes::NOTE_CHARS_MAX, timetable::TASK_CHARS_MAX};

pub(super) fn of(tool: RoomTool) -> Value {
    let (properties, required): (Value, &[&str]) = match tool {
        RoomTool::Search => (
            json!({
                "text": { "type": "string", "description": "Words that must all be in the message." },
                "sender": { "type": "string", "description": "The sender's full user id, e.g. @alice:example.org." },
                "from": time("Only messages sent at this time or later"),
                "to": time("Only messages sent before this time"),
                "thread": thread(),
                "page": page(),
            }),
            &[],
        ),
        RoomTool::Read => (
            json!({
                "from": time("Begin with messages sent at this time or later"),
                "to": time("End with messages sent before this time"),
                "thread": thread(),
                "page": page(),
            }),
            &[],
        ),
        RoomTool::Members => (
            json!({
                "name": { "type": "string", "description": "Part of the member's name or user id." },
                "page": page(),
            }),
            &[],
        ),
        RoomTool::NoteAdd => {
            let text = format!("What to note, at most {NOTE_CHARS_MAX} characters, in one line.");
            (json!({ "text": { "type": "string", "description": text } }), &["text"])
        }
        RoomTool::NoteRemove => {
            (json!({ "number": { "type": "integer", "description": "The note's number." } }), &["number"])
        }
        RoomTool::AttachFile => (
            json!({
                "name": { "type": "string", "description": "The file's name with its ending, e.g. report.md." },
                "text": { "type": "string", "description": format!("The whole content, at most {FILE_BYTES_MAX} bytes.") },
                "media_type": {
                    "type": "string", "enum": MEDIA_TYPES,
                    "description": "Left out, the name's ending says it.",
                },
            }),
            &["name", "text"],
        ),
        RoomTool::ScheduleAdd => (
            json!({
                "when": { "type": "string", "description": "When, e.g. every weekday at 09:00, or 0 9 * * 1-5." },
                "zone": { "type": "string", "description": "An IANA time zone, e.g. Europe/Berlin." },
                "task": { "type": "string", "description": format!("What to do each time, at most {TASK_CHARS_MAX} characters.") },
                "only_if_new_messages": { "type": "boolean", "description": "Stay silent where nobody wrote since the last time." },
                "mention": { "type": "boolean", "description": "Mention who set it up in each answer." },
                "answer_within_hours": {
                    "type": "integer", "minimum": WITHIN_HOURS.min, "maximum": WITHIN_HOURS.max,
                    "description": "Only if they say that the answer may wait: by so many hours after it is due. It costs half.",
                },
            }),
            &["when", "task"],
        ),
        RoomTool::NoteList => (json!({}), &[]),
    };
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn time(what: &str) -> Value {
    json!({ "type": "string", "description": format!("{what}; RFC 3339, e.g. 2026-03-01T09:00:00Z.") })
}

fn thread() -> Value {
    json!({ "type": "string", "description": "Only this thread: the event id of its root." })
}

fn page() -> Value {
    json!({ "type": "string", "description": "What the page before gave as `next`." })
}

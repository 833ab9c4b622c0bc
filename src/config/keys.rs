//! Every key of `workmate.yaml` and of a coworker's file: its kind, its default, and its purpose.
//!
//! The loader reads only these keys and looks their bounds, words and defaults up here ([`super::section::Section`]).
//! The JSON schemas and `docs/configuration.md` are generated from them, and a test fails if the loader does not read a
//! key.

mod claude;
mod coworker;
mod schema;
mod sections;

pub(super) use self::{
    coworker::{
        COWORKER, EACH_MAX, LIST_MAX, MENTIONS_MAX, NAME_CHARS_MAX, PURPOSE_CHARS_MAX, ROOMS_MAX, SCHEDULES_MAX,
        TASK_BYTES_MAX, TASK_CHARS_MAX,
    },
    schema::schema,
    sections::WORKMATE,
};
pub(super) use super::key::{Fallback, Form, Key, Kind};
use super::{
    budgets::BOUNDS,
    key::{form, key},
    workspace::INSTRUCTIONS_BYTES_MAX,
};

static URL: Form = form("a URL", "^https?://");
static ADDRESS: Form = form("an IP address and port", ":[0-9]+$");
static PATH: Form = form("a path", "");
static SERVER_NAME: Form = form("a server name", "^[^/]+$");
static USER_ID: Form = form("a full user id", "^@[^:]*:.+$");
static ROOM: Form = form("a room's id or alias", "^[!#].+$");
static MODEL: Form = Form { what: "a model's id", pattern: "^[!-~]+$", chars_max: Some(128) };

/// Returns in words where a key belongs that stands elsewhere; `None` if no place has it, or several do.
pub(super) fn home_of(name: &str) -> Option<String> {
    fn homes(name: &str, keys: &'static [Key], path: &str, found: &mut Vec<String>) {
        for key in keys {
            if key.is(name) {
                found.push(format!("`{path}` in workmate.yaml"));
            }
            if let Kind::Section(inner) = &key.kind {
                homes(name, inner, &format!("{path}.{}", key.name), found);
            }
        }
    }
    let mut found = Vec::new();
    for key in &WORKMATE {
        if key.is(name) {
            found.push("the top level of workmate.yaml".to_owned());
        }
        if let Kind::Section(inner) = &key.kind {
            homes(name, inner, key.name, &mut found);
        }
    }
    if COWORKER.iter().any(|key| key.is(name)) {
        found.push("a coworker's file".to_owned());
    }
    let only = found.pop();
    only.filter(|_| found.is_empty())
}

/// The value of a secret that has a name of its own.
static VALUE: [Key; 1] =
    [key("value", Kind::Secret { as_value: true }, Fallback::Required, "The value, in one of the three forms.")];

/// Text of any length that instructions may have.
static PROSE: Form = Form { what: "text", pattern: "", chars_max: Some(INSTRUCTIONS_BYTES_MAX) };
/// A limit in US dollars.
const DOLLARS: Kind = Kind::Dollars(BOUNDS.0.micro(), BOUNDS.1.micro());

//! The keys of a coworker's file, and of the tools that it and the assistants are granted.

use super::{DOLLARS, Fallback as F, Form, Key, Kind as K, MODEL, PATH, PROSE, ROOM, USER_ID, claude::EFFORTS, key};
use crate::config::grants::{GRANTS_MAX, HOSTS_MAX, PLACES_MAX};

/// Most characters of a name; clients cut longer ones in member lists.
pub(in crate::config) const NAME_CHARS_MAX: usize = 64;
/// Characters of a purpose line.
pub(in crate::config) const PURPOSE_CHARS_MAX: usize = 200;

static ID: Form = Form { what: "a-z 0-9 _ -", pattern: "^[a-z0-9_-]{1,32}$", chars_max: None };
static NAME: Form = Form { what: "a line", pattern: "", chars_max: Some(NAME_CHARS_MAX) };
static PURPOSE: Form = Form { what: "a line", pattern: "", chars_max: Some(PURPOSE_CHARS_MAX) };
static TOOL: Form = Form { what: "a tool's name", pattern: "^[A-Za-z0-9_-]{1,64}\\*?$", chars_max: None };
static HOST: Form = Form { what: "a host", pattern: "^(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]+)?$", chars_max: None };
static DIGEST: Form = Form { what: "a tool's digest", pattern: "^[0-9a-f]{32}$", chars_max: None };

/// The value of `tools:`.
pub(super) const TOOLS: K = K::List(&K::Either(&[K::Text(&TOOL), K::Section(&GRANT)]), GRANTS_MAX);

/// The top level of a coworker's file.
pub(in crate::config) static COWORKER: [Key; 13] = [
    key("id", K::Text(&ID), F::Required, "Its id, and its file's name without .yaml; the user id is made of it."),
    key("name", K::Text(&NAME), F::Required, "Its name; the display name is this and \" · coworker\"."),
    key("purpose", K::Text(&PURPOSE), F::Required, "One line for people: what to ask it for."),
    key("instructions", K::Text(&PROSE), F::Required, "What the model is told."),
    key("model", K::Text(&MODEL), F::Told("`claude.model`"), "Its model."),
    key("effort", K::Choice(&EFFORTS), F::Told("`claude.effort`"), "How much thought goes into its answers."),
    key(
        "reply_in",
        K::Choice(&["thread", "timeline"]),
        F::Word("thread"),
        "Where answers go when it is asked in a room's timeline.",
    ),
    key(
        "accept_invites_from",
        K::Either(&[K::Choice(&["members"]), K::List(&K::Text(&USER_ID), usize::MAX)]),
        F::Word("members"),
        "Whose invites it accepts: everyone's of the workspace, or these people's.",
    ),
    key(
        "avatar",
        K::Text(&PATH),
        F::Told("one is drawn for it"),
        "An image, .png, .jpg, .webp or .gif, of at most 1 MiB, relative to this file.",
    ),
    key("silent_join", K::Truth, F::Truth(false), "Whether it joins a room without saying how to use it."),
    key("budget_usd_month", DOLLARS, F::Told("no limit"), "What it may cost in a calendar month, in US dollars."),
    key(
        "history",
        K::Choice(&["asker", "room"]),
        F::Word("asker"),
        "Whose eyes it reads the room with: those of who asks, or its own.",
    ),
    key("tools", TOOLS, F::Nothing, "What it may use: names, or entries with conditions."),
];

static GRANT: [Key; 11] = [
    key(
        "name",
        K::Text(&TOOL),
        F::Required,
        "A tool that Workmate brings, or one of an MCP server, `logs__read_file`; `logs__read_*` means several.",
    ),
    key("class", K::Choice(&["read", "write"]), F::Told("a server's tool is a write"), "Whether it only looks."),
    key(
        "approval",
        K::Either(&[
            K::Choice(&["never", "asker", "moderator"]),
            K::Number(1, 1_000_000),
            K::List(&K::Text(&USER_ID), usize::MAX),
        ]),
        F::Told("a server's tool asks the asker"),
        "Who has to approve a call: nobody, the asker, who has a power level, or one of these people.",
    ),
    key("timeout_seconds", K::Number(1, 3_600), F::Told("30"), "How long a call may take, in seconds."),
    key("output_bytes_max", K::Number(256, 1 << 20), F::Told("32768"), "The most of a result that the model is given."),
    key(
        "idempotent",
        K::Truth,
        F::Told("false, unless Workmate brings the tool"),
        "Whether a call that a crash cut off may be made again.",
    ),
    key(
        "hosts",
        K::List(&K::Text(&HOST), HOSTS_MAX),
        F::Nothing,
        "The hosts that it may open: a name, `*.` and a domain, with a port where it is neither 80 nor 443.",
    ),
    key("credential", K::Word, F::Nothing, "One under `credentials`, sent as `Bearer …` by http_get."),
    key("rooms", K::List(&K::Text(&ROOM), PLACES_MAX), F::Told("everywhere"), "The rooms in which it is offered."),
    key(
        "spaces",
        K::List(&K::Text(&ROOM), PLACES_MAX),
        F::Told("everywhere"),
        "The spaces in whose rooms it is offered.",
    ),
    key("digest", K::Text(&DIGEST), F::Nothing, "The only definition of a server's tool that is meant."),
];

//! The keys of a coworker's file, and of the tools that it and the assistants are granted.

use super::{DOLLARS, Fallback as F, Form, Key, Kind as K, MODEL, PATH, PROSE, ROOM, USER_ID, claude::EFFORTS, key};
use crate::{
    config::grants::{GRANTS_MAX, HOSTS_MAX, PLACES_MAX},
    core::{batch::WITHIN_HOURS, timetable::TEXT_CHARS_MAX, watch::PATTERN_CHARS_MAX},
};

/// Most characters of a name; clients cut longer ones in member lists.
pub(in crate::config) const NAME_CHARS_MAX: usize = 64;
/// Characters of a purpose line.
pub(in crate::config) const PURPOSE_CHARS_MAX: usize = 200;
/// Most hooks, and most watches, of one coworker.
pub(in crate::config) const EACH_MAX: usize = 50;
/// Most characters of a task.
pub(in crate::config) const TASK_CHARS_MAX: usize = 4_000;
/// Most entries of a hook's or a watch's lists.
pub(in crate::config) const LIST_MAX: usize = 50;
/// Most schedules of a coworker in its file.
pub(in crate::config) const SCHEDULES_MAX: usize = 100;
/// Most rooms of a schedule.
pub(in crate::config) const ROOMS_MAX: usize = 50;
/// Most people whom a schedule's answers mention.
pub(in crate::config) const MENTIONS_MAX: usize = 20;
/// Most bytes of a schedule's task.
pub(in crate::config) const TASK_BYTES_MAX: usize = 8 << 10;
/// The default of `grace_minutes`.
const GRACE_MINUTES: u64 = 60;

static ID: Form = Form { what: "a-z 0-9 _ -", pattern: "^[a-z0-9_-]{1,32}$", chars_max: None };
static NAME: Form = Form { what: "a line", pattern: "", chars_max: Some(NAME_CHARS_MAX) };
static PURPOSE: Form = Form { what: "a line", pattern: "", chars_max: Some(PURPOSE_CHARS_MAX) };
static TOOL: Form = Form { what: "a tool's name", pattern: "^[A-Za-z0-9_-]{1,64}\\*?$", chars_max: None };
static HOST: Form = Form { what: "a host", pattern: "^(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]+)?$", chars_max: None };
static WHEN: Form =
    Form { what: "a phrase, a date or a cron expression", pattern: "", chars_max: Some(TEXT_CHARS_MAX) };
pub(super) static ZONE: Form = Form { what: "an IANA time zone", pattern: "^[A-Za-z0-9_+/-]{1,64}$", chars_max: None };
static SCHEDULE_TASK: Form = Form { what: "text", pattern: "", chars_max: Some(TASK_BYTES_MAX) };
static DIGEST: Form = Form { what: "a tool's digest", pattern: "^[0-9a-f]{32}$", chars_max: None };

static SHORT: Form = Form { what: "a-z 0-9 _ -", pattern: "^[a-z0-9_-]{1,64}$", chars_max: None };
static TASK: Form = Form { what: "text", pattern: "", chars_max: Some(TASK_CHARS_MAX) };
static HEADER: Form = Form { what: "a header's name", pattern: "^[A-Za-z0-9_-]{1,64}$", chars_max: None };
static POINTER: Form = Form { what: "a JSON pointer", pattern: "^(/.*)?$", chars_max: None };
static NAMING: Form = Form { what: "a JSON pointer or a header", pattern: "^(/|header:|none$)", chars_max: None };
static EVENT_TYPE: Form = Form { what: "an event type", pattern: "^[^ ]{1,255}$", chars_max: None };
static PATTERN: Form = Form { what: "a regular expression", pattern: "", chars_max: Some(PATTERN_CHARS_MAX) };
const WORDS: K = K::Either(&[K::Word, K::List(&K::Word, LIST_MAX)]);

/// The value of `tools:`.
pub(super) const TOOLS: K = K::List(&K::Either(&[K::Text(&TOOL), K::Section(&GRANT)]), GRANTS_MAX);

/// The top level of a coworker's file.
pub(in crate::config) static COWORKER: [Key; 16] = [
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
    key(
        "hooks",
        K::List(&K::Section(&HOOK), EACH_MAX),
        F::Nothing,
        "Webhooks: what other systems report at `hooks_listen` becomes a request of theirs.",
    ),
    key(
        "watches",
        K::List(&K::Section(&WATCH), EACH_MAX),
        F::Nothing,
        "Watches: words of named bots or bridges that ask it without a mention.",
    ),
    key(
        "schedules",
        K::List(&K::Section(&SCHEDULE), SCHEDULES_MAX),
        F::Nothing,
        "Work at set times that nobody has to ask for.",
    ),
];

static HOOK: [Key; 12] = [
    key("name", K::Text(&SHORT), F::Required, "Its name; its address is /hooks/<name>."),
    key("room", K::Text(&ROOM), F::Required, "The room in which the coworker says what it found."),
    key("task", K::Text(&TASK), F::Required, "What the coworker is to do with a report."),
    key(
        "proof",
        K::Choice(&["standard", "github", "gitlab", "forgejo", "stripe", "bearer", "basic"]),
        F::Required,
        "How a call proves that it is the sender's: a signature (standard is Standard Webhooks, as GitLab's signing token \
         and Svix use it), or a secret that is sent along.",
    ),
    key("credential", K::Word, F::Required, "The secret: one under `credentials`; for basic it is `name:password`."),
    key("header", K::Text(&HEADER), F::Told("the sender's usual one"), "The header of the signature or token."),
    key(
        "sender",
        K::Choice(&["github", "gitlab", "forgejo", "alertmanager", "grafana", "other"]),
        F::Told("told by `proof`, else other"),
        "Whose reports they are: which parts matter, and which reports are about the same.",
    ),
    key(
        "delivery",
        K::Text(&NAMING),
        F::Told("what the proof covers"),
        "What names a delivery, so that a repeated one counts once: a JSON pointer, or `header:X-Name`.",
    ),
    key(
        "thread",
        K::Text(&NAMING),
        F::Told("the sender's own key"),
        "What reports share a thread by: a JSON pointer, `header:X-Name`, or `none`.",
    ),
    key(
        "events",
        K::List(&K::Word, LIST_MAX),
        F::Told("all"),
        "The kinds of event that count, in the sender's words: `workflow_run`, `pipeline`, `firing`.",
    ),
    key(
        "filter",
        K::List(&K::Section(&CONDITION), EACH_MAX),
        F::Nothing,
        "What a report must be like; what does not meet every condition is dropped and costs nothing.",
    ),
    key("mention", K::List(&K::Text(&USER_ID), LIST_MAX), F::Told("nobody"), "Whom the answer notifies."),
];

static CONDITION: [Key; 6] = [
    key("at", K::Text(&POINTER), F::Required, "The value, by its JSON pointer; `*` stands for every item of a list."),
    key("is", WORDS, F::Nothing, "What it is, or may be."),
    key("not", WORDS, F::Nothing, "What it is not."),
    key("above", K::Word, F::Nothing, "A number that it is above."),
    key("below", K::Word, F::Nothing, "A number that it is below."),
    key("exists", K::Truth, F::Nothing, "Whether it has to be there, or must not."),
];

static WATCH: [Key; 7] = [
    key("name", K::Text(&SHORT), F::Required, "Its name, for records."),
    key("room", K::Text(&ROOM), F::Required, "The room."),
    key(
        "senders",
        K::List(&K::Text(&USER_ID), LIST_MAX),
        F::Required,
        "Whose messages count, by full user id; Workmate's own users never do.",
    ),
    key(
        "event",
        K::Text(&EVENT_TYPE),
        F::Word("m.room.message"),
        "Which type of event counts, such as org.example.build or m.room.topic.",
    ),
    key(
        "pattern",
        K::Text(&PATTERN),
        F::Told("anything"),
        "What the message says, or the content of another event as JSON: a regular expression of the Rust crate regex.",
    ),
    key("task", K::Text(&TASK), F::Required, "What the coworker is to do with the message."),
    key("mention", K::List(&K::Text(&USER_ID), LIST_MAX), F::Told("nobody"), "Whom the answer notifies."),
];

static SCHEDULE: [Key; 10] = [
    key("name", K::Text(&NAME), F::Required, "Its name, which people see in the room."),
    key(
        "when",
        K::Text(&WHEN),
        F::Required,
        "When it is due: `every weekday at 09:00`, `on the 1st at 10:00`, `2026-12-24 09:00`, or `0 9 * * 1-5`.",
    ),
    key("zone", K::Text(&ZONE), F::Word("UTC"), "The IANA time zone whose wall clock counts."),
    key("rooms", K::List(&K::Text(&ROOM), ROOMS_MAX), F::Required, "The rooms in which it works, by id or alias."),
    key("task", K::Text(&SCHEDULE_TASK), F::Required, "What it should do each time."),
    key("only_if_new_messages", K::Truth, F::Truth(false), "Whether it stays silent where nobody wrote since it ran."),
    key("mention", K::List(&K::Text(&USER_ID), MENTIONS_MAX), F::Told("nobody"), "Whom its answers mention."),
    key(
        "grace_minutes",
        K::Number(0, 1_440),
        F::Number(GRACE_MINUTES),
        "How late it may still run, in minutes, when it was missed; later it is skipped.",
    ),
    key(
        "latency",
        K::Choice(&["normal", "batch"]),
        F::Word("normal"),
        "`batch`: what it asks first goes as a batch, at half price, and may take hours.",
    ),
    key(
        "answer_within_hours",
        K::Number(WITHIN_HOURS.min as u64, WITHIN_HOURS.max as u64),
        F::Number(WITHIN_HOURS.default as u64),
        "With `latency: batch`: how many hours after `when` the answer is there at the latest.",
    ),
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

//! The keys of `workmate.yaml`, except those about the model ([`super::claude`]) and tools ([`super::coworker`]).

use super::{
    ADDRESS, DOLLARS, Fallback as F, Form, Key, Kind as K, MODEL, PATH, PROSE, ROOM, SERVER_NAME, URL, USER_ID, VALUE,
    claude::{CLAUDE, EFFORTS},
    coworker::{TOOLS, ZONE},
    key,
};
use crate::{
    config::{
        tooling::WORDS_MAX,
        transcription::MODEL as TRANSCRIPTION_MODEL,
        workspace::{APPSERVICE_ID, ASSISTANT_PREFIX, BRIDGES_MAX, COWORKER_PREFIX, ENTRIES_MAX, SERVICE_LOCALPART},
    },
    core::breaker::{PERSON_RUNS_MAX, ROOM_RUNS_MAX},
};

static ID: Form = Form { what: "letters, digits and . _ -", pattern: "^[A-Za-z0-9._-]{1,64}$", chars_max: None };
static LOCALPART: Form = Form { what: "a-z 0-9 . _ = / + -", pattern: "^[a-z0-9._=/+-]{1,64}$", chars_max: None };
static ID_PATTERN: Form = Form { what: "a pattern of user ids", pattern: "", chars_max: None };
static LANGUAGE: Form = Form { what: "a language's code (ISO 639)", pattern: "^[a-z]{2,3}$", chars_max: None };
static DIRECTIVES: Form = Form { what: "`target=level` with commas between", pattern: "", chars_max: Some(1_000) };
const SECRET: K = K::Secret { as_value: true };

/// The top level of `workmate.yaml`.
pub(in crate::config) static WORKMATE: [Key; 23] = [
    key("homeserver", K::Section(&HOMESERVER), F::Required, "The Matrix homeserver that Workmate serves."),
    key("appservice", K::Section(&APPSERVICE), F::Required, "Workmate's side of the registration."),
    key(
        "health_listen",
        K::Text(&ADDRESS),
        F::Word("127.0.0.1:29331"),
        "Where /healthz, /readyz and /metrics are served, without authentication and without content.",
    ),
    key(
        "hooks_listen",
        K::Text(&ADDRESS),
        F::Word("127.0.0.1:29333"),
        "Where the calls of webhooks are awaited, at /hooks/<name>; opened only if a coworker has a hook.",
    ),
    key(
        "hooks_url",
        K::Text(&URL),
        F::Nothing,
        "The public address of hooks_listen, without /hooks, if a proxy stands in front of it; `workmate doctor` tries it.",
    ),
    key(
        "mcp_listen",
        K::Text(&ADDRESS),
        F::Nothing,
        "Where people's own programs, such as Claude Code, read what their owners may read, at /mcp; not opened if it is left out.",
    ),
    key(
        "console_listen",
        K::Text(&ADDRESS),
        F::Nothing,
        "Where the operators' console is served to `workspace.admins`; not opened if it is left out.",
    ),
    key(
        "console_url",
        K::Text(&URL),
        F::Told("http:// and `console_listen`, if only this machine reaches it"),
        "The address of a proxy with TLS in front of `console_listen`; `!console` answers with links to it.",
    ),
    key("data_dir", K::Text(&PATH), F::Word("../data"), "The folder of everything that Workmate stores."),
    key(
        "master_secret",
        K::Secret { as_value: false },
        F::Required,
        "32 random bytes in base64url, from which every store's key is derived; it cannot be changed later.",
    ),
    key("coworkers_dir", K::Text(&PATH), F::Word("coworkers"), "The folder of the coworkers' files, <id>.yaml each."),
    key(
        "registration_file",
        K::Text(&PATH),
        F::Told("../registration.yaml where it exists"),
        "The registration that `workmate check` compares with this file.",
    ),
    key("claude", K::Section(&CLAUDE), F::Nothing, "How the model is reached."),
    key("workspace", K::Section(&WORKSPACE), F::Nothing, "Who belongs to the workspace."),
    key("assistants", K::Section(&ASSISTANTS), F::Nothing, "The private assistants, one for each local person."),
    key(
        "transcription",
        K::Section(&TRANSCRIPTION),
        F::Nothing,
        "The recogniser that writes down voice messages; without it they are only named.",
    ),
    key("connections", K::Section(&CONNECTIONS), F::Nothing, "How people's own programs reach `mcp_listen`."),
    key("limits", K::Section(&LIMITS), F::Nothing, "Limits; none of them loses an accepted request."),
    key(
        "budgets",
        K::Section(&BUDGETS),
        F::Nothing,
        "What the model may cost, by its list prices, as a whole and for each of some.",
    ),
    key("audit", K::Section(&AUDIT), F::Nothing, "What is kept of requests that were worked on; never content."),
    key("log", K::Section(&LOG), F::Nothing, "Logs, which go to standard error."),
    key(
        "credentials",
        K::Named(&K::Section(&VALUE)),
        F::Nothing,
        "Secrets for tools, each under a name of your choice; the model never gets them.",
    ),
    key(
        "mcp_servers",
        K::Named(&K::Section(&SERVER)),
        F::Nothing,
        "MCP servers whose tools coworkers and assistants may be granted, by names that begin their tools' names.",
    ),
];

static HOMESERVER: [Key; 3] = [
    key("url", K::Text(&URL), F::Required, "The base of its client-server API, without `/_matrix`."),
    key("server_name", K::Text(&SERVER_NAME), F::Required, "The part after the colon in its users' ids."),
    key("proxy", K::Text(&URL), F::Nothing, "The HTTP proxy by which it is called, unless it is on this machine."),
];

static APPSERVICE: [Key; 8] = [
    key("id", K::Text(&ID), F::Word(APPSERVICE_ID), "`id` in the registration."),
    key("listen", K::Text(&ADDRESS), F::Required, "Where the homeserver's calls are awaited."),
    key("url", K::Text(&URL), F::Told("http:// and `listen`"), "Where the homeserver finds that listener."),
    key("as_token", SECRET, F::Required, "What Workmate proves itself with to the homeserver."),
    key("hs_token", SECRET, F::Required, "What the homeserver proves itself with to Workmate."),
    key(
        "service_localpart",
        K::Text(&LOCALPART),
        F::Word(SERVICE_LOCALPART),
        "The localpart of the service bot, whom people ask for an assistant.",
    ),
    key("coworker_prefix", K::Text(&LOCALPART), F::Word(COWORKER_PREFIX), "What the ids of coworkers begin with."),
    key("assistant_prefix", K::Text(&LOCALPART), F::Word(ASSISTANT_PREFIX), "What the ids of assistants begin with."),
];

static WORKSPACE: [Key; 9] = [
    key(
        "allowed_servers",
        K::List(&K::Text(&SERVER_NAME), ENTRIES_MAX),
        F::Nothing,
        "Other servers whose users may invite coworkers and ask them, as the homeserver's own may.",
    ),
    key(
        "bots",
        K::List(&K::Text(&USER_ID), ENTRIES_MAX),
        F::Nothing,
        "Bots of other makers: never answered, never counted as people.",
    ),
    key(
        "bridges",
        K::List(&K::Either(&[K::Text(&ID_PATTERN), K::Section(&BRIDGE)]), BRIDGES_MAX),
        F::Nothing,
        "Bridges to other networks, by the pattern of their puppets' ids: puppets are no people of the workspace.",
    ),
    key(
        "guests",
        K::Choice(&["digits", "none"]),
        F::Word("digits"),
        "How guests' ids are known: by localparts of nothing but digits, or not at all.",
    ),
    key(
        "admins",
        K::List(&K::Text(&USER_ID), ENTRIES_MAX),
        F::Nothing,
        "People who administer Workmate: they are invited to the audit room.",
    ),
    key("space", K::Text(&ROOM), F::Nothing, "The Matrix space whose local members are the people of the workspace."),
    key(
        "obey_unencrypted",
        K::Truth,
        F::Truth(false),
        "Whether coworkers do what is asked unencrypted in an encrypted room.",
    ),
    key("lobby", K::Truth, F::Truth(false), "Whether the service bot keeps a room in which the coworkers are found."),
    key("zone", K::Text(&ZONE), F::Word("UTC"), "The IANA time zone in which the budgets' days and months begin."),
];

static BRIDGE: [Key; 2] = [
    key("ids", K::Text(&ID_PATTERN), F::Required, "A regular expression for its puppets' ids."),
    key(
        "may",
        K::Choice(&["nothing", "ask"]),
        F::Word("nothing"),
        "Whether coworkers answer its puppets, or only read what they say.",
    ),
];

static ASSISTANTS: [Key; 10] = [
    key("enabled", K::Truth, F::Truth(true), "Whether there are any."),
    key("instructions", K::Text(&PROSE), F::Nothing, "What is added to every assistant's instructions."),
    key("model", K::Text(&MODEL), F::Told("`claude.model`"), "Their model."),
    key("effort", K::Choice(&EFFORTS), F::Told("`claude.effort`"), "How much thought goes into their answers."),
    key(
        "session_idle_hours",
        K::Number(1, 8_760),
        F::Number(12),
        "A pause, in hours, after which an assistant begins a fresh session and no longer knows the last one.",
    ),
    key(
        "provision",
        K::Choice(&["request", "members"]),
        F::Word("request"),
        "Who gets one: everyone local who asks, or each local member of workspace.space and nobody else.",
    ),
    key("provision_per_minute", K::Number(1, 6_000), F::Number(30), "How many are made in a minute."),
    key(
        "gone_grace_days",
        K::Number(0, 365),
        F::Number(7),
        "Days after which the assistant of somebody who is gone is deleted, with everything that is kept for them.",
    ),
    key("tools", TOOLS, F::Nothing, "What each assistant may use."),
    key(
        "require_verified_devices",
        K::Truth,
        F::Truth(false),
        "Whether devices that their owner has not verified are left unanswered.",
    ),
];

static TRANSCRIPTION: [Key; 4] = [
    key(
        "url",
        K::Text(&URL),
        F::Nothing,
        "The base of an endpoint like OpenAI's, without `/v1`; recordings go to its /v1/audio/transcriptions.",
    ),
    key("model", K::Text(&MODEL), F::Word(TRANSCRIPTION_MODEL), "The model that it is asked for."),
    key("api_key", SECRET, F::Nothing, "Its key, which goes as `Authorization: Bearer`."),
    key("language", K::Text(&LANGUAGE), F::Told("it guesses"), "The language that is spoken."),
];

static CONNECTIONS: [Key; 2] = [
    key(
        "public_url",
        K::Text(&URL),
        F::Told("http:// and `mcp_listen`, if only this machine reaches it"),
        "The address of a proxy with TLS in front of `mcp_listen`, without `/mcp`; people's programs are given it.",
    ),
    key("unused_days", K::Number(1, 3_650), F::Number(30), "Days after which a connection ends that was not used."),
];

static LIMITS: [Key; 16] = [
    key(
        "context_tokens_max",
        K::Number(1_000, 500_000),
        F::Number(30_000),
        "The newest part of a room's history that one request sends along, in tokens.",
    ),
    key(
        "files_max",
        K::Number(0, 20),
        F::Number(10),
        "Images, PDF, office, mail and text files that one request sends along.",
    ),
    key(
        "file_bytes_max",
        K::Number(64 << 10, 20 << 20),
        F::Number(10 << 20),
        "The largest such file, in bytes; of a larger text the beginning and end are read, any other is only named to the model.",
    ),
    key("runs_max", K::Number(1, 1_024), F::Number(32), "Requests worked on at once, in all rooms; more wait."),
    key("room_runs_max", K::Number(1, 64), F::Number(4), "The same in one room, at most runs_max."),
    key(
        "waiting_runs_max",
        K::Number(1, 1_000),
        F::Number(50),
        "Requests that wait for their turn in one room; one more is declined with a word.",
    ),
    key("provisioning_max", K::Number(1, 64), F::Number(4), "Virtual users set up at once at start."),
    key(
        "assistants_live_max",
        K::Number(1, 4_096),
        F::Number(64),
        "Assistants kept open in memory at once, about 3 MB each; the one unused for longest is closed first.",
    ),
    key(
        "deadline_minutes",
        K::Number(1, 10_080),
        F::Number(30),
        "The age, in minutes, at which a request found after downtime gets only a word that it is late.",
    ),
    key(
        "transaction_bytes_max",
        K::Number(1 << 20, 256 << 20),
        F::Number(64 << 20),
        "The largest body of one transaction from the homeserver, in bytes; a larger one is refused.",
    ),
    key(
        "tool_rounds_max",
        K::Number(1, 200),
        F::Number(20),
        "Calls of the model in one request; at the limit it is told to answer with what it has.",
    ),
    key("tools_at_once_max", K::Number(1, 64), F::Number(8), "Tool calls of one request at once; more wait."),
    key(
        "run_tokens_max",
        K::Number(10_000, 100_000_000),
        F::Number(1_000_000),
        "Tokens of all calls of the model in one request, cached ones too; at the limit it ends and says so.",
    ),
    key(
        "approval_minutes",
        K::Number(1, 10_080),
        F::Number(60),
        "How long a tool call waits for approval, in minutes; after that it counts as declined.",
    ),
    key(
        "person_requests_max",
        K::Number(1, 10_000),
        F::Number(PERSON_RUNS_MAX as u64),
        "What one person may ask in five minutes, everywhere together; one more is declined for ten minutes.",
    ),
    key(
        "room_requests_max",
        K::Number(1, 10_000),
        F::Number(ROOM_RUNS_MAX as u64),
        "The same in one room, for everybody in it together.",
    ),
];

static BUDGETS: [Key; 4] = [
    key("workspace", K::Section(&SPANS), F::Nothing, "Everything together."),
    key("assistant", K::Section(&SPANS), F::Nothing, "Each person's assistant."),
    key("person", K::Section(&SPANS), F::Nothing, "What each person has coworkers and their own assistant do."),
    key("room", K::Section(&SPANS), F::Nothing, "What coworkers do in each room."),
];

static SPANS: [Key; 2] = [
    key("usd_month", DOLLARS, F::Told("no limit"), "US dollars in a calendar month."),
    key("usd_day", DOLLARS, F::Told("no limit"), "US dollars in a day."),
];

static AUDIT: [Key; 2] = [
    key(
        "room",
        K::Truth,
        F::Truth(true),
        "Whether the service bot makes a room for workspace.admins, with a line for each request to a coworker.",
    ),
    key("retention_days", K::Number(1, 3_650), F::Number(365), "How long the index of requests is kept, in days."),
];

static LOG: [Key; 2] = [
    key("format", K::Choice(&["text", "json"]), F::Word("text"), "A line for people, or a JSON object."),
    key("filter", K::Text(&DIRECTIVES), F::Nothing, "Directives added to the built-in `warn,workmate=info`."),
];

static SERVER: [Key; 4] = [
    key(
        "command",
        K::List(&K::Word, WORDS_MAX),
        F::Told("`url`"),
        "The program that Workmate starts and keeps running, and its arguments.",
    ),
    key(
        "env",
        K::Named(&SETTING),
        F::Nothing,
        "The program's environment, besides PATH and HOME; text, or a credential by its name.",
    ),
    key("url", K::Text(&URL), F::Told("`command`"), "The address of a server that speaks streamable HTTP."),
    key("headers", K::Named(&SETTING), F::Nothing, "Headers of every call to that address."),
];

static SETTING: K = K::Either(&[K::Word, K::Section(&CREDENTIAL)]);
static CREDENTIAL: [Key; 1] = [key("credential", K::Word, F::Required, "The name of one under `credentials`.")];

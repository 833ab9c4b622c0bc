//! Whole files in a temporary folder: what loads, and the full message of every fault.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use pretty::same;
use tempfile::TempDir;

use super::*;

const AS_TOKEN: &str = "as-token-of-43-characters-0123456789-012345";
const HS_TOKEN: &str = "hs-token-of-43-characters-0123456789-012345";
const MINIMAL: &str = "\
homeserver:
  url: http://127.0.0.1:8008
  server_name: example.org
appservice:
  listen: 127.0.0.1:29330
  as_token: as-token-of-43-characters-0123456789-012345
  hs_token: hs-token-of-43-characters-0123456789-012345
master_secret_file: master.secret
";
const CI: &str = "id: ci\nname: ci\npurpose: Builds.\ninstructions: Watch builds.\n";

mod certificates;
mod files;
mod following;
mod keys;
mod schedules;
mod slips;
mod tools;
mod unasked;

mod pretty {
    /// Compares messages so that a failure prints them line by line.
    #[track_caller]
    pub(super) fn same(actual: &str, expected: &str) {
        assert!(actual == expected, "\n--- actual\n{actual}\n--- expected\n{expected}\n");
    }
}

/// A folder with a config, a master secret and one coworker.
struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("workmate.yaml", config);
        folder.write("master.secret", MasterSecret::new([7; 32]).encode().expose());
        fs::create_dir(folder.path("coworkers")).unwrap();
        folder.write("coworkers/ci.yaml", CI);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<(Config, Vec<Fault>), Faults> {
        let find = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::load_with(&self.path("workmate.yaml"), &find)
    }

    /// Returns the faults' text without the temporary folder's path.
    fn faults(&self) -> String {
        let faults = self.load(&[]).expect_err("has faults").to_string();
        faults.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn warnings(&self, env: &[(&str, &str)]) -> Vec<String> {
        let (_, warnings) = self.load(env).expect("loads");
        warnings.iter().map(|warning| format!("{}: {}", warning.key, warning.what)).collect()
    }
}

#[test]
fn a_minimal_file_gets_every_default() {
    let folder = Folder::new(MINIMAL);
    let (config, _) = folder.load(&[]).expect("loads");

    assert_eq!(config.homeserver.url.as_str(), "http://127.0.0.1:8008/");
    assert_eq!(config.appservice.url.as_str(), "http://127.0.0.1:29330/");
    assert!(config.appservice.as_token.matches(AS_TOKEN) && config.appservice.hs_token.matches(HS_TOKEN));
    assert_eq!(config.master.derive("x"), MasterSecret::new([7; 32]).derive("x"));
    let appservice = &config.appservice;
    assert_eq!(
        [&appservice.id, &appservice.service_localpart, &appservice.coworker_prefix, &appservice.assistant_prefix],
        ["workmate", "workmate", "coworker-", "assistant-"]
    );
    assert_eq!(config.health_listen.to_string(), "127.0.0.1:29331");
    assert_eq!(config.data_dir, value::below(&folder.path("."), "../data"));
    assert!(config.data_dir.ends_with("data") && !config.data_dir.to_string_lossy().contains(".."));
    assert_eq!(config.claude.base_url.as_str(), "https://api.anthropic.com/");
    assert!(config.claude.api_key.is_none());
    assert_eq!((config.claude.model.as_str(), config.claude.effort), ("claude-opus-5-5", Effort::Medium));
    let limits = &config.limits;
    assert_eq!((limits.runs_max, limits.files_max, limits.run_tokens_max), (32, 10, 1_000_000));
    assert_eq!(config.log, Log::default());
    assert_eq!(config.audit, Audit { room: true, retention_days: 365 });
    assert_eq!(
        format!("{:?}", config.coworkers),
        "[Coworker { id: CoworkerId(\"ci\"), name: \"ci\", purpose: \"Builds.\", instructions: \"Watch builds.\", \
         model: None, effort: None, reply_in: Thread, accept_invites_from: Members, avatar: None, silent_join: false, budget_usd_month: None, tools: [], reads: AsAsker, hooks: [], watches: [], schedules: [] }]"
    );
}

#[test]
fn every_fault_of_every_file_is_reported_in_one_run() {
    let folder = Folder::new(
        "homeserver:\n  url: ftp://x\n  sever_name: example.org\nappservice:\n  listen: localhost\n  as_token: short\n\
         limits:\n  runs_max: 0\n  runs_max: 1\n  room_runs_max: many\n  waiting_runs_max: 0\nassistants:\n  enabled: yes\nmaster_secret: abc\n",
    );
    folder.write("coworkers/ci.yaml", "id: CI\nname: ''\ninstructions: x\nreply_in: here\n");
    folder.write("coworkers/ops.yaml", "id: opps\n  name: x: y\n");
    same(
        &folder.faults(),
        "\
workmate.yaml:1 homeserver.server_name: missing
  Local people could not be told from others.
  Mend: set it to the part after the colon in your users' ids.
workmate.yaml:2 homeserver.url: neither an http nor an https URL
  Calls go over HTTP.
  Mend: write it like https://matrix.example.org or http://127.0.0.1:8008.
workmate.yaml:3 homeserver.sever_name: unknown key
  It would be ignored, which is never what was meant.
  Mend: did you mean `server_name`? Otherwise remove the line.
workmate.yaml:4 appservice.hs_token: missing
  The homeserver's calls cannot be authenticated without it.
  Mend: run `workmate init`, or set appservice.hs_token_file.
workmate.yaml:5 appservice.listen: \"localhost\" is not an address with a port
  A listener needs both, and names are not looked up here.
  Mend: write an IP address and a port, such as 127.0.0.1:29330 or [::1]:29330.
workmate.yaml:6 appservice.as_token: shorter than 16 characters
  Whoever guesses it speaks for every virtual user.
  Mend: use a fresh random token; `workmate init` writes one.
workmate.yaml:8 limits.runs_max: \"0\" is out of bounds
  Beyond its bounds it would harm more than it helps.
  Mend: use a whole number from 1 to 1024.
workmate.yaml:9 limits.runs_max: given twice
  Line 8 already sets it, and only one can count.
  Mend: remove one of the two lines.
workmate.yaml:10 limits.room_runs_max: \"many\" is not a whole number
  It counts something.
  Mend: use a whole number from 1 to 64.
workmate.yaml:11 limits.waiting_runs_max: \"0\" is out of bounds
  Beyond its bounds it would harm more than it helps.
  Mend: use a whole number from 1 to 1000.
workmate.yaml:13 assistants.enabled: \"yes\" is not a choice
  Only a few words have a meaning here.
  Mend: write true; the other choice is false.
workmate.yaml:14 master_secret: given as a value
  It opens every stored key, and a config file is copied, shown and put under version control.
  Mend: put it into a file of its own with mode 0600 and set master_secret_file.
coworkers/ci.yaml:1 id: \"CI\" is not a coworker's id
  It becomes part of a Matrix user id.
  Mend: use 1 to 32 of a-z 0-9 _ -
coworkers/ci.yaml:1 purpose: missing
  It tells people what to ask it for.
  Mend: say in one line what it is for.
coworkers/ci.yaml:2 name: 0 characters long
  It is shown to people where there is little room.
  Mend: use 1 to 64 characters.
coworkers/ci.yaml:4 reply_in: \"here\" is not a choice
  Only a few words have a meaning here.
  Mend: use one of: thread, timeline.
coworkers/ops.yaml:2: not YAML: mapping values are not allowed in this context
  Nothing after this line could be read.
  Mend: put the value in quotes, because it holds a colon and a blank; or begin a line of its own.",
    );
}

/// Asserts the message of the only fault of `MINIMAL` with one replacement or further lines.
#[track_caller]
fn one_fault(from: &str, to: &str, expected: &str) {
    assert!(MINIMAL.contains(from), "nothing to replace");
    same(&Folder::new(&MINIMAL.replace(from, to)).faults(), expected);
}

#[test]
fn each_fault_of_the_homeserver_s_and_appservice_s_sections_says_how_to_mend_it() {
    one_fault(
        "http://127.0.0.1:8008",
        "https://hs.example.org/_matrix/client",
        "workmate.yaml:2 homeserver.url: already holds `/_matrix`\n  Workmate appends that part itself.\n  \
         Mend: end the URL before `/_matrix`.",
    );
    one_fault(
        "http://127.0.0.1:8008",
        "https://user:pass@hs.example.org",
        "workmate.yaml:2 homeserver.url: holds a user name or password\n  URLs are logged; a secret in one would be \
         too.\n  Mend: remove what stands before the `@`.",
    );
    one_fault(
        "server_name: example.org",
        "server_name: https://example.org",
        "workmate.yaml:3 homeserver.server_name: \"https://example.org\" is not a server name\n  It is the part after \
         the colon in user ids, not a URL.\n  Mend: write it like example.org.",
    );
    one_fault(
        "hs_token: hs",
        "hs_token_env: HS_TOKEN\n  hs_token: hs",
        "workmate.yaml:7 appservice.hs_token_env: given in more than one form\n  `hs_token` is set as well, and only \
         one of them can count.\n  Mend: keep one of hs_token, hs_token_file and hs_token_env.",
    );
    one_fault(
        HS_TOKEN,
        AS_TOKEN,
        "workmate.yaml:7 appservice.hs_token: as_token and hs_token are the same\n  Each side must be able to prove \
         who it is without knowing the other's secret.\n  Mend: write a new one where one of them stands \
         (`openssl rand -hex 32`) and into the registration, and restart the homeserver.",
    );
    one_fault(
        "  listen: ",
        "  coworker_prefix: assistant-co-\n  listen: ",
        "workmate.yaml:4 appservice.assistant_prefix: `assistant-` is also the beginning of coworker_prefix \
         `assistant-co-`\n  A user id would belong to two kinds of virtual user at once.\n  Mend: choose names of \
         which none begins with the other.",
    );
    one_fault(
        "  listen: ",
        "  service_localpart: coworker-0\n  listen: ",
        "workmate.yaml:4 appservice.coworker_prefix: `coworker-` is also the beginning of service_localpart \
         `coworker-0`\n  A user id would belong to two kinds of virtual user at once.\n  Mend: choose names of which \
         none begins with the other.",
    );
    one_fault(
        "master_secret_file: master.secret\n",
        "",
        "workmate.yaml:1 master_secret_file: missing\n  Stores are encrypted and lost devices recovered with keys \
         derived from it.\n  Mend: run `workmate init`, or set master_secret_file.",
    );
}

#[test]
fn each_fault_of_the_other_sections_says_how_to_mend_it() {
    one_fault(
        "homeserver:\n",
        "health_listen: 127.0.0.1:29330\nhomeserver:\n",
        "workmate.yaml:1 health_listen: the address of appservice.listen\n  Only one of the two listeners could \
         be opened.\n  Mend: give it a port of its own, e.g. 127.0.0.1:29331.",
    );
    one_fault(
        "homeserver:\n",
        "claude:\n  base_url: https://api.anthropic.com/v1\nhomeserver:\n",
        "workmate.yaml:2 claude.base_url: already holds `/v1`\n  Workmate appends that part itself.\n  Mend: end the \
         URL before `/v1`.",
    );
    one_fault(
        "homeserver:\n",
        "workspace:\n  bots: [\"@bot:x.org\", alice]\nhomeserver:\n",
        "workmate.yaml:2 workspace.bots[1]: \"alice\" is not a full user id\n  People are known by their full id; names \
         and localparts can be imitated.\n  Mend: write it with quotes, like \"@alice:example.org\".",
    );
    one_fault(
        "homeserver:\n",
        "workspace:\n  admins: [\"@coworker-ci:example.org\"]\nhomeserver:\n",
        "workmate.yaml:2 workspace.admins: @coworker-ci:example.org is one of Workmate's own users\n  Its own users are \
         known by their names and never command it.\n  Mend: remove it from the list.",
    );
    one_fault(
        "homeserver:\n",
        "limits:\n  room_runs_max: 40\nhomeserver:\n",
        "workmate.yaml:2 limits.room_runs_max: 40 is more than runs_max, 32\n  One room could hold up all others.\n  \
         Mend: lower it, or raise limits.runs_max.",
    );
    one_fault(
        "homeserver:\n",
        "limits:\n  file_bytes_max: 20971521\nhomeserver:\n",
        "workmate.yaml:2 limits.file_bytes_max: \"20971521\" is out of bounds\n  Beyond its bounds it would harm more \
         than it helps.\n  Mend: use a whole number from 65536 to 20971520.",
    );
    one_fault(
        "homeserver:\n",
        "budgets:\n  person: {usd_day: $5}\nhomeserver:\n",
        "workmate.yaml:2 budgets.person.usd_day: \"$5\" is not an amount of dollars\n  It limits what the model costs.\n  \
         Mend: use dollars from 0.01 to 1000000, such as 20 or 0.50, without a currency sign.",
    );
    one_fault(
        "homeserver:\n",
        "budgets:\n  room: {usd_month: 0}\nhomeserver:\n",
        "workmate.yaml:2 budgets.room.usd_month: 0 leaves nothing to spend\n  Every request would be declined.\n  Mend: \
         leave it out for no limit; a budget is at least 0.01, and `!mute` silences a coworker in a room.",
    );
    one_fault(
        "homeserver:\n",
        "budgets:\n  assistant: {usd_month: 1, usd_day: 1.50}\nhomeserver:\n",
        "workmate.yaml:2 budgets.assistant.usd_day: $1.50 is more than usd_month, $1\n  The day's budget would never be \
         reached.\n  Mend: lower it, or raise usd_month.",
    );
    one_fault(
        "homeserver:\n",
        "budgets:\n  team: {usd_day: 5}\nhomeserver:\n",
        "workmate.yaml:2 budgets.team: unknown key\n  It would be ignored, which is never what was meant.\n  Mend: remove \
         it; known here: workspace, assistant, person, room.",
    );
    one_fault(
        "homeserver:\n",
        "log: json\nhomeserver:\n",
        "workmate.yaml:1 log: a single value where a section belongs\n  It holds keys of its own: format, filter.\n  \
         Mend: write `key: value` lines, indented under it.",
    );
    one_fault(
        "homeserver:\n",
        "audit:\n  retention_days: 0\nhomeserver:\n",
        "workmate.yaml:2 audit.retention_days: \"0\" is out of bounds\n  Beyond its bounds it would harm more than it \
         helps.\n  Mend: use a whole number from 1 to 3650.",
    );
    one_fault(
        "homeserver:\n",
        "audit:\n  room: maybe\nhomeserver:\n",
        "workmate.yaml:2 audit.room: \"maybe\" is not a choice\n  Only a few words have a meaning here.\n  Mend: use one \
         of: true, false.",
    );
    one_fault(
        "homeserver:\n",
        "coworkers_dir: people\nhomeserver:\n",
        "people: cannot be read: there is no such file\n  The coworkers are described there, one in each file.\n  \
         Mend: create the folder, or correct coworkers_dir.",
    );
}

#[test]
fn each_fault_between_coworkers_files_says_how_to_mend_it() {
    let folder = Folder::new(MINIMAL);
    folder.write("coworkers/ops.yaml", CI);
    folder.write("coworkers/big.yaml", &CI.replace("id: ci", "id: big").replace("Watch", &"x".repeat(16_400)));
    folder.write(
        "coworkers/old.yml",
        &CI.replace("ci", "old").replace("Builds.", "\"x\\a\"").replace("name: old", "name: o"),
    );
    same(
        &folder.faults(),
        "\
coworkers/big.yaml:4 instructions: 16408 bytes long
  It is sent with every request and paid for each time.
  Mend: shorten it to at most 16384 bytes.
coworkers/old.yml:1 id: \"old\" does not match the file's name
  Each id has one file of that name, so that no id can be given twice.
  Mend: rename the file to old.yaml, or correct the id.
coworkers/old.yml:3 purpose: holds a line break or control character
  It is shown to people on one line.
  Mend: write it as one line.
coworkers/ops.yaml name: \"ci\" is also the name in coworkers/ci.yaml
  People could not tell the two apart.
  Mend: give each a name of its own.
coworkers/ops.yaml:1 id: \"ci\" does not match the file's name
  Each id has one file of that name, so that no id can be given twice.
  Mend: there is a ci.yaml already: give this one an id of its own, that of its name, or remove it.",
    );
}

#[test]
fn secrets_come_from_files_and_from_the_environment_too() {
    let text = MINIMAL
        .replace(&format!("as_token: {AS_TOKEN}"), "as_token_file: as")
        .replace(&format!("hs_token: {HS_TOKEN}"), "hs_token_env: HS")
        .replace("_file: master.secret", "_env: MASTER")
        + "claude:\n  api_key_env: KEY\n";
    let folder = Folder::new(&text);
    folder.write("as", &format!("{AS_TOKEN}\n"));
    let master = MasterSecret::new([9; 32]);
    let env = [("HS", HS_TOKEN), ("MASTER", master.encode().expose()), ("KEY", "sk-1"), ("ANTHROPIC_API_KEY", "sk-2")]
        .map(|(key, value)| (key, value.to_owned()));
    let env: Vec<(&str, &str)> = env.iter().map(|(key, value)| (*key, value.as_str())).collect();

    let (config, _) = folder.load(&env).expect("loads");

    assert!(config.appservice.as_token.matches(AS_TOKEN) && config.appservice.hs_token.matches(HS_TOKEN));
    assert_eq!(config.master.derive("x"), master.derive("x"));
    assert!(config.claude.api_key.is_some_and(|key| key.matches("sk-1")));
}

#[test]
fn a_secret_that_cannot_be_taken_says_where_it_was_looked_for_and_never_what_it_is() {
    let text = MINIMAL
        .replace(&format!("as_token: {AS_TOKEN}"), "as_token_file: as")
        .replace(&format!("hs_token: {HS_TOKEN}"), "hs_token_file: hs")
        + "claude:\n  api_key_env: KEY\n";
    let folder = Folder::new(&text);
    folder.write("as", AS_TOKEN);
    folder.mode("as", 0o640);
    folder.write("master.secret", "c2hvcnQ");
    let root = folder.0.path().display().to_string();
    same(
        &folder.faults().replace(&root, ""),
        "\
workmate.yaml:6 appservice.as_token_file: as can be read by others (mode 0640)
  Everyone with an account on this machine could take it.
  Mend: run `chmod 600 as`.
workmate.yaml:7 appservice.hs_token_file: hs cannot be read: there is no such file
  The config names it as the place of this secret.
  Mend: correct the path, or put the secret there, readable by its owner alone (mode 0600). Workmate's own are written by `workmate init`.
workmate.yaml:8 master_secret_file: not 32 bytes of base64url
  Every key is derived from exactly these bytes, so a damaged copy opens nothing.
  Mend: restore it from your backup; for a new installation `workmate init` writes one.
workmate.yaml:10 claude.api_key_env: the environment variable \"KEY\" is not set
  The config names it as the place of this secret.
  Mend: set it for the process, or use the `_file` form.",
    );
}

#[test]
fn the_usual_environment_names_reach_claude_where_the_config_is_silent() {
    let folder = Folder::new(MINIMAL);
    let env = [("ANTHROPIC_API_KEY", " sk-env "), ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/x")];
    let (config, warnings) = folder.load(&env).expect("loads");
    assert!(config.claude.api_key.is_some_and(|key| key.matches("sk-env")));
    assert_eq!(config.claude.base_url.as_str(), "http://127.0.0.1:9/x");
    assert!(warnings.iter().all(|warning| warning.key != "claude.api_key"));
}

#[test]
fn what_is_doubtful_warns_and_loads() {
    let folder = Folder::new(&MINIMAL.replace("http://127.0.0.1:8008", "http://hs.example.org"));
    fs::remove_file(folder.path("coworkers/ci.yaml")).unwrap();
    folder.mode("workmate.yaml", 0o644);
    let expected = [
        "claude.api_key: missing",
        "homeserver.url: plain http to another machine",
        "coworkers_dir: no coworkers",
        "appservice.as_token: a secret in a file that others can read (mode 0644)",
        "appservice.hs_token: a secret in a file that others can read (mode 0644)",
    ];
    assert_eq!(folder.warnings(&[]), expected);
}

#[test]
fn a_gateway_s_token_headers_version_and_silence_are_read() {
    let folder = Folder::new(
        &(MINIMAL.to_owned()
            + "claude:\n  base_url: https://gateway.example.org/anthropic\n  api_version: 2023-06-01\n  headers:\n    X-Team: ops\n    X-Gateway-Key: {value_env: GATEWAY}\n"),
    );
    let env = [("ANTHROPIC_AUTH_TOKEN", "sk-bearer"), ("GATEWAY", "gw-s3cret-key")];
    let (config, warnings) = folder.load(&env).expect("loads");
    let claude = &config.claude;
    assert!(claude.api_key.is_none() && claude.auth_token.as_ref().is_some_and(|token| token.matches("sk-bearer")));
    assert_eq!((claude.api_version.as_str(), claude.idle_seconds), ("2023-06-01", 300));
    let names: Vec<&str> = claude.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["X-Team", "X-Gateway-Key"]);
    let hidden = config.own_secrets();
    for (secret, is_hidden) in [("sk-bearer", true), ("gw-s3cret-key", true), ("ops", false)] {
        assert_eq!(hidden.iter().any(|hidden| hidden.matches(secret)), is_hidden, "{secret}");
    }
    assert!(warnings.iter().all(|warning| warning.key != "claude.api_key"), "{warnings:?}");
    assert!(!format!("{config:?}").contains("gw-s3cret"));

    let both = [
        ("ANTHROPIC_API_KEY", "sk-key"),
        ("ANTHROPIC_AUTH_TOKEN", "sk-bearer"),
        ("ANTHROPIC_CUSTOM_HEADERS", "X-A: 1\n\nX-B:two words\n"),
    ];
    let (config, _) = Folder::new(MINIMAL).load(&both).expect("loads");
    assert!(config.claude.api_key.is_some() && config.claude.auth_token.is_none(), "the key goes first");
    assert_eq!((config.claude.idle_seconds, config.claude.headers.len()), (90, 2));
    assert_eq!(config.claude.headers[1].1.expose(), "two words");
}

#[test]
fn a_model_that_ends_and_effort_that_it_does_not_take_are_said() {
    let warnings = |lines: &str| {
        let folder = Folder::new(&(MINIMAL.to_owned() + "claude:\n  api_key: sk-1\n" + lines));
        folder.warnings(&[]).into_iter().filter(|warning| warning.starts_with("claude.")).collect::<Vec<_>>()
    };
    assert_eq!(
        warnings("  model: claude-sonnet-4-5\n"),
        [
            "claude.model: claude-sonnet-4-5 is retired on 2026-11-30",
            "claude.effort: claude-sonnet-4-5 does not take effort medium",
        ]
    );
    let opus = [
        "claude.model: claude-opus-4-5 is retired on 2027-01-22",
        "claude.effort: claude-opus-4-5 does not take effort xhigh",
    ];
    assert_eq!(warnings("  model: claude-opus-4-5\n  effort: xhigh\n"), opus);
    assert_eq!(warnings("  model: claude-opus-5-5\n  effort: max\n"), [""; 0]);
}

#[test]
fn c26_fallback_models_are_a_few_others_in_their_order() {
    let of = |models: &str| {
        Folder::new(&format!("{MINIMAL}claude:\n  api_key: sk-ant-0123456789\n  fallback_models: {models}\n"))
    };
    let folder = of("[claude-sonnet-5-5, claude-opus-4-5]");
    let (config, _) = folder.load(&[]).expect("loads");
    assert_eq!(config.claude.fallback_models, ["claude-sonnet-5-5", "claude-opus-4-5"]);
    let ends = "claude.fallback_models: claude-opus-4-5 is retired on 2027-01-22".to_owned();
    assert!(folder.warnings(&[]).contains(&ends), "{:?}", folder.warnings(&[]));
    for (models, fault) in [
        ("[claude-opus-5-5]", "claude-opus-5-5 is asked already"),
        ("[claude-sonnet-5-5, claude-sonnet-5-5]", "claude-sonnet-5-5 is asked already"),
        ("[a-1, a-2, a-3, a-4]", "4 models"),
        ("claude-sonnet-5-5", "where a list belongs"),
        ("['']", "fallback_models[0]"),
    ] {
        let faults = of(models).faults();
        assert!(faults.contains(fault), "{models}: {faults}");
    }
}

#[test]
fn c23_budgets_are_read_and_one_that_another_makes_pointless_is_doubtful() {
    let budgets =
        "budgets:\n  workspace: {usd_month: 100, usd_day: 10}\n  assistant: {usd_day: 0.50}\n  person: {usd_day: 12}\n";
    let folder = Folder::new(&format!("{MINIMAL}{budgets}"));
    let (config, warnings) = folder.load(&[("ANTHROPIC_API_KEY", "sk-ant-0123456789")]).expect("loads");
    let limits = |month, day| crate::core::budget::Limits { month, day };
    let (month, day) = (Some(Usd::dollars(100)), Some(Usd::dollars(10)));
    assert_eq!(config.budgets.workspace, limits(month, day));
    assert_eq!(config.budgets.assistant, limits(None, Some(Usd::from_micro(500_000))));
    assert_eq!(config.budgets.room, limits(None, None));
    let warned: Vec<_> = warnings.iter().map(|warning| format!("{}: {}", warning.key, warning.what)).collect();
    assert_eq!(warned, ["budgets.person.usd_day: $12 is more than the workspace's, $10"]);
}

#[test]
fn c13_an_audit_room_that_nobody_could_read_is_doubtful_only_where_it_was_asked_for() {
    let warned = |added: &str| {
        let warnings =
            Folder::new(&format!("{MINIMAL}{added}")).warnings(&[("ANTHROPIC_API_KEY", "sk-ant-0123456789")]);
        warnings.into_iter().filter(|warning| warning.starts_with("audit.")).collect::<Vec<_>>()
    };
    assert_eq!(warned("audit:\n  room: true\n"), ["audit.room: an audit room without anybody to read it"]);
    for silent in ["", "audit:\n  retention_days: 30\n", "audit:\n  room: false\n"] {
        assert_eq!(warned(silent), [""; 0], "{silent}");
    }
    let admins = "workspace:\n  admins: [\"@alice:example.org\"]\naudit:\n  room: true\n  retention_days: 30\n";
    assert_eq!(warned(admins), [""; 0]);
    let folder = Folder::new(&format!("{MINIMAL}{admins}"));
    assert_eq!(folder.load(&[]).expect("loads").0.audit, Audit { room: true, retention_days: 30 });
}

#[test]
fn a1_assistants_for_members_need_a_space_and_nothing_else() {
    let space = "workspace:\n  space: \"#all:example.org\"\n";
    let members = "assistants:\n  provision: members\n  provision_per_minute: 120\n  gone_grace_days: 0\n";
    let (config, _) = Folder::new(&format!("{MINIMAL}{space}{members}")).load(&[]).expect("loads");
    assert_eq!(config.workspace.space.as_ref().map(|space| space.as_str()), Some("#all:example.org"));
    let told = |config: &Config| {
        let Assistants { provision, provision_per_minute, gone_grace_days, .. } = config.assistants;
        (provision, provision_per_minute, gone_grace_days)
    };
    assert_eq!(told(&config), (Provision::Members, 120, 0));
    let (plain, _) = Folder::new(MINIMAL).load(&[]).expect("loads");
    assert_eq!((told(&plain), plain.workspace.space), ((Provision::Request, 30, 7), None));
    same(
        &Folder::new(&format!("{MINIMAL}{members}")).faults(),
        "workmate.yaml:10 assistants.provision: `members` needs workspace.space\n  A homeserver tells an application \
         service nobody's name: the members are those of a space.\n  Mend: set workspace.space to a room id or alias and \
         invite the service bot there, or use `request`.",
    );
    same(
        &Folder::new(&format!("{MINIMAL}workspace:\n  space: everyone\n")).faults(),
        "workmate.yaml:10 workspace.space: \"everyone\" is neither a room id nor an alias\n  The room could not be found \
         by it.\n  Mend: write it with quotes, like \"#everyone:example.org\" or \"!abc:example.org\".",
    );
}

#[test]
fn a_config_that_is_not_there_says_how_to_get_one() {
    let folder = Folder::new(MINIMAL);
    fs::remove_file(folder.path("workmate.yaml")).unwrap();
    same(
        &folder.faults(),
        "workmate.yaml: cannot be read: there is no such file\n  Nothing can be started without it.\n  Mend: run \
         `workmate init` to write one, or name the right file with --config.",
    );
}

#[test]
fn a_registration_that_agrees_passes_and_each_difference_is_a_fault() {
    let folder = Folder::new(MINIMAL);
    let (config, _) = folder.load(&[]).expect("loads");
    let registration = Registration::of(&config);
    let text = registration.render().expose().to_owned();
    folder.write("registration.yaml", &text);
    assert_eq!(registration.compare(&folder.path("registration.yaml")), Ok(Vec::new()));

    let changed =
        text.replace(HS_TOKEN, "another").replace("exclusive: true", "exclusive: false").replace(":29330", ":1");
    folder.write("registration.yaml", &changed);
    let faults = registration.compare(&folder.path("registration.yaml")).expect_err("differs").to_string();
    same(
        &faults.replace(&format!("{}/", folder.0.path().display()), ""),
        "\
registration.yaml:7 url: differs from appservice.url, which is \"http://127.0.0.1:29330\"
  The homeserver and Workmate would speak of different things.
  Mend: make the two equal, in registration.yaml or in the config, and restart the homeserver.
registration.yaml:11 hs_token: differs from appservice.hs_token
  Every call between the homeserver and Workmate would be refused.
  Mend: copy the token from one to the other, and restart the homeserver.
registration.yaml:22 namespaces.users: has no exclusive entry for Workmate's users
  The homeserver would not let Workmate act as them, or would let others take their names.
  Mend: add `- {exclusive: true, regex: '^@(workmate|coworker-.+|assistant-.+):example\\.org$'}`, and restart the homeserver.",
    );
}

#[test]
fn op4_a_file_that_is_no_registration_is_told_in_one_fault() {
    let folder = Folder::new(MINIMAL);
    let registration = Registration::of(&folder.load(&[]).expect("loads").0);
    for text in ["", "foo\n", "homeserver:\n  url: x\n"] {
        folder.write("registration.yaml", text);
        let faults = registration.compare(&folder.path("registration.yaml")).expect_err(text).to_string();
        assert!(faults.contains("is no registration") && faults.matches("Mend: ").count() == 1, "{faults}");
    }
}

#[test]
fn a_fingerprint_follows_the_id_and_the_hs_token_and_nothing_else() {
    let of = |text: &str| Folder::new(text).load(&[]).expect("loads").0.fingerprint();
    let first = of(MINIMAL);
    assert_eq!(of(&MINIMAL.replace(AS_TOKEN, "another-as-token-that-is-long")), first);
    assert_ne!(of(&MINIMAL.replace(HS_TOKEN, "another-hs-token-that-is-long")), first);
    assert_ne!(of(&MINIMAL.replace("  listen", "  id: other\n  listen")), first);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_line_makes_loading_panic_and_every_refusal_has_a_fault(line in "[a-z_]{0,12}: ?[-\\[\\]{}\"'a-z0-9@:. ]{0,20}", at in 0_usize..8) {
        let mut lines: Vec<&str> = MINIMAL.lines().collect();
        lines.insert(at, &line);
        if let Err(faults) = Folder::new(&lines.join("\n")).load(&[]) {
            proptest::prop_assert!(!faults.is_empty());
        }
    }
}

#[test]
fn op7_a_coworker_whose_file_has_faults_is_left_out_and_costs_nobody_else() {
    let folder = Folder::new(MINIMAL);
    folder.write(
        "coworkers/ops.yaml",
        "id: ops\nname: ops\npurpose: x\ninstructions: x\ntools:\n  - {name: nope__x, class: red}\n",
    );
    folder.write("coworkers/twin.yaml", "id: twin\nname: CI\npurpose: x\ninstructions: x\n");
    folder.write("coworkers/broken.yaml", "id: [\n");

    let config = Config::load(&folder.path("workmate.yaml")).expect("the others are there");
    let checked = folder.load(&[]).expect_err("`check` takes nothing for granted");

    let ids: Vec<&str> = config.coworkers.iter().map(|coworker| coworker.id.0.as_str()).collect();
    assert_eq!(ids, ["ci"]);
    assert_eq!(config.left_out_ids(), ["broken", "ops", "twin"].map(str::to_owned).into());
    assert_eq!(checked.as_slice(), config.left_out);
}

#[test]
fn op8_a_secret_that_may_not_be_read_is_told_as_such_and_with_its_owner() {
    let folder = Folder::new(&MINIMAL.replace("as_token: ", "as_token_file: none\n  # "));
    let missing = folder.faults();
    assert!(missing.contains("there is no such file") && missing.contains("written by `workmate init`"), "{missing}");
}

//! The JSON schemas of the config files agree with the loader, by an independent validator (Python's `jsonschema`,
//! which Synapse brings along).

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use workmate::config::Config;

use crate::harness::{homeserver::shared, venv_dir};

const REQUIRED: &str = "\
homeserver: {url: http://127.0.0.1:8008, server_name: example.org}
appservice: {listen: 127.0.0.1:29330, as_token: as-token-of-43-characters-0123456789-012345, hs_token_env: HS}
master_secret_env: MASTER
";
const COWORKER: &str = "id: ci\nname: ci\npurpose: Builds.\ninstructions: Watch builds.\n";

/// Additional lines, and whether they are valid.
const WORKMATE_LINES: &[(&str, bool)] = &[
    ("", true),
    ("limits:\n", true),
    ("limits: {runs_max: 1024}\n", true),
    ("limits: {runs_max: 1025}\n", false),
    ("limits: {runs_max: many}\n", false),
    ("limits: [1]\n", false),
    ("limit: {runs_max: 1}\n", false),
    ("assistants: {enabled: 'maybe'}\n", false),
    ("assistants: {provision: request, tools: [time, {name: http_get, hosts: [docs.example.org]}]}\n", true),
    ("assistants: {tools: [{approval: never}]}\n", false),
    ("budgets: {person: {usd_day: 0.50}, room: {usd_month: '20'}}\n", true),
    ("budgets: {person: {usd_day: 0}}\n", false),
    ("budgets: {team: {usd_day: 5}}\n", false),
    ("workspace: {bots: ['@a:example.org'], bridges: ['@telegram_.*:x', {ids: '@irc_.*:x', may: ask}]}\n", true),
    ("workspace: {bots: [alice]}\n", false),
    ("workspace: {bridges: [{may: ask}]}\n", false),
    ("claude: {effort: max, headers: {X-Team: ops, X-Key: {value_env: HS}}}\n", true),
    ("claude: {effort: huge}\n", false),
    ("claude: {api_key: a, api_key_env: HS}\n", false),
    (
        "mcp_servers: {a: {command: [x, 1], env: {PORT: 8080, KEY: {credential: c}}}}\ncredentials: {c: {value: abcdef}}\n",
        true,
    ),
    ("mcp_servers: {a: {command: x}}\n", false),
    ("credentials: {c: {}}\n", false),
    ("master_secret: abc\n", false),
    ("log: json\n", false),
];
const COWORKER_LINES: &[(&str, bool)] = &[
    ("", true),
    ("tools:\n", true),
    ("accept_invites_from: members\nreply_in: timeline\nbudget_usd_month: 50\n", true),
    ("accept_invites_from: ['@a:example.org']\n", true),
    ("accept_invites_from: everyone\n", false),
    ("tools: [{name: time, approval: 75}]\n", true),
    ("tools: [{name: time, approval: everybody}]\n", false),
    ("tools: [{name: time, timeout_seconds: 0}]\n", false),
    ("silent: true\n", false),
];

fn folder_with(workmate: &str, coworker: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("coworkers")).expect("made");
    fs::write(folder.path().join("workmate.yaml"), workmate).expect("written");
    fs::write(folder.path().join("coworkers/ci.yaml"), coworker).expect("written");
    folder
}

fn loads(workmate: &str, coworker: &str) -> Result<(), String> {
    let folder = folder_with(workmate, coworker);
    let env = |name: &str| match name {
        "HS" => Some("hs-token-of-43-characters-0123456789-012345".to_owned()),
        "MASTER" => Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc".to_owned()),
        _ => None,
    };
    Config::load_with(&folder.path().join("workmate.yaml"), &env).map(drop).map_err(|faults| faults.to_string())
}

fn verdicts(texts: &[(String, String)]) -> Vec<Option<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schemas.py");
    let mut python = Command::new(venv_dir().join("bin/python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Synapse's Python starts");
    let asked = serde_json::to_vec(texts).expect("is JSON");
    python.stdin.take().expect("is piped").write_all(&asked).expect("is read");
    let answered = python.wait_with_output().expect("ends");
    serde_json::from_slice(&answered.stdout).expect("a verdict each")
}

#[test]
fn the_schemas_take_what_the_loader_takes_and_the_samples() {
    shared(); // Makes Synapse's Python environment.
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let schema = |name: &str| config.join(name).display().to_string();
    let (workmate, coworker) = (schema("workmate.schema.json"), schema("coworker.schema.json"));
    let sample = |name: &str| fs::read_to_string(config.join(name)).expect("a sample");

    let mut cases = vec![(workmate.clone(), sample("workmate.yaml"), true)];
    for name in ["oncall", "ci", "sales"] {
        cases.push((coworker.clone(), sample(&format!("coworkers/{name}.yaml")), true));
    }
    for (lines, right) in WORKMATE_LINES {
        let text = format!("{REQUIRED}{lines}");
        let loaded = loads(&text, COWORKER);
        assert_eq!(loaded.is_ok(), *right, "the loader, of {lines}: {loaded:?}");
        cases.push((workmate.clone(), text, *right));
    }
    cases.push((workmate, REQUIRED.replace("homeserver", "homeservers"), false));
    for (lines, right) in COWORKER_LINES {
        let text = format!("{COWORKER}{lines}");
        let loaded = loads(REQUIRED, &text);
        assert_eq!(loaded.is_ok(), *right, "the loader, of {lines}: {loaded:?}");
        cases.push((coworker.clone(), text, *right));
    }
    let texts: Vec<_> = cases.iter().map(|(schema, text, _)| (schema.clone(), text.clone())).collect();
    for (verdict, (_, text, right)) in verdicts(&texts).into_iter().zip(&cases) {
        assert_eq!(verdict.is_none(), *right, "the schema, of {text}: {verdict:?}");
    }
}

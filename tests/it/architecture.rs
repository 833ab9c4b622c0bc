//! Checks who may import whom (`ARCHITECTURE.md`, "Who may import whom") in the sources.

mod circles;
mod services;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A directory of `src` and what it must not use.
struct Rule {
    /// Its name: `core` means the file `src/core.rs` and everything below `src/core/`.
    of: &'static str,
    /// Our own directories that it may use.
    ours: &'static [&'static str],
    /// Crates that it must not use.
    crates: &'static [&'static str],
}

/// Crates that do IO or bring an executor.
const IO: &[&str] = &["tokio", "tokio_util", "reqwest", "axum", "sled", "matrix_sdk", "matrix_sdk_base", "tracing"];
/// All our directories; one that may use `core` may also use `prompts`.
const ROOMS: &[&str] = &[
    "appservice",
    "claude",
    "cli",
    "clock",
    "config",
    "console",
    "core",
    "engine",
    "fuzzing",
    "listener",
    "matrix",
    "mcp_server",
    "prompts",
    "recogniser",
    "sandbox",
    "secret",
    "simulation",
    "standin",
    "store",
    "tools",
];

const RULES: &[Rule] = &[
    Rule { of: "core", ours: &["core", "prompts"], crates: IO },
    Rule { of: "prompts", ours: &["prompts"], crates: IO },
    Rule { of: "simulation", ours: &["simulation", "core"], crates: IO },
    Rule {
        of: "store",
        ours: &["store", "core", "secret", "clock"],
        crates: &["reqwest", "axum", "matrix_sdk", "matrix_sdk_base"],
    },
    Rule {
        of: "claude",
        ours: &["claude", "core", "secret", "clock"],
        crates: &["axum", "sled", "matrix_sdk", "matrix_sdk_base", "ruma"],
    },
    Rule {
        of: "tools",
        ours: &["tools", "core", "secret", "clock"],
        crates: &["axum", "sled", "matrix_sdk", "matrix_sdk_base", "ruma"],
    },
    Rule {
        of: "sandbox",
        ours: &["sandbox", "core"],
        crates: &["reqwest", "axum", "sled", "matrix_sdk", "matrix_sdk_base", "ruma", "image", "lopdf"],
    },
    Rule {
        of: "recogniser",
        ours: &["recogniser", "core", "secret"],
        crates: &["axum", "sled", "matrix_sdk", "matrix_sdk_base", "ruma"],
    },
    Rule { of: "matrix", ours: &["matrix", "core", "secret", "clock", "listener"], crates: &["sled"] },
    Rule { of: "listener", ours: &["listener"], crates: &["reqwest", "sled", "matrix_sdk", "matrix_sdk_base", "ruma"] },
    Rule {
        of: "appservice",
        ours: &["appservice", "core", "secret", "clock", "store"],
        crates: &["reqwest", "sled", "matrix_sdk", "matrix_sdk_base"],
    },
    Rule {
        of: "mcp_server",
        ours: &["mcp_server", "core", "secret", "clock"],
        crates: &["reqwest", "sled", "matrix_sdk", "matrix_sdk_base", "ruma"],
    },
    Rule {
        of: "console",
        ours: &["console", "core", "secret", "clock"],
        crates: &["reqwest", "sled", "matrix_sdk", "matrix_sdk_base"],
    },
    Rule {
        of: "standin",
        ours: &["standin", "core", "clock"],
        crates: &["sled", "matrix_sdk", "matrix_sdk_base", "ruma"],
    },
    Rule { of: "config", ours: &["config", "core", "secret"], crates: &["reqwest", "axum", "sled", "matrix_sdk"] },
    Rule {
        of: "engine",
        ours: &[
            "engine",
            "core",
            "secret",
            "clock",
            "prompts",
            "config",
            "store",
            "claude",
            "matrix",
            "appservice",
            "recogniser",
            "mcp_server",
            "console",
            "sandbox",
            "tools",
            "listener",
        ],
        crates: &["sled", "matrix_sdk", "matrix_sdk_base"],
    },
];

/// Directories that may name ruma's event types, which `matrix` turns into our own. The demo's people are independent
/// clients.
const READS_EVENTS: &[&str] = &["matrix", "cli/demo"];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns the sources below a directory and the file of its name beside it, without tests.
fn sources(of: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![src().join(of), src().join(format!("{of}.rs"))];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a source directory can be read");
            waiting.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).expect("a source can be read");
            found.push((path, code_of(&text)));
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    let inside = path.strip_prefix(src()).expect("it is below src");
    inside.components().any(|part| ["tests", "tests.rs"].iter().any(|name| part.as_os_str() == *name))
}

/// Returns the code compiled into the program: without comments, literals and test modules, which end a file.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.map(without_strings).collect::<Vec<_>>().join("\n")
}

fn without_strings(line: &str) -> String {
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"")
}

/// Returns our directories that the code names after `crate::`, including inside braces.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => used.extend(top_level_names(list)),
            None => drop(used.insert(first_name(after))),
        }
    }
    used
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the first segments of the paths in `a::x, b::{c, d}, e}`.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut part, mut names) = (0, String::new(), Vec::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(first_name(std::mem::take(&mut part).trim())),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => part.push(c),
            _ => {}
        }
    }
    names.push(first_name(part.trim()));
    names.retain(|name| !name.is_empty());
    names
}

/// Returns whether a path in the code begins with a crate's name.
fn uses_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    }) || code.contains(&format!("use {name};"))
}

fn faults_of(rule: &Rule, code: &str) -> Vec<String> {
    let used = rooms_used(code);
    let rooms = used.iter().filter(|room| ROOMS.contains(&room.as_str()) && !rule.ours.contains(&room.as_str()));
    let crates = rule.crates.iter().filter(|name| uses_crate(code, name));
    rooms.map(|room| format!("crate::{room}")).chain(crates.map(|&name| name.to_owned())).collect()
}

#[test]
fn design_6_each_room_imports_only_what_it_may() {
    let mut faults = Vec::new();
    for rule in RULES {
        let sources = sources(rule.of);
        assert!(!sources.is_empty(), "src/{} is gone: mend the rule", rule.of);
        for (path, code) in sources {
            faults.extend(faults_of(rule, &code).into_iter().map(|fault| format!("{} uses {fault}", path.display())));
        }
    }
    assert!(faults.is_empty(), "forbidden by ARCHITECTURE.md, who may import whom:\n{}", faults.join("\n"));
}

#[test]
fn design_6_ruma_event_types_stop_at_matrix() {
    let mut faults = Vec::new();
    for room in ROOMS.iter().filter(|room| !READS_EVENTS.contains(room)) {
        for (path, code) in sources(room) {
            let inside = path.strip_prefix(src()).expect("it is below src");
            let excepted = READS_EVENTS.iter().any(|excepted| inside.with_extension("").starts_with(excepted));
            let flat: String = code.split_whitespace().collect();
            if !excepted && (flat.contains("ruma::events") || flat.contains("ruma::{events")) {
                faults.push(path.display().to_string());
            }
        }
    }
    assert!(faults.is_empty(), "these name ruma's event types:\n{}", faults.join("\n"));
}

#[test]
fn a4_what_a_run_says_goes_where_its_destination_is_decided() {
    let mut faults = Vec::new();
    for (path, code) in sources("engine") {
        let flat: String = code.split_whitespace().collect();
        for call in [".send(&", ".edit(&", ".send_file(&"] {
            if flat.contains(&format!("{call}record.room")) || flat.contains(&format!("{call}here.record.room")) {
                faults.push(format!("{}: {call}record.room", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "these send past Engine::destination:\n{}", faults.join("\n"));
}

#[test]
fn design_11_only_the_sandbox_decodes_what_strangers_sent() {
    let decoders = ["image", "lopdf", "png", "flate2", "zip", "quick_xml", "calamine", "mail_parser"];
    // These handle our own pictures, what the stand-in checks and draws for the tests, and gzipped answers from the API
    // that the operator chose. None of that is a stranger's, and decoding is bounded.
    let excepted = [
        "core/media",
        "standin/validate/media",
        "standin/offline/chart",
        "matrix/avatar",
        "claude/client/decoding",
        "fuzzing/office",
    ];
    let mut faults = Vec::new();
    for room in ROOMS {
        for (path, code) in sources(room) {
            let inside = path.strip_prefix(src()).expect("it is below src").with_extension("");
            let names = decoders.iter().any(|decoder| uses_crate(&code, decoder));
            if names && !excepted.iter().any(|excepted| inside.starts_with(excepted)) {
                faults.push(format!("{} names a decoder", path.display()));
            }
            let may = inside.starts_with("sandbox/child") || inside.starts_with("fuzzing");
            if code.contains("media::decode(") && !may {
                faults.push(format!("{} decodes in its own process", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "forbidden by invariant 11 of ARCHITECTURE.md:\n{}", faults.join("\n"));
}

#[test]
fn design_6_every_room_of_the_house_has_a_rule_or_is_known() {
    let text = fs::read_to_string(src().join("lib.rs")).expect("lib.rs can be read");
    let declared: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, ROOMS);
}

#[test]
fn the_rules_find_what_they_forbid() {
    let rule = &RULES[0];
    let cases = [
        ("use crate::{core::run, store::Store};", vec!["crate::store"]),
        ("fn f() { crate::matrix::go() }", vec!["crate::matrix"]),
        ("use tokio::sync::watch;", vec!["tokio"]),
        ("fn f() -> reqwest::Url { sled::open() }", vec!["reqwest", "sled"]),
        ("use super::time; use crate::core::{run, words};", vec![]),
        ("// tokio::spawn\nlet x = \"crate::store\"; my_tokio::x();", vec![]),
        ("x();\n#[cfg(test)]\nmod tests {\n use tokio::test; }", vec![]),
    ];
    for (code, expected) in cases {
        assert_eq!(faults_of(rule, &code_of(code)), expected, "{code}");
    }
}

/// ruma accepts ids of any length; `core/id.rs` does not. Excepted are the config and the command line, which the
/// operator writes, and names in power levels, which are compared but never looked up.
#[test]
fn ids_from_outside_are_parsed_in_one_place() {
    let kinds =
        ["EventId", "RoomId", "UserId", "RoomOrAliasId", "RoomAliasId", "ServerName", "MatrixToUri", "MatrixUri"];
    let calls: Vec<String> =
        kinds.iter().flat_map(|kind| [format!("{kind}::parse("), format!("Owned{kind}::try_from(")]).collect();
    let mut elsewhere = Vec::new();
    for of in ["core", "matrix", "appservice", "engine", "store", "tools"] {
        for (path, code) in sources(of) {
            let may = [
                "core/id.rs",
                "core/people.rs",
                "core/power.rs",
                "account/power.rs",
                "proxy/sealed.rs",
                "words/all.rs",
            ]
            .iter()
            .any(|name| path.ends_with(name));
            if !may && calls.iter().any(|call| code.contains(call)) {
                elsewhere.push(path);
            }
        }
    }
    assert_eq!(elsewhere, Vec::<PathBuf>::new(), "use core::id");
}

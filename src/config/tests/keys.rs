//! Tests that the loader reads exactly the described keys, and that the schemas and the page match them.

use std::{collections::BTreeSet, fmt::Write as _};

use super::*;
use crate::{
    config::{
        keys::{COWORKER, Fallback, Key, Kind, WORKMATE},
        section::asked,
    },
    kept::kept,
};

#[test]
fn schemas_are_made_of_the_keys() {
    let [workmate, coworker] = schema_files();
    kept("config/workmate.schema.json", &workmate.1);
    kept("config/coworker.schema.json", &coworker.1);
}

/// Collects the paths of a section's keys, with `*` for names chosen by the operator and `[0]` for items.
fn paths(path: &str, keys: &'static [Key], into: &mut BTreeSet<String>) {
    for key in keys {
        for name in key.names() {
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            below(&path, &key.kind, into);
            into.insert(path);
        }
    }
}

fn below(path: &str, kind: &'static Kind, into: &mut BTreeSet<String>) {
    match kind {
        Kind::Section(keys) => paths(path, keys, into),
        Kind::Named(kind) => below(&format!("{path}.any"), kind, into),
        Kind::List(kind, _) => below(&format!("{path}[0]"), kind, into),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| below(path, kind, into)),
        _ => {}
    }
}

#[test]
fn every_key_that_is_described_is_read() {
    asked::all();
    let tools = "tools: [{name: time}]\n";
    let folder = Folder::new(&format!(
        "{MINIMAL}assistants: {{{}}}\nclaude: {{headers: {{any: {{value: x}}}}}}\nworkspace: {{bridges: [{{ids: \"@x.*:y\"}}]}}\n\
         credentials: {{any: {{value: secret}}}}\nmcp_servers:\n  any: {{command: [x], env: {{any: {{credential: any}}}}}}\n",
        tools.trim()
    ));
    let unasked = "hooks: [{name: h, room: \"!r:hs\", task: t, proof: bearer, credential: any, filter: [{at: /a, is: x}]}]\n\
                   watches: [{name: w, room: \"!r:hs\", task: t, senders: [\"@bot:hs\"], event: m.room.topic}]\n";
    let schedules = "schedules: [{name: a, when: daily at 9, zone: UTC, rooms: [\"#a:b.c\"], task: x}]\n";
    folder.write("coworkers/ci.yaml", &format!("{CI}{tools}{unasked}{schedules}"));
    folder.load(&[]).expect("loads");
    let http = "mcp_servers:\n  any: {url: \"https://x.example\", headers: {any: {credential: any}}}\n";
    Folder::new(&format!("{MINIMAL}credentials: {{any: {{value: secret}}}}\n{http}")).load(&[]).expect("loads");
    let asked = asked::all();

    let mut described = BTreeSet::new();
    paths("", &WORKMATE, &mut described);
    paths("", &COWORKER, &mut described);
    let unread: Vec<_> = described.difference(&asked).collect();
    assert!(unread.is_empty(), "src/config/keys describes what nothing reads: {unread:?}");
    let strange: Vec<_> = asked.difference(&described).filter(|path| path.rsplit('.').next() != Some("any")).collect();
    assert!(strange.is_empty(), "read, but not described: {strange:?}");
}

#[test]
fn a_key_that_is_set_to_its_default_changes_nothing() {
    let plain = Folder::new(MINIMAL);
    let shown = |folder: &Folder| {
        let (config, _) = folder.load(&[]).unwrap_or_else(|faults| panic!("{faults}"));
        format!("{config:?}").replace(&folder.0.path().display().to_string(), "")
    };
    let expected = shown(&plain);
    let default_of = |key: &Key| match key.fallback {
        Fallback::Number(number) => Some(number.to_string()),
        Fallback::Truth(truth) => Some(truth.to_string()),
        Fallback::Word(word) => Some(word.to_owned()),
        _ => None,
    };
    let mut seen = 0;
    for key in &WORKMATE {
        let set: String = match (&key.kind, default_of(key)) {
            (_, Some(default)) => format!("{MINIMAL}{}: {default}\n", key.name),
            (Kind::Section(keys), None) => {
                let lines = keys.iter().filter_map(|key| Some(format!("  {}: {}\n", key.name, default_of(key)?)));
                let lines: String = lines.collect();
                let header = format!("{}:\n", key.name);
                if MINIMAL.contains(&header) {
                    MINIMAL.replace(&header, &format!("{header}{lines}"))
                } else {
                    format!("{MINIMAL}{header}{lines}")
                }
            }
            _ => continue,
        };
        seen += 1;
        assert_eq!(shown(&Folder::new(&set)), expected, "{}", key.name);
    }
    assert!(seen > 8);
    for key in &COWORKER {
        let Some(default) = default_of(key) else { continue };
        plain.write("coworkers/ci.yaml", &format!("{CI}{}: {default}\n", key.name));
        assert_eq!(shown(&plain), expected, "{}", key.name);
    }
}

#[test]
fn docs_configuration_is_made_of_the_keys() {
    let mut page = String::from(PAGE_HEAD);
    let mut told = BTreeSet::new();
    table(&mut page, "## `workmate.yaml`", &WORKMATE, &mut told);
    table(&mut page, "## A coworker's file", &COWORKER, &mut told);
    kept("docs/configuration.md", &format!("{}\n", page.trim_end()));
}

const PAGE_HEAD: &str = "\
# Configuration

Every key of [`config/workmate.yaml`](../config/workmate.yaml) and of a coworker's file. The samples say more of each, with
examples; this page is made of the descriptors in `src/config/keys.rs`, as are the JSON schemas beside the samples
(`workmate.schema.json`, `coworker.schema.json`), which `init` writes too. Editors that know yaml-language-server complete
and check by them. Unknown keys, and keys given twice, are faults. An empty key counts as left out.

";

/// Writes a section's table and those of its sections that were not `told` yet: the assistants' tools have the keys of
/// a coworker's, and all budgets have the same two periods.
fn table(page: &mut String, heading: &str, keys: &'static [Key], told: &mut BTreeSet<*const Key>) {
    let _ = write!(page, "{heading}\n\n| key | takes | default | what for |\n| --- | --- | --- | --- |\n");
    let mut inner: Vec<(String, &'static [Key])> = Vec::new();
    for key in keys {
        let default = match key.fallback {
            Fallback::Required => "**required**".to_owned(),
            Fallback::Nothing if matches!(key.kind, Kind::Section(_)) => "—".to_owned(),
            Fallback::Nothing => "none".to_owned(),
            Fallback::Number(number) => number.to_string(),
            Fallback::Truth(truth) => truth.to_string(),
            Fallback::Word(word) => format!("`{word}`"),
            Fallback::Told(words) => words.to_owned(),
        };
        let _ = writeln!(page, "| `{}` | {} | {default} | {} |", key.name, takes(&key.kind), key.about);
        if let Some((part, keys)) = section_in(&key.kind) {
            inner.push((format!("{}`{}`{part}", heading_of(heading), key.name), keys));
        }
    }
    page.push('\n');
    for (heading, keys) in inner {
        if told.insert(keys.as_ptr()) {
            table(page, &heading, keys, told);
        }
    }
}

fn heading_of(heading: &str) -> String {
    match heading.split_once("# ") {
        Some((marks, outer)) if marks != "#" => format!("### {outer}, "),
        _ => "### ".to_owned(),
    }
}

/// Returns the keys of the section in a kind, and how the kind contains it.
fn section_in(kind: &'static Kind) -> Option<(&'static str, &'static [Key])> {
    match kind {
        Kind::Section(keys) => Some(("", keys)),
        Kind::Named(kind) => section_in(kind).map(|(_, keys)| (": under each name", keys)),
        Kind::List(kind, _) => section_in(kind).map(|(_, keys)| (": an entry with keys", keys)),
        Kind::Either(kinds) => kinds.iter().find_map(section_in),
        _ => None,
    }
}

fn takes(kind: &'static Kind) -> String {
    match kind {
        Kind::Section(_) => "keys of its own".to_owned(),
        Kind::Named(kind) => format!("names of your choice, each with {}", takes(kind)),
        Kind::List(kind, usize::MAX) => format!("a list: {} each", takes(kind)),
        Kind::List(kind, most) => format!("a list of at most {most}: {} each", takes(kind)),
        Kind::Either(kinds) => kinds.iter().map(takes).collect::<Vec<_>>().join(", or "),
        Kind::Number(least, most) => format!("{least} to {most}"),
        // As it is written: a currency sign is a fault.
        Kind::Dollars(least, most) => {
            let [least, most] = [least, most].map(|bound| Usd::from_micro(*bound).to_string());
            format!("{} to {}", least.trim_start_matches('$'), most.trim_start_matches('$'))
        }
        Kind::Truth => "true or false".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Text(form) => match form.chars_max {
            Some(most) => format!("{}, at most {most} characters", form.what),
            None => form.what.to_owned(),
        },
        Kind::Word => "text".to_owned(),
        Kind::Secret { as_value: true } => "a secret: also with `_file` or `_env` behind the name".to_owned(),
        Kind::Secret { as_value: false } => "a secret: only with `_file` or `_env` behind the name".to_owned(),
    }
}

//! Checks that every rule about coworkers in rooms has tests that name it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Rules of `docs/behaviour.md` about coworkers in rooms, and where their tests must be: `src` for tables without IO,
/// `tests` for real rooms. C18 happens only between homeserver and client.
const RULES: [(&str, &[&str]); 13] = [
    ("c5", &["src", "tests"]),
    ("c6", &["src", "tests"]),
    ("c7", &["tests"]),
    ("c8", &["src", "tests"]),
    ("c9", &["src", "tests"]),
    ("c10", &["src", "tests"]),
    ("c11", &["src", "tests"]),
    ("c14", &["src", "tests"]),
    ("c15", &["src", "tests"]),
    ("c16", &["src", "tests"]),
    ("c17", &["src", "tests"]),
    ("c18", &["tests"]),
    ("c19", &["src", "tests"]),
];

/// Returns the rules at the start of a test's name: `c5_and_c14_ours_are_silent` proves C5 and C14.
fn rules_of(test: &str) -> Vec<&str> {
    let is_rule = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(|c| c.is_ascii_lowercase()) && word.len() > 1 && letters.all(|c| c.is_ascii_digit())
    };
    test.split('_').filter(|word| *word != "and").take_while(|word| is_rule(word)).collect()
}

/// Returns the names of a source's test functions: those after a line that ends with `test]`.
fn tests_of(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        let name = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        match name {
            Some(name) if marked => found.push(name),
            _ => {}
        }
        marked = (line.starts_with("#[") && line.ends_with("test]")) || (marked && line.starts_with("#["));
    }
    found
}

fn read_all(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a source directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            read_all(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).expect("a source can be read"));
        }
    }
}

#[test]
fn every_rule_has_tests_that_name_it() {
    let mut proven: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for place in ["src", "tests"] {
        let mut sources = Vec::new();
        read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut sources);
        for test in sources.iter().flat_map(|source| tests_of(source)) {
            for rule in rules_of(test) {
                proven.entry(rule.to_owned()).or_default().insert(place);
            }
        }
    }
    let nowhere = BTreeSet::new();
    let missing: Vec<_> = RULES
        .iter()
        .flat_map(|(rule, places)| places.iter().map(move |place| (*rule, *place)))
        .filter(|(rule, place)| !proven.get(*rule).unwrap_or(&nowhere).contains(place))
        .collect();
    assert!(missing.is_empty(), "no test names these rules there: {missing:?}");
}

#[test]
fn rules_are_read_from_the_names_of_tests_alone() {
    let source =
        "#[tokio::test]\nasync fn c5_and_c14_x() {}\n#[test]\n#[ignore]\n fn c9_c19_y() {}\nfn c7_no_test() {}";
    let tests = tests_of(source);
    assert_eq!(tests, ["c5_and_c14_x", "c9_c19_y"]);
    assert_eq!(tests.into_iter().map(rules_of).collect::<Vec<_>>(), [["c5", "c14"], ["c9", "c19"]]);
    assert_eq!(rules_of("a_test_without_a_rule"), Vec::<&str>::new());
}

//! Who may import whom: read from the sources, so that a layer cannot be crossed unseen.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room of the house, and what it may import of ours beside itself.
const ROOMS: [(&str, &[&str]); 6] = [
    // The prompts are texts with places to fill in.
    ("core", &["prompts"]),
    ("store", &["core"]),
    ("claude", &["core", "clock", "secret"]),
    ("matrix", &["core", "clock", "secret"]),
    // The one door between edges: transactions go into the store's inbox.
    ("appservice", &["core", "clock", "secret", "store"]),
    // It judges the client's requests by a reading of the API of its own.
    ("standin", &["core", "clock", "secret"]),
];
/// Crates that do IO, which deciding code has no use for.
const IO_CRATES: [&str; 9] =
    ["tokio", "tokio_util", "reqwest", "axum", "sled", "matrix_sdk", "matrix_sdk_base", "futures_util", "rlimit"];

#[test]
fn no_room_of_the_house_imports_what_it_may_not() {
    let mut trespasses = Vec::new();
    for (room, allowed) in ROOMS {
        for file in sources(room) {
            for imported in imported(&code(&file)) {
                if imported != room && !allowed.contains(&imported.as_str()) {
                    trespasses.push(format!("{}: crate::{imported}", file.display()));
                }
            }
        }
    }
    assert_eq!(trespasses, Vec::<String>::new());
}

#[test]
fn core_does_no_io() {
    let mut trespasses = Vec::new();
    for file in sources("core") {
        let text = code(&file);
        for name in IO_CRATES.iter().filter(|name| text.contains(&format!("{name}::"))) {
            trespasses.push(format!("{}: {name}", file.display()));
        }
    }
    assert_eq!(trespasses, Vec::<String>::new());
}

#[test]
fn imports_are_found_alone_nested_and_in_the_middle_of_code() {
    let text = "use crate::{\n    clock,\n    core::{event::Event, run::Run},\n    secret::Secret,\n};\nuse crate::store;\n\
                fn f() { crate::matrix::error(); }";
    assert_eq!(imported(text), ["clock", "core", "matrix", "secret", "store"].map(String::from).into());
}

/// Returns a source without its comments, which may name what they like.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source is readable");
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n")
}

/// Returns the modules of ours that a source names behind `crate::`.
fn imported(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(first_word(rest));
            continue;
        };
        let mut depth = 1;
        for (place, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            let begins = place == 0 || (letter == ',' && depth == 1);
            if begins {
                found.insert(first_word(group[place..].trim_start_matches([',', ' ', '\n'])));
            }
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}

/// Returns the files of a module of the crate.
fn sources(module: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a module's folder is readable") {
            let path = entry.expect("an entry is readable").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    files
}

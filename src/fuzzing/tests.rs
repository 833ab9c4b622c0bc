//! Runs the corpus and a few thousand generated cases of each target.

use std::{fs, path::Path};

use super::{TARGETS, Target};

#[path = "../../benches/fuzz/mutate.rs"]
mod mutate;

use mutate::Cases;

/// Generated cases for each target.
const CASES: usize = 2_000;
const SEED: u64 = 1;

fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fuzz/corpus").join(target.name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("each target has a corpus")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file")))
        .collect();
    files.sort();
    files
}

fn short(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{name} has a corpus");
    for (file, case) in &corpus {
        eprintln!("{file}");
        (target.run)(case);
    }
    let mut cases = Cases::new(SEED, corpus.into_iter().map(|(_, case)| case).collect(), target.words);
    for number in 0..CASES {
        let case = cases.next();
        let ran = std::panic::catch_unwind(|| (target.run)(&case));
        let Ok(shape) = ran else {
            panic!("{name}: case {number} of seed {SEED} fails; `cargo bench --bench fuzz` makes it a file");
        };
        cases.learn(&case, shape);
    }
}

macro_rules! short {
    ($($test:ident: $target:literal),*) => {$(
        #[test]
        fn $test() {
            short($target);
        }
    )*};
}

short! {
    transactions_of_anybody_break_nothing: "transactions",
    events_of_anybody_break_nothing: "events",
    bodies_of_anybody_break_nothing: "bodies",
    links_of_anybody_break_nothing: "links",
    streams_of_anybody_break_nothing: "sse",
    mcp_servers_of_anybody_break_nothing: "mcp",
    configurations_of_anybody_break_nothing: "config",
    files_of_anybody_break_nothing: "media",
    documents_of_anybody_break_nothing: "documents",
    mails_of_anybody_break_nothing: "mails",
    transcripts_of_anybody_break_nothing: "transcripts"
}

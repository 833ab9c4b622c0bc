//! What a flush promised is there after a crash, also where callers shared the flush.

use std::{
    io::Write as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;

const DIR: &str = "WORKMATE_TEST_CRASHING_STORE";
/// Writers side by side, and after how many flushes the process ends in the middle of theirs.
const WRITERS: usize = 16;
const FLUSHES: usize = 200;

#[test]
fn what_callers_flushed_together_is_there_after_a_crash() {
    let dir = tempfile::tempdir().expect("a directory");
    let this_binary = std::env::current_exe().expect("the test's binary");

    let output = Command::new(this_binary)
        .args(["--exact", "store::tests::crash::writes_until_it_crashes", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .expect("it runs");

    assert!(!output.status.success(), "it crashed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let promised: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("flushed ")).collect();
    assert!(promised.len() >= FLUSHES, "{said}");
    let settings = open(dir.path()).settings::<String>();
    for key in promised {
        assert_eq!(settings.get(&key.to_owned()).expect("readable").as_deref(), Some(key), "promised and lost");
    }
}

#[test]
#[ignore = "run by what_callers_flushed_together_is_there_after_a_crash, which outlives it"]
fn writes_until_it_crashes() {
    let dir = std::env::var(DIR).expect("set by the test that runs this");
    let store = open(Path::new(&dir));
    let count = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (store, count) = (store.clone(), count.clone());
            writers.spawn(async move {
                for number in 0.. {
                    let key = format!("{writer}-{number}");
                    store.settings().put(&key, &key).expect("stored");
                    store.flush().await.expect("flushed");
                    // At once, so that a line is whole before the crash.
                    std::io::stdout().lock().write_all(format!("\nflushed {key}\n").as_bytes()).expect("said");
                    if count.fetch_add(1, Ordering::SeqCst) >= FLUSHES {
                        std::process::abort();
                    }
                }
            });
        }
        writers.join_all().await;
    });
}

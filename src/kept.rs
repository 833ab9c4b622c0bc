//! Pages and schemas of the repository that are generated from lists in the code; tests compare them.

use std::{fs, path::Path};

/// Asserts that a file of the repository equals `made`, or writes it (`INSTA_UPDATE=always`).
#[track_caller]
pub(crate) fn kept(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(&path, made).expect("written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "{file} is not what the code makes of it: renew it with INSTA_UPDATE=always");
}

/// Like [`kept`], for the last part of a page, from its heading on.
#[track_caller]
pub(crate) fn kept_end(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let there = fs::read_to_string(&path).unwrap_or_default();
    let heading = made.lines().next().unwrap_or_default();
    let by_hand = there.split(heading).next().unwrap_or_default().trim_end();
    kept(file, &format!("{by_hand}\n\n{made}"));
}

//! A person with matrix-js-sdk and its Rust crypto, like Element Web: chats made as Element makes them, verification by
//! the client's own button, and reading. It shares no code with us.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::process::Command;
use workmate::standin::{Matcher, Turn};

use crate::{
    assistants::Office,
    harness::homeserver::shared,
    standin_sdks::{install_npm, run},
};

/// The newest versions that run on Node 22 and later, and on Node 20.
const NEW_SDK: &str = "matrix-js-sdk@43.0.0";
const OLD_SDK: &str = "matrix-js-sdk@37.5.0";

async fn install() -> Option<std::path::PathBuf> {
    let version = run(Command::new("node").arg("--version")).await.unwrap_or_default();
    let major: u32 = version.trim().trim_start_matches('v').split('.').next()?.parse().unwrap_or(0);
    let (name, package) = if major >= 22 { ("matrix-js", NEW_SDK) } else { ("matrix-js-old", OLD_SDK) };
    install_npm(name, package).await
}

#[tokio::test]
async fn a11_matrix_js_sdk_verifies_everybody_from_its_own_button_and_reads_them() -> Result<()> {
    let Some(modules) = install().await else { return Ok(()) };
    let office = Office::open().await?;
    let alice = shared().account("alice").await;
    let assistant = office.slot.assistant(&alice.localpart);
    office.claude.on(Matcher::user("is it you"), Turn::text("It is me."));
    let settings = json!({
        "homeserver": shared().url(), "user": alice.localpart, "password": alice.password,
        "service": office.slot.service(), "coworker": office.slot.coworker("oncall"), "assistant": assistant,
        "question": "is it you?",
    });

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/js_person/person.mjs");
    let printed = run(Command::new("node").arg(script).arg(&modules).arg(settings.to_string())).await;
    let report: Value = serde_json::from_str(printed.map_err(anyhow::Error::msg)?.trim())?;

    // Only emoji are offered: none of ours can scan or show a code.
    let verified = json!({ "sas": true, "scan": false, "show": false, "verified": true, "emojiFirst": true });
    for who in ["assistant", "service", "coworker"] {
        assert_eq!(report[who], verified, "{who}: {report:#}");
    }
    assert_eq!(report["crossed"], true, "{report:#}");
    for word in ["welcome", "coworkerSaid", "elsewhere", "answer"] {
        assert_eq!(report[word]["encrypted"], true, "{word}: {report:#}");
    }
    let (service, oncall) = (office.slot.service(), office.slot.coworker("oncall"));
    assert_eq!(report["online"].as_object().map(serde_json::Map::len), Some(2), "{report:#}");
    let welcome = report["welcome"]["html"].as_str().unwrap_or_default();
    assert!(welcome.contains(&format!("https://matrix.to/#/{oncall}")), "a pill: {welcome}");
    for left in ["coworkerLeft", "coworkerLeftAgain"] {
        let reason = report[left]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("at least two people") && reason.contains(service.as_str()), "{left}: {report:#}");
    }
    let led = report["assistantLeft"]["reason"].as_str().unwrap_or_default();
    let own = report["ledTo"].as_str().unwrap_or_default().trim_start_matches('!');
    let own = own.split(':').next().unwrap_or_default();
    assert!(led.contains("https://matrix.to/#/") && led.contains(own), "{report:#}");
    let elsewhere = report["elsewhere"]["body"].as_str().unwrap_or_default();
    assert!(elsewhere.contains("send it again here") && !elsewhere.contains("my first words"), "{report:#}");
    Ok(())
}

//! Workmate taken out of its homeserver, whole (`workmate retire --everything`).

use std::process::Output;

use anyhow::Result;
use reqwest::Method;
use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::{
    assistants::{Office, call_as, reason_of_leaving},
    harness::{RoomKind, Workmate, homeserver::shared},
};

async fn retire(workmate: &Workmate, flags: &[&str]) -> Result<(bool, String)> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.args(["retire", "--everything"]).args(flags).arg("--config").arg(workmate.config()).kill_on_drop(true);
    let Output { status, stdout, stderr } = command.env_remove("ANTHROPIC_API_KEY").output().await?;
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((status.success(), text))
}

/// Everybody of ours leaves with a reason and cannot come back; the data is gone; a second run finds nothing more to do.
/// Nothing happens while Workmate runs, or without a clear word.
#[tokio::test]
async fn op9_all_of_workmate_goes_when_told_and_leaves_nothing_of_its_own() -> Result<()> {
    let mut office = Office::open().await?;
    let (alice, bob) = (shared().person("alice").await, shared().person("bob").await);
    let chat = office.meet(&alice).await?;
    let (oncall, assistant) = (office.slot.coworker("oncall"), office.assistant_of(&alice));
    let room = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id()]).await?;
    bob.until_membership(&room, bob.user_id(), &MembershipState::Invite).await?;
    bob.join(&room).await?;
    alice.invite(&room, &oncall).await?;
    alice.until_membership(&room, &oncall, &MembershipState::Join).await?;

    let early = retire(&office.workmate, &["--yes"]).await?;
    office.workmate.stop().await;
    let asked = retire(&office.workmate, &[]).await?;
    let still = office.rooms_of_assistant(&alice).await?;
    let kept = office.workmate.data_dir().join("users").is_dir();
    let done = retire(&office.workmate, &["--yes"]).await?;
    let reasons =
        [reason_of_leaving(&alice, &room, &oncall).await?, reason_of_leaving(&alice, &chat, &assistant).await?];
    let again = retire(&office.workmate, &["--yes"]).await?;

    assert!(!early.0 && early.1.contains("a workmate runs") && early.1.contains("nothing was done"), "{}", early.1);
    assert!(asked.0 && asked.1.contains("Nothing was done yet"), "{}", asked.1);
    for user in [&oncall, &assistant, &office.slot.service()] {
        assert!(asked.1.contains(user.as_str()), "{user} is not named: {}", asked.1);
    }
    assert!(kept && still == json!([chat]), "{still}");
    assert!(done.0 && done.1.contains("were deactivated") && done.1.contains("What remains"), "{}", done.1);
    assert!(reasons.iter().all(|reason| reason.contains("Workmate was removed")), "{reasons:?}");
    for gone in ["users", "state", "run"] {
        assert!(!office.workmate.data_dir().join(gone).exists(), "{gone} is still there");
    }
    let path = format!("_matrix/client/v3/profile/{oncall}");
    let profile = call_as(&alice, Method::GET, &path, &json!({})).await.unwrap_or_default();
    assert!(profile["displayname"].as_str().is_none_or(str::is_empty), "{profile}");
    assert!(again.0, "{}", again.1);
    Ok(())
}

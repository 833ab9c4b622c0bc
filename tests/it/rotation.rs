//! Fresh tokens while Workmate and the homeserver run (`workmate rotate-tokens`).

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

use anyhow::Result;
use serde_json::json;

use crate::harness::{
    RoomKind, Setup, Workmate,
    homeserver::Private,
    office::{Office, echoing},
    progress,
    readiness::reconfigure,
};

async fn rotate(workmate: &Workmate) -> Result<(bool, String)> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_workmate"));
    command.arg("rotate-tokens").arg("--config").arg(workmate.config()).kill_on_drop(true);
    let Output { status, stdout, stderr } = command.env_remove("ANTHROPIC_API_KEY").output().await?;
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((status.success(), text))
}

/// Moves the tokens into files of their own, as `init` writes them.
fn keep_tokens_in_files(workmate: &Workmate) -> Result<()> {
    let (slot, folder) = (workmate.slot(), workmate.config().with_file_name("secrets"));
    fs::create_dir(&folder)?;
    for (name, token) in [("as_token", slot.as_token()), ("hs_token", slot.hs_token())] {
        fs::write(folder.join(name), token)?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600))?;
    }
    reconfigure(&workmate.config(), |settings| {
        let appservice = settings["appservice"].as_object_mut().expect("a section");
        for name in ["as_token", "hs_token"] {
            appservice.remove(name);
            appservice.insert(format!("{name}_file"), json!(folder.join(name)));
        }
    })
}

/// Nobody is left without an answer at any step: with new files and the old homeserver, with both new, and with a
/// Workmate that starts in between.
#[tokio::test]
async fn op8_tokens_are_replaced_while_both_sides_run_and_nothing_is_missed() -> Result<()> {
    let (mut private, claude) = (Private::start().await, echoing().await?);
    let mut workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).write();
    keep_tokens_in_files(&workmate)?;
    workmate.start_again().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let mut office = Office { claude, workmate, alice, bob };
    let room = office.room(RoomKind::Encrypted).await?;
    let secrets = office.workmate.config().with_file_name("secrets");
    let token = || fs::read_to_string(secrets.join("as_token"));
    let first = token()?;

    let rotated = rotate(&office.workmate).await?;
    assert!(rotated.0 && rotated.1.contains("restart the homeserver; Workmate goes on"), "{}", rotated.1);
    assert!(token()? != first, "the token is another one");
    assert_eq!(fs::read_to_string(secrets.join("as_token.previous"))?.trim(), first.trim());
    assert!(!rotated.1.contains(first.trim()) && !rotated.1.contains(token()?.trim()), "a token is shown");
    office.asked_and_answered(&room, "the homeserver has the old ones").await?;
    let early = rotate(&office.workmate).await?;
    assert!(!early.0 && early.1.contains("has not read the tokens of the last rotation"), "{}", early.1);

    private.homeserver.restart(&progress).await?;
    office.asked_and_answered(&room, "the homeserver has the new ones").await?;
    let logs = office.workmate.logs();
    assert!(logs.contains("the homeserver takes the new as_token"), "{logs}");

    let again = rotate(&office.workmate).await?;
    assert!(again.0, "{}", again.1);
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.asked_and_answered(&room, "Workmate started between the two").await?;
    private.homeserver.restart(&progress).await?;
    office.asked_and_answered(&room, "and the homeserver after it").await?;
    Ok(())
}

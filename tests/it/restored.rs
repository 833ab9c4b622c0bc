//! A homeserver that is restored from an earlier copy knows less than Workmate does.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::harness::{
    RoomKind, Setup, Timeline,
    homeserver::Private,
    office::{Office, echoing},
    progress,
};

/// Copies the homeserver's database, with what SQLite keeps beside it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("homeserver.db{suffix}");
        let _ = fs::remove_file(to.join(&name));
        if from.join(&name).exists() {
            fs::copy(from.join(&name), to.join(&name)).context(name)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_a_homeserver_that_was_restored_from_a_copy_is_served_again() -> Result<()> {
    let mut private = Private::start().await;
    let claude = echoing().await?;
    let workmate = Setup::new(&private.slot, private.homeserver.url(), &claude.base_url()).start().await;
    let [alice, bob] = [private.person("alice").await, private.person("bob").await];
    let mut office = Office { claude, workmate, alice, bob };
    let rooms = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    for room in &rooms {
        office.asked_and_answered(room, "before the copy").await?;
    }
    let kept = tempfile::tempdir()?;
    private.homeserver.stop().await?;
    copy(&private.dir(), kept.path())?;
    private.homeserver.start_again(&progress).await?;
    let assistant = private.slot.assistant(office.alice.user_id().localpart());
    office.alice.create_dm(&assistant).await?;
    office.alice.until_invited_by(&assistant).await?;
    let lost = office.room(RoomKind::Plain).await?;
    for room in rooms.iter().chain([&lost]) {
        office.asked_and_answered(room, "behind the copy").await?;
    }

    private.homeserver.stop().await?;
    copy(kept.path(), &private.dir())?;
    private.homeserver.start_again(&progress).await?;

    // People's apps would not go on either.
    office.alice = private.login("alice").await?;
    office.bob = private.login("bob").await?;
    for room in &rooms {
        office.asked_and_answered(room, "and now?").await?;
        office.asked_and_answered(room, "and again?").await?;
    }
    let new = office.room(RoomKind::Encrypted).await?;
    office.asked_and_answered(&new, "in a new room").await?;
    office.alice.create_dm(&assistant).await?;
    let chat = office.alice.until_invited_by(&assistant).await?;
    office.alice.join(&chat).await?;
    let welcomed = |seen: &Timeline| seen.messages_of(&assistant).next().map(drop);
    office.alice.until(&chat, "the assistant's first words", welcomed).await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    for room in rooms.iter().chain([&new]) {
        office.asked_and_answered(room, "after a start").await?;
    }
    Ok(())
}

//! Cards whose asker leaves the room.

use anyhow::Result;
use serde_json::json;
use workmate::core::words;

use super::Scene;
use crate::harness::{Timeline, homeserver::shared};

#[tokio::test]
async fn c12_a_card_whose_asker_leaves_or_is_removed_says_so_and_its_run_ends() -> Result<()> {
    let scene = Box::pin(Scene::set(|_| json!("asker"))).await?;
    let (alice, bob, coworker) = (&scene.office.alice, &scene.office.bob, scene.office.oncall());
    // With one person alone the coworker would pause.
    let carol = shared().person("carol").await;
    alice.invite(&scene.room, carol.user_id()).await?;
    scene.office.join_on_invite(&carol, &scene.room).await?;
    let (_, kept) = scene.ask(alice, "staging").await?;
    let (_, card) = scene.ask(bob, "production").await?;
    alice.room(&scene.room)?.kick_user(bob.user_id(), None).await?;
    scene.until_card_says(&card, "has left the room").await?;
    let ended =
        |seen: &Timeline| seen.messages_of(&coworker).find(|event| event.body().contains("It was: not run.")).map(drop);
    alice.until(&scene.room, "the end of the run", ended).await?;
    // The other card is still open.
    scene.tap(alice, &kept, "✅").await?;
    scene.until_answered(alice, "It was: run.").await?;
    assert_eq!(scene.ran(), ["staging"]);

    // C4: an open card does not keep the room from pausing; what was asked before still counts.
    let (_, open) = scene.ask(alice, "demo").await?;
    carol.room(&scene.room)?.leave().await?;
    let lonely = |seen: &Timeline| seen.messages_of(&coworker).find(|event| event.body() == words::lonely()).map(drop);
    alice.until(&scene.room, "the word that it pauses", lonely).await?;
    scene.tap(alice, &open, "✅").await?;
    scene.until_card_says(&open, "pproved").await?;
    Ok(())
}

//! Who waits for whom, and how many may wait (C11).

use anyhow::Result;
use serde_json::json;
use workmate::{core::words, standin::Turn};

use crate::harness::{RoomKind, Setup, Timeline, homeserver::shared, office::Office};

#[tokio::test]
async fn c11_rooms_go_in_turn_and_a_request_too_many_is_declined_with_a_word_and_not_lost() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let limits = json!({"runs_max": 1, "room_runs_max": 1, "waiting_runs_max": 2});
    let office = Office::open_for(people, |setup: Setup| setup.section("limits", limits)).await?;
    let (alice, bob, oncall) = (&office.alice, &office.bob, office.oncall());
    let [busy, quiet] = [office.room(RoomKind::Encrypted).await?, office.room(RoomKind::Plain).await?];
    let (turn, gate) = Turn::text("You asked: hold").gate_after(1);
    office.script("hold", turn);
    office.ask(alice, &busy, "hold").await?;
    gate.reached().await;

    office.ask(alice, &busy, "first").await?;
    office.ask(alice, &busy, "second").await?;
    let third = office.ask(alice, &busy, "third").await?;
    let declined = office.answer(alice, &busy, &oncall, &words::too_many_waiting()).await?;
    office.ask(bob, &quiet, "elsewhere").await?;
    // Answered at once, and after everything asked before it.
    office.ask(bob, &quiet, "!status").await?;
    office.answer(bob, &quiet, &oncall, &words::status(1)).await?;
    gate.release();
    office.answer(bob, &quiet, &oncall, "elsewhere").await?;
    office.answer(alice, &busy, &oncall, "second").await?;
    office.asked_and_answered(&busy, "third again").await?;

    assert_eq!((declined.msgtype(), declined.thread_root()), ("m.notice", Some(third.as_str())));
    assert!(declined.is_decrypted());
    let asked: Vec<_> =
        office.questions().iter().map(|question| question.trim_start_matches("@oncall ").to_owned()).collect();
    assert_eq!(asked, ["hold", "first", "elsewhere", "second", "third again"]);
    let seen: Timeline = alice.timeline(&busy);
    let words = seen.messages_of(&oncall).filter(|event| event.body() == words::too_many_waiting());
    assert_eq!(words.count(), 1, "{seen}");
    Ok(())
}

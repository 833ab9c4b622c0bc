//! Cards on a real store: waiting calls are told, and decisions survive the process.

use std::path::Path;

use futures_util::{FutureExt as _, future::join};
use ruma::{event_id, owned_event_id, owned_room_id, user_id};
use serde_json::json;

use super::*;
use crate::{
    core::{
        approval::Choice,
        event::{EventKind, Place},
        people::Who,
        run::RunRecord,
        time::Timestamp,
        tool::{ApprovalRule, Class, ToolName},
    },
    store::Store,
};

const HOUR_MS: i64 = 3_600_000;

fn store(dir: &Path) -> Store {
    Store::open(dir, &[7; 32]).expect("the store opens")
}

fn desk_of(store: &Store) -> Desk {
    Desk::new(store.approvals(), store.cards_begun())
}

fn begun(call: &str) -> Begun {
    let pending = pending(call);
    Begun { run: record().id(), number: pending.number(), tool: pending.tool, owner: None }
}

fn record() -> RunRecord {
    let (user, asker) = (user_id!("@coworker-ci:hs"), user_id!("@alice:hs"));
    RunRecord::new(user, &owned_room_id!("!r:hs"), event_id!("$request"), asker, Place::Timeline, clock::steady())
}

fn pending(call: &str) -> Pending {
    Pending {
        call: call.to_owned(),
        tool: ToolName::parse("deploy").expect("a name"),
        class: Class::Write,
        rule: ApprovalRule::Asker,
        arguments: json!({"to": call}),
    }
}

/// Posts a call's card that expires `open_ms` from now; it has expired if that is negative.
fn posted(desk: &Desk, call: &str, card: &str, open_ms: i64) -> Card {
    let card: Card = (owned_room_id!("!r:hs"), EventId::parse(card).expect("an id"));
    let record = record();
    let expires_at = Timestamp::from_ms(clock::steady().as_ms() + open_ms);
    let standing = Standing::new(&record.id(), &record, &pending(call), expires_at);
    desk.open(&card, &standing, &begun(call)).expect("stored");
    card
}

fn tap(desk: &Desk, card: &Card, choice: Choice) -> Option<bool> {
    let (alice, event) = (user_id!("@alice:hs"), event_id!("$tap"));
    let hear = |standing: &mut Standing| standing.hear(choice, alice, &Who::Person, Some(0), event, clock::steady());
    desk.change(card, hear).expect("stored").map(|heard| heard.expect("alice may decide"))
}

fn redaction(target: &str) -> (RoomEvent, OwnedEventId) {
    let target = EventId::parse(target).expect("an id");
    let event = RoomEvent {
        room: owned_room_id!("!r:hs"),
        id: owned_event_id!("$redaction"),
        sender: user_id!("@bob:hs").to_owned(),
        sent_at: clock::steady(),
        kind: EventKind::Redaction { target: target.clone(), authority: crate::core::redaction::Authority::OwnServer },
    };
    (event, target)
}

fn verdict(decision: &Decision) -> &'static str {
    match decision {
        Decision::Approved { .. } => "approved",
        Decision::Declined { .. } | Decision::Left { .. } => "declined",
        Decision::Expired => "expired",
    }
}

#[tokio::test]
async fn c12_two_cards_are_decided_each_on_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let (one, other) = (posted(&desk, "one", "$1", HOUR_MS), posted(&desk, "other", "$2", HOUR_MS));
    let waiting = join(desk.wait(&one), desk.wait(&other));
    tokio::pin!(waiting);
    assert!((&mut waiting).now_or_never().is_none());

    assert_eq!(tap(&desk, &other, Choice::Decline), Some(true));
    assert!((&mut waiting).now_or_never().is_none(), "the first is still open");
    assert_eq!(tap(&desk, &one, Choice::Approve), Some(true));

    let (one, other) = waiting.await;
    assert_eq!((verdict(&one.expect("read")), verdict(&other.expect("read"))), ("approved", "declined"));
}

#[tokio::test]
async fn c12_a_decision_given_before_the_process_ended_is_there_at_once_and_for_that_call_only() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let store = store(dir.path());
        let desk = desk_of(&store);
        let card = posted(&desk, "one", "$1", HOUR_MS);
        tap(&desk, &card, Choice::Approve);
        store.flush().await.expect("flushed");
    }

    let desk = desk_of(&store(dir.path()));

    let (room, run) = (record().room, record().id());
    let (card, _) = desk.find(&room, &run, &pending("one")).expect("read").expect("the card is known");
    for _ in 0..2 {
        let decision = desk.wait(&card).now_or_never().expect("it is decided").expect("read");
        assert_eq!(verdict(&decision), "approved");
    }
    assert_eq!(desk.find(&room, &run, &pending("another")).expect("read").map(|(card, _)| card), None);
}

#[tokio::test]
async fn c12_a_card_that_expired_while_the_process_was_away_is_declined_by_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let card = posted(&desk, "one", "$1", -HOUR_MS);
    assert_eq!(tap(&desk, &card, Choice::Approve), Some(false), "too late");
    assert_eq!(verdict(&desk.wait(&card).await.expect("read")), "expired");
}

#[tokio::test]
async fn c12_who_waits_learns_of_the_expiry() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let card = posted(&desk, "one", "$1", 30);
    assert_eq!(verdict(&desk.wait(&card).await.expect("read")), "expired");
    assert_eq!(tap(&desk, &card, Choice::Approve), Some(false), "too late");
}

#[tokio::test]
async fn c12_a_redacted_tap_is_withdrawn_before_the_run_takes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let card = posted(&desk, "one", "$1", HOUR_MS);
    tap(&desk, &card, Choice::Approve);
    let (event, tapped) = redaction("$tap");
    desk.take_redaction(&event, &tapped).expect("stored");

    let waiting = desk.wait(&card);
    tokio::pin!(waiting);
    assert!((&mut waiting).now_or_never().is_none(), "it is open again");
    tap(&desk, &card, Choice::Decline);
    assert_eq!(verdict(&waiting.await.expect("read")), "declined");
}

#[tokio::test]
async fn c12_redacting_the_card_declines_and_redacting_the_request_leaves_nothing_to_approve() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let (card, other) = (posted(&desk, "one", "$1", HOUR_MS), posted(&desk, "other", "$2", HOUR_MS));
    let (event, target) = redaction("$1");
    desk.take_redaction(&event, &target).expect("stored");
    assert_eq!(verdict(&desk.wait(&card).await.expect("read")), "declined");

    let (event, target) = redaction("$request");
    desk.take_redaction(&event, &target).expect("stored");
    assert_eq!(tap(&desk, &other, Choice::Approve), None);
    assert_eq!(verdict(&desk.wait(&other).await.expect("read")), "expired");
}

#[tokio::test]
async fn c12_a_run_that_ends_leaves_no_card_that_could_be_approved() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let (said, open) = (posted(&desk, "said", "$1", HOUR_MS), posted(&desk, "open", "$2", HOUR_MS));
    tap(&desk, &said, Choice::Approve);
    desk.wait(&said).await.expect("read");
    desk.change(&said, |standing| standing.shown = true).expect("stored");

    let mut cards = desk.of_run(&record().room, &record().id()).expect("read");
    desk.close(&record().room, &record().id()).expect("closed");

    cards.retain(|(_, standing)| !standing.shown);
    let unsaid: Vec<_> = cards.into_iter().map(|(card, _)| card).collect();
    assert_eq!(unsaid, std::slice::from_ref(&open));
    assert_eq!([tap(&desk, &said, Choice::Approve), tap(&desk, &open, Choice::Approve)], [None, None]);
}

#[tokio::test]
async fn c12_cards_of_runs_that_are_over_are_forgotten_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = desk_of(&store(dir.path()));
    let card = posted(&desk, "one", "$1", HOUR_MS);
    desk.forget_but_of(|run| Ok(*run == record().id())).expect("read");
    assert!(desk.get(&card.0, &card.1).expect("read").is_some());
    desk.forget_but_of(|_| Ok(false)).expect("read");
    assert_eq!(desk.get(&card.0, &card.1).expect("read"), None);
}

#[test]
fn c12_a_card_that_was_on_its_way_is_known_until_it_is_among_the_others_or_its_run_is_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = record().id();
    {
        let desk = desk_of(&store(dir.path()));
        for call in ["one", "two"] {
            desk.begin(&begun(call)).expect("stored");
        }
        posted(&desk, "one", "$card", HOUR_MS);
    }
    let desk = desk_of(&store(dir.path()));
    assert_eq!(desk.begun_by(&run).expect("readable"), [begun("two")]);
    desk.forget_but_of(|_| Ok(true)).expect("stored");
    assert_eq!(desk.begun_by(&run).expect("readable").len(), 1);
    desk.close(&owned_room_id!("!r:hs"), &run).expect("stored");
    assert_eq!(desk.begun_by(&run).expect("readable"), []);
    desk.begin(&begun("two")).expect("stored");
    desk.forget_but_of(|_| Ok(false)).expect("stored");
    assert_eq!(desk.begun_by(&run).expect("readable"), []);
}

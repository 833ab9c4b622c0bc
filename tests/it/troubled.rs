//! A homeserver in trouble: it refuses what we may do, and reports success for what it dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde_json::Value;
use tokio::time;
use workmate::core::{
    render,
    words::{self, KeyMissing},
};

use crate::harness::{
    Message, Person, RoomKind, SeenEvent, Setup, Timeline,
    faults::{Fault, Faults},
    homeserver::shared,
    office::{Office, echoing},
    readiness::{is_ready, until_readiness},
};

const WAIT_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// Opens an office whose calls pass a proxy that may answer in the homeserver's place.
async fn behind_faults(people: [Person; 2]) -> Result<(Office, Faults)> {
    let faults = Faults::before(shared().url().clone()).await?;
    let claude = echoing().await?;
    let workmate = Setup::new(&shared().take_slot(), faults.url(), &claude.base_url()).start().await;
    let [alice, bob] = people;
    Ok((Office { claude, workmate, alice, bob }, faults))
}

async fn until_made(faults: &Faults, what: &str, count: usize) -> Result<()> {
    let made = async {
        while faults.made().get(what).copied().unwrap_or_default() < count {
            time::sleep(POLL).await;
        }
    };
    time::timeout(WAIT_MAX, made).await.with_context(|| format!("{what} was not answered {count} times"))
}

#[tokio::test]
async fn nothing_is_lost_refusals_of_seconds_and_empty_answers_end_no_run_and_no_word() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let (office, faults) = behind_faults(people).await?;
    let rooms = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    for (fault, name) in [
        (Fault::Json(403, "M_FORBIDDEN"), "403 json"),
        (Fault::Json(404, "M_NOT_FOUND"), "404 json"),
        (Fault::Swallowed, "swallowed"),
    ] {
        let before = faults.made().get(name).copied().unwrap_or_default();
        faults.decide(move |call| {
            let is_meant = call.path.contains("/send/") || fault == Fault::Swallowed;
            if is_meant { fault } else { Fault::None }
        });
        let mut asked = Vec::new();
        for room in &rooms {
            for question in [format!("asked during {name}"), "!help".to_owned()] {
                asked.push((room, question.clone(), office.ask(&office.alice, room, &question).await?));
            }
        }
        // Each is refused more than once.
        until_made(&faults, name, before + 6).await?;
        faults.heal();
        for (room, question, request) in asked {
            let oncall = office.oncall();
            let answered = |seen: &Timeline| {
                let theirs = seen.messages_of(&oncall);
                let about = |event: &&SeenEvent| {
                    event.thread_root() == Some(request.as_str()) || event.in_reply_to() == Some(request.as_str())
                };
                theirs.filter(about).count().checked_sub(1)
            };
            office.alice.until(room, &format!("what {question:?} got"), answered).await?;
        }
    }
    for room in &rooms {
        office.asked_and_answered(room, "and now?").await?;
    }
    let questions = office.questions();
    for name in ["403 json", "404 json", "swallowed"] {
        let asked = questions.iter().filter(|question| question.ends_with(&format!("asked during {name}")));
        assert_eq!(asked.count(), 2, "one call of the model in each room: {questions:?}");
    }
    Ok(())
}

/// Returns every well-formed refusal and every page that a proxy, a worker or a broken release may give for a while.
fn odd_refusals() -> Vec<Fault> {
    let errcodes = ["M_UNKNOWN", "M_BAD_JSON", "M_INVALID_PARAM", "M_TOO_LARGE"];
    let statuses = [400, 405, 409, 410, 411, 413, 415, 418, 421, 422, 431, 451];
    let each = statuses.into_iter().enumerate();
    each.flat_map(|(number, status)| {
        let errcode = if status == 413 { "M_TOO_LARGE" } else { errcodes[number % 3] };
        [Fault::Json(status, errcode), Fault::Page(status)]
    })
    // A limit that asks for a day is in trouble too.
    .chain([Fault::LimitedFor(86_400_000)])
    .collect()
}

#[tokio::test]
async fn nothing_is_lost_a_few_seconds_of_any_refusal_end_no_run_no_word_no_invite_and_no_chat() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let (office, faults) = behind_faults(people).await?;
    let oncall = office.oncall();
    let rooms = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    let new = office.room_of_people(RoomKind::Plain).await?;
    let assistant = office.workmate.slot().assistant(office.alice.user_id().localpart());
    // First only sends fail, while everything else shows that we may send; then any call.
    for (phase, calls) in [("what is sent", 30), ("everything", 60)] {
        let before: usize = faults.made().values().sum();
        let next = Arc::new(AtomicUsize::new(0));
        faults.decide(move |call| {
            let is_meant = phase == "everything" || call.path.contains("/send/");
            let number = next.fetch_add(usize::from(is_meant), Ordering::Relaxed);
            if is_meant { odd_refusals()[number % odd_refusals().len()] } else { Fault::None }
        });
        let mut asked = Vec::new();
        for room in &rooms {
            for question in [format!("asked during {phase}"), "!help".to_owned()] {
                asked.push((room, question.clone(), office.ask(&office.alice, room, &question).await?));
            }
        }
        if phase == "everything" {
            office.alice.invite(&new, &oncall).await?;
            office.alice.create_dm(&assistant).await?;
        }
        let made = async {
            while faults.made().values().sum::<usize>() < before + calls {
                time::sleep(POLL).await;
            }
        };
        time::timeout(WAIT_MAX, made).await.with_context(|| format!("{phase}: not refused {calls} times"))?;
        faults.heal();
        for (room, question, request) in asked {
            let answered = |seen: &Timeline| {
                let about = |event: &&SeenEvent| {
                    event.thread_root() == Some(request.as_str()) || event.in_reply_to() == Some(request.as_str())
                };
                seen.messages_of(&oncall).filter(about).count().checked_sub(1)
            };
            office.alice.until(room, &format!("{phase}: what {question:?} got"), answered).await?;
        }
    }
    let introduced = |seen: &Timeline| seen.messages_of(&oncall).last().cloned();
    office.alice.until(&new, "the first words in a room to which it was invited meanwhile", introduced).await?;
    office.alice.until_invited_by(&assistant).await?;
    for room in &rooms {
        office.asked_and_answered(room, "and now?").await?;
    }
    let questions = office.questions();
    for phase in ["what is sent", "everything"] {
        let asked = questions.iter().filter(|question| question.ends_with(&format!("asked during {phase}")));
        assert_eq!(asked.count(), 2, "one call of the model in each room: {questions:?}");
    }
    Ok(())
}

#[tokio::test]
async fn c8_an_encrypted_request_is_asked_about_ahead_of_the_sync_and_answered_behind_it() -> Result<()> {
    let account = shared().account("alice").await;
    let people = [Person::start(account.clone()).await?, shared().person("bob").await];
    let (office, faults) = behind_faults(people).await?;
    let room = office.room(RoomKind::Encrypted).await?;
    for question in ["a first time", "a second time"] {
        office.asked_and_answered(&room, question).await?;
    }
    // What earlier syncs brought is known; from here on syncs fail.
    let asked = office.questions().len();
    faults.decide(|call| if call.path.ends_with("/sync") { Fault::Json(503, "M_UNKNOWN") } else { Fault::None });
    let request = office.ask(&office.alice, &room, "ahead of the sync").await?;
    let is_asked = async {
        while office.questions().len() == asked {
            time::sleep(POLL).await;
        }
    };
    time::timeout(WAIT_MAX, is_asked).await.context("the model was not asked without a sync")?;
    // A device that only a sync would report.
    let second = Person::start(account).await?;
    second.until_membership(&room, second.user_id(), &MembershipState::Join).await?;
    until_made(&faults, "503 json", 2).await?;
    let oncall = office.oncall();
    let theirs = |seen: &Timeline| {
        seen.messages_of(&oncall).filter(|event| event.thread_root() == Some(request.as_str())).count()
    };
    assert_eq!(theirs(&office.alice.timeline(&room)), 0, "nothing is encrypted before it is known for whom");
    faults.heal();
    let answer = office.answer(&office.alice, &room, &office.oncall(), "ahead of the sync").await?;
    let read = |seen: &Timeline| seen.event(&answer.event_id).filter(|event| event.is_decrypted()).map(drop);
    second.until(&room, "the answer, decrypted by the device that came meanwhile", read).await?;
    assert_eq!(office.questions().len(), asked + 1);
    assert_eq!(theirs(&office.alice.timeline(&room)), 1);

    // An edit and a redaction made meanwhile appear in the next prompt as in the room.
    let changed = office.alice.send(&room, Message::text("the first wording")).await?;
    office.alice.send(&room, Message::text("the second wording").replacing(&changed)).await?;
    let gone = office.alice.send(&room, Message::text("what nobody is to read")).await?;
    office.alice.redact(&room, &gone).await?;
    office.asked_and_answered(&room, "what stands above?").await?;
    let request = office.claude.requests().last().map(|request| request.body.to_string()).unwrap_or_default();
    assert!(request.contains("the second wording") && !request.contains("the first wording"));
    assert!(!request.contains("what nobody is to read"));
    Ok(())
}

#[tokio::test]
async fn c8_homeservers_4_what_was_encrypted_for_a_lost_store_is_said_once_and_what_comes_next_answered() -> Result<()>
{
    let mut office = Office::open().await?;
    let room: OwnedRoomId = office.room(RoomKind::Encrypted).await?;
    let oncall = office.oncall();
    office.workmate.stop().await;
    std::fs::remove_dir_all(office.workmate.data_dir().join("users").join(oncall.localpart()))?;
    // A session's first messages: its key goes to the lost device, and is in no backup.
    for question in ["are you there?", "still not?"] {
        office.ask(&office.alice, &room, question).await?;
    }
    office.workmate.start_again().await;
    let word = render::render(&words::undecryptable(KeyMissing::DeviceLost)).body;
    let told = |seen: &Timeline| seen.messages_of(&oncall).filter(|event| event.body().contains(&word)).count();
    office.alice.until(&room, "the word that a key is lost", |seen| told(seen).checked_sub(1)).await?;
    office.asked_and_answered(&room, "and now?").await?;
    assert_eq!(told(&office.alice.timeline(&room)), 1, "once");
    assert_eq!(office.questions().len(), 1);
    Ok(())
}

/// The SDK stores whatever token a sync brings, and every later sync names it.
#[tokio::test]
async fn nothing_is_lost_a_sync_that_the_homeserver_does_not_go_on_from_is_made_anew() -> Result<()> {
    let account = shared().account("alice").await;
    let people = [Person::start(account.clone()).await?, shared().person("bob").await];
    let (mut office, faults) = behind_faults(people).await?;
    let rooms = [office.room(RoomKind::Plain).await?, office.room(RoomKind::Encrypted).await?];
    let new = office.room_of_people(RoomKind::Plain).await?;
    for room in &rooms {
        office.asked_and_answered(room, "before").await?;
    }
    let oncall = office.oncall();
    faults.decide(|call| {
        let is_sync = call.path.ends_with("/sync");
        if is_sync { Fault::Invented(r#"{"next_batch":"x_bogus"}"#) } else { Fault::None }
    });
    for room in &rooms {
        office.ask(&office.alice, room, "asked meanwhile").await?;
    }
    office.alice.invite(&new, &oncall).await?;
    // No later sync names this device as a change.
    let second = Person::start(account).await?;
    second.until_membership(&rooms[1], second.user_id(), &MembershipState::Join).await?;
    until_made(&faults, "invented", 2).await?;
    // Nor is a first sync taken.
    faults.decide(|call| if call.path.ends_with("/sync") { Fault::Json(400, "M_UNKNOWN") } else { Fault::None });
    office.ask(&office.alice, &rooms[1], "asked in trouble").await?;
    let named = oncall.to_string();
    let is_named = move |_, conditions: &Value| conditions["users"]["reason"].to_string().contains(&named);
    let conditions = until_readiness(&office.workmate, is_named).await?;
    assert!(conditions["users"]["mend"].to_string().contains("sync"), "{conditions}");
    faults.heal();
    until_readiness(&office.workmate, |_, conditions| is_ready(conditions, "users")).await?;
    for room in &rooms {
        office.answer(&office.alice, room, &oncall, "asked meanwhile").await?;
    }
    office.answer(&office.alice, &rooms[1], &oncall, "asked in trouble").await?;
    let introduced = |seen: &Timeline| seen.messages_of(&oncall).last().cloned();
    office.alice.until(&new, "the first words in a room to which it was invited meanwhile", introduced).await?;
    let answer = office.asked_and_answered(&rooms[1], "and now?").await?;
    let read = |seen: &Timeline| seen.event(&answer.event_id).filter(|event| event.is_decrypted()).map(drop);
    second.until(&rooms[1], "the answer, decrypted by the device that came meanwhile", read).await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    for room in rooms.iter().chain([&new]) {
        office.asked_and_answered(room, "after a start").await?;
    }
    let questions = office.questions();
    for (asked, times) in [("asked meanwhile", 2), ("asked in trouble", 1)] {
        let calls = questions.iter().filter(|question| question.ends_with(asked)).count();
        assert_eq!(calls, times, "one call of the model for each: {questions:?}");
    }
    Ok(())
}

/// As with a root that stands only inside a ciphertext, or that a restored homeserver has forgotten.
#[tokio::test]
async fn c8_a_request_in_a_thread_that_the_homeserver_does_not_take_is_answered_in_reply() -> Result<()> {
    let people = [shared().person("alice").await, shared().person("bob").await];
    let (office, faults) = behind_faults(people).await?;
    for kind in [RoomKind::Plain, RoomKind::Encrypted] {
        let room = office.room(kind).await?;
        let root = office.alice.send(&room, "a thread's root").await?;
        let unknown = root.to_string();
        faults.decide(move |call| match &call.thread {
            Some(root) if *root == unknown => Fault::Json(400, "M_UNKNOWN"),
            _ if call.path.contains("/event/") && call.path.ends_with(&unknown[1..]) => Fault::Json(404, "M_NOT_FOUND"),
            _ => Fault::None,
        });
        let oncall = office.oncall();
        for question in ["in an unknown thread", "again"] {
            let asked = Message::text(format!("@oncall {question}")).pill("@oncall", &oncall).in_thread(&root);
            let request = office.alice.send(&room, asked).await?;
            let answer = office.answer(&office.alice, &room, &oncall, question).await?;
            assert_eq!((answer.thread_root(), answer.in_reply_to()), (None, Some(request.as_str())), "{kind:?}");
        }
        faults.heal();
        office.asked_and_answered(&room, "and now?").await?;
    }
    assert_eq!(office.questions().len(), 6, "each is asked once: {:?}", office.questions());
    Ok(())
}

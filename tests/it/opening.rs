//! Opened rooms: an owner opens a room for their assistant, and nobody there can notice it (A7, A8).

mod calls;
pub(crate) mod oracle;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde_json::{Value, json};
use workmate::{core::opened::READ_EVENTS, standin::RecordedRequest};

use crate::{
    assistants::{Office, call_as, said},
    harness::{
        Message, Person, RoomKind, SeenEvent, Timeline, homeserver::shared, office::text_of,
        readiness::until_runs_ended,
    },
    privacy::on_disk,
};

/// What a person says in the opened room, and what the assistant concludes from it.
const CANARIES: [&str; 2] = ["Rohrdommel-5150", "Zwergtaucher-1701"];
/// How every notice about an opened room begins.
pub(crate) const OPENED: &str = "Opened for you alone:";
/// The message if nothing can be opened.
const REFUSED: &str = "I can't open that.";

/// Returns the opened rooms in a request, as records.
fn opened_in(request: &RecordedRequest) -> Vec<Value> {
    let first = text_of(&request.body["messages"][0]["content"]);
    let records = first.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["opened_room"].is_object()).collect()
}

/// Returns the texts of the messages in an opened room.
fn texts(opened: &Value) -> Vec<String> {
    let messages = opened["messages"].as_array().into_iter().flatten();
    messages.map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect()
}

impl Office {
    fn oncall(&self) -> OwnedUserId {
        self.slot.coworker("oncall")
    }

    /// Makes a room of the first person's with the others and the coworker `oncall`, which has introduced itself.
    pub(crate) async fn team(&self, kind: RoomKind, people: &[&Person]) -> Result<OwnedRoomId> {
        let (host, oncall) = (people[0], self.oncall());
        let mut invited: Vec<_> = people[1..].iter().map(|person| person.user_id()).collect();
        invited.push(&oncall);
        let room = host.create_room(kind, "team", &invited).await?;
        for person in &people[1..] {
            person.until_invited_by(host.user_id()).await?;
            person.join(&room).await?;
        }
        host.until(&room, "the coworker's first words", |seen| seen.messages_of(&oncall).next().cloned()).await?;
        Ok(room)
    }

    /// Sends a message to the owner's assistant; waits for one more message of the assistant's with this beginning.
    pub(crate) async fn word(&self, owner: &Person, dm: &RoomId, message: &str, beginning: &str) -> Result<SeenEvent> {
        let assistant = self.assistant_of(owner);
        let count = |seen: &crate::harness::Timeline| {
            seen.messages_of(&assistant).filter(|event| event.body().starts_with(beginning)).count()
        };
        let before = count(&owner.timeline(dm));
        owner.send(dm, message).await?;
        let newest = |seen: &crate::harness::Timeline| {
            let words = seen.messages_of(&assistant).filter(|event| event.body().starts_with(beginning));
            words.last().filter(|_| count(seen) > before).cloned()
        };
        owner.until(dm, beginning, newest).await
    }

    fn last_request(&self) -> RecordedRequest {
        self.claude.requests().pop().expect("the model was asked")
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["age", "age_ts", "prev_batch", "next_batch"].contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Returns which of our users a person sees online; people's own presence varies.
fn ours_online(presence: &Value) -> BTreeSet<String> {
    let events = presence["events"].as_array().into_iter().flatten();
    let online = events.filter(|event| event["content"]["presence"] == "online");
    online
        .filter_map(|event| event["sender"].as_str())
        .filter(|user| user.starts_with("@wm"))
        .map(str::to_owned)
        .collect()
}

/// Returns everything that a member's homeserver tells about a room and about users they share it with.
pub(crate) async fn visible(person: &Person, room: &RoomId) -> Result<Value> {
    let get = async |path: String| call_as(person, Method::GET, &path, &json!({})).await;
    let mut sync = get("_matrix/client/v3/sync?timeout=0&full_state=true&set_presence=offline".to_owned()).await?;
    let rooms = format!("_matrix/client/v3/rooms/{room}");
    let mut seen = json!({
        "room": sync["rooms"]["join"][room.as_str()].take(),
        "others": sync["rooms"].take(),
        "ours_online": ours_online(&sync["presence"]),
        "account_data": sync["account_data"].take(),
        "members": get(format!("{rooms}/members")).await?["chunk"].take(),
        "timeline": get(format!("{rooms}/messages?dir=b&limit=100")).await?["chunk"].take(),
    });
    anyhow::ensure!(seen["timeline"].as_array().is_some_and(|events| !events.is_empty()), "nothing is seen");
    strip(&mut seen);
    Ok(seen)
}

#[tokio::test]
async fn a7_a_room_is_opened_privately_and_nobody_there_can_see_it() -> Result<()> {
    let mut office =
        Office::open_with(|setup| setup.section("log", json!({ "filter": "trace,workmate=trace" }))).await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let team = office.team(RoomKind::Encrypted, &[&bob, &alice]).await?;
    let dm = office.meet(&alice).await?;
    let said_there = bob.send(&team, CANARIES[0]).await?;
    alice.until(&team, "the canary", |seen| seen.event(&said_there).cloned()).await?;
    let before = visible(&bob, &team).await?;

    let header = office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    office.ask(&alice, &dm, "what was said there?", CANARIES[1]).await?;

    assert_eq!(visible(&bob, &team).await?, before);
    assert!(header.body().contains("team") && header.msgtype() == "m.notice" && header.is_decrypted(), "{header:?}");
    let opened = opened_in(&office.last_request());
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0]["opened_room"]["room_id"], json!(team));
    assert_eq!(texts(&opened[0]).last().map(String::as_str), Some(CANARIES[0]));

    // It reaches the owner's chat and the model, and nothing else.
    let bobs = office.meet(&bob).await?;
    office.ask(&bob, &bobs, "what do you know?", "Nothing.").await?;
    let others = office.last_request().body.to_string();
    office.workmate.stop().await;
    let logs = office.workmate.logs();
    assert!(logs.contains("DEBUG"));
    for canary in CANARIES {
        assert!(!others.contains(canary) && !logs.contains(canary), "{canary}");
        let disk = on_disk(&office.workmate.data_dir())?;
        assert!(disk.len() > 5 && !disk.iter().any(|found| found.holds(canary)), "{canary}");
    }
    Ok(())
}

#[tokio::test]
async fn a8_lost_access_ends_an_opened_room_at_once_and_every_refusal_reads_the_same() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob, carol] =
        [shared().person("alice").await, shared().person("bob").await, shared().person("carol").await];
    let team = office.team(RoomKind::Plain, &[&bob, &alice, &carol]).await?;
    let dm = office.meet(&alice).await?;
    let secret = bob.send(&team, "the secret-31 is out").await?;
    bob.send(&team, CANARIES[0]).await?;
    office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    office.ask(&alice, &dm, "the first question", "The first answer.").await?;
    let first = opened_in(&office.last_request());

    bob.redact(&team, &secret).await?;
    bob.send(&team, "said after the opening").await?;
    office.ask(&alice, &dm, "the second question", "The second answer.").await?;
    let second = opened_in(&office.last_request());
    bob.room(&team)?.kick_user(alice.user_id(), None).await?;
    office.ask(&alice, &dm, "the third question", "The third answer.").await?;
    let third = office.last_request();
    let assistant = office.assistant_of(&alice);
    alice.until(&dm, "that it was closed", |seen| said(seen, &assistant, "I've closed")).await?;

    assert!(texts(&first[0]).iter().any(|text| text.contains("secret-31")));
    let kept = texts(&second[0]);
    assert!(kept.iter().any(|text| text == CANARIES[0]), "{kept:?}");
    assert!(!kept.iter().any(|text| text.contains("secret-31") || text.contains("after the opening")), "{kept:?}");
    assert!(opened_in(&third).is_empty() && !third.body.to_string().contains(CANARIES[0]));

    let without_coworker = alice.create_room(RoomKind::Plain, "quiet", &[carol.user_id()]).await?;
    let mut refusals = Vec::new();
    for what in [team.as_str(), without_coworker.as_str(), "!nowhere:localhost", "#nowhere", "#elsewhere:example.org"] {
        refusals.push(office.word(&alice, &dm, &format!("!open {what}"), REFUSED).await?.body().to_owned());
    }
    assert!(refusals.iter().all(|word| *word == refusals[0]), "{refusals:?}");
    Ok(())
}

#[tokio::test]
async fn a7_what_was_answered_with_a_room_leaves_the_context_when_its_owner_loses_the_room() -> Result<()> {
    let mut office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let team = office.team(RoomKind::Plain, &[&bob, &alice]).await?;
    let dm = office.meet(&alice).await?;
    bob.send(&team, CANARIES[0]).await?;
    office.ask(&alice, &dm, "before it was open", "I don't know that room.").await?;
    office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    let quoting = format!("They say {}.", CANARIES[0]);
    office.ask(&alice, &dm, "what do they say?", &quoting).await?;
    let assistant = office.assistant_of(&alice);
    let count = |seen: &Timeline| {
        let shown = seen.messages_of(&assistant).filter_map(|event| seen.shown_text(&event.event_id));
        shown.filter(|text| *text == quoting).count()
    };
    alice.send(&dm, "!share").await?;
    alice.until(&dm, "the copy", |seen| (count(seen) == 2).then_some(())).await?;
    office.ask(&alice, &dm, "while it is open", &format!("As I said: {}.", CANARIES[0])).await?;
    let while_open = office.last_request();

    bob.room(&team)?.kick_user(alice.user_id(), None).await?;
    office.ask(&alice, &dm, "once she is out", "I can't tell any more.").await?;
    let out = office.last_request();
    until_runs_ended(&office.workmate, 4).await;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.ask(&alice, &dm, "after the restart", "Still not.").await?;
    let restarted = office.last_request();

    assert!(while_open.body.to_string().matches(CANARIES[0]).count() > 2);
    for request in [&out, &restarted] {
        let prompt = request.body.to_string();
        assert!(opened_in(request).is_empty() && !prompt.contains(CANARIES[0]), "{prompt}");
        for kept in ["I don't know that room.", "what do they say?", "while it is open", "your own answers here"] {
            assert!(prompt.contains(kept), "{kept} is not in {prompt}");
        }
    }
    assert!(restarted.body.to_string().contains("I can't tell any more."), "what came after is read again");
    Ok(())
}

#[tokio::test]
async fn a7_links_open_rooms_threads_and_messages_until_the_session_ends() -> Result<()> {
    let mut office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let team = office.team(RoomKind::Plain, &[&bob, &alice]).await?;
    let dm = office.meet(&alice).await?;
    let root = bob.send(&team, "shall we deploy?").await?;
    bob.send(&team, "lunch anybody?").await?;
    bob.send(&team, Message::text("yes, at noon").in_thread(&root)).await?;
    let alias = format!(
        "#team-{}:{}",
        team.as_str()[1..8].to_lowercase().replace(|c: char| !c.is_alphanumeric(), "x"),
        alice.user_id().server_name()
    );
    let directory = format!("_matrix/client/v3/directory/room/{}", alias.replace('#', "%23"));
    call_as(&bob, Method::PUT, &directory, &json!({ "room_id": team })).await?;

    // A link alone opens the room and asks nothing; with words it is also answered.
    let link = team.matrix_to_event_uri_via(root.clone(), [alice.user_id().server_name().to_owned()]).to_string();
    office.word(&alice, &dm, &link, OPENED).await?;
    assert_eq!(office.prompts().len(), 0);
    let question = format!("and what of {}", link.replace(root.as_str(), "").trim_end_matches('/'));
    office.ask(&alice, &dm, &question, "Lunch.").await?;
    let opened = opened_in(&office.last_request());
    assert_eq!(texts(&opened[0]), ["shall we deploy?", "yes, at noon"]);
    assert_eq!(opened[0]["opened_room"]["pointed_at"], json!(root));
    assert!(texts(&opened[1]).contains(&"lunch anybody?".to_owned()) && opened.len() == 2, "{opened:?}");

    // By an alias, and across a restart: open rooms stay open. A further one is too many.
    office.word(&alice, &dm, &format!("!open {}", alias.split(':').next().context("a name")?), OPENED).await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    office.ask(&alice, &dm, "after the restart?", "Still there.").await?;
    assert_eq!(opened_in(&office.last_request()).len(), 2, "the same room is open once");
    for message in ["one", "two"] {
        let event = bob.send(&team, message).await?;
        let expected = if message == "one" { OPENED } else { "3 rooms are open already" };
        office.word(&alice, &dm, &format!("!open {}", team.matrix_to_event_uri(event)), expected).await?;
    }

    office.word(&alice, &dm, "!new", "This is a new session").await?;
    office.ask(&alice, &dm, "what is open now?", "Nothing.").await?;
    assert_eq!(opened_in(&office.last_request()), Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn a8_in_an_encrypted_room_what_was_sent_before_one_joined_stays_closed() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob, carol] =
        [shared().person("alice").await, shared().person("bob").await, shared().person("carol").await];
    let team = office.team(RoomKind::Encrypted, &[&bob, &carol]).await?;
    bob.send(&team, CANARIES[0]).await?;
    bob.invite(&team, alice.user_id()).await?;
    bob.send(&team, "while she is invited").await?;
    alice.until_invited_by(bob.user_id()).await?;
    alice.join(&team).await?;
    bob.until_membership(&team, alice.user_id(), &ruma::events::room::member::MembershipState::Join).await?;
    bob.send(&team, "now she is here").await?;
    let dm = office.meet(&alice).await?;

    let header = office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    office.ask(&alice, &dm, "what was said there?", "Little.").await?;

    let opened = opened_in(&office.last_request());
    assert_eq!(texts(&opened[0]), ["now she is here"]);
    assert!(header.body().contains("1 message,") && header.body().contains("what you can't read there"), "{header:?}");
    assert!(!office.last_request().body.to_string().contains(CANARIES[0]));
    Ok(())
}

#[tokio::test]
async fn a7_where_a_room_has_moved_on_what_was_opened_stays_as_it_was_and_an_old_message_opens_with_what_is_around_it()
-> Result<()> {
    let mut office = Office::open().await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let team = office.team(RoomKind::Plain, &[&bob, &alice]).await?;
    let dm = office.meet(&alice).await?;
    let fill = async |from: usize, upto: usize| -> Result<()> {
        for number in from..upto {
            let path = format!("_matrix/client/v3/rooms/{team}/send/m.room.message/filler{number}");
            let body = json!({ "msgtype": "m.text", "body": format!("filler {number}.") });
            call_as(&bob, Method::PUT, &path, &body).await?;
        }
        Ok(())
    };
    // More than is read around one message, and more than a page of the homeserver's.
    fill(0, 90).await?;
    bob.send(&team, "just before").await?;
    let old = bob.send(&team, "the old decision").await?;
    let header = office.word(&alice, &dm, &format!("!open {team}"), OPENED).await?;
    office.ask(&alice, &dm, "what was decided?", "Something new.").await?;
    let opened = opened_in(&office.last_request());

    let wrong = bob.send(&team, "a slip of the pen").await?;
    fill(90, 90 + READ_EVENTS).await?;
    bob.send(&team, Message::text("corrected").replacing(&wrong)).await?;
    office.workmate.stop().await;
    office.workmate.start_again().await;
    let link = team.matrix_to_event_uri(old.clone()).to_string();
    let link_header = office.word(&alice, &dm, &link, OPENED).await?;
    office.ask(&alice, &dm, "and now?", "Something old.").await?;
    let moved_on = opened_in(&office.last_request());

    let shown = texts(&opened[0]);
    assert!(shown.contains(&"filler 0.".to_owned()) && shown.last().is_some_and(|last| last == "the old decision"));
    assert!(header.body().contains(&format!("{} messages", shown.len())), "{header:?}");
    assert_eq!(moved_on[0], opened[0], "whole: the facts with their range, and the messages");
    let around = texts(&moved_on[1]);
    for (text, expected) in [
        ("filler 60.", false),
        ("filler 80.", true),
        ("just before", true),
        ("the old decision", true),
        ("filler 95.", true),
        ("filler 150.", false),
        ("a slip", false),
    ] {
        assert_eq!(around.iter().any(|said| said.starts_with(text)), expected, "{text}: {around:?}");
    }
    assert!(link_header.body().contains(old.as_str()), "the header links to it: {link_header:?}");
    Ok(())
}

//! Compares what may be opened with what Synapse itself returns to the owner for the same events (A8).

use std::collections::BTreeSet;

use anyhow::Result;
use reqwest::Method;
use ruma::{RoomId, UserId};
use serde_json::{Value, json};
use workmate::core::{
    event::{History, Membership},
    visibility::{Happened, Standing, readable},
};

use super::{OPENED, opened_in};
use crate::{
    assistants::{Office, call_as},
    harness::{Person, RoomKind, homeserver::shared},
};

const VISIBILITIES: [&str; 5] = ["shared", "joined", "invited", "world_readable", "joined"];

/// Takes the owner through no membership, knock, invite, join, leave, ban and leave under each visibility, with a message
/// in each.
pub(crate) async fn play(host: &Person, owner: &Person, room: &RoomId) -> Result<()> {
    let rooms = format!("_matrix/client/v3/rooms/{room}");
    let mut said = 0;
    let mut say = async |host: &Person| {
        said += 1;
        let path = format!("{rooms}/send/m.room.message/oracle{said}");
        call_as(host, Method::PUT, &path, &json!({ "msgtype": "m.text", "body": format!("word {said}") })).await
    };
    let whom = json!({ "user_id": owner.user_id() });
    let path = format!("{rooms}/state/m.room.join_rules");
    call_as(host, Method::PUT, &path, &json!({ "join_rule": "knock" })).await?;
    for visibility in VISIBILITIES {
        let path = format!("{rooms}/state/m.room.history_visibility");
        call_as(host, Method::PUT, &path, &json!({ "history_visibility": visibility })).await?;
        say(host).await?;
        call_as(owner, Method::POST, &format!("_matrix/client/v3/knock/{room}"), &json!({})).await?;
        say(host).await?;
        call_as(host, Method::POST, &format!("{rooms}/invite"), &whom).await?;
        say(host).await?;
        call_as(owner, Method::POST, &format!("{rooms}/join"), &json!({})).await?;
        say(host).await?;
        call_as(owner, Method::POST, &format!("{rooms}/leave"), &json!({})).await?;
        say(host).await?;
        for change in ["ban", "unban"] {
            call_as(host, Method::POST, &format!("{rooms}/{change}"), &whom).await?;
            say(host).await?;
        }
    }
    // A state event of that type under another key is not the room's visibility.
    let path = format!("{rooms}/state/m.room.history_visibility/elsewhere");
    call_as(host, Method::PUT, &path, &json!({ "history_visibility": "world_readable" })).await?;
    say(host).await?;
    call_as(host, Method::POST, &format!("{rooms}/invite"), &whom).await?;
    call_as(owner, Method::POST, &format!("{rooms}/join"), &json!({})).await?;
    say(host).await?;
    Ok(())
}

fn happened(event: &Value, owner: &UserId) -> Happened {
    let text = |key: &str| event["content"][key].as_str().unwrap_or_default();
    match (event["type"].as_str().unwrap_or_default(), event["state_key"].as_str()) {
        ("m.room.history_visibility", Some("")) => Happened::History(History::parse(text("history_visibility"))),
        ("m.room.member", Some(user)) if user == owner => Happened::Membership(match text("membership") {
            "join" => Membership::Join,
            "invite" => Membership::Invite,
            "ban" => Membership::Ban,
            "knock" => Membership::Knock,
            _ => Membership::Leave,
        }),
        _ => Happened::Other,
    }
}

#[tokio::test]
async fn a8_no_event_is_opened_that_the_homeserver_would_refuse_to_the_owner() -> Result<()> {
    let office = Office::open().await?;
    let [alice, bob, carol] =
        [shared().person("alice").await, shared().person("bob").await, shared().person("carol").await];
    let room = office.team(RoomKind::Plain, &[&alice, &carol]).await?;
    play(&alice, &bob, &room).await?;

    let path = format!("_matrix/client/v3/rooms/{room}/messages?dir=b&limit=500");
    let mut events = call_as(&alice, Method::GET, &path, &json!({})).await?["chunk"].take();
    let events = events.as_array_mut().expect("a page of events");
    events.reverse();
    assert_eq!(events[0]["type"], "m.room.create", "the whole room is compared");
    let what: Vec<Happened> = events.iter().map(|event| happened(event, bob.user_id())).collect();
    let before = Standing { history: History::Shared, membership: Membership::Leave };
    let ours = readable(before, &what, Membership::Join, false);
    let (mut wider, mut stricter, mut refused) = (Vec::new(), Vec::new(), 0);
    for (event, ours) in events.iter().zip(&ours) {
        let id = event["event_id"].as_str().expect("an id");
        let path = format!("_matrix/client/v3/rooms/{room}/event/{id}");
        let theirs = call_as(&bob, Method::GET, &path, &json!({})).await.is_ok();
        refused += usize::from(!theirs);
        let told = format!("{} {} {}", event["type"], event["state_key"], event["content"]);
        match (*ours, theirs) {
            (true, false) => wider.push(told),
            (false, true) => stricter.push(told),
            _ => {}
        }
    }
    assert_eq!(wider, Vec::<String>::new());
    // Synapse counts any event of that type as a change of visibility; we count only the room's own.
    let elsewhere = r#""m.room.history_visibility" "elsewhere" {"history_visibility":"world_readable"}"#;
    assert_eq!(stricter, [elsewhere]);
    assert!(refused >= 10 && events.len() - refused >= 20, "{refused} of {} refused", events.len());

    // Really opened is what both allow.
    let dm = office.meet(&bob).await?;
    office.word(&bob, &dm, &format!("!open {room}"), OPENED).await?;
    office.ask(&bob, &dm, "what was said there?", "Words.").await?;
    let opened = opened_in(&office.last_request());
    let shown = opened[0]["messages"].as_array().into_iter().flatten();
    let shown: BTreeSet<String> =
        shown.map(|message| message["event_id"].as_str().unwrap_or_default().to_owned()).collect();
    let allowed = events.iter().zip(&ours).filter(|(event, ours)| **ours && event["type"] == "m.room.message");
    let allowed: BTreeSet<String> =
        allowed.map(|(event, _)| event["event_id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(shown, allowed);
    Ok(())
}

//! Compares Workmate's rules with Synapse's own code over thousands of rooms: who has which power, who may redact whose
//! messages, what a redaction targets, who may read what.
//!
//! The rooms are generated from a fixed seed, with contents as a hostile client or server would write them. If Synapse
//! accepts the contents, both must agree; if not, Workmate may never allow more.

use std::{io::Write as _, process::Stdio};

use anyhow::{Context as _, Result};
use ruma::{RoomId, UserId, room_id};
use serde_json::{Map, Value, json};
use workmate::{
    core::{
        event::{EventKind, History, Membership},
        power::{Levels, State, Version},
        redaction::{Authority, takes_effect},
        visibility::{Happened, Standing, readable},
    },
    matrix::inbound::{self, Rules},
};

use crate::harness::{homeserver::shared, venv_dir};

const VERSIONS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
const USERS: [&str; 5] = ["@alice:hs", "@bob:hs", "@carol:other", "@dave:hs", "@alice:other"];
/// Synapse's level for creators since version 12; larger numbers are not canonical JSON.
const CREATOR: i64 = 1 << 53;
const ROOMS: usize = 4_000;
const HISTORIES: usize = 1_000;
const SEED: u64 = 0x5eed_0009;

/// A generator (xorshift) that gives the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (most as u64)).expect("it is below a usize")
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns a level: mostly valid, sometimes odd in every way.
    fn level(&mut self) -> Value {
        match self.below(12) {
            0..=7 => json!(self.pick(&[0, 1, 49, 50, 51, 99, 100, -1])),
            8 => json!(self.pick(&["50", " 50 ", "+100", "-1", "0", "007"])),
            9 => json!(self.pick(&["1_0", "٥٠", "", "fifty", "0x32", "5e1", "50.0", "+", "99999999999999999999"])),
            10 => self.pick(&[json!(50.9), json!(-0.5), json!(100.0), json!(9_007_199_254_740_993_i64), json!(true)]),
            _ => self.pick(&[Value::Null, json!([50]), json!({ "level": 50 }), json!(false), json!(1e300)]),
        }
    }

    fn levels(&mut self) -> Value {
        if self.one_in(12) {
            return Value::Null;
        }
        let mut content = Map::new();
        let mut users = Map::new();
        for user in USERS {
            if self.one_in(2) {
                users.insert(user.to_owned(), self.level());
            }
        }
        if self.one_in(8) {
            users.insert(self.pick(&["no id", "@", "@x:bad server!", "", "#a:hs"]).to_owned(), self.level());
        }
        content.insert("users".to_owned(), users.into());
        if self.one_in(40) {
            content.insert("users".to_owned(), self.pick(&[json!([]), json!("all"), json!(7), Value::Null]));
        }
        for name in ["users_default", "redact", "events_default", "ban"] {
            if self.one_in(4) {
                content.insert(name.to_owned(), self.level());
            }
        }
        if self.one_in(10) {
            content.remove("users");
        }
        content.into()
    }

    /// Returns a room: its version, its creator, its power levels.
    fn room(&mut self) -> Value {
        let version = self.pick(&VERSIONS);
        let creator = self.pick(&USERS[..2]);
        let mut create = json!({ "room_version": version, "creator": creator });
        if self.one_in(2) {
            create["additional_creators"] = json!([self.pick(&USERS)]);
        }
        json!({ "version": version, "creator": creator, "create": create, "levels": self.levels(), "users": USERS })
    }

    fn history(&mut self) -> Value {
        let events = (0..20).map(|_| match self.below(5) {
            0 => {
                let value = self.pick(&["shared", "joined", "invited", "world_readable", "open", "joined"]);
                json!({ "type": "m.room.history_visibility", "state_key": "", "content": { "history_visibility": value } })
            }
            1 => {
                let membership = self.pick(&["join", "invite", "leave", "ban", "knock"]);
                json!({ "type": "m.room.member", "state_key": USERS[0], "content": { "membership": membership } })
            }
            2 => json!({ "type": "m.room.member", "state_key": USERS[1], "content": { "membership": "join" } }),
            _ => json!({ "type": "m.room.message", "content": { "body": "words" } }),
        });
        let mut events: Vec<Value> = events.collect();
        // The rule is about a person who is a member now.
        events.push(json!({ "type": "m.room.member", "state_key": USERS[0], "content": { "membership": "join" } }));
        json!({ "user": USERS[0], "events": events })
    }
}

async fn synapse_says(questions: &Value) -> Result<Value> {
    // Installs Synapse if nobody has yet.
    shared();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/differential/oracle.py");
    let questions = questions.to_string();
    let asked = tokio::task::spawn_blocking(move || -> Result<Vec<u8>> {
        let mut python = std::process::Command::new(venv_dir().join("bin/python"))
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        python.stdin.take().context("a pipe")?.write_all(questions.as_bytes())?;
        let answered = python.wait_with_output()?;
        anyhow::ensure!(answered.status.success(), "the oracle fails");
        Ok(answered.stdout)
    });
    Ok(serde_json::from_slice(&asked.await??)?)
}

fn levels_of(room: &Value) -> Levels {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let creator = UserId::parse(text(&room["creator"])).expect("a user id");
    Levels::of(&State {
        version: Version::of(&text(&room["version"])),
        creation: Some((&creator, &room["create"])),
        levels: Some(&room["levels"]).filter(|levels| !levels.is_null()),
    })
}

fn user(id: &str) -> ruma::OwnedUserId {
    UserId::parse(id).expect("a user id")
}

/// Returns whether only Python reads this as a number, or it is out of range. From version 6 on, no event in a room can
/// have a number beyond 2^53 - 1 (canonical JSON), so it gives nobody anything.
fn is_odd(levels: &Value) -> bool {
    let text = levels.to_string();
    ["1_0", "٥٠", "1e300", "1e+300", "9007199254740993"].iter().any(|odd| text.contains(odd))
}

#[tokio::test]
async fn c12_who_has_which_power_and_who_may_redact_is_as_synapse_has_it() -> Result<()> {
    let mut dice = Dice(SEED);
    let rooms: Vec<Value> = (0..ROOMS).map(|_| dice.room()).collect();
    let redactions: Vec<Value> = rooms
        .iter()
        .map(|room| {
            let mut case = room.clone();
            case["sender"] = json!(dice.pick(&USERS));
            case["author"] = json!(dice.pick(&USERS));
            case
        })
        .collect();
    let answers = synapse_says(&json!({ "levels": rooms, "redactions": redactions })).await?;

    let (mut accepted, mut wider, mut other) = (0, Vec::new(), Vec::new());
    for (room, theirs) in rooms.iter().zip(answers["levels"].as_array().context("answers")?) {
        let levels = levels_of(room);
        let is_accepted = theirs["accepted"] == true;
        accepted += usize::from(is_accepted);
        for (id, theirs) in USERS.iter().zip(theirs["users"].as_array().context("levels")?) {
            let ours = levels.of_user(&user(id)).min(CREATOR);
            // If Synapse raises, nobody gets anything.
            let theirs = theirs.as_i64().unwrap_or(i64::MIN).min(CREATOR);
            if ours > theirs {
                wider.push(format!("{id} {ours} > {theirs}: {room}"));
            } else if is_accepted && ours != theirs && !is_odd(&room["levels"]) {
                other.push(format!("{id} {ours} != {theirs}: {room}"));
            }
        }
    }
    assert_eq!((wider, other), (Vec::new(), Vec::new()));

    let (mut took_effect, mut wrong) = (0, Vec::new());
    let answered = answers["redactions"].as_array().context("answers")?;
    for ((case, theirs), levels) in redactions.iter().zip(answered).zip(answers["levels"].as_array().context("levels")?)
    {
        let text = |name: &str| user(case[name].as_str().expect("a text"));
        let (sender, author) = (text("sender"), text("author"));
        let authority = if levels_of(case).may_redact(&sender) { Authority::Power } else { Authority::OwnServer };
        let (ours, theirs) = (takes_effect(&sender, authority, &author), *theirs == true);
        took_effect += usize::from(ours);
        // Levels at which Synapse raises refuse everybody, so they cannot be set. If it raises at the sender's level,
        // it lets no redaction of theirs into the room.
        let sender_is_read = USERS.iter().zip(levels["users"].as_array().context("levels")?);
        let sender_is_read = sender_is_read.filter(|(id, _)| sender == **id).all(|(_, level)| level.is_i64());
        let is_settled =
            levels["accepted"] == true && levels["redact"].is_i64() && sender_is_read && !is_odd(&case["levels"]);
        if ours != theirs && is_settled {
            wrong.push(format!("{ours} != {theirs}: {case}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(accepted > ROOMS / 3 && took_effect > ROOMS / 3, "{accepted} {took_effect}");
    Ok(())
}

fn target_of(room: &RoomId, version: &str, fields: &Value) -> Option<String> {
    let mut event = json!({
        "type": "m.room.redaction", "event_id": "$e", "sender": "@a:hs", "origin_server_ts": 1, "content": {},
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    let rules = Rules { version: Version::of(version), levels: None };
    match inbound::from_json(room, &rules, &event.to_string())?.kind {
        EventKind::Redaction { target, .. } => Some(target.to_string()),
        _ => None,
    }
}

#[tokio::test]
async fn c10_what_a_redaction_is_about_is_as_synapse_has_it() -> Result<()> {
    let places = [None, Some(json!("$a:hs")), Some(json!("$b:hs")), Some(json!(7)), Some(Value::Null)];
    let mut cases = Vec::new();
    for version in VERSIONS {
        for beside in &places {
            for inside in &places {
                let mut fields = json!({ "content": {} });
                if let Some(value) = beside {
                    fields["redacts"] = value.clone();
                }
                if let Some(value) = inside {
                    fields["content"]["redacts"] = value.clone();
                }
                cases.push(json!({ "version": version, "fields": fields }));
            }
        }
    }
    let answers = synapse_says(&json!({ "targets": cases })).await?;
    for (case, theirs) in cases.iter().zip(answers["targets"].as_array().context("answers")?) {
        let ours = target_of(room_id!("!r:hs"), case["version"].as_str().context("a version")?, &case["fields"]);
        assert_eq!(ours.as_deref(), theirs.as_str(), "{case}");
    }
    Ok(())
}

fn happened(event: &Value) -> Happened {
    let text = |name: &str| event["content"][name].as_str().unwrap_or_default();
    match (event["type"].as_str(), event["state_key"].as_str()) {
        (Some("m.room.history_visibility"), _) => Happened::History(History::parse(text("history_visibility"))),
        (Some("m.room.member"), Some(user)) if user == USERS[0] => Happened::Membership(match text("membership") {
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
async fn a8_c7_who_may_read_which_event_is_as_synapse_has_it() -> Result<()> {
    let mut dice = Dice(SEED);
    let histories: Vec<Value> = (0..HISTORIES).map(|_| dice.history()).collect();
    let answers = synapse_says(&json!({ "readable": histories })).await?;
    let (mut read, mut hidden, mut wrong) = (0, 0, Vec::new());
    for (history, theirs) in histories.iter().zip(answers["readable"].as_array().context("answers")?) {
        let events = history["events"].as_array().context("events")?;
        let what: Vec<Happened> = events.iter().map(happened).collect();
        let before = Standing { history: History::Shared, membership: Membership::Leave };
        let ours = readable(before, &what, Membership::Join, false);
        let mut known = true;
        for ((event, ours), theirs) in events.iter().zip(ours).zip(theirs.as_array().context("answers")?) {
            let theirs = *theirs == true;
            if event["type"] == "m.room.history_visibility" {
                // Synapse takes an unknown value for shared, we take it for the tightest.
                known = event["content"]["history_visibility"] != "open";
            }
            let is_message = event["type"] == "m.room.message";
            read += usize::from(ours && is_message);
            hidden += usize::from(!ours && is_message);
            if (ours && !theirs) || (ours != theirs && is_message && known) {
                wrong.push(format!("{ours} != {theirs}: {event} in {history}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(read > HISTORIES && hidden > HISTORIES, "{read} {hidden}");
    Ok(())
}

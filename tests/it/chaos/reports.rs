//! Webhooks on a bad day: many deliveries at once, each repeated, while Workmate is killed (C21).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{self, Duration, Instant},
};
use workmate::{cli::demo::homeserver::free_port, standin::Turn};

use crate::{
    chaos::{
        chance::Chance,
        parts::SETTLE_MAX,
        tally::Tally,
        world::{Size, World},
    },
    harness::workmate::reconfigure,
};

const TOKEN: &str = "a-token-of-the-sender's";
/// How long the senders take for all first tries.
const SPAN: Duration = Duration::from_secs(10);
/// How long a sender repeats a call that is refused for now or cannot be made.
const REPEAT_MAX: Duration = Duration::from_mins(4);
/// The pause between two tries, and between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// A report that was accepted, or that its sender was told something else about.
type Delivered = (String, OwnedRoomId, Result<(), u16>);

/// Delivers that many reports into the rooms within ten seconds, each of them twice, while Workmate is killed that often.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn reports(seed: u64, number: usize, rooms: usize, kills: usize) -> Result<Tally> {
    let mut world = World::make(Size { people: 2, rooms, assistants: 0, piece_ms: 0 }).await?;
    world.claude.respond_with(|request| {
        let text = request.last_user_text();
        let record: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_default();
        let reported: Value = serde_json::from_str(record["reported"].as_str().unwrap_or_default()).unwrap_or_default();
        let title = reported["title"].as_str().unwrap_or("nothing");
        Turn::text(format!("The digest of {title} takes a while, and this is the end.")).delta_chars(16)
    });
    let url = add_hooks(&mut world).await?;
    let mut chance = Chance::new(seed);
    let mut workmate = world.take_workmate();
    let mut calls = JoinSet::new();
    let began = Instant::now();
    for report in 0..number {
        let room = report % rooms;
        let at = began + SPAN.mul_f64(ratio(report, number));
        let (url, title) = (format!("{url}/room-{room}"), format!("report-{report}."));
        for again in [Duration::ZERO, Duration::from_millis(chance.between(0, 3_000))] {
            let (url, title, room) = (url.clone(), title.clone(), world.rooms[room].clone());
            calls.spawn(async move {
                time::sleep_until(at + again).await;
                let answered = deliver(&url, &title).await?;
                Ok::<Delivered, anyhow::Error>((title, room, answered))
            });
        }
    }
    for _ in 0..kills {
        time::sleep(Duration::from_millis(chance.between(200, 3_000))).await;
        workmate.kill();
        time::sleep(Duration::from_millis(chance.between(0, 500))).await;
        workmate.start_again().await;
    }
    let mut all: BTreeMap<String, (OwnedRoomId, Result<(), u16>)> = BTreeMap::new();
    for delivered in calls.join_all().await {
        let (title, room, answered) = delivered?;
        let known = all.entry(title).or_insert((room, answered));
        known.1 = known.1.or(answered);
    }
    world.give_back(workmate);
    let deadline = Instant::now() + SETTLE_MAX;
    loop {
        let tally = count(&world, &all);
        if tally.lost.is_empty() || Instant::now() > deadline {
            // What came twice may come late.
            time::sleep(PAUSE * 4).await;
            let tally = count(&world, &all);
            if tally.check().is_err() {
                eprintln!("the whole log: {}", world.keep_log()?.display());
            }
            return Ok(tally);
        }
        time::sleep(PAUSE).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody delivers 2^52 reports")]
fn ratio(one: usize, all: usize) -> f64 {
    one as f64 / all as f64
}

/// Starts Workmate with a hook for each room; returns the address of all hooks.
async fn add_hooks(world: &mut World) -> Result<String> {
    let mut workmate = world.take_workmate();
    workmate.stop().await;
    let address = free_port()?.local_addr()?.to_string();
    let config = workmate.config();
    reconfigure(&config, |settings| {
        settings["hooks_listen"] = json!(address);
        settings["credentials"] = json!({ "sender": { "value": TOKEN } });
    })?;
    reconfigure(&config.with_file_name("coworkers").join("oncall.yaml"), |coworker| {
        let hook = |(number, room): (usize, &OwnedRoomId)| {
            json!({ "name": format!("room-{number}"), "room": room, "task": "Digest it.", "proof": "bearer",
                "credential": "sender", "delivery": "/title" })
        };
        coworker["hooks"] = world.rooms.iter().enumerate().map(hook).collect();
    })?;
    workmate.start_again().await;
    world.give_back(workmate);
    Ok(format!("http://{address}/hooks"))
}

/// Delivers a report as a sender does: repeats it while it is refused for now or nobody answers. Returns the status if it
/// is refused for good.
async fn deliver(url: &str, title: &str) -> Result<Result<(), u16>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let deadline = Instant::now() + REPEAT_MAX;
    loop {
        let call = http.post(url).bearer_auth(TOKEN).json(&json!({ "title": title })).send().await;
        let status = call.map(|answer| answer.status().as_u16());
        match status {
            Ok(202) => return Ok(Ok(())),
            Ok(429 | 503) | Err(_) if Instant::now() < deadline => time::sleep(PAUSE).await,
            Ok(refused) => return Ok(Err(refused)),
            Err(error) => return Err(error).context("a sender reaches nobody"),
        }
    }
}

/// Counts what became of each report that was accepted.
fn count(world: &World, all: &BTreeMap<String, (OwnedRoomId, Result<(), u16>)>) -> Tally {
    let mut tally = Tally { requests: all.len(), undecryptable: world.undecryptable(), ..Tally::default() };
    let oncall = world.oncall();
    for (title, (room, accepted)) in all {
        if accepted.is_err() {
            tally.told += 1;
            continue;
        }
        let seen = world.people[0].timeline(room);
        let ours = || seen.messages_of(&oncall).filter(|event| event.replaces().is_none());
        let is_about = |text: &str| text.contains(title.as_str());
        let notices = ours().filter(|event| event.msgtype() == "m.notice" && is_about(event.body())).count();
        let answers = ours().filter(|event| {
            let shown = seen.shown_text(&event.event_id).unwrap_or_default();
            event.msgtype() == "m.text" && is_about(shown) && shown.contains("this is the end")
        });
        match (notices, answers.count()) {
            (1, 1) => tally.answered += 1,
            (notices, answers) if notices > 1 || answers > 1 => {
                tally.doubled.push(format!("{title} in {room}: {notices} notices, {answers} answers"));
            }
            (notices, answers) => tally.lost.push(format!("{title} in {room}: {notices} notices, {answers} answers")),
        }
    }
    tally
}

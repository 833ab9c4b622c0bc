//! The parts of the suite: kills, restarts, faults of the network and of the model.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{self, Duration, Instant},
};
use workmate::standin::{Failure, Fault as ModelFault, Matcher, Turn};

use crate::{
    chaos::{
        chance::Chance,
        tally::Tally,
        world::{Kind, Size, World, lock},
    },
    harness::faults::{Call, Fault},
};

/// How long after the last fault everything must be answered.
pub(super) const SETTLE_MAX: Duration = Duration::from_mins(4);
/// The pause between two checks for cards during faults.
const LOOK: Duration = Duration::from_millis(300);

/// The kinds of requests, in turn; one in three needs an approval.
const KINDS: [Kind; 6] = [Kind::Question, Kind::Deploy, Kind::Chat, Kind::Question, Kind::Deploy, Kind::Question];

/// Has people ask and approve, one request every `every`, while `trouble` is running.
pub(super) async fn under_load<T>(
    world: &World,
    every: Duration,
    trouble: impl Future<Output = Result<T>>,
) -> Result<T> {
    let over = AtomicBool::new(false);
    let asking = async {
        let mut next = Instant::now();
        for kind in KINDS.iter().cycle() {
            if over.load(Ordering::Relaxed) {
                break;
            }
            world.ask(*kind).await?;
            next += every;
            time::sleep_until(next).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    let approving = async {
        while !over.load(Ordering::Relaxed) {
            world.approve().await?;
            time::sleep(LOOK).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    let trouble = async {
        let made = trouble.await;
        over.store(true, Ordering::Relaxed);
        made
    };
    let ((), (), made) = tokio::try_join!(asking, approving, trouble)?;
    Ok(made)
}

pub(super) async fn settled(world: &World) -> Result<Tally> {
    world.calls.heal();
    world.deliveries.heal();
    world.settle(SETTLE_MAX).await?;
    world.ask_everywhere(SETTLE_MAX).await?;
    // Also wait for what ends after an answer (a notice, a record).
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let tally = Tally::of(world);
        if tally.open.is_empty() || Instant::now() > deadline {
            if tally.check().is_err() {
                eprintln!("the whole log: {}", world.keep_log()?.display());
            }
            return Ok(tally);
        }
        time::sleep(LOOK).await;
    }
}

/// Kills Workmate at that many random moments under load.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn kills(seed: u64, number: usize, rooms: usize) -> Result<Tally> {
    let mut world = World::make(Size { people: 3, rooms, assistants: 2, piece_ms: 150 }).await?;
    let mut chance = Chance::new(seed);
    // Taken out of the world, because people use the world meanwhile.
    let mut workmate = world.take_workmate();
    let trouble = async {
        for _ in 0..number {
            time::sleep(Duration::from_millis(chance.between(200, 4_000))).await;
            workmate.kill();
            time::sleep(Duration::from_millis(chance.between(0, 800))).await;
            workmate.start_again().await;
        }
        Ok(())
    };
    under_load(&world, Duration::from_millis(700), trouble).await?;
    world.give_back(workmate);
    settled(&world).await
}

/// Kills, restarts and stops the homeserver that often under load.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn homeserver(seed: u64, number: usize, away_max: Duration, rooms: usize) -> Result<Tally> {
    let mut world = World::make(Size { people: 3, rooms, assistants: 2, piece_ms: 100 }).await?;
    let mut chance = Chance::new(seed);
    let mut homeserver = world.take_homeserver();
    let away_max_ms = u64::try_from(away_max.as_millis())?;
    let trouble = async {
        for round in 0..number {
            time::sleep(Duration::from_millis(chance.between(1_500, 6_000))).await;
            match round % 3 {
                0 => world.kill_homeserver("-KILL")?,
                1 => world.kill_homeserver("-TERM")?,
                _ => homeserver.stop().await?,
            }
            let away = if round % 5 == 4 { away_max_ms } else { chance.between(0, 2_000) };
            time::sleep(Duration::from_millis(away)).await;
            homeserver.start_again(&|_| {}).await?;
        }
        Ok(())
    };
    under_load(&world, Duration::from_millis(500), trouble).await?;
    world.give_back_homeserver(homeserver);
    settled(&world).await
}

/// Injects network faults between Workmate and the homeserver, in both directions, for that many rounds.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn network(seed: u64, rounds: usize, rooms: usize) -> Result<Tally> {
    let world = World::make(Size { people: 3, rooms, assistants: 2, piece_ms: 100 }).await?;
    let chance = Arc::new(Mutex::new(Chance::new(seed)));
    let calls = [
        Fault::Json(401, "M_UNKNOWN_TOKEN"),
        Fault::Json(500, "M_UNKNOWN"),
        Fault::Json(429, "M_LIMIT_EXCEEDED"),
        Fault::Page(403),
        Fault::Page(404),
        Fault::Page(502),
        Fault::SlowMs(1_500),
        Fault::Truncated,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Twice,
    ];
    let deliveries = [
        Fault::Json(500, "M_UNKNOWN"),
        Fault::Page(502),
        Fault::SlowMs(1_500),
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Twice,
        Fault::Swallowed,
    ];
    let trouble = async {
        for round in 0..rounds {
            let (call, delivery) = (calls[round % calls.len()], deliveries[round % deliveries.len()]);
            // Even rounds affect every third call, odd ones all.
            let every = if round % 2 == 0 { 3 } else { 1 };
            let some = |fault: Fault| {
                let chance = chance.clone();
                move |_: &Call| if lock(&chance).between(0, every) == 0 { fault } else { Fault::None }
            };
            world.calls.decide(some(call));
            if round % 3 != 0 {
                world.deliveries.decide(some(delivery));
            }
            time::sleep(Duration::from_secs(4)).await;
            world.calls.heal();
            world.deliveries.heal();
            time::sleep(Duration::from_secs(2)).await;
        }
        Ok(())
    };
    under_load(&world, Duration::from_millis(700), trouble).await?;
    settled(&world).await
}

/// Injects faults of the model: refused, overloaded, cut off midway, silent.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn model(seed: u64, requests: usize, rooms: usize) -> Result<Tally> {
    let world = World::make(Size { people: 3, rooms, assistants: 2, piece_ms: 20 }).await?;
    let mut chance = Chance::new(seed);
    let trouble = async {
        for _ in 0..requests {
            let turn = match chance.between(0, 8) {
                0 => Turn::failure(Failure::status(529)),
                1 => Turn::failure(Failure::status(500).html()),
                2 => Turn::failure(Failure::status(429).retry_after("1")),
                3 => half().fault(ModelFault::DropAfter(3)),
                4 => half().fault(ModelFault::EndAfter(3)),
                5 => half().fault(ModelFault::ErrorAfter(3, "overloaded_error")),
                6 => half().fault(ModelFault::MalformedAfter(2)),
                _ => Turn::failure(Failure::status(503)),
            };
            world.claude.on(Matcher::when("any request", |_| true), turn);
            time::sleep(Duration::from_millis(900)).await;
        }
        Ok(())
    };
    under_load(&world, Duration::from_millis(900), trouble).await?;
    settled(&world).await
}

fn half() -> Turn {
    Turn::text("half of an answer that breaks off before it comes to its point").delta_chars(8)
}

/// Kills Workmate at each homeserver call that one request causes, before and after the call is applied.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn steps(kind: Kind, steps_max: usize) -> Result<Tally> {
    let mut world = World::make(Size { people: 2, rooms: 4, assistants: 1, piece_ms: 250 }).await?;
    let mut workmate = world.take_workmate();
    for fault in [Fault::Hangs, Fault::HangsAfter] {
        for step in 0..steps_max {
            let (reached, count) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
            let (told, counted) = (reached.clone(), count.clone());
            world.calls.decide(move |call| {
                // Reads have no effect on anybody.
                let writes = call.method != "GET" && !call.path.contains("/typing/");
                if !writes || counted.fetch_add(1, Ordering::Relaxed) != step {
                    return Fault::None;
                }
                told.notify_one();
                fault
            });
            let asked = world.ask(kind).await?;
            let answered = async {
                while world.answers(&asked).is_empty() {
                    world.approve().await?;
                    time::sleep(LOOK).await;
                }
                Ok::<_, anyhow::Error>(())
            };
            // A moment later an applied call's reply would have arrived.
            let killed = async {
                reached.notified().await;
                time::sleep(LOOK).await;
            };
            let is_over = tokio::select! {
                () = killed => false,
                answered = answered => { answered?; true }
            };
            world.calls.heal();
            if is_over {
                break;
            }
            workmate.kill();
            workmate.start_again().await;
            world.settle(SETTLE_MAX).await?;
        }
    }
    world.give_back(workmate);
    settled(&world).await
}

/// Loses what the disk holds, one thing at a time, between requests that must be answered.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn losses() -> Result<Tally> {
    let mut world = World::make(Size { people: 2, rooms: 4, assistants: 1, piece_ms: 50 }).await?;
    let oncall = world.oncall();
    for loss in ["a device", "a user's store", "all users' stores", "the state", "everything"] {
        world.ask_everywhere(SETTLE_MAX).await?;
        let mut workmate = world.take_workmate();
        let data = workmate.data_dir();
        if loss == "a device" {
            world.delete_devices(&oncall).await?;
        } else {
            workmate.stop().await;
            match loss {
                "a user's store" => fs::remove_dir_all(data.join("users").join(oncall.localpart()))?,
                "all users' stores" => fs::remove_dir_all(data.join("users"))?,
                "the state" => fs::remove_dir_all(data.join("state"))?,
                _ => fs::remove_dir_all(&data)?,
            }
            workmate.start_again().await;
        }
        world.give_back(workmate);
        eprintln!("lost: {loss}");
    }
    settled(&world).await
}

/// Sends many mentions at once, waves of joins, large transactions, and a backlog.
///
/// # Errors
/// If the world breaks in a way that is not counted.
pub(crate) async fn load(rooms: usize, mentions: usize, joins: usize, backlog: usize) -> Result<Tally> {
    let mut world = World::make(Size { people: 2, rooms, assistants: 0, piece_ms: 0 }).await?;
    let mut notes = Vec::new();
    let began = Instant::now();
    for asked in join_all((0..mentions).map(|_| world.ask(Kind::Question))).await {
        asked?;
    }
    world.settle(SETTLE_MAX).await?;
    notes.push(format!("{mentions} mentions at once in {rooms} rooms: {} ms", began.elapsed().as_millis()));

    let (room, sender) = (world.rooms[0].clone(), world.people[0].user_id().to_owned());
    let member = |number: usize| {
        let user = format!("@wave{number}:localhost");
        json!({"type": "m.room.member", "event_id": format!("$join{number}"), "room_id": room, "sender": user,
               "state_key": user, "origin_server_ts": now_ms(), "content": {"membership": "join"}})
    };
    notes.push(wave(&world, "joins in one room", joins, member).await?);
    let message = |number: usize| {
        json!({"type": "m.room.message", "event_id": format!("$backlog{number}"), "room_id": room, "sender": sender,
               "origin_server_ts": now_ms(), "content": {"msgtype": "m.text", "body": "talk among people"}})
    };
    notes.push(wave(&world, "messages in one room", backlog, message).await?);
    let mut workmate = world.take_workmate();
    workmate.stop().await;
    workmate.start_again().await;
    world.give_back(workmate);
    world.ask_everywhere(SETTLE_MAX).await?;
    let mut tally = settled(&world).await?;
    tally.notes = notes;
    Ok(tally)
}

/// Delivers that many events in transactions of up to 10 000, then asks once; returns a note on the cost.
async fn wave(world: &World, what: &str, number: usize, event: impl Fn(usize) -> Value) -> Result<String> {
    let (began, busy) = (Instant::now(), world.processor_seconds().unwrap_or_default());
    let events: Vec<Value> = (0..number).map(event).collect();
    for (part, events) in events.chunks(10_000).enumerate() {
        let status = world.deliver(&format!("wave-{}-{part}", what.replace(' ', "-")), events).await?;
        anyhow::ensure!(status == 200, "a transaction of {} events is answered {status}", events.len());
    }
    let taken = began.elapsed();
    // Ask in that same room, where the events are handled first.
    while world.ask(Kind::Question).await?.room != world.rooms[0] {}
    world.settle(SETTLE_MAX).await?;
    Ok(format!(
        "{number} {what}: taken in {} ms, answered behind them after {} ms, {:.1} s of processor time, peak {} MB",
        taken.as_millis(),
        began.elapsed().as_millis(),
        world.processor_seconds().unwrap_or_default() - busy,
        world.peak_kb().unwrap_or_default() / 1024,
    ))
}

fn now_ms() -> i64 {
    workmate::clock::now().as_ms()
}

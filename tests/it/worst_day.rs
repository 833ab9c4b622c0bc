//! The figure of a member's worst day: how much slower others are answered beside 64 poisoned rooms.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use ruma::OwnedRoomId;
use serde_json::json;
use tokio::time::{self, Instant};

use crate::{
    harness::{
        RoomKind, Setup,
        between::homeserver_timed,
        homeserver::shared,
        office::{Office, echoing},
    },
    poison::send_poison,
};

/// Poisoned rooms of one member; as many as rooms that are handled at once.
const POISONED_ROOMS: usize = 64;
/// Requests whose durations are compared.
const REQUESTS: usize = 20;
/// How long the processes settle before a stretch is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// Calls of the homeserver by kind: how many, and how long they took together.
type Calls = BTreeMap<String, (usize, Duration)>;

struct Stage {
    office: Office,
    room: OwnedRoomId,
    calls: Arc<Mutex<Calls>>,
}

/// What happened while requests were answered.
struct Stretch {
    times: Vec<Duration>,
    calls: Calls,
    cpu: BTreeMap<String, f64>,
    took: Duration,
}

impl Stretch {
    fn at(&self, hundredth: usize) -> Duration {
        self.times[(self.times.len() * hundredth / 100).saturating_sub(1)]
    }

    fn print(&self, what: &str) {
        eprintln!("{what}: p50 {:?}, p95 {:?}, all in {:?}", self.at(50), self.at(95), self.took);
        let cpu: Vec<_> = self.cpu.iter().map(|(name, seconds)| format!("{name} {seconds:.2} s")).collect();
        eprintln!("  processor: {}", cpu.join(", "));
        let mut calls: Vec<_> = self.calls.iter().collect();
        calls.sort_by_key(|(_, (_, time))| std::cmp::Reverse(*time));
        for (kind, (count, time)) in calls.into_iter().take(8) {
            eprintln!("  {count:5} calls, {:8.3} s: {kind}", time.as_secs_f64());
        }
    }
}

/// Returns a call's kind: its path without ids.
fn kind(path: &str) -> String {
    let parts = path.trim_start_matches("/_matrix/client/").split('/').skip(1);
    let is_id = |part: &&str| part.starts_with(['!', '$', '@', '%']);
    parts.filter(|part| !is_id(part)).take(3).collect::<Vec<_>>().join("/")
}

/// Returns the processor seconds used by the test, and by each of its children.
fn processor() -> Result<BTreeMap<String, f64>> {
    let mut used = BTreeMap::new();
    let me = std::process::id().to_string();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let is_me = path.file_name().is_some_and(|name| name == me.as_str());
        if !is_me && fields.get(1) != Some(&me.as_str()) {
            continue;
        }
        let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
        *used.entry(if is_me { "this test".to_owned() } else { name.to_owned() }).or_default() += ticks / 100.0;
    }
    Ok(used)
}

impl Stage {
    async fn open() -> Result<Self> {
        let calls = Arc::new(Mutex::new(Calls::new()));
        let noted = calls.clone();
        let url = homeserver_timed(move |path, time| {
            let mut calls = noted.lock().unwrap_or_else(PoisonError::into_inner);
            let (count, all) = calls.entry(kind(path)).or_default();
            *count += 1;
            *all += time;
        })
        .await?;
        let claude = echoing().await?;
        // The test asks more than a person may ask in five minutes.
        let limits = json!({"person_requests_max": 10_000, "room_requests_max": 10_000});
        let setup = Setup::new(&shared().take_slot(), &url, &claude.base_url()).section("limits", limits);
        let workmate = setup.start().await;
        let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
        let office = Office { claude, workmate, alice, bob };
        let room = office.room(RoomKind::Plain).await?;
        Ok(Self { office, room, calls })
    }

    fn take_calls(&self) -> Calls {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn measure(&self, what: &str) -> Result<Stretch> {
        self.take_calls();
        let (cpu, all) = (processor()?, Instant::now());
        let mut times = Vec::new();
        for number in 0..REQUESTS {
            let began = Instant::now();
            self.office.asked_and_answered(&self.room, &format!("{what} {number}")).await?;
            times.push(began.elapsed());
        }
        times.sort();
        let mut used = processor()?;
        for (name, seconds) in &mut used {
            *seconds -= cpu.get(name).copied().unwrap_or_default();
        }
        let stretch = Stretch { times, calls: self.take_calls(), cpu: used, took: all.elapsed() };
        stretch.print(what);
        Ok(stretch)
    }

    /// Measures while Bob poisons these rooms, as fast as the homeserver takes it.
    async fn measure_beside(&self, what: &str, rooms: &[OwnedRoomId]) -> Result<Stretch> {
        let sent = AtomicUsize::new(0);
        let poisoning = async {
            for (number, room) in rooms.iter().cycle().enumerate() {
                send_poison(&self.office, &self.office.bob, room).await?;
                // In a room of one's own one may also change what each of ours there has to know.
                let own = self.office.alice.room(room)?;
                own.set_room_topic(&format!("topic {number}")).await?;
                own.set_name(format!("name {number}")).await?;
                let visibility = ["shared", "joined"][number % 2];
                let content = json!({ "history_visibility": visibility });
                own.send_state_event_raw("m.room.history_visibility", "", content).await?;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        let stretch = tokio::select! {
            measured = self.measure(what) => measured?,
            ended = poisoning => { ended?; bail!("poisoning has no end") }
        };
        eprintln!("  {} rooms were poisoned meanwhile", sent.into_inner());
        Ok(stretch)
    }

    /// Makes the rooms of a poisoner.
    async fn rooms(&self, has_coworker: bool) -> Result<Vec<OwnedRoomId>> {
        let mut rooms = Vec::new();
        for _ in 0..POISONED_ROOMS {
            let room = if has_coworker {
                self.office.room(RoomKind::Plain).await?
            } else {
                self.office.room_of_people(RoomKind::Plain).await?
            };
            rooms.push(room);
        }
        Ok(rooms)
    }
}

/// Prints, without a time limit, how much slower others are answered while one member poisons 64 rooms, and just behind
/// that; and, as a control, while the same is sent to rooms without a coworker.
#[tokio::test]
#[ignore = "makes 128 rooms; run it by name for its figure"]
async fn figure_sixty_four_poisoned_rooms_and_the_others() -> Result<()> {
    let stage = Stage::open().await?;
    let (control, poisoned) = (stage.rooms(false).await?, stage.rooms(true).await?);
    time::sleep(SETTLE).await;
    let before = stage.measure("before").await?;
    let control = stage.measure_beside("beside rooms without a coworker", &control).await?;
    time::sleep(SETTLE).await;
    let beside = stage.measure_beside("beside rooms with a coworker", &poisoned).await?;
    let behind = stage.measure("just behind").await?;
    for (name, stretch) in [("control", &control), ("beside", &beside), ("just behind", &behind)] {
        let ratio = |at| stretch.at(at).as_secs_f64() / before.at(at).as_secs_f64();
        eprintln!("{name}: p50 {:.2} x, p95 {:.2} x", ratio(50), ratio(95));
    }
    let ours = beside.at(95).as_secs_f64() / control.at(95).as_secs_f64();
    eprintln!("beside, compared with the control: p95 {ours:.2} x");
    Ok(())
}

/// State changes in a test, and the syncs that they may cause together with a request.
const CHANGES: usize = 20;
const SYNCS_MAX: usize = 6;

#[tokio::test]
async fn s1_state_that_somebody_keeps_changing_makes_nobody_sync_for_each_change() -> Result<()> {
    let stage = Stage::open().await?;
    let own = stage.office.alice.room(&stage.room)?;
    stage.take_calls();
    for number in 0..CHANGES {
        own.set_room_topic(&format!("topic {number}")).await?;
        let visibility = ["joined", "shared"][number % 2];
        own.send_state_event_raw("m.room.history_visibility", "", json!({ "history_visibility": visibility })).await?;
    }
    stage.office.asked_and_answered(&stage.room, "what is the topic?").await?;
    let syncs = stage.take_calls().get("sync").map_or(0, |(count, _)| *count);
    assert!(syncs <= SYNCS_MAX, "{syncs} syncs for {CHANGES} changes");
    let asked = stage.office.claude.requests().last().map(|request| request.body.to_string()).unwrap_or_default();
    assert!(asked.contains(&format!("topic {}", CHANGES - 1)), "the newest topic is in the prompt");
    Ok(())
}

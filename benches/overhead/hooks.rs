//! What webhooks cost: how soon a delivery reaches the model, and what a mention takes beside more of them than are taken.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use hmac::{Hmac, Mac as _};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::json;
use sha2::Sha256;
use tokio::{
    task::JoinSet,
    time::{self, Duration, Instant},
};
use workmate::{
    cli::{
        demo::{
            homeserver::free_port,
            person::{Person, RoomKind},
        },
        say::say,
    },
    core::hex::hex,
    standin::{StandIn, Turn},
};

use crate::{
    figures::{Samples, verdict},
    process::{Setup, Workmate, reconfigure},
    stage::{ANSWER, Stage, ask, claude, room},
    tap::Tap,
};

const SECRET: &str = "the-bench's-secret";
/// The goals: the median of the time from a delivery's 202 to the model's request, and a mention's p95 over a quiet one's.
const TO_MODEL_MS: f64 = 20.0;
const BESIDE: f64 = 1.2;
/// Uncounted first deliveries and questions in a room.
const WARM_UP: usize = 4;
/// The pause after each sample, so that its aftermath disturbs none.
const QUIET: Duration = Duration::from_millis(400);
/// Rooms with a hook each, into which more is delivered than they take.
const FLOODED: usize = 8;
/// Deliveries in a second into all of them.
const FLOOD_PER_SECOND: u64 = 50;
/// How long the flood goes on before its effect is measured: what rooms take is being worked on, the rest is refused.
const FLOOD_FIRST: Duration = Duration::from_secs(3);

struct Desk {
    stage: Stage,
    tap: Tap,
    claude: StandIn,
    asked_at: Arc<Mutex<Option<Instant>>>,
    workmate: Workmate,
    coworker: OwnedUserId,
    alice: Person,
    bob: Person,
    http: reqwest::Client,
    url: String,
}

/// Measures and prints both figures.
pub(crate) async fn measure(rounds: usize) -> Result<()> {
    let mut desk = Box::pin(Desk::open()).await?;
    for kind in [RoomKind::Plain, RoomKind::Encrypted] {
        let room = desk.room(kind, "one hook").await?;
        desk.hooks(&[room]).await?;
        let samples = desk.to_model(rounds).await?;
        let goal = verdict(samples.median_ms(), TO_MODEL_MS);
        say(format!(
            "  {kind:?} room, from the 202 to the model's request: {samples}   (goal {TO_MODEL_MS} ms: {goal})"
        ));
        desk.trace().await?;
    }
    let mut rooms = Vec::new();
    for number in 0..FLOODED {
        rooms.push(desk.room(RoomKind::Plain, &format!("flooded {number}")).await?);
    }
    let asked_in = desk.room(RoomKind::Plain, "asked").await?;
    desk.hooks(&rooms).await?;
    let quiet = desk.mentions(&asked_in, rounds).await?;
    let flood = desk.flood();
    time::sleep(FLOOD_FIRST).await;
    let beside = desk.mentions(&asked_in, rounds).await?;
    let in_flooded = desk.mentions(&rooms[0], rounds.min(20)).await?;
    let sent = flood.stop().await;
    let over = |samples: &Samples| samples.percentile_ms(95) / quiet.percentile_ms(95);
    say(format!("  a mention in a quiet workspace:   {quiet}"));
    say(format!("  beside {sent} deliveries into {FLOODED} rooms: {beside}"));
    say(format!("  in one of these rooms:            {in_flooded}"));
    say(format!(
        "  p95 beside them over quiet {:.2} (goal {BESIDE}: {}), in one of these rooms {:.2}",
        over(&beside),
        verdict(over(&beside), BESIDE),
        over(&in_flooded)
    ));
    desk.workmate.stop().await;
    desk.claude.shutdown().await;
    drop(desk.stage);
    Ok(())
}

impl Desk {
    async fn open() -> Result<Self> {
        let (stage, claude) = (Stage::start(1).await?, claude().await?);
        let tap = Tap::start(stage.homeserver.url()).await?;
        let asked_at = Arc::new(Mutex::new(None));
        let noted = asked_at.clone();
        claude.respond_with(move |_| {
            noted.lock().expect("no holder panics").get_or_insert_with(Instant::now);
            Turn::text(ANSWER)
        });
        let limits = json!({ "person_requests_max": 10_000, "room_requests_max": 10_000 });
        let setup = Setup::new(&stage.slots[0], &tap.url, &claude.base_url()).section("limits", limits);
        let workmate = setup.start().await;
        let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
        let coworker = stage.slots[0].coworker("oncall");
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { stage, tap, claude, asked_at, workmate, coworker, alice, bob, http, url: String::new() })
    }

    async fn room(&self, kind: RoomKind, name: &str) -> Result<OwnedRoomId> {
        let room = room(&self.alice, &self.bob, kind, name).await?;
        self.alice.invite(&room, &self.coworker).await?;
        self.alice.until_membership(&room, &self.coworker, &MembershipState::Join).await?;
        Ok(room)
    }

    /// Starts Workmate again with a hook for each room, named by its number.
    async fn hooks(&mut self, rooms: &[OwnedRoomId]) -> Result<()> {
        let address = free_port()?.local_addr()?.to_string();
        self.workmate.stop().await;
        let config = self.workmate.config();
        reconfigure(&config, |settings| {
            settings["hooks_listen"] = json!(address);
            settings["credentials"] = json!({ "hook": { "value": SECRET } });
        })?;
        reconfigure(&config.with_file_name("coworkers").join("oncall.yaml"), |coworker| {
            let hook = |(number, room): (usize, &OwnedRoomId)| {
                json!({ "name": format!("hook-{number}"), "room": room, "task": "Look.", "proof": "github",
                    "credential": "hook" })
            };
            coworker["hooks"] = rooms.iter().enumerate().map(hook).collect();
        })?;
        self.workmate.start_again().await;
        self.url = format!("http://{address}/hooks");
        Ok(())
    }

    /// Delivers, and measures the time from the 202 to the model's request.
    async fn to_model(&self, rounds: usize) -> Result<Samples> {
        let mut samples = Samples::default();
        // The room takes 60 in five minutes.
        for round in 0..WARM_UP + rounds.min(50) {
            let (answered, asked) = self.delivered(&round.to_string()).await?;
            if round >= WARM_UP {
                samples.push(asked.saturating_duration_since(answered));
            }
        }
        Ok(samples)
    }

    /// Delivers once; returns when it was answered 202 and when the model was asked.
    async fn delivered(&self, title: &str) -> Result<(Instant, Instant)> {
        time::sleep(QUIET).await;
        self.tap.take();
        self.asked_at.lock().expect("no holder panics").take();
        let status = deliver(&self.http, &format!("{}/hook-0", self.url), title).await?;
        let answered = Instant::now();
        ensure!(status == 202, "the delivery was answered {status}");
        let asked = async {
            loop {
                if let Some(at) = *self.asked_at.lock().expect("no holder panics") {
                    return at;
                }
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        let asked = time::timeout(Duration::from_secs(30), asked).await.context("the model was not asked")?;
        Ok((answered, asked))
    }

    /// Prints the requests to the homeserver between one delivery's 202 and the model's request.
    async fn trace(&self) -> Result<()> {
        let (answered, asked) = self.delivered("traced").await?;
        time::sleep(QUIET).await;
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        say(format!("    one of them, {:.1} ms:", ms(asked.saturating_duration_since(answered))));
        for request in self.tap.take().into_iter().filter(|request| request.began < asked) {
            let began = ms(request.began.saturating_duration_since(answered));
            say(format!("      at {began:6.1} ms for {:5.1} ms  {}", ms(request.took), request.what));
        }
        Ok(())
    }

    async fn mentions(&self, room: &OwnedRoomId, rounds: usize) -> Result<Samples> {
        let mut samples = Samples::default();
        for round in 0..WARM_UP + rounds {
            time::sleep(QUIET).await;
            let took = ask(&self.alice, room, &self.coworker).await?;
            if round >= WARM_UP {
                samples.push(took.to_read);
            }
        }
        Ok(samples)
    }

    /// Delivers into all flooded rooms in turn until it is stopped.
    fn flood(&self) -> Flood {
        let (stopped, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (http, url) = (self.http.clone(), self.url.clone());
        let (until, count) = (stopped.clone(), sent.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut calls = JoinSet::new();
            let mut tick = time::interval(Duration::from_millis(1000 / FLOOD_PER_SECOND));
            while !until.load(Ordering::Relaxed) {
                tick.tick().await;
                let number = count.fetch_add(1, Ordering::Relaxed);
                let (http, url) = (http.clone(), format!("{url}/hook-{}", number % FLOODED as u64));
                calls.spawn(async move { deliver(&http, &url, &format!("flood {number}")).await });
            }
            calls.join_all().await;
        });
        Flood { stopped, sent, tasks }
    }
}

struct Flood {
    stopped: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Flood {
    /// Stops it and returns how many were delivered.
    async fn stop(self) -> u64 {
        self.stopped.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.sent.load(Ordering::Relaxed)
    }
}

async fn deliver(http: &reqwest::Client, url: &str, title: &str) -> Result<u16> {
    // Each is another delivery, whatever its title.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = NUMBER.fetch_add(1, Ordering::Relaxed);
    let report = json!({ "action": "completed", "repository": { "full_name": "acme/app" },
        "workflow_run": { "id": id, "name": title, "conclusion": "failure" } });
    let body = report.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex(&mac.finalize().into_bytes()));
    let call = http.post(url).header("content-type", "application/json").header("x-github-event", "workflow_run");
    Ok(call.header("x-hub-signature-256", signature).body(body).send().await?.status().as_u16())
}

//! What webhooks cost: how soon a delivery reaches the model, and what a mention takes beside more of them than are taken.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use hmac::{Hmac, Mac as _};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::json;
use sha2::Sha256;
use tokio::{
    task::JoinSet,
    time::{self, Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
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
    tap::{Passed, Tap, listen},
};

const SECRET: &str = "the-bench's-secret";
/// The goals: the median of the time from a delivery's 202 to the model's request, and a mention's p95 over that beside
/// the control.
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
/// How long a flood goes on before its effect is measured.
const FLOOD_FIRST: Duration = Duration::from_secs(3);
/// What was accepted is worked off once the model was not asked for so long.
const WORKED_OFF_AFTER: Duration = Duration::from_secs(5);
/// Kinds of request to the homeserver that are told.
const REQUESTS_SHOWN: usize = 8;
/// The longest that this may take.
const WORKED_OFF_MAX: Duration = Duration::from_mins(10);

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
        let (whole, ours) = desk.to_model(rounds).await?;
        let goal = verdict(whole.median_ms(), TO_MODEL_MS);
        say(format!("  {kind:?} room, from the 202 to the model's request: {whole}   (goal {TO_MODEL_MS} ms: {goal})"));
        say(format!("    of it while no request to the homeserver is under way: {ours}"));
        desk.trace().await?;
    }
    Box::pin(desk.beside(rounds)).await?;
    desk.workmate.stop().await;
    desk.claude.shutdown().await;
    drop(desk.stage);
    Ok(())
}

/// Refuses every call at once: what the same senders cost, and the homeserver beside them, without any work of ours.
async fn control(stop: CancellationToken) -> Result<String> {
    let address = free_port()?.local_addr()?;
    let refuse = async |_: Bytes| StatusCode::TOO_MANY_REQUESTS;
    let router = Router::new().route("/hooks/{name}", post(refuse));
    listen(address, router, stop, &TaskTracker::new()).await?;
    Ok(format!("http://{address}/hooks"))
}

/// Returns how much of a span no request to the homeserver was under way in.
fn without(passed: &[Passed], from: Instant, to: Instant) -> Duration {
    let mut ours = Duration::ZERO;
    let mut at = from;
    for request in passed.iter().filter(|request| request.began < to) {
        ours += request.began.saturating_duration_since(at);
        at = at.max(request.began + request.took);
    }
    ours + to.saturating_duration_since(at)
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

    /// Measures what a mention takes beside a flood of deliveries: those that rooms take are worked off at first, and
    /// then all are refused. The same flood against a server that refuses at once is the measure of both.
    async fn beside(&mut self, rounds: usize) -> Result<()> {
        let mut rooms = Vec::new();
        for number in 0..FLOODED {
            rooms.push(self.room(RoomKind::Plain, &format!("flooded {number}")).await?);
        }
        let asked_in = self.room(RoomKind::Plain, "asked").await?;
        self.hooks(&rooms).await?;
        let quiet = self.mentions(&asked_in, rounds).await?;
        say(format!("  a mention in a quiet workspace:         {quiet}"));
        let stop = CancellationToken::new();
        let flood = self.flood(&control(stop.clone()).await?);
        time::sleep(FLOOD_FIRST).await;
        let control = self.mentions(&asked_in, rounds).await?;
        let sent = flood.stop().await;
        stop.cancel();
        say(format!("  beside {sent:5} calls of another server:    {control}"));
        let over = |samples: &Samples| samples.percentile_ms(95) / control.percentile_ms(95);
        let print = |what: &str, samples: &Samples| {
            let over = over(samples);
            say(format!(
                "  {what:<39} {samples}   p95 over the control {over:.2} (goal {BESIDE}: {})",
                verdict(over, BESIDE)
            ));
        };
        self.tap.take();
        let flood = self.flood(&self.url);
        time::sleep(FLOOD_FIRST).await;
        print("while what rooms take is worked off:", &self.mentions(&asked_in, rounds).await?);
        let worked_off = self.until_worked_off().await?;
        self.print_requests();
        print("beside deliveries beyond the rate:", &self.mentions(&asked_in, rounds).await?);
        print("in one of these rooms:", &self.mentions(&rooms[0], rounds.min(20)).await?);
        let sent = flood.stop().await;
        say(format!(
            "  {sent} deliveries into {FLOODED} rooms; {:.0} s until what they take was done",
            worked_off.as_secs_f64()
        ));
        Ok(())
    }

    /// Prints how often the homeserver was asked for what.
    fn print_requests(&self) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for request in self.tap.take() {
            *counts.entry(request.what).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (what, count) in counts.into_iter().take(REQUESTS_SHOWN) {
            say(format!("    {count:6} x {what}"));
        }
    }

    /// Waits until the model is not asked any more; returns how long that took.
    async fn until_worked_off(&self) -> Result<Duration> {
        let began = Instant::now();
        let is_quiet = async {
            while self.asked_at.lock().expect("no holder panics").take().is_some() {
                time::sleep(WORKED_OFF_AFTER).await;
            }
        };
        time::timeout(WORKED_OFF_MAX, is_quiet).await.context("what was accepted is not worked off")?;
        Ok(began.elapsed())
    }

    /// Delivers, and measures the time from the 202 to the model's request, and what of it is not the homeserver's.
    async fn to_model(&self, rounds: usize) -> Result<(Samples, Samples)> {
        let (mut samples, mut ours) = (Samples::default(), Samples::default());
        // The room takes 60 in five minutes.
        for round in 0..WARM_UP + rounds.min(50) {
            let (answered, asked) = self.delivered(&round.to_string()).await?;
            if round >= WARM_UP {
                samples.push(asked.saturating_duration_since(answered));
                // So that what was under way is recorded.
                time::sleep(QUIET).await;
                ours.push(without(&self.tap.take(), answered, asked));
            }
        }
        Ok((samples, ours))
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
    fn flood(&self, url: &str) -> Flood {
        let (stopped, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (http, url) = (self.http.clone(), url.to_owned());
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

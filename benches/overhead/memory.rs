//! Resident memory by number of virtual users: the slope counts, not the process itself.

use std::{fs, ops::Range};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use tokio::time::{self, Duration, Instant};
use url::Url;
use workmate::cli::{
    demo::person::RoomKind,
    say::{complain, say},
};

use crate::{
    figures::verdict,
    process::{Setup, Workmate, coworker},
    stage::{Stage, ask, claude, room},
};

const LIVE_MB_MAX: f64 = 3.0;
const IDLE_KB_MAX: f64 = 20.0;
/// Awake assistants beside the idle ones.
const AWAKE: usize = 10;
/// Assistants made at the same time.
const AT_ONCE: usize = 4;
const MADE_MAX: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(250);
/// Memory has settled when two consecutive readings differ by less than this, in KiB.
const SETTLED_KB: u64 = 256;
const SETTLE_MAX: Duration = Duration::from_secs(30);
const RESTARTS: usize = 3;
const LOG_LINES: usize = 60;
const SETTLE_POLL: Duration = Duration::from_secs(2);

/// Prints the memory with that many coworkers in one encrypted room, after a restart and an answer.
pub(crate) async fn live(sizes: &[usize]) -> Result<()> {
    say("\ncoworkers in one encrypted room, after a restart and one answer");
    let (stage, claude) = (Stage::start(sizes.len()).await?, claude().await?);
    let (alice, bob) = (stage.person("alice").await?, stage.person("bob").await?);
    let mut measured = Vec::new();
    for (slot, &size) in stage.slots.iter().zip(sizes) {
        let coworkers: Vec<Value> = (0..size).map(|number| coworker(&format!("c{number}"))).collect();
        let setup = Setup::new(slot, stage.homeserver.url(), &claude.base_url()).coworkers(coworkers);
        let mut workmate = setup.start().await;
        let room = room(&alice, &bob, RoomKind::Encrypted, "many").await?;
        let users: Vec<OwnedUserId> = (0..size).map(|number| slot.coworker(&format!("c{number}"))).collect();
        for user in &users {
            alice.invite(&room, user).await?;
        }
        for user in &users {
            alice.until_membership(&room, user, &MembershipState::Join).await?;
        }
        ask(&alice, &room, &users[0]).await?;
        let first_kb = settled_kb(&workmate).await?;
        workmate.stop().await;
        workmate.start_again().await;
        ask(&alice, &room, &users[0]).await?;
        let kb = settled_kb(&workmate).await?;
        say(format!("  {size:>4}: {:6.1} MB   (in the process that provisioned them: {:.1} MB)", mb(kb), mb(first_kb)));
        measured.push((size, kb));
        workmate.stop().await;
    }
    if let [first, .., last] = measured[..] {
        let slope = (mb(last.1) - mb(first.1)) / count(last.0 - first.0);
        let verdict = verdict(slope, LIVE_MB_MAX);
        say(format!("  a live user: {slope:.2} MB (goal {LIVE_MB_MAX}: {verdict})"));
    }
    Ok(())
}

/// Prints the memory with few and with many idle assistants, and with ten of them awake; each after a restart.
pub(crate) async fn idle(assistants: usize) -> Result<()> {
    let few = (assistants / 5).max(1);
    say("\nassistants, each of an owner of its own, after a restart");
    let (stage, claude) = (Stage::start(1).await?, claude().await?);
    let limits = json!({"assistants_live_max": AWAKE});
    let setup = Setup::new(&stage.slots[0], stage.homeserver.url(), &claude.base_url()).section("limits", limits);
    let mut workmate = setup.start().await;

    let mut owners = make(&stage, &workmate, 0..few).await?;
    let few_kb = restarted_kb(&mut workmate).await?;
    say(format!("  {few:>4} idle: {:6.1} MB", mb(few_kb)));
    owners.extend(make(&stage, &workmate, few..assistants).await?);
    let many_kb = restarted_kb(&mut workmate).await?;
    say(format!("  {assistants:>4} idle: {:6.1} MB", mb(many_kb)));
    let awake = owners.len().min(AWAKE);
    for owner in &owners[..awake] {
        owner.wake(&stage.slots[0].assistant(&owner.localpart)).await?;
    }
    let awake_kb = settled_kb(&workmate).await?;
    say(format!("  {assistants:>4}, of which {awake} are awake: {:6.1} MB", mb(awake_kb)));
    workmate.stop().await;

    let idle_kb = (kib(many_kb) - kib(few_kb)) / count((assistants - few).max(1));
    let live_mb = (mb(awake_kb) - mb(many_kb)) / count(awake);
    say(format!("  an idle assistant: {idle_kb:.1} KB (goal {IDLE_KB_MAX}: {})", verdict(idle_kb, IDLE_KB_MAX)));
    say(format!("  an awake assistant: {live_mb:.2} MB (goal {LIVE_MB_MAX}: {})", verdict(live_mb, LIVE_MB_MAX)));
    Ok(())
}

/// Returns the lowest memory over several restarts: it varies by megabytes from start to start.
async fn restarted_kb(workmate: &mut Workmate) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..RESTARTS {
        workmate.stop().await;
        workmate.start_again().await;
        least = least.min(settled_kb(workmate).await?);
    }
    Ok(least)
}

/// Registers people and makes an assistant for each; returns the people.
async fn make(stage: &Stage, workmate: &Workmate, numbers: Range<usize>) -> Result<Vec<Owner>> {
    let began = Instant::now();
    let slot = workmate.slot();
    let making = stream::iter(numbers.clone()).map(|number| async move {
        let mut owner = Owner::start(stage, &format!("owner{number}")).await?;
        owner.chat_with(&slot.assistant(&owner.localpart)).await?;
        owner.room = owner.invited(&slot.assistant(&owner.localpart)).await?;
        if number % 25 == 24 {
            complain(&format!("{} assistants made", number + 1));
        }
        Ok::<_, anyhow::Error>(owner)
    });
    let made = making.buffered(AT_ONCE).try_collect().await;
    let owners = made.with_context(|| format!("the end of workmate's log:\n{}", tail(&workmate.logs())))?;
    complain(&format!("{} assistants made in {} s", numbers.len(), began.elapsed().as_secs()));
    Ok(owners)
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A person who uses plain calls instead of a client.
struct Owner {
    localpart: String,
    /// The room the assistant invited them to; empty before that.
    room: String,
    http: reqwest::Client,
    homeserver: Url,
    token: String,
}

impl Owner {
    async fn start(stage: &Stage, localpart: &str) -> Result<Self> {
        let password = format!("password-of-{localpart}");
        stage.homeserver.register(localpart, &password).await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let homeserver = stage.homeserver.url().clone();
        let login = json!({
            "type": "m.login.password", "password": password,
            "identifier": {"type": "m.id.user", "user": localpart},
        });
        let mut owner =
            Self { localpart: localpart.to_owned(), room: String::new(), http, homeserver, token: String::new() };
        let answer = owner.post("login", &login).await?;
        answer["access_token"].as_str().context("a login has a token")?.clone_into(&mut owner.token);
        Ok(owner)
    }

    async fn chat_with(&self, user: &UserId) -> Result<()> {
        let body = json!({"preset": "trusted_private_chat", "is_direct": true, "invite": [user]});
        self.post("createRoom", &body).await?;
        Ok(())
    }

    /// Waits for the assistant's invite and returns its room.
    async fn invited(&self, assistant: &UserId) -> Result<String> {
        let deadline = Instant::now() + MADE_MAX;
        let mut since = String::new();
        loop {
            let synced = self.get(&format!("sync?timeout=10000{since}")).await?;
            let mut invites = synced["rooms"]["invite"].as_object().into_iter().flatten();
            let by_it = |invite: &Value| {
                let mut events = invite["invite_state"]["events"].as_array().into_iter().flatten();
                events.any(|event| event["sender"] == assistant.as_str())
            };
            if let Some((room, _)) = invites.find(|(_, invite)| by_it(invite)) {
                return Ok(room.clone());
            }
            ensure!(Instant::now() < deadline, "{} was not invited by {assistant}", self.localpart);
            // Without `since`, Synapse would repeat the same answer for two minutes.
            since = format!("&since={}", synced["next_batch"].as_str().context("a sync has a next_batch")?);
        }
    }

    /// Joins the assistant's room and waits for its first words.
    async fn wake(&self, assistant: &UserId) -> Result<()> {
        let room = &self.room;
        self.post(&format!("join/{room}"), &json!({})).await?;
        let deadline = Instant::now() + MADE_MAX;
        loop {
            let page = self.get(&format!("rooms/{room}/messages?dir=b&limit=10")).await?;
            let events = page["chunk"].as_array().into_iter().flatten();
            let mut words = events.filter(|e| e["type"] == "m.room.encrypted" && e["sender"] == assistant.as_str());
            if words.next().is_some() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{assistant} said nothing");
            time::sleep(POLL).await;
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.read(self.http.post(self.url(path)?).json(body), path).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.read(self.http.get(self.url(path)?), path).await
    }

    fn url(&self, path: &str) -> Result<Url> {
        Ok(self.homeserver.join(&format!("_matrix/client/v3/{path}"))?)
    }

    async fn read(&self, mut call: reqwest::RequestBuilder, path: &str) -> Result<Value> {
        if !self.token.is_empty() {
            call = call.bearer_auth(&self.token);
        }
        let answer = call.send().await?.error_for_status().with_context(|| format!("{}: {path}", self.localpart))?;
        Ok(answer.json().await?)
    }
}

/// Returns the process's resident memory once it has settled, in KiB.
async fn settled_kb(workmate: &Workmate) -> Result<u64> {
    let pid = workmate.pid().context("workmate runs")?;
    let deadline = Instant::now() + SETTLE_MAX;
    let mut last = resident_kb(pid)?;
    loop {
        time::sleep(SETTLE_POLL).await;
        let now = resident_kb(pid)?;
        if now.abs_diff(last) < SETTLED_KB || Instant::now() >= deadline {
            return Ok(now);
        }
        last = now;
    }
}

fn resident_kb(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("{path}: resident memory is read on Linux only"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel tells VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn mb(kb: u64) -> f64 {
    kib(kb) / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "a process has less than 2^52 KiB")]
fn kib(kb: u64) -> f64 {
    kb as f64
}

#[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 users")]
fn count(users: usize) -> f64 {
    users as f64
}

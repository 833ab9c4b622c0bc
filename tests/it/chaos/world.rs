//! A small workspace for the faults: people who ask and decide, and proxies on both sides of Workmate.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use ruma::{OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId, events::room::member::MembershipState};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{self, Duration, Instant};
use workmate::{
    cli::demo::{
        homeserver::{Homeserver, Options, free_port},
        person::{
            Options as PersonOptions, Person, RoomKind,
            timeline::{Encryption, SeenEvent, Timeline},
        },
    },
    standin::{self, RecordedRequest, StandIn, Turn},
};

use crate::harness::{
    faults::Faults,
    slot::Slot,
    workmate::{Setup, Workmate, coworker},
};

/// How long a person's client retries a call.
const SEND_MAX: Duration = Duration::from_mins(3);
/// The pause between two tries, and between two checks for events.
const PAUSE: Duration = Duration::from_millis(200);

/// Another build of Workmate to compare with.
pub(crate) static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// An MCP server whose tool must never run twice for one request; it records each call in a file.
const SERVER: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method = message.get("method")
    if method == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "ops", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
        result = {"tools": [{"name": "deploy", "description": "Deploys.", "inputSchema": schema}]}
    elif method == "tools/call":
        with open(sys.argv[1], "a") as calls:
            calls.write(message["params"]["arguments"]["to"] + "\n")
        result = {"content": [{"type": "text", "text": "deployed to " + message["params"]["arguments"]["to"]}]}
    else:
        result = {}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

/// The size of a world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// People, each with their own client; the first makes the rooms.
    pub(crate) people: usize,
    /// Rooms; every other one is encrypted.
    pub(crate) rooms: usize,
    /// How many people have an assistant.
    pub(crate) assistants: usize,
    /// The pause before each piece of an answer, so that faults can occur in between.
    pub(crate) piece_ms: u64,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A question to the coworker.
    Question,
    /// A tool call that the asker has to approve.
    Deploy,
    /// A question to the asker's own assistant.
    Chat,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// A tag that appears in the request, the call and the answer, and nowhere else.
    pub(crate) tag: String,
    /// What kind it is.
    pub(crate) kind: Kind,
    /// The request's event id.
    pub(crate) request: OwnedEventId,
    /// The index of the person who asked.
    pub(crate) asker: usize,
    /// The room it was asked in.
    pub(crate) room: OwnedRoomId,
    /// The user who has to answer.
    pub(crate) whom: OwnedUserId,
}

/// Everything that a part of the suite needs.
pub(crate) struct World {
    homeserver: Option<Homeserver>,
    /// The proxy for Workmate's calls.
    pub(crate) calls: Faults,
    /// The proxy for the homeserver's transactions.
    pub(crate) deliveries: Faults,
    /// The model.
    pub(crate) claude: StandIn,
    workmate: Option<Workmate>,
    slot: Arc<Slot>,
    /// The people, in order of their indices.
    pub(crate) people: Vec<Person>,
    /// The shared rooms.
    pub(crate) rooms: Vec<OwnedRoomId>,
    /// The assistants' chats, with their owners' indices.
    pub(crate) chats: Vec<(usize, OwnedRoomId)>,
    /// The requests made so far.
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// Approved cards by the request's tag.
    pub(crate) approved: Mutex<BTreeMap<String, OwnedEventId>>,
    number: AtomicUsize,
    dir: TempDir,
}

impl World {
    /// Makes a healthy world in which everybody has been introduced.
    pub(crate) async fn make(size: Size) -> Result<Self> {
        Box::pin(Self::make_with(size, |setup| setup)).await
    }

    /// Makes a world with further settings.
    pub(crate) async fn make_with(size: Size, change: impl FnOnce(Setup) -> Setup) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let slot = Arc::new(Slot::prepare(0, dir.path())?);
        let deliveries = Faults::before(format!("http://{}", slot.listen).parse()?).await?;
        let mut registration: Value = serde_json::from_str(&fs::read_to_string(&slot.registration)?)?;
        registration["url"] = json!(deliveries.url().as_str().trim_end_matches('/'));
        fs::write(&slot.registration, serde_json::to_string(&registration)?)?;
        let options = Options {
            venv: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("synapse-venv"),
            dir: dir.path().join("homeserver"),
            port: free_port()?.local_addr()?.port(),
            registrations: vec![slot.registration.clone()],
            runner: None,
        };
        let homeserver = Homeserver::start(options, &|_| {}).await?;
        let calls = Faults::before(homeserver.url().clone()).await?;
        let claude = StandIn::start(standin::Options::scripted()).await?;
        let piece = Duration::from_millis(size.piece_ms);
        claude.respond_with(move |request| respond(request, piece));
        let server = dir.path().join("server.py");
        fs::write(&server, SERVER)?;
        let command = json!(["python3", server, dir.path().join("calls")]);
        let mut oncall = coworker("oncall");
        oncall["tools"] = json!([{"name": "ops__deploy", "approval": "asker"}]);
        let mut setup = Setup::new(&slot, calls.url(), &claude.base_url())
            .coworkers(vec![oncall])
            .section("mcp_servers", json!({"ops": {"command": command}}));
        if let Some(program) = PROGRAM.get() {
            setup = setup.program(program.clone());
        } else {
            // Few people produce the load of many. Older builds do not have this limit.
            setup = setup.section("limits", json!({"person_requests_max": 10_000, "room_requests_max": 10_000}));
        }
        let workmate = change(setup).start().await;
        let mut people = Vec::new();
        for number in 0..size.people {
            people.push(person(&homeserver, &format!("person{number}")).await?);
        }
        let mut world = Self {
            homeserver: Some(homeserver),
            calls,
            deliveries,
            claude,
            workmate: Some(workmate),
            slot,
            people,
            rooms: Vec::new(),
            chats: Vec::new(),
            asked: Mutex::default(),
            approved: Mutex::default(),
            number: AtomicUsize::new(0),
            dir,
        };
        world.furnish(size).await?;
        Ok(world)
    }

    async fn furnish(&mut self, size: Size) -> Result<()> {
        let oncall = self.oncall();
        for number in 0..size.rooms {
            let kind = if number % 2 == 0 { RoomKind::Encrypted } else { RoomKind::Plain };
            let others: Vec<_> = self.people[1..].iter().map(Person::user_id).collect();
            let room = self.people[0].create_room(kind, &format!("room {number}"), &others).await?;
            for person in &self.people[1..] {
                person.until_membership(&room, person.user_id(), &MembershipState::Invite).await?;
                person.join(&room).await?;
            }
            self.people[0].invite(&room, &oncall).await?;
            let introduced = |seen: &Timeline| seen.messages_of(&oncall).next().map(drop);
            self.people[0].until(&room, "the first words", introduced).await?;
            self.rooms.push(room);
        }
        for number in 0..size.assistants.min(self.people.len()) {
            let owner = &self.people[number];
            let assistant = self.assistant(number);
            owner.create_dm(&assistant).await?;
            let room = owner.until_invited_by(&assistant).await?;
            owner.join(&room).await?;
            let introduced = |seen: &Timeline| seen.messages_of(&assistant).next().map(drop);
            owner.until(&room, "the first words", introduced).await?;
            self.chats.push((number, room));
        }
        Ok(())
    }

    /// Hands over Workmate's process, so that it can be killed while people use the world.
    pub(crate) fn take_workmate(&mut self) -> Workmate {
        self.workmate.take().expect("it was given back")
    }

    /// Returns Workmate's process to the world.
    pub(crate) fn give_back(&mut self, workmate: Workmate) {
        self.workmate = Some(workmate);
    }

    /// Hands over the homeserver's process.
    pub(crate) fn take_homeserver(&mut self) -> Homeserver {
        self.homeserver.take().expect("it was given back")
    }

    /// Returns the homeserver's process to the world.
    pub(crate) fn give_back_homeserver(&mut self, homeserver: Homeserver) {
        self.homeserver = Some(homeserver);
    }

    /// Returns the coworker's user id.
    pub(crate) fn oncall(&self) -> OwnedUserId {
        self.slot.coworker("oncall")
    }

    fn assistant(&self, owner: usize) -> OwnedUserId {
        self.slot.assistant(self.people[owner].user_id().localpart())
    }

    /// Has a person ask for something; retries until the homeserver has it exactly once.
    pub(crate) async fn ask(&self, kind: Kind) -> Result<Asked> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (tag, oncall) = (format!("q{number}."), self.oncall());
        let (asker, room, whom) = if kind == Kind::Chat {
            let (owner, room) = &self.chats[number % self.chats.len()];
            (*owner, room.clone(), self.assistant(*owner))
        } else {
            (number % self.people.len(), self.rooms[number % self.rooms.len()].clone(), oncall)
        };
        let words = if kind == Kind::Deploy { format!("deploy {tag}") } else { format!("what is {tag}") };
        let content = if kind == Kind::Chat {
            json!({"msgtype": "m.text", "body": words})
        } else {
            json!({"msgtype": "m.text", "body": format!("oncall: {words}"), "m.mentions": {"user_ids": [whom]}})
        };
        let txn = format!("ask-{number}").into();
        let request = self.send(asker, &room, "m.room.message", &content, txn).await?;
        let asked = Asked { tag, kind, request, asker, room, whom };
        lock(&self.asked).push(asked.clone());
        Ok(asked)
    }

    /// Sends as a client does: retries under the same transaction id until the event has arrived.
    async fn send(
        &self,
        who: usize,
        room: &OwnedRoomId,
        kind: &str,
        content: &Value,
        txn: OwnedTransactionId,
    ) -> Result<OwnedEventId> {
        let deadline = Instant::now() + SEND_MAX;
        loop {
            let room = self.people[who].room(room)?;
            let sent = room.send_raw(kind, content.clone()).with_transaction_id(&txn).await;
            match sent {
                Ok(sent) => return Ok(sent.response.event_id),
                Err(error) if Instant::now() > deadline => return Err(error).context("a person cannot send"),
                Err(_) => time::sleep(PAUSE).await,
            }
        }
    }

    /// Has the askers approve every card that appeared since the last call.
    pub(crate) async fn approve(&self) -> Result<()> {
        let waiting: Vec<Asked> = lock(&self.asked)
            .iter()
            .filter(|asked| asked.kind == Kind::Deploy && !lock(&self.approved).contains_key(&asked.tag))
            .cloned()
            .collect();
        for asked in waiting {
            let seen = self.people[asked.asker].timeline(&asked.room);
            let Some(card) = card(&seen, &asked) else { continue };
            let content = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": card.event_id, "key": "✅"}});
            let txn = format!("approve-{}", asked.tag).into();
            self.send(asked.asker, &asked.room, "m.reaction", &content, txn).await?;
            lock(&self.approved).insert(asked.tag.clone(), card.event_id.clone());
        }
        Ok(())
    }

    /// Waits at most `most` until every request is answered, while people go on approving.
    pub(crate) async fn settle(&self, most: Duration) -> Result<()> {
        self.settle_from(0, most).await
    }

    /// Waits for the answers to the requests from this index on.
    async fn settle_from(&self, first: usize, most: Duration) -> Result<()> {
        let deadline = Instant::now() + most;
        loop {
            self.approve().await?;
            let asked: Vec<Asked> = lock(&self.asked).iter().skip(first).cloned().collect();
            let open = asked.iter().any(|asked| self.answers(asked).is_empty());
            if !open || Instant::now() > deadline {
                break;
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Returns a request's final answers: messages with its tag, as shown.
    pub(crate) fn answers(&self, asked: &Asked) -> Vec<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let about = |event: &&SeenEvent| {
            if asked.kind == Kind::Chat {
                return true;
            }
            event.thread_root() == Some(asked.request.as_str()) && event.content.get("dev.workmate.card").is_none()
        };
        let theirs = seen.messages_of(&asked.whom).filter(|event| event.msgtype() == "m.text").filter(about);
        let shown = theirs.filter_map(|event| seen.shown_text(&event.event_id)).map(ToOwned::to_owned);
        shown.filter(|text| text.contains(&format!("answer to {}", asked.tag)) && text.contains("the end")).collect()
    }

    /// Returns the messages that say why a request was not answered.
    pub(crate) fn told(&self, asked: &Asked) -> Vec<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let asked_at = seen.event(&asked.request).map(|event| event.sent_at);
        let theirs = seen.messages_of(&asked.whom).filter(|event| {
            if asked.kind == Kind::Chat {
                // In a private chat nothing points at the request, so a later offer to ask again counts as its reason.
                return Some(event.sent_at) > asked_at && event.body().contains("ask again");
            }
            event.thread_root() == Some(asked.request.as_str()) || event.in_reply_to() == Some(asked.request.as_str())
        });
        let shown = theirs.filter_map(|event| seen.shown_text(&event.event_id)).map(ToOwned::to_owned);
        shown.filter(|text| !text.contains(&asked.tag) && !text.is_empty()).collect()
    }

    /// Returns the present texts of a request's status notices.
    pub(crate) fn notices(&self, asked: &Asked) -> Vec<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let theirs = seen
            .messages_of(&asked.whom)
            .filter(|event| event.msgtype() == "m.notice" && event.thread_root() == Some(asked.request.as_str()));
        theirs.filter_map(|event| seen.shown_text(&event.event_id)).map(ToOwned::to_owned).collect()
    }

    /// Returns the last text of a request's card.
    pub(crate) fn card_shows(&self, asked: &Asked) -> Option<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let card = card(&seen, asked)?.event_id.clone();
        seen.shown_text(&card).map(ToOwned::to_owned)
    }

    /// Returns how many of Workmate's messages a person could not decrypt.
    pub(crate) fn undecryptable(&self) -> usize {
        let rooms = self.rooms.iter().map(|room| (0, room)).chain(self.chats.iter().map(|(who, room)| (*who, room)));
        let of = |(who, room): (usize, &OwnedRoomId)| {
            let seen = self.people[who].timeline(room);
            let lost = |event: &&SeenEvent| matches!(event.encryption, Encryption::Undecryptable { .. });
            seen.events.iter().filter(lost).count()
        };
        rooms.map(of).sum()
    }

    /// Returns how often the tool ran for a request.
    pub(crate) fn ran(&self, asked: &Asked) -> usize {
        let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        calls.lines().filter(|line| *line == asked.tag).count()
    }

    /// Returns the number of model calls for a request.
    pub(crate) fn model_calls(&self, asked: &Asked) -> usize {
        let about = |request: &RecordedRequest| newest_tag(request).as_deref() == Some(asked.tag.as_str());
        self.claude.requests().iter().filter(|request| about(request)).count()
    }

    /// Kills the homeserver without warning; [`Homeserver::start_again`] restarts it.
    pub(crate) fn kill_homeserver(&self, signal: &str) -> Result<()> {
        let dir = self.dir.path().join("homeserver");
        for process in processes_in(&dir)? {
            std::process::Command::new("kill").args([signal, &process.to_string()]).status()?;
        }
        Ok(())
    }

    /// Delivers events to Workmate in one transaction, as a homeserver does; returns the response's status.
    pub(crate) async fn deliver(&self, txn: &str, events: &[Value]) -> Result<u16> {
        let url = format!("http://{}/_matrix/app/v1/transactions/{txn}", self.slot.listen);
        let http = reqwest::Client::builder().no_proxy().build()?;
        let call = http.put(url).bearer_auth(self.slot.hs_token()).json(&json!({ "events": events }));
        Ok(call.send().await?.status().as_u16())
    }

    /// Returns the processor time of Workmate's process, in seconds.
    pub(crate) fn processor_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.workmate.as_ref()?.pid()?)).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: Vec<f64> =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Some(ticks.iter().sum::<f64>() / 100.0)
    }

    /// Has the homeserver delete a virtual user's devices, as an administrator can.
    pub(crate) async fn delete_devices(&self, user: &OwnedUserId) -> Result<()> {
        let homeserver = self.homeserver.as_ref().context("the homeserver runs")?.url().clone();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = homeserver.join("_matrix/client/v3/devices")?;
        let as_user = [("user_id", user.as_str())];
        let listed = http.get(url.clone()).query(&as_user).bearer_auth(self.slot.as_token()).send().await?;
        let listed: Value = serde_json::from_slice(&listed.bytes().await?)?;
        for device in listed["devices"].as_array().into_iter().flatten() {
            let id = device["device_id"].as_str().unwrap_or_default();
            let one = homeserver.join(&format!("_matrix/client/v3/devices/{id}"))?;
            http.delete(one).query(&as_user).bearer_auth(self.slot.as_token()).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// Saves Workmate's log to a file that outlives the world; returns its path.
    pub(crate) fn keep_log(&self) -> Result<PathBuf> {
        let log = self.workmate.as_ref().map(Workmate::logs).unwrap_or_default();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}.log", std::process::id()));
        fs::write(&path, log)?;
        Ok(path)
    }

    /// Returns the peak memory of Workmate's process, in KiB.
    pub(crate) fn peak_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.workmate.as_ref()?.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Asks once more in each room and chat, and waits for the answers.
    pub(crate) async fn ask_everywhere(&self, most: Duration) -> Result<()> {
        let first = lock(&self.asked).len();
        let kinds = (0..self.rooms.len()).map(|_| Kind::Question).chain(self.chats.iter().map(|_| Kind::Chat));
        for asked in join_all(kinds.map(|kind| self.ask(kind))).await {
            asked?;
        }
        self.settle_from(first, most).await
    }
}

/// Registers a person and logs in an ordinary client.
async fn person(homeserver: &Homeserver, localpart: &str) -> Result<Person> {
    let password = format!("password-of-{localpart}");
    homeserver.register(localpart, &password).await?;
    Person::start(PersonOptions::new(homeserver.url(), localpart, &password)).await
}

fn card<'a>(seen: &'a Timeline, asked: &Asked) -> Option<&'a SeenEvent> {
    let mut cards = seen.messages_of(&asked.whom).filter(|event| event.content.get("dev.workmate.card").is_some());
    cards.find(|event| event.thread_root() == Some(asked.request.as_str()))
}

/// Returns the processes whose working directory is `dir`.
fn processes_in(dir: &Path) -> Result<Vec<u32>> {
    let dir = fs::canonicalize(dir)?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == dir) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Returns the tag of the newest message in a request to the model.
fn newest_tag(request: &RecordedRequest) -> Option<String> {
    let turns = request.body["messages"].as_array()?;
    let mut tag = None;
    for turn in turns.iter().filter(|turn| turn["role"] == "user") {
        let blocks = turn["content"].as_array().into_iter().flatten().filter_map(|block| block["text"].as_str());
        for line in blocks.chain(turn["content"].as_str()).flat_map(str::lines) {
            let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
            let text = record["text"].as_str().unwrap_or_default();
            let found = text.split_whitespace().find(|word| word.starts_with('q') && word.ends_with('.'));
            tag = found.map(ToOwned::to_owned).or(tag);
        }
    }
    tag
}

/// A model that deploys where it is told to, and otherwise answers with the request's tag.
fn respond(request: &RecordedRequest, piece: Duration) -> Turn {
    let tag = newest_tag(request).unwrap_or_default();
    let last = request.body["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let blocks = last["content"].as_array().cloned().unwrap_or_default();
    let has_result = blocks.iter().any(|block| block["type"] == "tool_result");
    let asks_to_deploy = request.last_user_text().contains(&format!("deploy {tag}"));
    if asks_to_deploy && !has_result && !tag.is_empty() {
        return Turn::tool_use("ops__deploy", json!({ "to": tag }));
    }
    Turn::text(format!("The answer to {tag} takes a while to say, piece by piece, and this is the end"))
        .delta_chars(24)
        .delta_interval(piece)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A small workspace that is made to suffer: people who ask and decide, and proxies on both sides of Workmate.

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

/// How long a call of a person's client is tried again.
const SEND_MAX: Duration = Duration::from_mins(3);
/// Between two tries, and between two looks at what came.
const PAUSE: Duration = Duration::from_millis(200);

/// Another build of Workmate than this one, to compare with.
pub(crate) static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// An MCP server with one tool that must never run twice for one request: it notes each call in a file.
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

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// People, each with a client of their own; the first one makes the rooms.
    pub(crate) people: usize,
    /// Rooms, every other one encrypted.
    pub(crate) rooms: usize,
    /// How many of the people have an assistant.
    pub(crate) assistants: usize,
    /// A pause before each piece of an answer, so that something can happen in between.
    pub(crate) piece_ms: u64,
}

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A question to the coworker.
    Question,
    /// A call of a tool that its asker has to approve.
    Deploy,
    /// A question to one's own assistant.
    Chat,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Stands in the request, in the call and in the answer, and nowhere else.
    pub(crate) tag: String,
    /// What kind it is.
    pub(crate) kind: Kind,
    /// The request's event.
    pub(crate) request: OwnedEventId,
    /// Who asked, by number.
    pub(crate) asker: usize,
    /// Where.
    pub(crate) room: OwnedRoomId,
    /// Whose answer is due.
    pub(crate) whom: OwnedUserId,
}

/// Everything that a part of the bench needs.
pub(crate) struct World {
    homeserver: Option<Homeserver>,
    /// What Workmate's calls pass through.
    pub(crate) calls: Faults,
    /// What the homeserver's transactions pass through.
    pub(crate) deliveries: Faults,
    /// The model.
    pub(crate) claude: StandIn,
    workmate: Option<Workmate>,
    slot: Arc<Slot>,
    /// The people.
    pub(crate) people: Vec<Person>,
    /// The rooms of all.
    pub(crate) rooms: Vec<OwnedRoomId>,
    /// The chats with assistants: whose, where.
    pub(crate) chats: Vec<(usize, OwnedRoomId)>,
    /// What was asked so far.
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// Cards that were approved, by the tag of the request.
    pub(crate) approved: Mutex<BTreeMap<String, OwnedEventId>>,
    number: AtomicUsize,
    dir: TempDir,
}

impl World {
    /// Makes a world in which all is well and everybody has been introduced.
    pub(crate) async fn make(size: Size) -> Result<Self> {
        Box::pin(Self::make_with(size, |setup| setup)).await
    }

    /// Makes one with more settings.
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
            // A few people ask for the load of many; older builds know no such limit.
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

    /// Hands over Workmate's process, to be killed while people act in the world.
    pub(crate) fn take_workmate(&mut self) -> Workmate {
        self.workmate.take().expect("it was given back")
    }

    /// Takes it back.
    pub(crate) fn give_back(&mut self, workmate: Workmate) {
        self.workmate = Some(workmate);
    }

    /// Hands over the homeserver's process.
    pub(crate) fn take_homeserver(&mut self) -> Homeserver {
        self.homeserver.take().expect("it was given back")
    }

    /// Takes it back.
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

    /// Has somebody ask for something; tries until the homeserver has it, and once only.
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

    /// Sends as a person's client does: again under the same transaction id until it is known to have arrived.
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

    /// Approves, as its asker, every card that has appeared since the last call.
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

    /// Waits until everything that was asked has an answer, at most `most`; people go on approving meanwhile.
    pub(crate) async fn settle(&self, most: Duration) -> Result<()> {
        self.settle_from(0, most).await
    }

    /// Waits for the answers to what was asked from the request of this number on.
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

    /// Returns the final answers to a request: those that hold its tag, as they are shown.
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

    /// Returns what else was said to a request: why it was not answered.
    pub(crate) fn told(&self, asked: &Asked) -> Vec<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let asked_at = seen.event(&asked.request).map(|event| event.sent_at);
        let theirs = seen.messages_of(&asked.whom).filter(|event| {
            if asked.kind == Kind::Chat {
                // In a chat of two nothing points at the request: what offers to try again is about one before it.
                return Some(event.sent_at) > asked_at && event.body().contains("ask again");
            }
            event.thread_root() == Some(asked.request.as_str()) || event.in_reply_to() == Some(asked.request.as_str())
        });
        let shown = theirs.filter_map(|event| seen.shown_text(&event.event_id)).map(ToOwned::to_owned);
        shown.filter(|text| !text.contains(&asked.tag) && !text.is_empty()).collect()
    }

    /// Returns what a request's status notices show.
    pub(crate) fn notices(&self, asked: &Asked) -> Vec<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let theirs = seen
            .messages_of(&asked.whom)
            .filter(|event| event.msgtype() == "m.notice" && event.thread_root() == Some(asked.request.as_str()));
        theirs.filter_map(|event| seen.shown_text(&event.event_id)).map(ToOwned::to_owned).collect()
    }

    /// Returns what a request's card shows at last.
    pub(crate) fn card_shows(&self, asked: &Asked) -> Option<String> {
        let seen = self.people[asked.asker].timeline(&asked.room);
        let card = card(&seen, asked)?.event_id.clone();
        seen.shown_text(&card).map(ToOwned::to_owned)
    }

    /// Returns how many messages of Workmate's a person could not decrypt.
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

    /// Returns how many calls of the model were made for a request.
    pub(crate) fn model_calls(&self, asked: &Asked) -> usize {
        let about = |request: &RecordedRequest| newest_tag(request).as_deref() == Some(asked.tag.as_str());
        self.claude.requests().iter().filter(|request| about(request)).count()
    }

    /// Kills the homeserver without warning; it is started again by [`Homeserver::start_again`].
    pub(crate) fn kill_homeserver(&self, signal: &str) -> Result<()> {
        let dir = self.dir.path().join("homeserver");
        for process in processes_in(&dir)? {
            std::process::Command::new("kill").args([signal, &process.to_string()]).status()?;
        }
        Ok(())
    }

    /// Hands events to Workmate as a homeserver does, in one transaction; returns the answer's status.
    pub(crate) async fn deliver(&self, txn: &str, events: &[Value]) -> Result<u16> {
        let url = format!("http://{}/_matrix/app/v1/transactions/{txn}", self.slot.listen);
        let http = reqwest::Client::builder().no_proxy().build()?;
        let call = http.put(url).bearer_auth(self.slot.hs_token()).json(&json!({ "events": events }));
        Ok(call.send().await?.status().as_u16())
    }

    /// Returns the seconds of processor time that Workmate's process has used since it started.
    pub(crate) fn processor_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.workmate.as_ref()?.pid()?)).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: Vec<f64> =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Some(ticks.iter().sum::<f64>() / 100.0)
    }

    /// Has the homeserver forget the device of a virtual user, as an administrator may.
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

    /// Writes Workmate's log to a file that outlives the world; returns its path.
    pub(crate) fn keep_log(&self) -> Result<PathBuf> {
        let log = self.workmate.as_ref().map(Workmate::logs).unwrap_or_default();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}.log", std::process::id()));
        fs::write(&path, log)?;
        Ok(path)
    }

    /// Returns the most memory that Workmate's process has held since it started, in KiB.
    pub(crate) fn peak_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.workmate.as_ref()?.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Asks one more thing in each room and chat and waits for the answers.
    pub(crate) async fn ask_everywhere(&self, most: Duration) -> Result<()> {
        let first = lock(&self.asked).len();
        let kinds = (0..self.rooms.len()).map(|_| Kind::Question).chain(self.chats.iter().map(|_| Kind::Chat));
        for asked in join_all(kinds.map(|kind| self.ask(kind))).await {
            asked?;
        }
        self.settle_from(first, most).await
    }
}

/// Registers somebody and logs an ordinary client in.
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

/// Returns the tag of the newest message that a request to the model holds.
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

/// A model that deploys where it is told to, and answers everything else with the request's tag.
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

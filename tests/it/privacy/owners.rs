//! Two owners, everything they do with their assistants, and every place where nothing of it may appear (A4).

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::{OwnedRoomId, UserId};
use serde_json::{Value, json};
use workmate::standin::{Matcher, Turn};

use super::{Found, on_disk};
use crate::{
    assistants::{Office, call_as, said},
    audit::told,
    harness::{
        Message, Person, RoomKind, SentFile, Timeline, homeserver::shared, office::records, readiness::until_runs_ended,
    },
    opening::OPENED,
};

/// Where an owner's canaries are planted. The first is said in a room that others read too.
const PLANTED: [&str; 11] = [
    "opened",
    "insight",
    "question",
    "answer",
    "caption",
    "file",
    "filename",
    "forgotten",
    "forgetful",
    "interrupted",
    "beginning",
];
/// The coworker's question in front of everybody.
const OPEN_QUESTION: &str = "what do you know of us?";

fn canary(owner: &str, place: &str) -> String {
    format!("Kanarie-{owner}-{place}-7351")
}

fn canaries(owner: &str) -> Vec<String> {
    PLANTED.iter().map(|place| canary(owner, place)).collect()
}

/// An owner and their rooms.
struct Owner<'a> {
    name: &'a str,
    person: &'a Person,
    dm: OwnedRoomId,
    /// The room that they opened; Carol and the coworker are in it too.
    opened: OwnedRoomId,
}

impl Owner<'_> {
    fn canary(&self, place: &str) -> String {
        canary(self.name, place)
    }
}

/// Searches for canaries and collects the finds.
#[derive(Default)]
struct Search {
    places: usize,
    leaks: Vec<String>,
}

impl Search {
    fn look(&mut self, found: &Found, canaries: &[String]) {
        self.places += 1;
        let held = canaries.iter().filter(|canary| found.holds(canary));
        self.leaks.extend(held.map(|canary| format!("{canary} in {}", found.place)));
    }

    fn look_in(&mut self, place: impl Into<String>, content: impl Into<String>, canaries: &[String]) {
        self.look(&Found::text(place, content), canaries);
    }
}

/// Does everything that an owner can do with an assistant.
async fn confide<'a>(office: &Office, name: &'a str, owner: &'a Person, carol: &Person) -> Result<Owner<'a>> {
    let say = |place| canary(name, place);
    let opened = office.team(RoomKind::Encrypted, &[owner, carol]).await?;
    let there = carol.send(&opened, say("opened").as_str()).await?;
    owner.until(&opened, "what is said there", |seen| seen.event(&there).cloned()).await?;
    let (dm, assistant) = (office.meet(owner).await?, office.assistant_of(owner));

    office.ask(owner, &dm, &say("forgotten"), &say("forgetful")).await?;
    owner.send(&dm, "!forget").await?;
    let is_forgotten = |seen: &Timeline| {
        let texts = seen.messages_of(&assistant).filter_map(|event| seen.shown_text(&event.event_id));
        texts.into_iter().any(|text| text.starts_with("Forgotten.")).then_some(())
    };
    owner.until(&dm, "that it has forgotten", is_forgotten).await?;

    office.ask(owner, &dm, &say("question"), &say("answer")).await?;
    office.word(owner, &dm, &format!("!open {opened}"), OPENED).await?;
    office.ask(owner, &dm, "what was said there?", &say("insight")).await?;
    let name_of_file = format!("{}.txt", say("filename"));
    let file = SentFile::new(&name_of_file, "text/plain", say("file").into_bytes());
    office.claude.on(Matcher::user(say("caption")), Turn::text("A fine file."));
    owner.send_file(&dm, &file, Some(Message::text(say("caption")))).await?;
    office.answered(owner, &dm, "A fine file.").await?;
    Ok(Owner { name, person: owner, dm, opened })
}

/// Searches what our users have on the homeserver: account data, profiles, and their rooms' state.
async fn of_our_users(office: &Office, users: &[&UserId], all: &[String], search: &mut Search) -> Result<()> {
    for user in users {
        let get = async |path: String| office.as_user(user, Method::GET, &path, &json!({})).await;
        let base = "_matrix/client/v3";
        for path in ["sync?timeout=0&full_state=true", "joined_rooms"] {
            search.look_in(format!("{user}: {path}"), get(format!("{base}/{path}")).await?.to_string(), all);
        }
        search.look_in(format!("{user}'s profile"), get(format!("{base}/profile/{user}")).await?.to_string(), all);
        let rooms = get(format!("{base}/joined_rooms")).await?["joined_rooms"].take();
        for room in rooms.as_array().into_iter().flatten().filter_map(Value::as_str) {
            for path in ["state", "messages?dir=b&limit=200"] {
                let content = get(format!("{base}/rooms/{room}/{path}")).await?.to_string();
                search.look_in(format!("{room}/{path} as {user}"), content, all);
            }
        }
    }
    Ok(())
}

/// Searches every room that a person can see, both raw and as their own client decrypts it.
async fn of_person(person: &Person, owners: &[Owner<'_>], search: &mut Search) -> Result<()> {
    let all: Vec<_> = owners.iter().flat_map(|owner| canaries(owner.name)).collect();
    let get = async |path: String| call_as(person, Method::GET, &format!("_matrix/client/v3/{path}"), &json!({})).await;
    let sync = get("sync?timeout=0&full_state=true".to_owned()).await?;
    search.look_in(format!("{}'s sync", person.user_id()), sync.to_string(), &all);
    let rooms = sync["rooms"]["join"].as_object().context("a person is in rooms")?;
    for room in rooms.keys() {
        let place = format!("{room} as {} sees it", person.user_id());
        search.look_in(&place, get(format!("rooms/{room}/messages?dir=b&limit=200")).await?.to_string(), &all);
        let of_chat = owners.iter().filter(|owner| owner.dm == *room).flat_map(|owner| canaries(owner.name));
        let said_there = owners.iter().filter(|owner| owner.opened == *room).map(|owner| owner.canary("opened"));
        let (of_chat, said_there): (Vec<_>, Vec<_>) = (of_chat.collect(), said_there.collect());
        anyhow::ensure!(
            of_chat.is_empty() || owners.iter().any(|o| o.dm == *room && o.person.user_id() == person.user_id()),
            "{place}: a chat is its owner's alone"
        );
        let mut foreign = all.clone();
        foreign.retain(|canary| !of_chat.contains(canary) && !said_there.contains(canary));
        let room = OwnedRoomId::try_from(room.as_str())?;
        let seen = Found::text(place, format!("{:?}", person.timeline(&room)));
        search.look(&seen, &foreign);
        // The search finds what is there, so what it does not find is not there.
        assert!(said_there.iter().all(|canary| seen.holds(canary)), "{}", seen.place);
        for owner in owners.iter().filter(|owner| owner.dm == room) {
            let places = ["question", "answer", "insight", "filename"];
            assert!(places.iter().all(|place| seen.holds(&owner.canary(place))), "{}", seen.place);
        }
    }
    Ok(())
}

/// Searches the prompts: an assistant's may hold only its owner's canaries, a coworker's none.
fn in_prompts(office: &Office, owners: &[Owner<'_>], search: &mut Search) {
    let all: Vec<_> = owners.iter().flat_map(|owner| canaries(owner.name)).collect();
    let (mut private, mut open) = (0, 0);
    for request in office.claude.requests() {
        let text = request.body.to_string();
        let asker = records(&request).last().map(|record| record["sender"].clone()).unwrap_or_default();
        if text.contains(OPEN_QUESTION) {
            open += 1;
            search.look_in("the coworker's prompt", text, &all);
            continue;
        }
        private += 1;
        let own = owners.iter().find(|owner| asker == owner.person.user_id().as_str()).map(|owner| owner.name);
        let mut foreign = all.clone();
        foreign.retain(|canary| own.is_none_or(|name| !canaries(name).contains(canary)));
        search.look_in(format!("a prompt of {asker}"), text, &foreign);
    }
    assert_eq!((private, open), (10, 1), "what the model was asked");
    for owner in owners {
        let prompts = office.claude.requests().into_iter().map(|request| request.body.to_string());
        let with = |canary: &str| prompts.clone().filter(|text| text.contains(canary)).count();
        // Planted, and gone with `!forget`.
        assert_eq!((with(&owner.canary("forgotten")), with(&owner.canary("forgetful"))), (1, 0), "{}", owner.name);
        for place in ["question", "answer", "opened", "insight", "caption", "file", "filename"] {
            assert!(with(&owner.canary(place)) > 0, "{place} of {} was not planted", owner.name);
        }
    }
}

/// Searches what the process leaves outside Matrix: files, logs, health, and the output of the audit commands.
fn of_machine(office: &Office, when: &str, all: &[String], search: &mut Search) -> Result<()> {
    let disk = on_disk(&office.workmate.data_dir())?;
    assert!(disk.len() > 5, "{when}: {} files", disk.len());
    for found in &disk {
        search.look(found, all);
    }
    let logs = office.workmate.logs();
    assert!(logs.contains("DEBUG"), "{when}: the log says what was asked for");
    search.look_in(format!("the log, stdout and stderr, {when}"), logs, all);
    Ok(())
}

fn of_audit(office: &Office, when: &str, all: &[String], search: &mut Search) -> Result<()> {
    let exported = told(&office.workmate, "export")?;
    let mut runs = 0;
    for line in exported.lines() {
        let run: Value = serde_json::from_str(line)?;
        let id = run["run"].as_str().context("a run has an id")?;
        search.look_in(format!("audit show, {when}"), told(&office.workmate, &format!("show {id}"))?, all);
        runs += 1;
    }
    assert!(runs > 5, "{when}: {runs} runs in the audit");
    search.look_in(format!("audit export, {when}"), exported, all);
    for command in ["list", "export --format csv"] {
        search.look_in(format!("audit {command}, {when}"), told(&office.workmate, command)?, all);
    }
    Ok(())
}

async fn of_health(office: &Office, all: &[String], search: &mut Search) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    for path in ["readyz", "healthz", "metrics"] {
        let url = format!("http://{}/{path}", office.slot.health_listen);
        search.look_in(path, http.get(url).send().await?.text().await?, all);
    }
    Ok(())
}

/// Crashes Workmate in the middle of an answer and searches what is left; the answer comes after the next start.
async fn crash_amid_an_answer(
    office: &mut Office,
    owner: &Owner<'_>,
    all: &[String],
    search: &mut Search,
) -> Result<()> {
    let (asked, begun) = (owner.canary("interrupted"), owner.canary("beginning"));
    let assistant = office.assistant_of(owner.person);
    let (turn, _never_released) = Turn::text(format!("{begun} and then the rest")).word_by_word().gate_after(2);
    office.claude.on(Matcher::user(&asked), turn);
    owner.person.send(&owner.dm, asked.as_str()).await?;
    owner.person.until(&owner.dm, "the beginning of the answer", |seen| said(seen, &assistant, &begun)).await?;
    office.claude.on(Matcher::user(&asked), Turn::text("Here is all of it."));
    office.workmate.crash();
    of_machine(office, "after a crash", all, search)?;
    office.workmate.start_again().await;
    office.answered(owner.person, &owner.dm, "Here is all of it.").await?;
    Ok(())
}

#[tokio::test]
async fn a4_nothing_of_two_owners_is_found_elsewhere_nor_with_each_other() -> Result<()> {
    let mut office =
        Office::open_with(|setup| setup.section("log", json!({ "filter": "trace,workmate=trace" }))).await?;
    let [alice, bob, carol] =
        [shared().person("alice").await, shared().person("bob").await, shared().person("carol").await];
    let oncall = office.slot.coworker("oncall");
    let team = office.team(RoomKind::Encrypted, &[&alice, &bob, &carol]).await?;
    let owners = [
        Box::pin(confide(&office, "alice", &alice, &carol)).await?,
        Box::pin(confide(&office, "bob", &bob, &carol)).await?,
    ];
    let all: Vec<_> = owners.iter().flat_map(|owner| canaries(owner.name)).collect();
    office.claude.on(Matcher::user(OPEN_QUESTION), Turn::text("Only what this room says."));
    let request = alice.send(&team, Message::text(format!("@oncall {OPEN_QUESTION}")).pill("@oncall", &oncall)).await?;
    bob.until(&team, "the coworker's answer", |seen| seen.answer(&request, &oncall, alice.user_id()).cloned()).await?;
    until_runs_ended(&office.workmate, 9).await;

    let mut search = Search::default();
    of_machine(&office, "while it runs", &all, &mut search)?;
    Box::pin(crash_amid_an_answer(&mut office, &owners[0], &all, &mut search)).await?;
    until_runs_ended(&office.workmate, 10).await;
    let assistants = owners.each_ref().map(|owner| office.assistant_of(owner.person));
    let service = office.slot.service();
    let users: [&UserId; 4] = [&assistants[0], &assistants[1], &service, &oncall];
    Box::pin(of_our_users(&office, &users, &all, &mut search)).await?;
    for person in [&alice, &bob, &carol] {
        Box::pin(of_person(person, &owners, &mut search)).await?;
    }
    of_health(&office, &all, &mut search).await?;
    of_audit(&office, "while it runs", &all, &mut search)?;
    in_prompts(&office, &owners, &mut search);
    office.workmate.stop().await;
    of_machine(&office, "after it stopped", &all, &mut search)?;
    of_audit(&office, "after it stopped", &all, &mut search)?;

    assert_eq!(search.leaks, Vec::<String>::new());
    assert!(search.places > 100, "only {} places were looked at", search.places);
    Ok(())
}

//! Nothing of an assistant's chat appears anywhere else (A4): canaries are planted and searched for.

mod owners;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use reqwest::Method;
use ruma::events::room::member::MembershipState;
use serde_json::json;
use workmate::standin::Turn;

use crate::{
    assistants::{Office, call_as, said},
    harness::{Message, RoomKind, homeserver::shared},
};

/// Words of the owner and of the assistant that appear nowhere else.
const CANARIES: [&str; 3] = ["Zaunkoenig-4711", "Pirol-0815", "Wiedehopf-2342"];

/// A place where no canary may be, and its content.
pub(crate) struct Found {
    place: String,
    content: Vec<u8>,
}

impl Found {
    pub(crate) fn text(place: impl Into<String>, content: impl Into<String>) -> Self {
        Self { place: place.into(), content: content.into().into_bytes() }
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn holds(&self, canary: &str) -> bool {
        self.content.windows(canary.len()).any(|window| window == canary.as_bytes())
    }

    fn leaks(&self) -> impl Iterator<Item = String> + '_ {
        CANARIES.into_iter().filter(|canary| self.holds(canary)).map(|canary| format!("{canary} in {}", self.place))
    }
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.is_file() {
            // The socket for `workmate audit`.
            files.push(path);
        }
    }
    Ok(files)
}

pub(crate) fn on_disk(dir: &Path) -> Result<Vec<Found>> {
    let read = |path: PathBuf| Ok(Found { place: path.display().to_string(), content: fs::read(&path)? });
    files_below(dir)?.into_iter().map(read).collect()
}

#[tokio::test]
async fn a4_what_is_said_to_an_assistant_is_found_nowhere_else() -> Result<()> {
    let mut office =
        Office::open_with(|setup| setup.section("log", json!({ "filter": "trace,workmate=trace" }))).await?;
    let [alice, bob] = [shared().person("alice").await, shared().person("bob").await];
    let (assistant, service, oncall) =
        (office.assistant_of(&alice), office.slot.service(), office.slot.coworker("oncall"));
    let team = alice.create_room(RoomKind::Encrypted, "team", &[bob.user_id(), &oncall]).await?;
    bob.until_invited_by(alice.user_id()).await?;
    bob.join(&team).await?;
    alice.until_membership(&team, &oncall, &MembershipState::Join).await?;

    // The canaries: a question, an answer, and one in a session before `!new`.
    let dm = office.meet(&alice).await?;
    office.ask(&alice, &dm, &format!("remember {}", CANARIES[0]), &format!("I keep {}", CANARIES[1])).await?;
    alice.send(&dm, "!new").await?;
    alice.until(&dm, "the new session", |seen| said(seen, &assistant, "This is a new session")).await?;
    let long = format!("{} and more, ", CANARIES[2]).repeat(4_000);
    office.claude.enqueue(Turn::text(long).delta_chars(5_000));
    alice.send(&dm, "say a lot").await?;
    alice
        .until(&dm, "the file", |seen| seen.messages_of(&assistant).find(|m| m.msgtype() == "m.file").cloned())
        .await?;
    // Others talk to their assistants and to the coworker.
    let bobs = office.meet(&bob).await?;
    office.ask(&bob, &bobs, "what do you know of alice?", "Nothing at all.").await?;
    office.claude.enqueue(Turn::text("Only what this room says."));
    let request = alice.send(&team, Message::text("@oncall what do you know?").pill("@oncall", &oncall)).await?;
    alice
        .until(&team, "the coworker's answer", |seen| seen.answer(&request, &oncall, alice.user_id()).cloned())
        .await?;

    let mut found = Vec::new();
    let sync = "_matrix/client/v3/sync?timeout=0&full_state=true";
    for user in [&assistant, &service, &oncall, &office.assistant_of(&bob)] {
        found.push(Found::text(
            format!("{user}'s sync"),
            office.as_user(user, Method::GET, sync, &json!({})).await?.to_string(),
        ));
        let profile = format!("_matrix/client/v3/profile/{user}");
        found.push(Found::text(
            format!("{user}'s profile"),
            office.as_user(user, Method::GET, &profile, &json!({})).await?.to_string(),
        ));
    }
    found.push(Found::text("bob's sync", call_as(&bob, Method::GET, sync, &json!({})).await?.to_string()));
    for room in [&team, &bobs] {
        found.push(Found::text(format!("{room} as bob sees it"), format!("{:?}", bob.timeline(room))));
    }
    let state = format!("_matrix/client/v3/rooms/{dm}/state");
    found.push(Found::text(
        "the chat's state",
        office.as_user(&assistant, Method::GET, &state, &json!({})).await?.to_string(),
    ));
    let http = reqwest::Client::builder().no_proxy().build()?;
    for path in ["readyz", "healthz", "metrics"] {
        let url = format!("http://{}/{path}", office.slot.health_listen);
        found.push(Found::text(path, http.get(url).send().await?.text().await?));
    }
    let prompts = office.claude.requests();
    let others = prompts.iter().filter(|request| {
        let text = request.body.to_string();
        text.contains("what do you know")
    });
    let others: Vec<_> = others.map(|request| Found::text("another's prompt", request.body.to_string())).collect();
    assert_eq!(others.len(), 2, "bob's and the coworker's");
    found.extend(others);
    found.extend(on_disk(&office.workmate.data_dir())?);
    office.workmate.stop().await;
    found.extend(on_disk(&office.workmate.data_dir())?);
    let logs = office.workmate.logs();
    assert!(logs.contains("DEBUG"), "the log says what was asked for");
    found.push(Found::text("the log, stdout and stderr", logs));

    let leaks: Vec<_> = found.iter().flat_map(Found::leaks).collect();
    assert_eq!(leaks, Vec::<String>::new());
    assert!(found.len() > 30, "only {} places were looked at", found.len());
    Ok(())
}

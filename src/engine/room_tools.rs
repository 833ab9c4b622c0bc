//! The tools that act in the room where they are called: search, read, members, notes, files.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Engine, EngineError, Shared, answerers::Said, timetable::told};
use crate::{
    clock,
    core::{
        event::RoomEvent,
        notes::NewNote,
        refused::{Breadth, Sieve},
        room_tools::{self, Call, FileToAttach, People, RoomTool},
        run::{RunId, RunRecord, Step},
        tool::{Output, Tool},
    },
    matrix::{Account, account::File},
};

/// How many events a search or a read goes back: further than a context, but bounded.
const PAST_EVENTS_MAX: usize = 3_000;

/// The call's run, room and id.
pub(super) struct Here<'a> {
    pub(super) account: &'a Arc<Account>,
    pub(super) id: &'a RunId,
    pub(super) record: &'a RunRecord,
    /// `tool_use_id`.
    pub(super) call: &'a str,
}

impl Engine {
    /// Executes a permitted call in the run's own room, within the tool's timeout.
    pub(super) async fn call_room_tool(
        self: &Shared,
        here: &Here<'_>,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Output {
        let name = tool.offer.name.as_str();
        let Some(call) = RoomTool::named(name).map(|tool| tool.call(&Value::Object(arguments.clone()))) else {
            return Output::error(format!("{name} is not available."));
        };
        let call = match call {
            Ok(call) => call,
            Err(error) => return Output::error(error.to_string()),
        };
        let patience = Duration::from_millis(tool.timeout_ms);
        match tokio::time::timeout(patience, Box::pin(self.carry_out_in_room(here, call))).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                tracing::warn!(%error, tool.name = name, "a room's tool failed");
                Output::error(format!("{name} failed: the homeserver or the store did not answer. Try again later."))
            }
            Err(_) => Output::error(format!("{name} did not end within {} s and was cancelled.", patience.as_secs())),
        }
    }

    async fn carry_out_in_room(self: &Shared, here: &Here<'_>, call: Call) -> Result<Output, EngineError> {
        let room = &here.record.room;
        Ok(match call {
            Call::Search(query) => {
                let past = self.past_of(here).await?;
                room_tools::search(&past.source(&self.namespace().server), &query).into()
            }
            Call::Read(range) => {
                let past = self.past_of(here).await?;
                room_tools::read(&past.source(&self.namespace().server), &range).into()
            }
            Call::Members(query) => {
                let facts = here.account.facts(room).await?;
                let people = People { joined: &facts.joined, invited: &facts.invited, names: &facts.names };
                Output::ok(room_tools::members(&people, &query))
            }
            Call::NoteAdd { text } => {
                let cause = format!("{}|{}", here.id.as_str(), here.call);
                let by = here.record.user.clone();
                let text = self.toolsets.tools.mask().hide(&text);
                let added = self.notes.add(room, NewNote { text: &text, by, at: clock::now(), cause: &cause }).await?;
                match added {
                    Ok(number) => Output::ok(serde_json::json!({ "noted": number }).to_string()),
                    Err(error) => Output::error(error.to_string()),
                }
            }
            Call::NoteList => {
                let (refused, breadth) = (self.answerer(here.record).refused()?, Breadth::default());
                let mut notes = self.notes.of(room)?;
                Sieve::new(&refused, &breadth, &here.record.user, &[]).notes(room, &mut notes);
                Output::ok(room_tools::notes(&notes))
            }
            Call::NoteRemove { number } => match self.notes.remove(room, number).await? {
                Some(_) => Output::ok(serde_json::json!({ "removed": number }).to_string()),
                None => Output::error(format!("There is no note {number}. note_list tells which there are.")),
            },
            Call::AttachFile(file) => self.attach(here, file).await?,
            Call::ScheduleAdd(new) => match self.schedules.add_schedule((here.record, here.id, here.call), &new).await?
            {
                Ok((added, next)) => Output::ok(Value::Object(told(&added, &next, &here.record.zone())).to_string()),
                Err(why) => Output::error(format!("It was not set up: {why}.")),
            },
        })
    }

    /// Posts a file in the place of the run's answer.
    async fn attach(&self, here: &Here<'_>, file: FileToAttach) -> Result<Output, EngineError> {
        let room = self.chats.destination(here.record)?.room();
        // The model may have assembled a secret from pieces that tools returned.
        let mask = self.toolsets.tools.mask();
        let file = FileToAttach { name: mask.hide(&file.name), text: mask.hide(&file.text), ..file };
        let digest = Sha256::digest(here.call.as_bytes());
        let number = digest[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let told = serde_json::json!({ "attached": file.name }).to_string();
        let media_type = file.media_type.parse().unwrap_or(mime::TEXT_PLAIN_UTF_8);
        let file = File { name: file.name, media_type, bytes: file.text.into_bytes() };
        let place = &here.record.place;
        let _sending = self.running.sending(here.id).await;
        let txn = here.id.transaction(Step::Attached(number));
        let event = here.account.send_file(room, file, place, txn).await?;
        self.running.show(here.id, &event);
        self.answerer(here.record).note_posted(here.record, Said::Answer(&event))?;
        Ok(Output::ok(told))
    }

    async fn past_of(&self, here: &Here<'_>) -> Result<Past, EngineError> {
        let room = &here.record.room;
        let (mut events, older) = here.account.past(room, PAST_EVENTS_MAX).await?;
        let facts = here.account.facts(room).await?;
        let Some(coworker) = self.coworker(&here.record.user) else {
            return Ok(Past { events: Vec::new(), older, names: facts.names });
        };
        let reader = self.readable.reader(here.account, &coworker, here.record, &facts).await?;
        let older = self.readable.keep_readable(reader.as_ref(), &mut events).await? || older;
        events.retain(|event| !self.is_our_notice(event));
        let (refused, breadth) = (self.answerer(here.record).refused()?, Breadth::default());
        let (mut names, mut sieve) = (facts.names, Sieve::new(&refused, &breadth, &here.record.user, &[]));
        sieve.beside(room, &mut events);
        sieve.names(room, &mut names);
        Ok(Past { events, older, names })
    }
}

/// The part of a room's past that a tool may read.
struct Past {
    events: Vec<RoomEvent>,
    older: bool,
    names: std::collections::BTreeMap<ruma::OwnedUserId, String>,
}

impl Past {
    fn source<'a>(&'a self, via: &'a ruma::ServerName) -> room_tools::Source<'a> {
        room_tools::Source { events: &self.events, older: self.older, names: &self.names, via }
    }
}

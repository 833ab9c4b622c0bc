//! `!why`: what an answer was based on, from the index, and its sources, from its own event.

use ruma::{EventId, UserId};

use super::Audit;
use crate::{
    core::{
        audit::{Entry, RunKey},
        citing::{self, Cited},
        event::{EventKind, RoomEvent},
        names::Names,
        trail::Decision,
        words,
    },
    engine::{EngineError, records::ThreadRecord},
    matrix::inbound::SOURCES_MARK,
};

/// Most messages linked in the answer to `!why`.
const LINKS_MAX: usize = 10;

impl Audit {
    /// Answers `!why` about the message it replies to, or about the newest run in its thread.
    pub(in crate::engine) async fn why(&self, user: &UserId, event: &RoomEvent) -> Result<String, EngineError> {
        let replied = match &event.kind {
            EventKind::Message(message) => message.reply_to.as_deref(),
            _ => None,
        };
        let mut key = match replied {
            Some(answer) => self.kept_of(event, answer)?.run,
            None => None,
        };
        if key.is_none()
            && let Some(root) = event.thread_root()
        {
            key = self.kept_of(event, root)?.last_runs.remove(user);
        }
        let Some(key) = key else { return Ok(words::trail::why_unknown()) };
        self.told_of(user, event, key).await
    }

    fn kept_of(&self, event: &RoomEvent, id: &EventId) -> Result<ThreadRecord, EngineError> {
        Ok(self.runtime.tables.threads.get(&(event.room.clone(), id.to_owned()))?.unwrap_or_default())
    }

    async fn told_of(&self, user: &UserId, event: &RoomEvent, key: RunKey) -> Result<String, EngineError> {
        let Some(summary) = self.runtime.tables.run_index.get(&key)? else {
            let going_on = self.runtime.tables.runs.get(&key.1)?.is_some();
            return Ok(if going_on { words::trail::why_not_yet() } else { words::trail::why_unknown() });
        };
        let entry = Entry::of(key, summary, &self.runtime.namespace());
        // About another coworker's run or another room: not this one's to tell.
        if entry.room.as_ref() != Some(&event.room) || entry.user != user {
            return Ok(words::trail::why_unknown());
        }
        let decided: Vec<&UserId> =
            entry.tools.iter().filter_map(|tool| tool.decision.as_ref().and_then(Decision::by)).collect();
        let names = match self.runtime.pool.kept(user) {
            Some(account) => account.names(&event.room, &decided).await,
            None => Names::default(),
        };
        let zone = self.zones.zone_of(&event.sender).await;
        let told = words::trail::why(&entry, LINKS_MAX, &self.runtime.namespace().server, &names, &zone);
        let cited = self.cited_in(user, event, entry.answer.as_deref()).await;
        Ok(if cited.is_empty() { told } else { format!("{told}\n\n{}", words::trail::cites(&cited)) })
    }

    /// Returns the sources of an answer, as far as its event can be read. They stand there alone, as all content does.
    async fn cited_in(&self, user: &UserId, event: &RoomEvent, answer: Option<&EventId>) -> Vec<Cited> {
        let (Some(account), Some(answer)) = (self.runtime.pool.kept(user), answer) else { return Vec::new() };
        let content = account.content_of(&event.room, answer).await.unwrap_or_default();
        let content: Option<serde_json::Value> = content.and_then(|content| serde_json::from_str(&content).ok());
        content.map(|content| citing::read(&content[SOURCES_MARK], &event.room)).unwrap_or_default()
    }
}

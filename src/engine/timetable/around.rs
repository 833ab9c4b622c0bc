//! What is known of a room at a due time: whether the coworker may work there, and whether anybody is there.

use ruma::RoomId;

use super::{Tried, jobs::Job, schedules::Schedules};
use crate::core::{
    event::{EventKind, RoomEvent},
    time::Timestamp,
    timetable::{Around, Progress},
    voice::Voice,
};

/// Events of a room among which somebody's newest one is looked for.
const EVENTS_LOOKED_AT: usize = 50;

impl Schedules {
    /// Returns what is known of a room at a due time; `None` while the coworker is out of order.
    pub(super) async fn around(&self, job: &Job, room: &RoomId, progress: &Progress) -> Tried<Option<Around>> {
        let record = self.runtime.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        let is_muted = record.muted.contains(&job.user);
        let Some(account) = self.runtime.pool.kept(&job.user) else { return Ok(None) };
        if record.liveliness.is_paused() {
            return Ok(Some(Around { is_muted, ..Around::default() }));
        }
        account.sync().await?;
        if !account.is_in(room) || self.voices.voice_in(&account, room).await? != Voice::Heard {
            return Ok(Some(Around { is_muted, ..Around::default() }));
        }
        let events = account.history(room, EVENTS_LOOKED_AT).await?;
        let newest = |is_one: &dyn Fn(&RoomEvent) -> bool| {
            events.iter().rev().find(|event| is_one(event)).map(|event| event.sent_at)
        };
        let news_at = newest(&|event| !self.runtime.namespace().is_ours(&event.sender) && is_said(event));
        let written_at = newest(&|event| self.runtime.namespace().is_human(&event.sender));
        // Receipts come in no sync of ours; they are asked for only where they decide something.
        let read_at = if progress.depends_on_readers(written_at) { self.read_at(&job.user, room).await? } else { None };
        Ok(Some(Around { is_there: true, is_muted, news_at, seen_at: written_at.max(read_at) }))
    }

    /// Returns when a person last read the room.
    async fn read_at(&self, user: &ruma::UserId, room: &RoomId) -> Tried<Option<Timestamp>> {
        let receipts = match self.runtime.api().read_receipts(user, room).await {
            Err(error) if error.is_passing() => return Err(error.into()),
            receipts => receipts.unwrap_or_default(),
        };
        let of_people = receipts.into_iter().filter(|(reader, _)| self.runtime.namespace().is_human(reader));
        Ok(of_people.map(|(_, at)| at).max())
    }
}

/// Returns whether somebody said something new.
fn is_said(event: &RoomEvent) -> bool {
    matches!(event.kind, EventKind::Message(_) | EventKind::Edit { .. } | EventKind::Undecryptable(_))
}

//! A due time: looked at in each of its rooms, handed in as an errand, and only then noted as handled. A room that
//! cannot take it yet waits by itself.

use ruma::{RoomId, RoomOrAliasId};

use super::{Id, Tried, jobs::Job};
use crate::{
    clock,
    core::{
        batch::answer_by,
        errand::{Errand, ErrandId, Origin, OriginKind},
        time::Timestamp,
        timetable::{Around, Handled, Progress, Skip, UNREAD_RUNS_MAX, Verdict, begins_until, owing, verdict},
        words,
    },
    engine::{Engine, EngineError, Shared, errands::Accepted, word, word_transaction},
    matrix::Account,
};

/// When a schedule is to be looked at again.
pub(super) enum Next {
    /// When it is due next; `None` if it never is.
    At(Option<Timestamp>),
    /// Soon: what is due could not be handed in.
    Later,
    /// Later: a reminder's owner has no chat now in which it could be said.
    NoChat,
}

impl Engine {
    /// Hands in what a schedule owes now.
    pub(super) async fn hand_in(self: &Shared, id: &Id) -> Tried<Next> {
        let Some(job) = self.schedules.job(id)? else { return Ok(Next::At(None)) };
        let now = clock::now();
        let until = self.tables.timetable.get(&job.key)?.map_or(now, |kept: Handled| kept.until);
        let owed = owing(&job.rule, until, job.grace_ms, now);
        let mut waits = false;
        if owed.due.is_some() || owed.missed > 0 {
            for name in &job.rooms {
                match self.hand_in_at(&job, name, until, now).await {
                    Ok(is_handled) => waits |= !is_handled,
                    Err(EngineError::Store(error)) => return Err(error.into()),
                    // One room holds up no other.
                    Err(error) => {
                        tracing::warn!(schedule = job.name, room = %name, %error, "a due time cannot be handled yet");
                        waits = true;
                    }
                }
            }
        }
        if waits {
            return Ok(Next::Later);
        }
        let next = job.rule.next_after(owed.until);
        self.tables.note_handled(&job.key, |kept| (kept.until, kept.next) = (owed.until, next))?;
        self.store.flush().await?;
        if let (None, Id::Room(room, number)) = (next, id) {
            self.schedules.forget_schedule(room, *number)?;
        }
        Ok(Next::At(next))
    }

    /// Hands in what a schedule owes in one of its rooms; returns whether that is on disk, or skipped. What cannot be
    /// handed in waits no longer than the schedule's grace.
    async fn hand_in_at(
        self: &Shared,
        job: &Job,
        name: &RoomOrAliasId,
        until: Timestamp,
        now: Timestamp,
    ) -> Tried<bool> {
        let room = match self.bindings.workplace(name).await {
            Ok(Some(room)) => room,
            Ok(None) => {
                tracing::warn!(schedule = job.name, room = %name, "a schedule names a room that is not there");
                return Ok(true);
            }
            Err(error) if owing(&job.rule, until, job.grace_ms, now).due.is_none() => {
                tracing::warn!(schedule = job.name, room = %name, %error, "a due time is skipped: its room's alias cannot be looked up");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let kept = self.tables.timetable.get(&job.key)?;
        let progress = kept.and_then(|mut kept: Handled| kept.rooms.remove(&room)).unwrap_or_default();
        // It may have been handled here before, while another room had to wait.
        let owed = owing(&job.rule, progress.until.map_or(until, |here| here.max(until)), job.grace_ms, now);
        let around = match owed.due {
            Some(_) => self.schedules.around(job, &room, &progress).await?,
            None => Some(Around::default()),
        };
        // A coworker that is out of order is being mended.
        let Some(around) = around else { return Ok(false) };
        let decide = |progress: &Progress| verdict(&owed, job.only_if_new_messages, progress, around);
        let verdict = decide(&progress).0;
        if let (Verdict::Skip(Skip::Missed), Some(due)) = (verdict, owed.last_missed) {
            self.say_missed(job, &room, due).await?;
        }
        if !self.carry_out(job, &room, verdict).await? {
            return Ok(false);
        }
        self.tables.note_handled(&job.key, |kept| {
            // An earlier due time may have been left meanwhile.
            let progress = kept.rooms.remove(&room).unwrap_or_default();
            kept.rooms.insert(room, decide(&progress).1);
        })?;
        Ok(true)
    }

    /// Does in one room what was decided; returns whether that is on disk.
    async fn carry_out(self: &Shared, job: &Job, room: &RoomId, verdict: Verdict) -> Tried<bool> {
        match verdict {
            Verdict::Run { due, is_late } => {
                let accepted = self.errands.accept_errand(errand_of(job, room, due, is_late)).await?;
                Ok(matches!(accepted, Accepted::Durable { .. }))
            }
            Verdict::AskWhether { due } => self.ask_whether(job, room, due).await.map(|()| true),
            Verdict::Skip(why) => {
                tracing::info!(room.id = %room, user.id = %job.user, why = why.name(), "a due time is skipped");
                Ok(true)
            }
            Verdict::Nothing => Ok(true),
        }
    }

    /// Says in the room that what a member set up to come once was missed: nothing else would tell, because it is gone
    /// then.
    async fn say_missed(&self, job: &Job, room: &RoomId, due: Timestamp) -> Tried<()> {
        let Some(account) = self.pool.kept(&job.user).filter(|_| job.set_by.is_some() && !job.rule.repeats()) else {
            return Ok(());
        };
        let record = self.tables.rooms.get(&room.to_owned())?.unwrap_or_default();
        if record.muted.contains(&job.user) || record.liveliness.is_paused() || !account.is_in(room) {
            return Ok(());
        }
        let text = words::timetable::missed(&job.name, &job.rule.zone().date(due), job.set_by.as_deref());
        self.say(&account, room, &text, ("missed", &job.key, due)).await
    }

    /// Asks a room whether a schedule should go on. What the room refuses for good is not tried again.
    async fn ask_whether(&self, job: &Job, room: &RoomId, due: Timestamp) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&job.user) else { return Ok(()) };
        let text = words::timetable::still_wanted(&job.name, UNREAD_RUNS_MAX);
        self.say(&account, room, &text, ("still-wanted", &job.key, due)).await
    }

    /// Says something of a schedule in a room, once. What the room refuses for good is not tried again.
    async fn say(
        &self,
        account: &Account,
        room: &RoomId,
        text: &str,
        (what, key, due): (&'static str, &str, Timestamp),
    ) -> Tried<()> {
        let txn = word_transaction(what, &format!("{key}|{room}|{}", due.as_ms()), account.user());
        match account.send(room, &word(text, None), txn).await {
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => {
                tracing::warn!(room.id = %room, %error, "a word about a schedule cannot be said in its room");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}

fn errand_of(job: &Job, room: &RoomId, due: Timestamp, is_late: bool) -> Errand {
    let id = ErrandId::of(OriginKind::Schedule, &[&job.key, room.as_str(), &due.as_ms().to_string()]);
    let origin = Origin { kind: OriginKind::Schedule, name: job.name.clone(), set_by: job.set_by.clone() };
    Errand {
        headline: words::timetable::due(&job.name, &job.said, job.set_by.as_deref()),
        due_at: due,
        until: Some(begins_until(due, job.grace_ms)),
        schedule: Some(job.key.clone()),
        late: is_late,
        mention: job.mention.clone(),
        answer_by: job.answer_within_hours.map(|hours| answer_by(due, hours)),
        zone: job.rule.zone().name().map(ToOwned::to_owned),
        ..Errand::new(id, &job.user, room, origin, &job.task, clock::now())
    }
}

//! A due time: looked at in each of its rooms, handed in as an errand, and only then noted as handled.

use ruma::RoomId;

use super::{Id, Tried, jobs::Job};
use crate::{
    clock,
    core::{
        errand::{Errand, ErrandId, Origin, OriginKind},
        time::Timestamp,
        timetable::{Around, Handled, UNREAD_RUNS_MAX, Verdict, owing, verdict},
        words,
    },
    engine::{EngineError, Shared, errands::Accepted, word, word_transaction},
};

/// When a schedule is to be looked at again.
pub(super) enum Next {
    /// When it is due next; `None` if it never is.
    At(Option<Timestamp>),
    /// Soon: what is due could not be handed in.
    Later,
}

impl super::Engine {
    /// Hands in what a schedule owes now.
    pub(super) async fn hand_in(self: &Shared, id: &Id) -> Tried<Next> {
        let Some(job) = self.job(id)? else { return Ok(Next::At(None)) };
        let now = clock::now();
        let kept = self.tables.timetable.get(&job.key)?;
        let mut handled = kept.unwrap_or_else(|| Handled { until: now, said: job.reads.clone(), rooms: [].into() });
        let owing = owing(&job.rule, handled.until, job.grace_ms, now);
        if owing.due.is_some() || owing.missed > 0 {
            for name in &job.rooms {
                let Some(room) = self.named(name).await? else {
                    tracing::warn!(schedule = job.name, room = %name, "a schedule names a room that is not there");
                    continue;
                };
                let progress = handled.rooms.get(&room).cloned().unwrap_or_default();
                let around = match owing.due {
                    Some(_) => self.around(&job, &room, &progress).await?,
                    None => Some(Around::default()),
                };
                // A coworker that is out of order is being mended.
                let Some(around) = around else { return Ok(Next::Later) };
                let (verdict, after) = verdict(&owing, job.only_if_new_messages, &progress, around);
                if !self.carry_out(&job, &room, verdict).await? {
                    return Ok(Next::Later);
                }
                handled.rooms.insert(room, after);
            }
        }
        handled.until = owing.until;
        self.tables.timetable.put(&job.key, &handled)?;
        self.store.flush().await?;
        let next = job.rule.next_after(handled.until);
        if let (None, Id::Room(room, number)) = (next, id) {
            self.forget_schedules(room, |schedules| schedules.remove(*number).into_iter().collect())?;
        }
        Ok(Next::At(next))
    }

    /// Does in one room what was decided; returns whether that is on disk.
    async fn carry_out(self: &Shared, job: &Job, room: &RoomId, verdict: Verdict) -> Tried<bool> {
        match verdict {
            Verdict::Run { due, is_late } => {
                let accepted = self.accept_errand(errand_of(job, room, due, is_late)).await?;
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

    /// Asks a room whether a schedule should go on. What the room refuses for good is not tried again.
    async fn ask_whether(&self, job: &Job, room: &RoomId, due: Timestamp) -> Result<(), EngineError> {
        let Some(account) = self.pool.kept(&job.user) else { return Ok(()) };
        let message = word(&words::timetable::still_wanted(&job.name, UNREAD_RUNS_MAX), None);
        let cause = format!("{}|{room}|{}", job.key, due.as_ms());
        let txn = word_transaction("still-wanted", &cause, account.user());
        match account.send(room, &message, txn).await {
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => {
                tracing::warn!(room.id = %room, %error, "a room cannot be asked whether a schedule should go on");
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
        late: is_late,
        mention: job.mention.clone(),
        ..Errand::new(id, &job.user, room, origin, &job.task, clock::now())
    }
}

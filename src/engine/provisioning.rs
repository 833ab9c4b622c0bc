//! Makes assistants for every member of the workspace, and handles owners who are gone (A1, A3).
//!
//! The queue is the table `members`: due people get their assistants in turn, at a configured rate, whatever else
//! happens. What is seen of people becomes a [`Sign`]; `core/belonging.rs` decides what follows.

mod leavers;

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use ruma::UserId;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{Engine, EngineError, Shared};
use crate::core::{
    belonging::{Belonging, Next, Sign, Whence},
    retry::step,
};

pub(super) use self::leavers::look_for_leavers;

/// How often the space's members are read again and grace periods checked.
const LOOK_AGAIN: Duration = Duration::from_hours(1);
/// Pauses after failures; the last one repeats.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_mins(1), Duration::from_mins(5)];
/// The shortest and longest pause accepted from the homeserver (429).
const ASKED_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// Number of people after which the log reports progress.
const LOG_EVERY: usize = 50;

/// Follows the space and does what is due, until Workmate stops.
pub(super) async fn keep_members(engine: Shared) {
    let every = Duration::from_mins(1) / engine.config().assistants.provision_per_minute.max(1);
    let mut pace = interval(every.max(Duration::from_millis(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut failures, mut list_due) = (0, Instant::now());
    loop {
        let done = async {
            if Instant::now() >= list_due {
                engine.people.read_members().await?;
                list_due = Instant::now() + LOOK_AGAIN;
            }
            Box::pin(engine.clone().work_off(&mut pace)).await
        };
        let (pause, asked) = match done.await {
            Ok(()) => {
                failures = 0;
                engine.people.tell_progress(None);
                (LOOK_AGAIN, None)
            }
            Err(error) => {
                tracing::warn!(%error, "assistants for the members of the workspace cannot be seen to; tried again");
                engine.people.tell_progress(Some(error.to_string()));
                failures += 1;
                let asked = error.retry_after();
                (pause_after(failures, asked), asked)
            }
        };
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // A new member is no reason to call earlier than the homeserver asked.
            () = engine.people.members.changed.notified(), if asked.is_none() => {}
        }
    }
}

/// Returns how long to wait after this many failures in a row; `asked` is the pause that the last one asked for.
fn pause_after(failures: usize, asked: Option<Duration>) -> Duration {
    let (least, most) = ASKED_PAUSES;
    asked.map_or(step(&PAUSES, failures.saturating_sub(1)), |asked| asked.clamp(least, most))
}

impl Engine {
    /// Does what is due for each person, one at a time at the configured rate, until nothing is left.
    async fn work_off(self: Shared, pace: &mut Interval) -> Result<(), EngineError> {
        let mut failed = BTreeSet::new();
        loop {
            let mut todo = self.people.due()?;
            todo.retain(|user| !failed.contains(user));
            if todo.is_empty() {
                return Ok(());
            }
            tracing::info!(people = todo.len(), "people of the workspace are seen to");
            for (done, user) in todo.into_iter().enumerate() {
                tokio::select! {
                    () = self.stop.cancelled() => return Ok(()),
                    _ = pace.tick() => {}
                }
                match Box::pin(self.clone().see_to(&user)).await {
                    Ok(()) => {}
                    Err(error) if error.is_passing() => return Err(error),
                    Err(error) => {
                        tracing::warn!(user.id = %user, %error, "one person cannot be seen to; tried again in an hour");
                        failed.insert(user);
                    }
                }
                self.people.tell_progress(None);
                if (done + 1) % LOG_EVERY == 0 {
                    let waiting = self.people.provisioning_counts().map_or(0, |(due, _)| due);
                    tracing::info!(done = done + 1, waiting, "people of the workspace are being seen to");
                }
            }
        }
    }

    async fn see_to(self: Shared, user: &UserId) -> Result<(), EngineError> {
        // The record may have changed since it was listed.
        let Some(known) = self.tables.members.get(&user.to_owned())? else { return Ok(()) };
        match self.people.next_for(known) {
            Next::Nothing => Ok(()),
            Next::Provision => {
                Box::pin(self.homes.clone().ensure_assistant(user)).await?;
                self.people.members.made.fetch_add(1, Ordering::Relaxed);
                self.people.note_sign(user, Sign::Provisioned)
            }
            Next::Look => {
                let in_use = self.api().is_in_use(&self.service_user(), user).await?;
                self.people.note_sign(user, if in_use { Sign::Account } else { Sign::NoAccount })
            }
            Next::Forget => {
                // A reactivated account sends no sign of it, so we ask.
                let may_be_back = matches!(known, Belonging::Gone { from: Whence::Homeserver, .. });
                if may_be_back && self.api().is_in_use(&self.service_user(), user).await? {
                    return self.people.note_sign(user, Sign::Account);
                }
                Box::pin(self.forgetting.clone().forget_owner(user)).await?;
                self.tables.members.remove(&user.to_owned())?;
                self.store.flush().await?;
                tracing::info!(user.id = %user, "an owner is gone; what was kept for them is deleted");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a1_a_pause_is_what_the_homeserver_asks_for_or_else_grows_with_the_failures() {
        let asked = |ms| Some(Duration::from_millis(ms));
        let table = [
            (1, None, Duration::from_secs(5)),
            (2, None, Duration::from_secs(15)),
            (3, None, Duration::from_mins(1)),
            (4, None, Duration::from_mins(5)),
            (100, None, Duration::from_mins(5)),
            (1, asked(7_500), Duration::from_millis(7_500)),
            (100, asked(2_000), Duration::from_secs(2)),
            (1, asked(0), Duration::from_secs(1)),
            (1, asked(u64::MAX), Duration::from_hours(1)),
        ];
        for (failures, asked, expected) in table {
            assert_eq!(pause_after(failures, asked), expected, "{failures} failures, asked for {asked:?}");
        }
    }
}

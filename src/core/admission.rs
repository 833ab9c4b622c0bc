//! Whether what a coworker was asked becomes a run: known ones, commands, mute and the breaker, in this order
//! (rules C11, C14, C16).

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    breaker::{Gate, Whose},
    command::CoworkerRequest,
    time::Timestamp,
};

/// What a coworker is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The coworker.
    pub user: &'a UserId,
    /// The command that the message is, if it is one.
    pub command: Option<CoworkerRequest<'a>>,
    /// Whether the run that it leads to is going on already: events may come again after a crash.
    pub known: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission<'a> {
    /// It is a command, which is answered even while muted or stopped.
    Command(CoworkerRequest<'a>),
    /// Its run is going on.
    Known,
    /// The coworker is muted in the room.
    Muted,
    /// A breaker has stopped the person or the room.
    Stopped {
        /// Whose breaker.
        whose: Whose,
        /// Whether they must be told.
        say: bool,
        /// When it may be tried again.
        until: Timestamp,
    },
    /// A run begins, and is counted.
    Run,
}

/// Decides what becomes of a request. `gate` asks the breakers of person and room for a run to begin, which counts it;
/// nothing else is counted.
///
/// # Errors
/// When `gate` cannot ask it.
pub fn admit<'a, E>(
    request: &Request<'a>,
    muted: &BTreeSet<OwnedUserId>,
    gate: impl FnOnce() -> Result<Gate, E>,
) -> Result<Admission<'a>, E> {
    if let Some(command) = request.command {
        return Ok(Admission::Command(command));
    }
    if request.known {
        return Ok(Admission::Known);
    }
    if muted.contains(request.user) {
        return Ok(Admission::Muted);
    }
    Ok(match gate()? {
        Gate::Open => Admission::Run,
        Gate::Stopped { whose, say, until } => Admission::Stopped { whose, say, until },
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ruma::user_id;

    use super::*;
    use crate::core::{
        breaker::{Breaker, BreakerLimits, PAUSE_MS},
        command::CoworkerCommand,
    };

    const NOW: Timestamp = Timestamp::from_ms(0);

    #[test]
    fn c14_c16_commands_come_first_then_known_runs_then_mute_then_the_breaker() {
        let user = user_id!("@coworker-ci:hs");
        let muted = BTreeSet::from([user.to_owned()]);
        let limits = BreakerLimits::of(Whose::Room, 1);
        let until = Timestamp::from_ms(i64::try_from(PAUSE_MS).expect("a pause fits"));
        let stopped = |say| Admission::Stopped { whose: Whose::Room, say, until };
        let mut breaker = Breaker::default();
        let help = Some(CoworkerRequest::Command(CoworkerCommand::Help));
        let rows = [
            (help, true, true, Admission::Command(CoworkerRequest::Command(CoworkerCommand::Help))),
            (None, true, true, Admission::Known),
            (None, false, true, Admission::Muted),
            (None, false, false, Admission::Run),
            (None, true, false, Admission::Known),
            (None, false, false, stopped(true)),
            (None, false, false, stopped(false)),
            (help, false, false, Admission::Command(CoworkerRequest::Command(CoworkerCommand::Help))),
        ];
        for (row, (command, known, is_muted, expected)) in rows.into_iter().enumerate() {
            let muted = if is_muted { muted.clone() } else { BTreeSet::new() };
            let request = Request { user, command, known };
            let admitted = admit(&request, &muted, || Ok::<_, Infallible>(breaker.begin_run(NOW, &limits)));
            assert_eq!(admitted, Ok(expected), "row {row}");
        }
    }
}

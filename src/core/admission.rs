//! Whether a request to a coworker becomes a run. Known runs, commands, mute and the breaker are checked in this order
//! (rules C11, C14, C16).

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{
    breaker::{Gate, Whose},
    command::CoworkerRequest,
    time::Timestamp,
};

/// A request to a coworker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The coworker that is asked.
    pub user: &'a UserId,
    /// The command in the message, if it is one.
    pub command: Option<CoworkerRequest<'a>>,
    /// Whether its run is going on already: after a crash events may come again.
    pub known: bool,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission<'a> {
    /// Answer the command, even while muted or stopped.
    Command(CoworkerRequest<'a>),
    /// Do nothing: its run is going on.
    Known,
    /// Do nothing: the coworker is muted in the room.
    Muted,
    /// Do not start a run: a breaker has stopped the person or the room.
    Stopped {
        /// Whose breaker it is.
        whose: Whose,
        /// Whether to tell them.
        say: bool,
        /// When they may ask again.
        until: Timestamp,
    },
    /// Start a run; the breakers have counted it.
    Run,
}

/// Decides what to do with a request. `gate` asks the breakers of person and room, which counts the run. It is called
/// only if nothing else decides.
///
/// # Errors
/// If `gate` fails.
/// When `gate` cannot ask it.
pub(crate) fn admit<'a, E>(
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

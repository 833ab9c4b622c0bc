//! Tries what a room needs: two throw-away users exchange encrypted messages, and one of them makes haste.

use std::time::Duration;

use tokio::time::timeout;

use super::{Check, Found, Subject, Tried};
use crate::{
    config::Config,
    matrix::{
        MatrixError,
        api::Api,
        trial::{Exchanged, Met, NotBegun, Step, Trial},
    },
};

/// How long logging out and leaving may take.
const TIDY_MAX: Duration = Duration::from_secs(20);

/// Tidies up whatever becomes of the exchange, also when everything is broken off.
pub(super) async fn all(subject: &Subject<'_>, api: &Api) -> Vec<Tried> {
    let trial = match Trial::new(api, &subject.config.namespace()) {
        Ok(trial) => trial,
        Err(NotBegun::Another) => {
            let text = "not tried: another `workmate doctor` exchanges messages with the same users".to_owned();
            return vec![Tried::new(Check::Encryption, Found::Open(text))];
        }
        Err(NotBegun::NoPlace(error)) => {
            let text = format!(
                "not tried: there is no place for the users' stores in {} ({error})\n  Mend: make room there, or name another \
                 folder in TMPDIR.",
                std::env::temp_dir().display()
            );
            return vec![Tried::new(Check::Encryption, Found::Open(text))];
        }
    };
    let exchanged = subject.within(Check::Encryption, Box::pin(trial.exchange())).await;
    let tidied = match timeout(TIDY_MAX, trial.tidy()).await {
        Ok(tidied) => tidied.err().map(|error| in_short(&error)),
        Err(_) => Some(format!("no answer within {} s", TIDY_MAX.as_secs())),
    };
    let mut tried = match exchanged {
        Ok(exchanged) => judged(subject.config, exchanged),
        Err(tried) => vec![tried],
    };
    tried.extend(tidied.map(|why| {
        let text = format!(
            "devices or a room of the throw-away users are left behind ({why})\n  Mend: run `workmate doctor` again; it begins by \
             tidying up."
        );
        Tried::new(Check::Encryption, Found::Open(text))
    }));
    tried
}

fn judged(config: &Config, exchanged: Result<Exchanged, (Step, Met)>) -> Vec<Tried> {
    let done = match exchanged {
        Ok(done) => done,
        Err((step, met)) => return vec![Tried::new(Check::Encryption, failed(step, &met))],
    };
    let text = format!("two users of ours read each other, encrypted, after {} ms", done.took.as_millis());
    let pace = match done.slowed {
        None => Found::Fine("our users may act as fast as they need".to_owned()),
        Some(wait) => Found::Open(format!(
            "the homeserver slows our users down: the next call would have to wait {:.1} s\n  Answers in busy rooms come late, and \
             assistants' text in jerks.\n  Mend: set `rate_limited: false` in the homeserver's copy of the registration {}, and restart \
             it.",
            wait.as_secs_f32(),
            config.appservice.id
        )),
    };
    vec![Tried::new(Check::Encryption, Found::Fine(text)), Tried::new(Check::Pace, pace)]
}

fn failed(step: Step, met: &Met) -> Found {
    let what = match step {
        Step::Users => "throw-away users with devices cannot be made",
        Step::Room => "no encrypted room can be made",
        Step::Join => "a user of ours cannot join a room",
        Step::Send => "no encrypted message can be sent",
        Step::Read => "a message cannot be read by another of our users",
        Step::Leftovers => "what an earlier trial left cannot be tidied up",
    };
    let (why, mend) = match met {
        Met::Error(MatrixError::Refused { errcode, .. }) if errcode == "M_LIMIT_EXCEEDED" => (
            "the homeserver slows our users down".to_owned(),
            "set `rate_limited: false` in the homeserver's copy of the registration, and restart it",
        ),
        Met::Error(error) => (in_short(error), mend_of(step)),
        Met::Unencrypted => {
            ("it arrived unencrypted".to_owned(), "look for what stands between: nothing may change messages")
        }
        Met::Unreadable => (
            "its key did not come".to_owned(),
            "see that to-device messages and /sync pass the proxies and workers in front of the homeserver",
        ),
    };
    Found::Fault(format!("{what}: {why}\n  Coworkers and assistants would fail there, too.\n  Mend: {mend}."))
}

const fn mend_of(step: Step) -> &'static str {
    match step {
        Step::Users => {
            "use a homeserver that lets appservices make devices (Synapse 1.141 or later), and see that the loaded registration \
             is the present one"
        }
        Step::Room | Step::Join | Step::Send => {
            "look into the homeserver's log for the refusal: a module or a limit may forbid it to our users"
        }
        Step::Read => "see that /sync and /keys pass the proxies and workers in front of the homeserver",
        Step::Leftovers => "run this again once the homeserver answers",
    }
}

/// Returns the error without its remedy.
fn in_short(error: &MatrixError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op3_each_step_that_fails_says_which_and_how_to_mend_it() {
        let refused = |errcode: &str| {
            Met::Error(MatrixError::Refused {
                call: "PUT /x".to_owned(),
                status: 403,
                errcode: errcode.to_owned(),
                message: "no".to_owned(),
                retry_after: None,
            })
        };
        for (step, met, expected) in [
            (Step::Users, refused("M_EXCLUSIVE"), "throw-away users with devices cannot be made: homeserver: PUT /x"),
            (Step::Send, refused("M_LIMIT_EXCEEDED"), "rate_limited: false"),
            (Step::Send, Met::Unencrypted, "it arrived unencrypted"),
            (Step::Read, Met::Unreadable, "its key did not come"),
            (Step::Leftovers, refused("M_FORBIDDEN"), "run this again"),
        ] {
            let Found::Fault(text) = failed(step, &met) else { panic!("a fault") };
            assert!(text.contains(expected) && text.contains("\n  Mend: "), "{text}");
        }
    }
}

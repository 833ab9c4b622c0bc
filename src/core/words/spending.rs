//! Why the model is not asked, or not again: a budget or a breaker (C14, C19, C23). Each text names the limit, when it
//! ends, and who can raise it.

use crate::core::{
    breaker::{WINDOW_MS, Whose},
    budget::{Full, Period, Scope, Usd, Why},
    edits::RESTARTS_MAX,
    time::Timestamp,
    zone::Zone,
};

/// A budget has no room for a request or its next step.
#[must_use]
pub fn budget_reached(full: &Full, zone: &Zone) -> String {
    let Full { scope, period, limit, why, until, begun } = *full;
    let span = match period {
        Period::Day => "today",
        Period::Month => "this month",
    };
    let whose = match scope {
        Scope::Workspace => "The budget of this workspace",
        Scope::Coworker | Scope::Assistant => "My budget",
        Scope::Person => "Your budget",
        Scope::Room => "This room's budget",
    };
    let stopped = if begun { "so I stopped before I was done" } else { "so I didn't start" };
    match why {
        Why::Spent => format!(
            "{whose} for {span}, {limit}, is used up, {stopped}. It starts afresh on {}. The person who runs Workmate \
             can raise it.",
            zone.date(until)
        ),
        Why::Reserved => format!(
            "What is being worked on may use up the rest of {}{} for {span}, {limit}, {stopped}. Please ask again in a few \
             minutes. The person who runs Workmate can raise it.",
            whose[..1].to_lowercase(),
            &whose[1..]
        ),
    }
}

/// Follows a coworker's `!status`: how much of its monthly budget is used.
#[must_use]
pub fn budget_used(spent: Usd, limit: Usd) -> String {
    format!("This month I've used {spent} of {limit}.")
}

/// A breaker has stopped a room or a person.
#[must_use]
pub fn breaker(whose: Whose, runs_max: usize, until: Timestamp, zone: &Zone) -> String {
    let (minutes, until) = (WINDOW_MS / 60_000, zone.date(until));
    match whose {
        Whose::Person => format!(
            "That was a lot in a short time: more than {runs_max} requests of yours within {minutes} minutes, counting \
             edits and 🔁. I'll take no more of yours until {until}, in case something is going in circles. I still answer \
             everyone else."
        ),
        Whose::Room => format!(
            "That was a lot of requests in a short time: more than {runs_max} here within {minutes} minutes. I'll pause \
             here until {until}, in case something is going in circles."
        ),
    }
}

/// A request was edited too often while it was worked on.
#[must_use]
pub fn too_many_edits() -> String {
    format!(
        "Your message changed while I was working on it, and I've started over {RESTARTS_MAX} times. I'll finish with the \
         text I have now; react 🔁 to my answer if it no longer fits."
    )
}

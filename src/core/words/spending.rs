//! Why the model is not asked, or not again: a budget or a breaker (C14, C19, C23). Each text names the limit, when it
//! ends, and who can raise it.

use std::fmt::Write as _;

use ruma::{ServerName, UserId};

use crate::core::{
    breaker::{WINDOW_MS, Whose},
    budget::{Full, Holder, LOW_PERCENT, Level, Low, Period, Scope, Usd, Why},
    edits::RESTARTS_MAX,
    links::room_link,
    names::{Names, literal_name},
    time::Timestamp,
    zone::Zone,
};

/// Most people or rooms that a warning names; more are counted.
const NAMED_MAX: usize = 10;
/// Most coworkers that the ledger lists; more are counted.
const COWORKERS_MAX: usize = 20;

/// An account as the ledger shows it: for each period the amount spent and the limit, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The coworker's id; empty for the workspace, a room and a person.
    pub name: String,
    /// The amounts.
    pub spent: Vec<(Period, Usd, Option<Usd>)>,
}

/// The accounts of a scope that has one for each of many, in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// The scope.
    pub scope: Scope,
    /// The period.
    pub period: Period,
    /// The limit for each.
    pub limit: Usd,
    /// How many run low.
    pub low: usize,
    /// How many have none left.
    pub used_up: usize,
}

/// A budget has no room for a request or its next step. `set_by` is the member who set up what nobody asks for at the time.
#[must_use]
pub(crate) fn budget_reached(full: &Full, set_by: Option<&UserId>, zone: &Zone) -> String {
    let Full { scope, period, limit, why, until, begun } = *full;
    let span = this_span(period);
    let whose = match (scope, set_by) {
        (Scope::Workspace, _) => "This workspace's budget".to_owned(),
        (Scope::Coworker | Scope::Assistant, _) => "My budget".to_owned(),
        (Scope::Person, None) => "Your budget".to_owned(),
        (Scope::Person, Some(who)) => format!("The budget of {}, who set this up,", literal_name(who.as_str())),
        (Scope::Room, _) => "This room's budget".to_owned(),
    };
    let stopped = if begun { "so I stopped before I was done" } else { "so I didn't start" };
    match why {
        Why::Spent => format!(
            "{whose} is used up for {span} ({limit}), {stopped}. It starts afresh on {}. The person who runs Workmate \
             can raise it.",
            zone.date(until)
        ),
        Why::Reserved => format!(
            "What is being worked on may use up the rest of {}{} for {span} ({limit}), {stopped}. Please ask again in a few \
             minutes. The person who runs Workmate can raise it.",
            whose[..1].to_lowercase(),
            &whose[1..]
        ),
    }
}

/// Follows a coworker's `!status`: how much of its budget is used, and how much of the room's.
#[must_use]
pub(crate) fn budget_used(coworker: &Account, room: &Account) -> String {
    let limited = |account: &Account| amounts(account, true);
    let (coworker, room) = (limited(coworker), limited(room));
    let mut text = String::new();
    if !coworker.is_empty() {
        let _ = write!(text, "I've used {coworker}.");
    }
    if !room.is_empty() {
        let _ = write!(text, "{}This room has used {room}.", if text.is_empty() { "" } else { " " });
    }
    text
}

/// Follows the service bot's `!status` for admins: what was spent, and how many accounts have little left. It names
/// neither people nor rooms.
#[must_use]
pub(crate) fn ledger(workspace: &Account, coworkers: &[Account], crowds: &[Crowd], zone: &Zone) -> String {
    let mut text = format!("- Spent: {}", amounts(workspace, false));
    for coworker in coworkers.iter().take(COWORKERS_MAX) {
        let _ = write!(text, "\n- `{}`: {}", coworker.name, amounts(coworker, false));
    }
    if coworkers.len() > COWORKERS_MAX {
        let _ = write!(text, "\n- and {} more coworkers", coworkers.len() - COWORKERS_MAX);
    }
    for Crowd { scope, period, limit, low, used_up } in crowds {
        let (each, span) = (each_of(*scope), a_span(*period));
        let _ = write!(text, "\n- {each}, {limit} {span} each: {low} past {LOW_PERCENT} %, {used_up} used up");
    }
    let _ = write!(text, "\n- Days and months begin at {}", midnight(zone));
    text
}

/// Tells a person what they have used.
#[must_use]
pub(crate) fn own_ledger(person: &Account, assistant: &Account, zone: &Zone) -> String {
    let mut text = format!("You've used {}.", amounts(person, false));
    let assistant = amounts(assistant, true);
    if !assistant.is_empty() {
        let _ = write!(text, " Your assistant has used {assistant}.");
    }
    let _ = write!(text, " Days and months begin at {}.", midnight(zone));
    text
}

/// Returns by which clock it is midnight.
fn midnight(zone: &Zone) -> String {
    match zone.name() {
        None | Some("UTC") => "midnight UTC".to_owned(),
        Some(name) => format!("midnight in {name}"),
    }
}

/// Returns an account's amounts: `$12 of $50 this month, $1 today`.
fn amounts(account: &Account, only_limited: bool) -> String {
    let shown = account.spent.iter().filter(|(_, _, limit)| limit.is_some() || !only_limited);
    let amount = |(period, spent, limit): &(Period, Usd, Option<Usd>)| match limit {
        Some(limit) => format!("{spent} of {limit} {}", this_span(*period)),
        None => format!("{spent} {}", this_span(*period)),
    };
    shown.map(amount).collect::<Vec<_>>().join(", ")
}

/// Warns admins of budgets that run low. Of assistants it says how many.
#[must_use]
pub(crate) fn budgets_low(lows: &[Low], coworker: impl Fn(&Holder) -> String, via: &ServerName, zone: &Zone) -> String {
    let mut text = "**Budgets are running low:**\n".to_owned();
    let of = |scope: Scope| lows.iter().filter(move |low| low.holder.scope() == scope);
    for low in of(Scope::Workspace) {
        let _ = write!(text, "\n- Everything together: {}", so_far(low));
    }
    for low in of(Scope::Coworker) {
        let _ = write!(text, "\n- `{}`: {}", coworker(&low.holder), so_far(low));
    }
    for (scope, one, more) in [(Scope::Person, "person", "people"), (Scope::Room, "room", "rooms")] {
        for low in of(scope).take(NAMED_MAX) {
            let whose = match &low.holder {
                Holder::Room(room) => room_link("A room", room, via),
                Holder::Person(user) => Names::default().of(user),
                Holder::Workspace | Holder::Coworker(_) | Holder::Assistant(_) => continue,
            };
            let _ = write!(text, "\n- {whose}: {}", so_far(low));
        }
        let rest: Vec<&Low> = of(scope).skip(NAMED_MAX).collect();
        text.push_str(&counted(&rest, "more ", (one, more)));
    }
    text.push_str(&counted(&of(Scope::Assistant).collect::<Vec<_>>(), "", ("assistant", "assistants")));
    let _ = write!(
        text,
        "\n\nWhere nothing is left, requests are declined until the next day or month begins, at {}. The limits are \
         `budgets` in `workmate.yaml`, and `budget_usd_month` in a coworker's file.",
        midnight(zone)
    );
    text
}

fn so_far(low: &Low) -> String {
    let Low { period, spent, limit, .. } = low;
    let end = if low.level() == Level::UsedUp { ", used up" } else { "" };
    format!("{spent} of {limit} {}{end}", this_span(*period))
}

/// Returns lines that count accounts without naming them; nothing if there are none.
fn counted(lows: &[&Low], more: &str, (one, many): (&str, &str)) -> String {
    let mut text = String::new();
    for period in Period::ALL {
        let of: Vec<_> = lows.iter().filter(|low| low.period == period).collect();
        let used_up = of.iter().filter(|low| low.level() == Level::UsedUp).count();
        let Some(limit) = of.first().map(|low| low.limit) else { continue };
        let (number, noun, span) = (of.len(), if of.len() == 1 { one } else { many }, this_span(period));
        let _ = write!(text, "\n- {number} {more}{noun} past {LOW_PERCENT} % of {limit} {span}");
        if used_up > 0 {
            let _ = write!(text, ", {used_up} of them with nothing left");
        }
    }
    text
}

fn this_span(period: Period) -> &'static str {
    match period {
        Period::Day => "today",
        Period::Month => "this month",
    }
}

fn a_span(period: Period) -> &'static str {
    match period {
        Period::Day => "a day",
        Period::Month => "a month",
    }
}

fn each_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Workspace => "Everything",
        Scope::Coworker => "Coworkers",
        Scope::Assistant => "Assistants",
        Scope::Person => "People",
        Scope::Room => "Rooms",
    }
}

/// A breaker has stopped a room or a person.
#[must_use]
pub(crate) fn breaker(whose: Whose, runs_max: usize, until: Timestamp, zone: &Zone) -> String {
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
pub(crate) fn too_many_edits() -> String {
    format!(
        "Your message changed while I was working on it, and I've started over {RESTARTS_MAX} times. I'll finish with the \
         text I have now; react 🔁 to my answer if it no longer fits."
    )
}

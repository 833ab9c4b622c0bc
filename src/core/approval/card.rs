//! The card: the exact call, who decides about it, and in the end what was decided.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{Pending, shown::shown, words};
use crate::core::{
    event::{Outgoing, OutgoingKind, Place},
    mask::Mask,
    render::{self, EDIT_BYTES_MAX},
    time::Timestamp,
    tool::{ApprovalRule, ToolName},
    trail::Decision,
};

/// The people of a rule that a card mentions at the most: their ids go into one event.
const MENTIONED_MAX: usize = 50;

/// Returns the card that asks, mentioning `deciders`: see [`mentioned`].
///
/// It fits into an edit, so that its end can show the same call.
#[must_use]
pub fn asking(
    pending: &Pending,
    asker: &UserId,
    deciders: BTreeSet<OwnedUserId>,
    until: Timestamp,
    place: &Place,
    mask: &Mask,
) -> Outgoing {
    let mut above = words::asks(&pending.tool, pending.class);
    if pending.changed {
        above = format!("{}\n\n{above}", words::changed());
    }
    let below = words::who_decides(&pending.rule, asker, until);
    let mut card = with_call(&above, pending, &below, place, mask);
    card.mentions = deciders;
    card
}

/// Returns what the card becomes once it is decided: the same call, and the decision.
#[must_use]
pub fn decided(pending: &Pending, decision: &Decision, place: &Place, mask: &Mask) -> Outgoing {
    with_call(&words::decided(&pending.tool, decision), pending, "", place, mask)
}

/// Returns what the card becomes where its call is not at hand: the decision, or that there will be none.
#[must_use]
pub fn closed(tool: &ToolName, decision: Option<&Decision>, place: &Place) -> Outgoing {
    card(&decision.map_or_else(|| words::closed(tool), |decision| words::decided(tool, decision)), place)
}

/// Returns whom a card mentions: exactly those who may decide, where they are named. Of moderators nobody is, but the
/// asker who is one: `asker_level` is their power level, `None` where that is not known or they are not there.
#[must_use]
pub fn mentioned(rule: &ApprovalRule, asker: &UserId, asker_level: Option<i64>) -> BTreeSet<OwnedUserId> {
    let asker = || BTreeSet::from([asker.to_owned()]);
    match rule {
        ApprovalRule::Asker => asker(),
        ApprovalRule::People(people) => people.iter().take(MENTIONED_MAX).cloned().collect(),
        ApprovalRule::Moderator { level } if asker_level.is_some_and(|of_asker| of_asker >= *level) => asker(),
        ApprovalRule::Moderator { .. } | ApprovalRule::Never => BTreeSet::new(),
    }
}

fn with_call(above: &str, pending: &Pending, below: &str, place: &Place, mask: &Mask) -> Outgoing {
    let markdown = |call: &str| {
        let fence = "`".repeat(longest_run_of_backticks(call).max(2) + 1);
        format!("{above}\n\n{fence}json\n{call}\n{fence}\n\n{below}")
    };
    let fits = |call: &str| render::json_bytes(&render::render(&markdown(call))) <= EDIT_BYTES_MAX;
    card(&markdown(&shown(&pending.arguments, mask, fits)), place)
}

fn card(markdown: &str, place: &Place) -> Outgoing {
    let rendered = render::render(markdown);
    Outgoing {
        kind: OutgoingKind::Card,
        body: rendered.body,
        html: rendered.html,
        mentions: BTreeSet::new(),
        place: place.clone(),
    }
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

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

/// Returns the card that asks; it mentions who decides, where that is one person.
///
/// It fits into an edit, so that its end can show the same call.
#[must_use]
pub fn asking(pending: &Pending, asker: &UserId, until: Timestamp, place: &Place, mask: &Mask) -> Outgoing {
    let mut above = words::asks(&pending.tool, pending.class);
    if pending.changed {
        above = format!("{}\n\n{above}", words::changed());
    }
    let below = words::who_decides(&pending.rule, asker, until);
    let mut card = with_call(&above, pending, &below, place, mask);
    card.mentions.extend(mentioned(&pending.rule, asker));
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
    notice(&decision.map_or_else(|| words::closed(tool), |decision| words::decided(tool, decision)), place)
}

/// Returns whom a card mentions: the one person who decides, where there is only one.
#[must_use]
pub fn mentioned(rule: &ApprovalRule, asker: &UserId) -> Option<OwnedUserId> {
    match rule {
        ApprovalRule::Asker => Some(asker.to_owned()),
        ApprovalRule::People(people) if people.len() == 1 => people.first().cloned(),
        _ => None,
    }
}

fn with_call(above: &str, pending: &Pending, below: &str, place: &Place, mask: &Mask) -> Outgoing {
    let markdown = |call: &str| {
        let fence = "`".repeat(longest_run_of_backticks(call).max(2) + 1);
        format!("{above}\n\n{fence}json\n{call}\n{fence}\n\n{below}")
    };
    let fits = |call: &str| render::json_bytes(&render::render(&markdown(call))) <= EDIT_BYTES_MAX;
    notice(&markdown(&shown(&pending.arguments, mask, fits)), place)
}

fn notice(markdown: &str, place: &Place) -> Outgoing {
    let rendered = render::render(markdown);
    Outgoing {
        kind: OutgoingKind::Notice,
        body: rendered.body,
        html: rendered.html,
        mentions: BTreeSet::new(),
        place: place.clone(),
    }
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

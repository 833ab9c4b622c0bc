//! The card: the exact call, who decides about it, and finally the decision.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Pending, words};
use crate::core::{
    event::{Outgoing, OutgoingKind, Place},
    hex::hex,
    mask::Mask,
    names::Names,
    render,
    tool::{
        ApprovalRule, ToolName,
        shown::{self, Shown},
    },
    trail::Decision,
};

/// Most people of a rule that a card mentions, because their ids go into one event.
const MENTIONED_MAX: usize = 50;
/// Most bytes of JSON for the arguments, in body and HTML together. With the deciders and the decision they fit into an
/// edit ([`render::EDIT_BYTES_MAX`]), so that a decided card shows the same call.
const CALL_BYTES_MAX: usize = 15_000;

/// A card, and a file with the whole call if that is too long for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    /// The message to post.
    pub message: Outgoing,
    /// The file to post before it, which the card names.
    pub file: Option<WholeCall>,
}

/// A file with a whole call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeCall {
    /// The file's name.
    pub name: String,
    /// The file's content.
    pub text: String,
}

impl WholeCall {
    fn of(pending: &Pending, arguments: &Shown) -> Self {
        let tool = pending.tool.as_str();
        let number = pending.number();
        Self {
            name: format!("{tool}-{number:016x}.txt"),
            text: words::whole_call(&pending.tool, &arguments.text, arguments.masked),
        }
    }

    /// Returns the hexadecimal SHA-256 of the content.
    #[must_use]
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(&self.text))
    }
}

/// Where a card goes, and how to show its texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The place in the room.
    pub place: &'a Place,
    /// Hides secrets.
    pub mask: &'a Mask,
    /// Names of the people it mentions.
    pub names: &'a Names,
    /// What the call means, where its arguments alone do not say it; Markdown.
    pub meaning: Option<&'a str>,
}

/// Returns the card that asks; it mentions `deciders` ([`mentioned`]) and is open for that many milliseconds.
#[must_use]
pub(crate) fn asking(
    pending: &Pending,
    asker: &UserId,
    deciders: BTreeSet<OwnedUserId>,
    open_ms: u64,
    setting: &Setting<'_>,
) -> Card {
    let call = Call::of(pending, setting.mask);
    let above = words::asks(&pending.tool, pending.class);
    let below = words::who_decides(&pending.rule, asker, open_ms, setting.names);
    let meaning = setting.meaning.map(|meaning| format!("\n\n{meaning}")).unwrap_or_default();
    let mut message = card(&format!("{above} {}{meaning}\n\n{below}", call.markdown()), setting.place);
    message.mentions = deciders;
    Card { message, file: call.file }
}

/// Returns the decided card: the same call with the decision.
#[must_use]
pub(crate) fn decided(pending: &Pending, decision: &Decision, setting: &Setting<'_>) -> Outgoing {
    let call = Call::of(pending, setting.mask);
    let said = words::decided(&pending.tool, decision, setting.names);
    card(&format!("{said} {}", call.markdown()), setting.place)
}

/// Returns the closed card if its call is not available: the decision, or that there will be none.
#[must_use]
pub(crate) fn closed(tool: &ToolName, decision: Option<&Decision>, place: &Place) -> Outgoing {
    let names = Names::default();
    card(&decision.map_or_else(|| words::closed(tool), |decision| words::decided(tool, decision, &names)), place)
}

/// Returns whom a card mentions: exactly those who may decide, if the rule names them. For moderators, only an asker
/// who is one; `asker_level` is their power level, `None` if it is unknown or they are not in the room.
#[must_use]
pub(crate) fn mentioned(rule: &ApprovalRule, asker: &UserId, asker_level: Option<i64>) -> BTreeSet<OwnedUserId> {
    let asker = || BTreeSet::from([asker.to_owned()]);
    match rule {
        ApprovalRule::Asker => asker(),
        ApprovalRule::People(people) => people.iter().take(MENTIONED_MAX).cloned().collect(),
        ApprovalRule::Moderator { level } if asker_level.is_some_and(|of_asker| of_asker >= *level) => asker(),
        ApprovalRule::Moderator { .. } | ApprovalRule::Never => BTreeSet::new(),
    }
}

/// A call as a card shows it: one line for each argument, none of them cut. What does not fit is named, and is in the
/// file.
struct Call {
    lines: Vec<String>,
    /// Arguments that are not even named.
    unnamed: usize,
    masked: bool,
    file: Option<WholeCall>,
}

impl Call {
    fn of(pending: &Pending, mask: &Mask) -> Self {
        let none = serde_json::Map::new();
        let mut arguments: Vec<(&str, &Value)> =
            pending.arguments.as_object().unwrap_or(&none).iter().map(|(name, value)| (name.as_str(), value)).collect();
        arguments.sort_by_key(|(name, _)| *name);
        let whole: Vec<Shown> = arguments.iter().map(|(name, value)| shown::on_a_line(name, value, mask)).collect();
        let items: Vec<String> = whole.iter().map(|line| item(&line.text)).collect();
        let costs: Vec<usize> = items.iter().map(|item| cost(item)).collect();
        if costs.iter().sum::<usize>() <= CALL_BYTES_MAX {
            let masked = whole.iter().any(|line| line.masked);
            return Self { lines: items, unnamed: 0, masked, file: None };
        }
        let in_file = shown::indented(&pending.arguments, mask);
        let file = WholeCall::of(pending, &in_file);
        // Names first, so that people know of arguments that are not shown.
        let names: Vec<String> = arguments
            .iter()
            .zip(&whole)
            .map(|((name, _), line)| {
                let chars = line.text.chars().count();
                format!("{}{}", item(&shown::name(name, mask).text), words::in_the_file(chars))
            })
            .collect();
        let mut left = CALL_BYTES_MAX;
        let mut lines: Vec<Option<String>> = vec![None; items.len()];
        let mut spent = vec![0; items.len()];
        for (at, name) in names.into_iter().enumerate() {
            let cost = cost(&name);
            if cost <= left {
                left -= cost;
                spent[at] = cost;
                lines[at] = Some(name);
            }
        }
        let mut smallest: Vec<usize> = (0..items.len()).collect();
        smallest.sort_by_key(|&at| costs[at]);
        for at in smallest {
            if lines[at].is_some() && costs[at] <= left + spent[at] {
                left = left + spent[at] - costs[at];
                lines[at] = Some(items[at].clone());
            }
        }
        let unnamed = lines.iter().filter(|line| line.is_none()).count();
        Self { lines: lines.into_iter().flatten().collect(), unnamed, masked: in_file.masked, file: Some(file) }
    }

    fn markdown(&self) -> String {
        let mut text = match &self.file {
            Some(file) => words::call_in_file(&file.name, file.text.len(), &file.digest()),
            None if self.lines.is_empty() => words::call_without_arguments(),
            None => words::whole_call_follows(),
        };
        if !self.lines.is_empty() {
            text.push_str("\n\n");
            text.push_str(&self.lines.join("\n"));
        }
        if self.unnamed > 0 {
            text.push_str("\n\n");
            text.push_str(&words::more_in_the_file(self.unnamed));
        }
        if self.masked {
            text.push_str("\n\n");
            text.push_str(&words::masked());
        }
        text
    }
}

/// Returns a list item that is code throughout, whatever it contains.
fn item(code: &str) -> String {
    let fence = "`".repeat(longest_run_of_backticks(code) + 1);
    format!("- {fence}{code}{fence}")
}

fn cost(markdown: &str) -> usize {
    // Do not render what is too long anyway.
    if markdown.len() > CALL_BYTES_MAX { markdown.len() } else { render::json_bytes(&render::own(markdown)) }
}

fn card(markdown: &str, place: &Place) -> Outgoing {
    let rendered = render::own(markdown);
    Outgoing {
        kind: OutgoingKind::Card,
        body: rendered.body,
        html: rendered.html,
        mentions: BTreeSet::new(),
        place: place.clone(),
        sources: Vec::new(),
    }
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

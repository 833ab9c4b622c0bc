//! The texts of an approval card (C12), and the replies that decide.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use super::{listed, span};
use crate::core::{
    names::Names,
    tool::{ApprovalRule, Class, MODERATOR_LEVEL, ToolName},
    trail::Decision,
};

/// Lower-case replies to a card that approve.
pub const APPROVE: [&str; 2] = ["approve", "yes"];
/// Lower-case replies to a card that decline.
pub const DECLINE: [&str; 2] = ["decline", "no"];
/// The power level of room admins.
const ADMIN_LEVEL: i64 = 100;
/// People of a rule that a card names; further ones are counted.
pub const PEOPLE_NAMED_MAX: usize = 8;

/// Asks whether a call may run.
#[must_use]
pub fn asks(tool: &ToolName, class: Class) -> String {
    let class = match class {
        Class::Read => "It only reads.",
        Class::Write => "It may change something.",
    };
    format!("**May I run `{}`?** {class}", tool.as_str())
}

/// Introduces a call's arguments, which follow in full.
#[must_use]
pub fn whole_call_follows() -> String {
    "This is the whole call:".to_owned()
}

/// Replaces the arguments of a call that has none.
#[must_use]
pub fn call_without_arguments() -> String {
    "The call has no arguments.".to_owned()
}

/// Says that a call is too long for a message, and which file has all of it.
#[must_use]
pub fn call_in_file(name: &str, bytes: usize, digest: &str) -> String {
    format!(
        "The call is too long for a message. **All of it is in the file `{name}` above** ({bytes} bytes, SHA-256 \
         `{digest}`): read that before you decide. What fits is here:"
    )
}

/// Follows the name of an argument whose value is only in the file.
#[must_use]
pub fn in_the_file(chars: usize) -> String {
    format!(" is in the file ({chars} characters)")
}

/// Counts the arguments that only the file has.
#[must_use]
pub fn more_in_the_file(count: usize) -> String {
    match count {
        1 => "One more argument is in the file.".to_owned(),
        _ => format!("{count} more arguments are in the file."),
    }
}

/// Explains the mask.
#[must_use]
pub fn masked() -> String {
    "••• stands for a secret of this workspace. It is part of the call and isn't shown.".to_owned()
}

/// The content of a file with a whole call.
#[must_use]
pub fn whole_call(tool: &ToolName, arguments: &str, is_masked: bool) -> String {
    let note = if is_masked { format!("{}\n\n", masked()) } else { String::new() };
    format!("The whole call of {}:\n\n{note}{arguments}\n", tool.as_str())
}

/// Says who decides, how, and how long they have.
#[must_use]
pub fn who_decides(rule: &ApprovalRule, asker: &UserId, open_ms: u64, names: &Names) -> String {
    format!(
        "{} decides: react ✅ to run it once or ❌ not to, or reply `yes` or `no` to this message. Without an answer \
         within {}, it doesn't run.",
        deciders(rule, asker, names),
        span(open_ms)
    )
}

/// Tells somebody whose decision does not count who can decide.
#[must_use]
pub fn not_yours(rule: &ApprovalRule, asker: &UserId, names: &Names) -> String {
    let who = match rule {
        ApprovalRule::Never => "nobody".to_owned(),
        ApprovalRule::Asker => names.set_apart(asker),
        ApprovalRule::Moderator { level: MODERATOR_LEVEL } => "a moderator here".to_owned(),
        ApprovalRule::Moderator { level: ADMIN_LEVEL } => "an admin here".to_owned(),
        ApprovalRule::Moderator { level } => format!("somebody with power level {level} or more"),
        ApprovalRule::People(people) => one_of(people, names, PEOPLE_NAMED_MAX),
    };
    format!("Thanks, but only {who} can decide this one.")
}

/// Tells an asker whose approval would not count that the call does not run, and who could ask for it.
#[must_use]
pub fn ask_through_a_person(tool: &ToolName) -> String {
    format!(
        "I can't run `{}` for you: whoever asks has to approve it, and approvals from bridges and guests don't count. \
         Somebody with a Matrix account in this workspace can ask me for it.",
        tool.as_str()
    )
}

/// Returns who decides, as the start of a sentence.
fn deciders(rule: &ApprovalRule, asker: &UserId, names: &Names) -> String {
    match rule {
        ApprovalRule::Never => "Nobody".to_owned(),
        ApprovalRule::Asker => names.set_apart(asker),
        ApprovalRule::Moderator { level: MODERATOR_LEVEL } => "Any moderator here".to_owned(),
        ApprovalRule::Moderator { level: ADMIN_LEVEL } => "Any admin here".to_owned(),
        ApprovalRule::Moderator { level } => format!("Anyone here with power level {level} or more"),
        ApprovalRule::People(people) if people.is_empty() => "Nobody".to_owned(),
        ApprovalRule::People(people) => one_of(people, names, PEOPLE_NAMED_MAX),
    }
}

/// Returns people of whom any one is enough, naming at most `named_max`.
pub(super) fn one_of(people: &BTreeSet<OwnedUserId>, names: &Names, named_max: usize) -> String {
    let mut named: Vec<String> = people.iter().take(named_max).map(|one| names.set_apart(one)).collect();
    match people.len().saturating_sub(named_max) {
        0 => {}
        1 => named.push("one more".to_owned()),
        more => named.push(format!("one of {more} more")),
    }
    listed(&named, "or")
}

/// The text of a decided card.
#[must_use]
pub fn decided(tool: &ToolName, decision: &Decision, names: &Names) -> String {
    let tool = tool.as_str();
    match decision {
        Decision::Approved { by, .. } => format!("**`{tool}`: approved** by {}.", names.set_apart(by)),
        Decision::Declined { by, .. } => {
            format!("**`{tool}`: declined** by {}, so it didn't run.", names.set_apart(by))
        }
        Decision::Left { by, .. } => {
            format!("**`{tool}`: declined**, because {} has left the room. It didn't run.", names.set_apart(by))
        }
        Decision::Expired => format!("**`{tool}`: nobody decided** in time, so it didn't run."),
    }
}

/// The text of a card whose request was stopped or restarted before anybody decided.
#[must_use]
pub fn closed(tool: &ToolName) -> String {
    format!("**`{}`: stopped** before anybody decided, so it didn't run. It can't be approved any more.", tool.as_str())
}

/// Tells somebody whose yes or no could mean several cards how to say which.
#[must_use]
pub fn which_card() -> String {
    "More than one decision is open here, and I can't tell which you mean. React ✅ or ❌ to that message, or reply to it."
        .to_owned()
}

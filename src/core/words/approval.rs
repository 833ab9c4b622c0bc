//! What an approval's card says (C12), and the replies that decide.

use ruma::UserId;

use crate::core::{
    time::Timestamp,
    tool::{ApprovalRule, Class, ToolName},
    trail::Decision,
};

/// Replies to a card that approve, in lower case.
pub const APPROVE: [&str; 2] = ["approve", "yes"];
/// Replies to a card that decline, in lower case.
pub const DECLINE: [&str; 2] = ["decline", "no"];
/// The people of a rule that a card names; the others are counted.
const PEOPLE_NAMED_MAX: usize = 8;

/// Asks whether a call may run.
#[must_use]
pub fn asks(tool: &ToolName, class: Class) -> String {
    let class = match class {
        Class::Read => "It only reads.",
        Class::Write => "It may change something.",
    };
    format!("**May I run `{}`?** {class}", tool.as_str())
}

/// Stands before a call's arguments, none of which is missing.
#[must_use]
pub fn whole_call_follows() -> String {
    "This is the whole call:".to_owned()
}

/// Stands where a call has no arguments.
#[must_use]
pub fn call_without_arguments() -> String {
    "The call has no arguments.".to_owned()
}

/// Says that a call is too long for a message, and where the whole of it is.
#[must_use]
pub fn call_in_file(name: &str, bytes: usize, digest: &str) -> String {
    format!(
        "The call is too long for a message. **All of it is in the file `{name}` above** ({bytes} bytes, SHA-256 \
         `{digest}`): read that before you decide. What fits is here:"
    )
}

/// Stands behind the name of an argument whose value is only in the file.
#[must_use]
pub fn in_the_file(chars: usize) -> String {
    format!(" is in the file ({chars} characters)")
}

/// Counts the arguments that only the file names.
#[must_use]
pub fn more_in_the_file(count: usize) -> String {
    match count {
        1 => "One more argument is in the file.".to_owned(),
        _ => format!("{count} more arguments are in the file."),
    }
}

/// Says what the mask means.
#[must_use]
pub fn masked() -> String {
    "••• stands for a secret of this workspace. It is part of the call and isn't shown.".to_owned()
}

/// What a file with a whole call says.
#[must_use]
pub fn whole_call(tool: &ToolName, arguments: &str, is_masked: bool) -> String {
    let note = if is_masked { format!("{}\n\n", masked()) } else { String::new() };
    format!("The whole call of {}:\n\n{note}{arguments}\n", tool.as_str())
}

/// Says who decides, how, and until when.
#[must_use]
pub fn who_decides(rule: &ApprovalRule, asker: &UserId, until: Timestamp) -> String {
    let who = match rule {
        ApprovalRule::Never => "Nobody may decide this".to_owned(),
        ApprovalRule::Asker => format!("{} decides", id(asker)),
        ApprovalRule::Moderator { level } => format!("Anyone here with power level {level} or more decides"),
        ApprovalRule::People(people) => {
            let named: Vec<String> = people.iter().take(PEOPLE_NAMED_MAX).map(|one| id(one)).collect();
            let more = people.len().saturating_sub(PEOPLE_NAMED_MAX);
            let more = if more == 0 { String::new() } else { format!(" or one of {more} more") };
            match named.as_slice() {
                [only] => format!("{only} decides"),
                _ => format!("One of {}{more} decides", named.join(", ")),
            }
        }
    };
    format!(
        "{who}: react ✅ to run it once or ❌ not to, or reply `yes` or `no` to this message. Without an answer by {} \
         it doesn't run.",
        super::date(until)
    )
}

/// What a card says once it is decided.
#[must_use]
pub fn decided(tool: &ToolName, decision: &Decision) -> String {
    let tool = tool.as_str();
    match decision {
        Decision::Approved { by, at } => format!("**`{tool}`: approved** by {} at {}.", id(by), time(*at)),
        Decision::Declined { by, at } => {
            format!("**`{tool}`: declined** by {} at {}. It didn't run.", id(by), time(*at))
        }
        Decision::Expired => format!("**`{tool}`: nobody decided** in time. It didn't run."),
    }
}

/// What a card says when its request was stopped or asked anew before anybody decided.
#[must_use]
pub fn closed(tool: &ToolName) -> String {
    format!("**`{}`: stopped** before anybody decided. It didn't run and can't be approved any more.", tool.as_str())
}

/// Says to somebody whose plain yes or no could be about several cards how to say which.
#[must_use]
pub fn which_card() -> String {
    "More than one thing waits for a decision here, so I haven't taken that as one. React ✅ or ❌ on the message that you \
     mean, or reply to it."
        .to_owned()
}

/// A user id, as code: nobody is pinged by it.
fn id(user: &UserId) -> String {
    format!("`{}`", user.as_str().replace('`', "'"))
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_ms().div_euclid(1000))
        .map_or_else(|_| "some time".to_owned(), |at| at.strftime("%H:%M UTC").to_string())
}

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
    format!("**May I run `{}`?** {class} This is the whole call:", tool.as_str())
}

/// Warns of a tool that is not as it was.
#[must_use]
pub fn changed() -> String {
    "**Careful:** this tool's description or parameters have changed since it was allowed.".to_owned()
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

/// Stands behind the beginning and end of a long value, with what tells it from another.
#[must_use]
pub fn folded(chars: usize, digest: &str) -> String {
    format!("[{chars} characters, SHA-256 {digest}…]")
}

/// Stands for entries that were left out, with what tells them from others.
#[must_use]
pub fn left_out(count: usize, digest: &str) -> String {
    format!("… {count} more [SHA-256 {digest}…]")
}

/// A user id, as code: nobody is pinged by it.
fn id(user: &UserId) -> String {
    format!("`{}`", user.as_str().replace('`', "'"))
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_ms().div_euclid(1000))
        .map_or_else(|_| "some time".to_owned(), |at| at.strftime("%H:%M UTC").to_string())
}

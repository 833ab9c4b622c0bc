//! Words about tools: what a coworker has, and who decides about a call (C12).

use crate::core::tool::{ApprovalRule, Class, Tool, ToolName, Toolset, Withheld};

/// Tools that are listed one by one; more are counted.
const LISTED_MAX: usize = 40;
/// Tools that first words name; more are counted.
const NAMED_MAX: usize = 12;
/// People that a rule names one by one; more are counted.
const PEOPLE_MAX: usize = 5;

/// Returns the answer to `!tools`: each with its class and whose approval it needs.
#[must_use]
pub fn tools(tools: &Toolset) -> String {
    let withheld: Vec<String> = tools.withheld().take(LISTED_MAX).map(withheld_line).collect();
    let withheld = if withheld.is_empty() { String::new() } else { format!("\n\n{}", withheld.join("\n")) };
    if tools.is_empty() {
        return format!("{}{withheld}", super::no_tools());
    }
    let lines: Vec<String> = tools.iter().take(LISTED_MAX).map(line).collect();
    let rest = match tools.iter().count().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!("\n\nAnd {more} more."),
    };
    format!("My tools:\n\n{}{rest}{withheld}", lines.join("\n"))
}

/// Returns the names of the tools for first words (C17).
#[must_use]
pub fn tool_names(tools: &Toolset) -> Vec<String> {
    let mut names: Vec<String> =
        tools.iter().take(NAMED_MAX).map(|tool| format!("`{}`", tool.offer.name.as_str())).collect();
    let count = tools.iter().count();
    if count > NAMED_MAX {
        names.push(format!("and {} more", count - NAMED_MAX));
    }
    names
}

/// Returns who decides about a call, as part of a sentence.
#[must_use]
pub fn who_decides(rule: &ApprovalRule) -> String {
    match rule {
        ApprovalRule::Never => "nobody has to approve it".to_owned(),
        ApprovalRule::Asker => "whoever asked approves it".to_owned(),
        ApprovalRule::Moderator { level } => format!("somebody with power level {level} approves it"),
        ApprovalRule::People(people) => {
            let named: Vec<String> = people.iter().take(PEOPLE_MAX).map(|person| format!("`{person}`")).collect();
            match people.len().saturating_sub(PEOPLE_MAX) {
                0 => format!("{} approves it", named.join(" or ")),
                more => format!("{} or one of {more} more approves it", named.join(", ")),
            }
        }
    }
}

fn line(tool: &Tool) -> String {
    let does = match tool.class {
        Class::Read => "read",
        Class::Write => "write",
    };
    format!("- `{}`: {does}; {}", tool.offer.name.as_str(), who_decides(&tool.rule()))
}

/// Says why a tool that was granted cannot be used.
fn withheld_line((name, why): (&ToolName, &Withheld)) -> String {
    let name = name.as_str();
    match why {
        Withheld::Changed(_) => {
            format!("- `{name}`: not now. It has changed since it was granted, and an admin has to look at it first.")
        }
        Withheld::Elsewhere => format!("- `{name}`: not in this room."),
        Withheld::Unusable(why) => {
            format!("- `{name}`: it can't be used, because {why}. Whoever keeps its server can mend it.")
        }
    }
}

/// A tool that has changed, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedTool {
    /// Its name.
    pub name: ToolName,
    /// Its fingerprint now.
    pub fingerprint: String,
}

/// Returns the answer to an admin's `!changes`; the definitions are in the file of that name.
#[must_use]
pub fn changed_tools(changed: &[ChangedTool], file: &str) -> String {
    if changed.is_empty() {
        return "No tool has changed since it was granted.".to_owned();
    }
    let lines: Vec<String> = changed
        .iter()
        .take(LISTED_MAX)
        .map(|tool| format!("- `!accept {} {}`", tool.name.as_str(), tool.fingerprint))
        .collect();
    let rest = match changed.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!("\n\nAnd {more} more."),
    };
    format!(
        "These tools have changed since they were granted, so nobody can use them. **`{file}` above** holds each as it is \
         now: its description and parameters are what the model is told. If one is fine, send its line back:\n\n{}{rest}",
        lines.join("\n")
    )
}

/// Says that a changed tool can be used again.
#[must_use]
pub fn accepted(name: &ToolName) -> String {
    format!("`{}` can be used again, as it is now.", name.as_str())
}

/// Says that an admin's `!accept` names no change that there is.
#[must_use]
pub fn not_accepted() -> String {
    "There is no such change, or the tool has changed again since. `!changes` shows what there is now.".to_owned()
}

/// Tells admins that a tool has changed.
#[must_use]
pub fn tool_changed(name: &ToolName, service: &str) -> String {
    format!(
        "The tool `{}` has changed since it was granted, so nobody can use it. Write `!changes` to `{service}` in a direct \
         chat to see it as it is now, and to accept it.",
        name.as_str()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ruma::user_id;
    use serde_json::json;

    use super::*;
    use crate::core::tool::{Grant, Here, Offer};

    fn toolset(count: usize) -> Toolset {
        let offers: Vec<Offer> = (0..count)
            .filter_map(|at| Offer::of_server("s", &format!("t{at:03}"), String::new(), json!({ "type": "object" })))
            .collect();
        Toolset::resolve(&[Grant::plain("s__*")], &offers, &BTreeMap::new(), &Here::default())
    }

    #[test]
    fn c12_c16_tools_are_listed_with_class_and_rule() {
        assert_eq!(tools(&toolset(0)), super::super::no_tools());
        assert_eq!(
            tools(&toolset(2)),
            "My tools:\n\n- `s__t000`: write; whoever asked approves it\n- `s__t001`: write; whoever asked approves it"
        );
        assert!(tools(&toolset(45)).ends_with("\n\nAnd 5 more."));
        assert_eq!(tool_names(&toolset(13)).last().map(String::as_str), Some("and 1 more"));
    }

    #[test]
    fn c12_a_rule_names_who_decides() {
        let people = [user_id!("@ada:hs").to_owned(), user_id!("@bob:hs").to_owned()];
        assert_eq!(
            [
                ApprovalRule::Never,
                ApprovalRule::Asker,
                ApprovalRule::Moderator { level: 50 },
                ApprovalRule::People(people.into()),
            ]
            .map(|rule| who_decides(&rule)),
            [
                "nobody has to approve it",
                "whoever asked approves it",
                "somebody with power level 50 approves it",
                "`@ada:hs` or `@bob:hs` approves it",
            ]
        );
    }
}

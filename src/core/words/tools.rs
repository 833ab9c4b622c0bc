//! Texts about tools: which ones a coworker has, and who decides about a call (C12).

use std::collections::BTreeMap;

use super::{approval::one_of, listed};
use crate::core::{
    names::Names,
    tool::{ApprovalRule, Class, MODERATOR_LEVEL, SERVER_SEPARATOR, Source, Tool, ToolName, Toolset, Withheld},
};

/// Tools of one server that are named; further ones are counted.
const LISTED_MAX: usize = 40;
/// The same limit in first words.
const SHORT_MAX: usize = 3;
/// People of a rule that are named; further ones are counted.
const PEOPLE_MAX: usize = 5;

/// Answers `!tools`: what works without asking, and what needs whose approval, a line for each. `down` are the servers
/// with granted tools that do not answer.
#[must_use]
pub fn tools(tools: &Toolset, down: &[String]) -> String {
    let mut lines: Vec<String> = groups(tools).iter().map(|group| format!("- {}", group.line())).collect();
    if !down.is_empty() {
        let (its, they) = if down.len() == 1 { ("Its", "it is") } else { ("Their", "they are") };
        lines.push(format!("- **Not answering now:** {}. {its} tools don't work until {they} back.", names(down)));
    }
    lines.extend(withheld_lines(tools));
    match (tools.is_empty(), lines.is_empty()) {
        (true, true) => super::no_tools(),
        (true, false) => format!("I have no tools that I can use here now:\n\n{}", lines.join("\n")),
        (false, _) => format!("My tools:\n\n{}", lines.join("\n")),
    }
}

/// Returns the sentence about tools in first words (C17).
#[must_use]
pub fn tools_in_short(tools: &Toolset) -> String {
    let (freely, asked): (Vec<&Tool>, Vec<&Tool>) = tools.iter().partition(|tool| tool.rule() == ApprovalRule::Never);
    let is_private = tools.iter().any(|tool| tool.private);
    let after = if is_private { "After your OK, I can" } else { "After somebody's OK, I can" };
    let said = [("Without asking, I can", freely), (after, asked)];
    let said = said.iter().filter(|(_, tools)| !tools.is_empty());
    let said: Vec<String> =
        said.map(|(how, tools)| format!("{how} {}.", listed(&deeds(tools, SHORT_MAX), "and"))).collect();
    if said.is_empty() { super::no_tools() } else { said.join(" ") }
}

/// Tools that need the same approval and are of the same class.
struct Group<'a> {
    rule: ApprovalRule,
    class: Class,
    private: bool,
    tools: Vec<&'a Tool>,
}

/// Groups the tools; those that need no approval come first.
fn groups(tools: &Toolset) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for tool in tools.iter() {
        let (rule, class) = (tool.rule(), tool.class);
        match groups.iter_mut().find(|group| group.rule == rule && group.class == class) {
            Some(group) => group.tools.push(tool),
            None => groups.push(Group { rule, class, private: tool.private, tools: vec![tool] }),
        }
    }
    groups.sort_by_key(|group| {
        let rule = match group.rule {
            ApprovalRule::Never => 0,
            ApprovalRule::Asker => 1,
            ApprovalRule::Moderator { .. } => 2,
            ApprovalRule::People(_) => 3,
        };
        (rule, group.class == Class::Write)
    });
    groups
}

impl Group<'_> {
    fn line(&self) -> String {
        let how = match (&self.rule, self.class) {
            (ApprovalRule::Never, Class::Read) => "Without asking".to_owned(),
            (ApprovalRule::Never, Class::Write) => "Without asking, and it may change something".to_owned(),
            (rule, class) => {
                let reads = if class == Class::Read { ", though it only reads" } else { "" };
                format!("After {}{reads}", whose_ok(rule, self.private))
            }
        };
        format!("**{how}:** {}", deeds(&self.tools, LISTED_MAX).join("; "))
    }
}

/// Says what tools do: our own in plain words; a server's together, under its name.
fn deeds(tools: &[&Tool], named_max: usize) -> Vec<String> {
    let mut ours: Vec<String> = Vec::new();
    let mut servers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for tool in tools {
        let name = tool.offer.name.as_str();
        match &tool.offer.source {
            Source::Mcp { server, .. } => {
                let own = name.strip_prefix(&**server).and_then(|rest| rest.strip_prefix(SERVER_SEPARATOR));
                servers.entry(server).or_default().push(own.unwrap_or(name));
            }
            _ => ours.push(plainly(name).map_or_else(|| format!("use `{name}`"), ToOwned::to_owned)),
        }
    }
    let of_servers = servers.into_iter().map(|(server, tools)| {
        let named = first(tools.iter(), named_max);
        format!("use {} from `{server}`", listed(&named, "and"))
    });
    ours.into_iter().chain(of_servers).collect()
}

/// Says in plain words what one of our own tools does; `None` for any other.
fn plainly(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "attach_file" => "attach files",
        "schedule_add" => "set up work at set times",
        "reminder_add" => "set reminders",
        "task_add" => "do things at set times",
        "code_execution" => "run code on files you share here, at Anthropic",
        "skill_docx" => "make Word documents",
        "skill_pdf" => "make PDFs",
        "skill_pptx" => "make slides",
        "skill_xlsx" => "make spreadsheets",
        "http_get" => "open web addresses",
        "note_add" => "add notes",
        "note_list" => "read the notes",
        "note_remove" => "remove notes",
        "room_members" => "see who is here",
        "room_read" => "read this room",
        "room_search" => "search this room",
        "time" => "tell the time",
        "web_fetch" => "read web pages",
        "web_search" => "search the web",
        _ => return None,
    })
}

/// Returns whose approval a call of a coworker needs, for operators.
#[must_use]
pub(crate) fn whose_approval(rule: &ApprovalRule) -> String {
    whose_ok(rule, false)
}

/// Returns whose approval a call needs, as part of a sentence.
fn whose_ok(rule: &ApprovalRule, private: bool) -> String {
    match rule {
        ApprovalRule::Never => "nobody's OK".to_owned(),
        ApprovalRule::Asker if private => "your OK".to_owned(),
        ApprovalRule::Asker => "the OK of whoever asked".to_owned(),
        ApprovalRule::Moderator { level: MODERATOR_LEVEL } => "a moderator's OK".to_owned(),
        ApprovalRule::Moderator { level } => format!("the OK of somebody with power level {level}"),
        ApprovalRule::People(people) => format!("the OK of {}", one_of(people, &Names::default(), PEOPLE_MAX)),
    }
}

/// Says which granted tools are unavailable, and why; a line for each reason.
fn withheld_lines(tools: &Toolset) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, why) in tools.withheld() {
        let reason = match why {
            Withheld::Elsewhere => "Not in this room",
            Withheld::Changed(_) => "Changed since they were granted, until an admin has looked at them",
            Withheld::TooLarge => "Left out, because what describes them is too long",
            Withheld::TooMany => "Left out, because there are too many",
            Withheld::Unusable(why) => &format!("Can't be used until their server is mended, because {why}"),
        };
        reasons.entry(reason.to_owned()).or_default().push(name.as_str().to_owned());
    }
    reasons.iter().map(|(reason, tools)| format!("- **{reason}:** {}", names(tools))).collect()
}

fn names(names: &[String]) -> String {
    listed(&first(names.iter(), LISTED_MAX), "and")
}

/// Names the first items of a list, and counts the others.
fn first<T: std::fmt::Display>(all: impl ExactSizeIterator<Item = T>, max: usize) -> Vec<String> {
    let others = all.len().saturating_sub(max);
    all.take(max).map(|tool| format!("`{tool}`")).chain((others > 0).then(|| format!("{others} more"))).collect()
}

/// A changed tool, for admins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedTool {
    /// The tool's name.
    pub name: ToolName,
    /// The fingerprint of its present definition.
    pub fingerprint: String,
}

/// Answers an admin's `!changes`; the definitions are in the named file.
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
        "These tools have changed since they were granted, so nobody can use them. **`{file}` above** shows each as it is \
         now: its description and parameters are what the model is told. If one is fine, send me its line:\n\n{}{rest}",
        lines.join("\n")
    )
}

/// Says that a changed tool was accepted and is available again.
#[must_use]
pub fn accepted(name: &ToolName) -> String {
    format!("`{}` can be used again, as it is now.", name.as_str())
}

/// Says that an admin's `!accept` matches no change.
#[must_use]
pub fn not_accepted() -> String {
    "There's no such change, or the tool has changed again since. `!changes` shows what there is now.".to_owned()
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
    use crate::core::{
        render::own,
        tool::{BUILT_IN, Grant, Here, Offer, SCHEMA_BYTES_MAX, TOOLS_MAX},
    };

    fn offer(name: &str, class: Class) -> Offer {
        Offer {
            name: ToolName::parse(name).expect("a name"),
            description: String::new(),
            schema: json!({ "type": "object" }),
            source: Source::Room,
            class,
            approval: ApprovalRule::Never,
            idempotent: true,
        }
    }

    fn of_server(server: &str, count: usize) -> Vec<Offer> {
        let tools = (0..count).map(|at| format!("t{at:03}"));
        tools.filter_map(|tool| Offer::of_server(server, &tool, String::new(), json!({}))).collect()
    }

    fn with(pattern: &str, class: Class, approval: ApprovalRule) -> Grant {
        Grant { class: Some(class), approval: Some(approval), ..Grant::plain(pattern) }
    }

    #[test]
    fn c12_tools_are_grouped_by_whose_ok_they_need_a_server_in_one_line() {
        let mut offers: Vec<Offer> =
            ["room_read", "room_search", "time"].map(|name| offer(name, Class::Read)).into_iter().collect();
        offers.push(offer("note_add", Class::Write));
        offers.extend(of_server("logs", 2));
        offers.extend(of_server("ops", 3));
        offers.extend(of_server("mail", 45));
        let people = [user_id!("@ada:hs").to_owned(), user_id!("@bob:hs").to_owned()];
        let grants = [
            Grant::plain("room_read"),
            Grant::plain("room_search"),
            Grant::plain("time"),
            Grant::plain("note_add"),
            with("logs__*", Class::Read, ApprovalRule::Never),
            with("ops__t000", Class::Write, ApprovalRule::Moderator { level: 50 }),
            with("ops__t001", Class::Write, ApprovalRule::People(people.into())),
            with("ops__t002", Class::Read, ApprovalRule::Asker),
            Grant::plain("mail__*"),
        ];
        let toolset = Toolset::resolve(&grants, &offers, &BTreeMap::new(), &Here::default());
        insta::assert_snapshot!(own(&tools(&toolset, &["ops".to_owned()])).body);
        insta::assert_snapshot!(tools_in_short(&toolset));
        assert!(tools(&toolset, &[]).lines().count() < 12, "it fits a phone");

        let nothing = Toolset::default();
        assert_eq!(tools(&nothing, &[]), super::super::no_tools());
        assert_eq!(
            tools(&nothing, &["a".to_owned(), "b".to_owned()]),
            "I have no tools that I can use here now:\n\n\
             - **Not answering now:** `a` and `b`. Their tools don't work until they are back."
        );
    }

    #[test]
    fn c12_tools_that_were_granted_and_cannot_be_used_are_named_with_the_reason() {
        let offers = of_server("s", 3);
        let pins = [0, 1].map(|at: usize| (offers[at].name.clone(), "another".to_owned())).into_iter().collect();
        let elsewhere = Grant {
            rooms: vec![ruma::OwnedRoomOrAliasId::try_from("#x:hs").expect("an alias")],
            ..Grant::plain("s__t002")
        };
        let toolset = Toolset::resolve(&[elsewhere, Grant::plain("s__*")], &offers, &pins, &Here::default());
        assert_eq!(
            tools(&toolset, &[]),
            "I have no tools that I can use here now:\n\n\
             - **Changed since they were granted, until an admin has looked at them:** `s__t000` and `s__t001`\n\
             - **Not in this room:** `s__t002`"
        );
    }

    #[test]
    fn c12_tools_that_have_no_place_are_named_too() {
        let mut offers = of_server("s", TOOLS_MAX + 2);
        let long = "x".repeat(SCHEMA_BYTES_MAX);
        offers.extend(Offer::of_server("huge", "t", String::new(), json!({ "description": long })));
        let toolset = Toolset::resolve(&[Grant::plain("*")], &offers, &BTreeMap::new(), &Here::default());
        let told = tools(&toolset, &[]);
        assert!(told.contains("and 88 more from `s`"), "{told}");
        assert!(told.contains("**Left out, because there are too many:** `s__t128` and `s__t129`"), "{told}");
        assert!(told.contains("**Left out, because what describes them is too long:** `huge__t`"), "{told}");
    }

    #[test]
    fn c12_each_tool_that_workmate_brings_is_said_in_plain_words() {
        for name in BUILT_IN.iter().map(|tool| tool.name) {
            assert!(plainly(name).is_some_and(|words| !words.contains('_')), "{name}");
        }
    }

    #[test]
    fn c12_a_rule_names_whose_ok_it_needs() {
        let people = [user_id!("@ada:hs").to_owned(), user_id!("@bob:hs").to_owned()];
        let said = |rule: ApprovalRule, private| own(&whose_ok(&rule, private)).body;
        assert_eq!(said(ApprovalRule::Asker, true), "your OK");
        assert_eq!(said(ApprovalRule::Asker, false), "the OK of whoever asked");
        assert_eq!(said(ApprovalRule::Moderator { level: 50 }, false), "a moderator's OK");
        assert_eq!(said(ApprovalRule::Moderator { level: 75 }, false), "the OK of somebody with power level 75");
        assert_eq!(said(ApprovalRule::People(people.into()), false), "the OK of `@ada:hs` or `@bob:hs`");
    }
}

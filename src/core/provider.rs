//! The tools that the provider executes, if a coworker's config grants them.

use serde_json::{Value, json};

use super::computing;
use super::tool::{ApprovalRule, Class, Grant, Offer, Source, ToolName};

/// Most searches in one turn of the model.
pub(crate) const SEARCHES_MAX: u32 = 5;
/// Most pages fetched in one turn of the model.
pub(crate) const FETCHES_MAX: u32 = 5;
/// Most tokens read of a page.
pub(crate) const PAGE_TOKENS_MAX: u32 = 20_000;

/// Returns the provider's tools that these grants ask for, as raw definitions of the Messages API.
///
/// The provider executes a call before anybody here sees it. So a tool whose grant needs an approval is not offered,
/// and neither is `web_fetch` without hosts, which could send the room's content anywhere.
#[must_use]
pub(crate) fn offers(grants: &[Grant]) -> Vec<Offer> {
    let web = ["web_search", "web_fetch"].into_iter().filter_map(|name| offer(name, grants));
    web.chain(computing(grants)).collect()
}

/// Returns code execution and its skills, which are worth nothing without it.
fn computing(grants: &[Grant]) -> Vec<Offer> {
    let is_granted = |name: &ToolName| {
        let grant = grants.iter().find(|grant| grant.matches(name));
        grant.is_some_and(|grant| matches!(grant.approval, None | Some(ApprovalRule::Never)))
    };
    let granted: Vec<ToolName> =
        computing::tool_names().filter_map(|name| ToolName::parse(&name)).filter(is_granted).collect();
    if !granted.iter().any(|name| name.as_str() == computing::TOOL) {
        return Vec::new();
    }
    let offered = |name: ToolName| {
        let definition = match computing::skill_of(name.as_str()) {
            Some(skill) => json!({ "type": computing::SKILL, "name": name.as_str(), "skill_id": skill }),
            None => json!({ "type": "code_execution_20260521", "name": name.as_str() }),
        };
        of_provider(name, definition)
    };
    granted.into_iter().map(offered).collect()
}

fn offer(name: &str, grants: &[Grant]) -> Option<Offer> {
    let name = ToolName::parse(name)?;
    let grant = grants.iter().find(|grant| grant.matches(&name))?;
    if !matches!(grant.approval, None | Some(ApprovalRule::Never)) {
        return None;
    }
    let hosts: Vec<&str> = grant.hosts.iter().map(|host| host.strip_prefix("*.").unwrap_or(host)).collect();
    let mut definition = match name.as_str() {
        "web_search" => json!({ "type": "web_search_20250305", "max_uses": SEARCHES_MAX }),
        _ if hosts.is_empty() => return None,
        _ => json!({
            "type": "web_fetch_20250910", "max_uses": FETCHES_MAX, "max_content_tokens": PAGE_TOKENS_MAX,
            "citations": { "enabled": true },
        }),
    };
    definition["name"] = Value::from(name.as_str());
    if !hosts.is_empty() {
        definition["allowed_domains"] = Value::from(hosts);
    }
    Some(of_provider(name, definition))
}

fn of_provider(name: ToolName, definition: Value) -> Offer {
    Offer {
        name,
        description: String::new(),
        schema: definition,
        source: Source::Provider,
        class: Class::Read,
        approval: ApprovalRule::Never,
        idempotent: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(pattern: &str, hosts: &[&str], approval: Option<ApprovalRule>) -> Grant {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        Grant { approval, hosts, ..Grant::plain(pattern) }
    }

    #[test]
    fn c12_the_provider_s_tools_are_offered_as_granted_and_never_past_an_approval() {
        let search = |domains: Value| {
            let mut raw = json!({ "type": "web_search_20250305", "name": "web_search", "max_uses": 5 });
            if !domains.is_null() {
                raw["allowed_domains"] = domains;
            }
            raw
        };
        let fetch = json!({
            "type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 5, "max_content_tokens": 20_000,
            "citations": { "enabled": true }, "allowed_domains": ["a.org", "b.org"],
        });
        let code = json!({ "type": "code_execution_20260521", "name": "code_execution" });
        let rows = [
            (vec![], vec![]),
            (vec![grant("time", &[], None)], vec![]),
            (vec![grant("web_search", &[], None)], vec![search(Value::Null)]),
            (vec![grant("web_search", &["a.org"], None)], vec![search(json!(["a.org"]))]),
            (vec![grant("web_fetch", &[], None)], vec![]),
            (vec![grant("web_fetch", &["a.org", "*.b.org"], None)], vec![fetch]),
            (vec![grant("web_search", &[], Some(ApprovalRule::Asker))], vec![]),
            (vec![grant("web_search", &[], Some(ApprovalRule::Never))], vec![search(Value::Null)]),
            (vec![grant("code_execution", &[], None)], vec![code.clone()]),
            (vec![grant("code_execution", &[], Some(ApprovalRule::Asker)), grant("skill_docx", &[], None)], vec![]),
            (vec![grant("skill_docx", &[], None)], vec![]),
            (
                vec![grant("skill_pdf", &[], None), grant("code_execution", &[], Some(ApprovalRule::Never))],
                vec![code, json!({ "type": "skill", "name": "skill_pdf", "skill_id": "pdf" })],
            ),
        ];
        for (grants, expected) in rows {
            let raw: Vec<Value> = offers(&grants).into_iter().map(|offer| offer.schema).collect();
            assert_eq!(raw, expected, "{grants:?}");
        }
    }
}

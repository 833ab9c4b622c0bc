//! Which refusals say that the account cannot pay: by code, else by wording (docs/claude-api.md, section 8).
//!
//! An empty balance, a spend limit that the customer set and an organisation on hold are HTTP 400
//! `invalid_request_error`, told apart from a faulty request by nothing but their words.

/// `details.error_code`s that no waiting and no other request heals.
const CODES: [&str; 6] = [
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "organization_on_hold",
    "organization_disabled",
    "user_profile_billing_not_authorized",
    "user_profile_not_billable",
];

/// Words of which all of one row stand in such a message, in lower case. Gateways' own budgets are among them.
const WORDINGS: [&[&str]; 15] = [
    &["credit balance"],
    &["insufficient credit"],
    &["out of credit"],
    &["api usage limit"],
    &["spend limit"],
    &["spending limit"],
    &["extra usage"],
    &["organi", "disabled"],
    &["organi", "suspended"],
    &["organi", "on hold"],
    &["account", "on hold"],
    &["account", "disabled"],
    &["workspace", "disabled"],
    &["billing", "plan"],
    &["budget", "exceeded"],
];

/// What a message begins with that is about a field of the request: such a one may quote anybody's words.
const FIELDS: [&str; 12] = [
    "messages",
    "tools",
    "system",
    "tool_choice",
    "thinking",
    "output_config",
    "metadata",
    "max_tokens",
    "model",
    "container",
    "cache_control",
    "stop_sequences",
];

/// Returns whether an error says that the account cannot pay.
pub(super) fn is_billing(kind: Option<&str>, code: Option<&str>, message: &str) -> bool {
    matches!(kind, Some("billing_error" | "budget_exceeded"))
        || code.is_some_and(|code| CODES.contains(&code))
        || is_wording(message)
}

fn is_wording(message: &str) -> bool {
    let message = message.to_lowercase();
    let is_about_a_field = FIELDS.iter().any(|field| {
        let rest = message.trim_start_matches(['`', '"', '\'']).strip_prefix(field);
        rest.is_some_and(|rest| rest.starts_with(['.', ':', '[', '`']))
    });
    !is_about_a_field && WORDINGS.iter().any(|words| words.iter().all(|word| message.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_an_account_that_cannot_pay_is_known_by_its_wording_in_any_case_and_a_faulty_request_is_not() {
        for message in [
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            "YOUR CREDIT BALANCE IS TOO LOW TO ACCESS THE ANTHROPIC API.",
            "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC.",
            "You have reached your specified workspace API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
            "This organization has been disabled.",
            "This organisation is on hold.",
            "Your account has been disabled after an automatic review of your recent activities.",
            "Your organization has reached its monthly spend limit.",
            "Extra usage is required for long context requests.",
            "litellm.BadRequestError: AnthropicException - Your credit balance is too low",
            "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0",
            "Insufficient credits. Add more using https://openrouter.ai/credits",
        ] {
            assert!(is_billing(Some("invalid_request_error"), None, message), "{message}");
        }
        for message in [
            "messages.3.content.0.text: your credit balance is too low",
            "tools.0.custom.name: 'spend limit' does not match",
            "`messages`: this organization has been disabled",
            "prompt is too long: 210000 tokens > 200000 maximum",
            "output_config.effort: not supported on claude-haiku-4-5",
            "This request would exceed your organization's rate limit of 2,000,000 input tokens per minute",
            "Could not process image",
            "",
        ] {
            assert!(!is_billing(Some("invalid_request_error"), None, message), "{message}");
        }
        assert!(is_billing(Some("billing_error"), None, "pay"));
        assert!(is_billing(Some("rate_limit_error"), Some("enforced_spend_limit_reached"), "spent"));
        assert!(!is_billing(Some("rate_limit_error"), Some("ramp_limit_exceeded"), "slow down"));
    }
}

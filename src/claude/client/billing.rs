//! Which errors mean that the account cannot pay or may not be used: by type and code, else by wording
//! (docs/claude-api.md, section 8).
//!
//! An empty balance, a spend limit set by the customer and an organisation on hold are HTTP 400
//! `invalid_request_error`. Only their wording tells them from a faulty request. Gateways report the same with 402, 403
//! or 429, in their own words.

use std::time::Duration;

/// Lower-case error types and codes, the API's and gateways', for which neither waiting nor another request helps.
const KINDS: [&str; 32] = [
    "access_terminated",
    "account_deactivated",
    "account_on_hold",
    "account_suspended",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "budget_exceeded",
    "contract_spend_limit_reached",
    "credit_balance_too_low",
    "credits_exhausted",
    "enforced_spend_limit_reached",
    "exceeded_current_quota_error",
    "insufficient_balance",
    "insufficient_credit",
    "insufficient_credits",
    "insufficient_funds",
    "insufficient_quota",
    "insufficient_user_quota",
    "organization_disabled",
    "organization_on_hold",
    "organization_suspended",
    "payment_error",
    "payment_required",
    "payment_required_error",
    "quota_limit_reached",
    "spend_limit_reached",
    "spending_limit_reached",
    "usage_limit_reached",
    "user_profile_billing_not_authorized",
    "user_profile_not_billable",
    "workspace_disabled",
];

/// Lower-case wordings about money; a message matches if it contains all words of one row.
const MONEY: [&[&str]; 43] = [
    &["credit balance"],
    &["insufficient credit"],
    &["insufficient balance"],
    &["insufficient account balance"],
    &["insufficient funds"],
    &["insufficient", "quota"],
    &["not enough", "credit"],
    &["not enough", "balance"],
    &["not enough", "funds"],
    &["out of credit"],
    &["run out of", "credit"],
    &["no credits"],
    &["no remaining credit"],
    &["no more credit"],
    &["credit", "exhausted"],
    &["credit", "depleted"],
    &["credit", "used up"],
    &["balance", "negative"],
    &["balance", "too low"],
    &["low balance"],
    &["add", "credits"],
    &["more credits"],
    &["purchase", "credit"],
    &["top up"],
    &["prepaid"],
    &["payment required"],
    &["payment method"],
    &["payment", "failed"],
    &["payment", "overdue"],
    &["past due"],
    &["unpaid"],
    &["billing", "plan"],
    &["billing", "details"],
    &["billing", "not active"],
    &["billing", "inactive"],
    &["billing", "disabled"],
    &["enable billing"],
    &["billing account"],
    &["set up billing"],
    &["subscription", "expired"],
    &["subscription", "inactive"],
    &["trial", "expired"],
    &["trial", "ended"],
];

/// Wordings about a limit on spending or use, except those in [`PACE`].
const CAPS: [&[&str]; 21] = [
    &["key limit exceeded"],
    &["api usage limit"],
    &["usage limit"],
    &["usage cap"],
    &["spend limit"],
    &["spend cap"],
    &["spending limit"],
    &["spending cap"],
    &["extra usage"],
    &["regain access"],
    &["budget", "exceeded"],
    &["exceeded", "budget"],
    &["over budget"],
    &["budget", "reached"],
    &["monthly", "limit"],
    &["monthly", "quota"],
    &["exceeded", "quota"],
    &["quota", "exhausted"],
    &["quota", "reached"],
    &["quota", "used up"],
    &["workspace", "limit", "reached"],
];

/// Who is disabled, and how that is said: a message needs one word of each list.
const HELD: [&str; 6] = ["organi", "account", "workspace", "project", "tenant", "team"];
const HOW: [&str; 12] = [
    "disabled",
    "suspended",
    "on hold",
    "deactivated",
    "archived",
    "banned",
    "blocked",
    "terminated",
    "locked",
    "not active",
    "inactive",
    "frozen",
];

/// Wordings of rate limits, which pass by themselves.
const PACE: [&str; 12] = [
    "rate limit",
    "rate_limit",
    "ratelimit",
    "per minute",
    "per second",
    "/min",
    "too many requests",
    "concurren",
    "acceleration",
    "requests per",
    "tokens per",
    "retry in",
];

/// Words that in a 403 are about money, although they may mean something else elsewhere.
const ALONE_AT_403: [&str; 7] = ["billing", "payment", "credits", "quota", "spend", "invoice", "budget"];

/// The longest pause of a rate limit; a longer one means a limit on use.
const PACE_PAUSE_MAX: Duration = Duration::from_hours(1);

/// How a message begins that is about a field of the request; such a message may quote anything.
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

/// The parts of an error that decide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) status: u16,
    pub(super) kind: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) message: &'a str,
    /// The pause before a retry, if stated.
    pub(super) retry_after: Option<Duration>,
}

/// Returns whether an error means that the account cannot pay or may not be used.
pub(super) fn is_billing(said: Said<'_>) -> bool {
    if said.status == 402 || [said.kind, said.code].into_iter().flatten().any(is_kind) {
        return true;
    }
    let message = said.message.to_lowercase();
    if !(400..500).contains(&said.status) || is_about_a_field(&message) {
        return false;
    }
    let passes = said.retry_after.is_some_and(|pause| pause <= PACE_PAUSE_MAX);
    let holds = |rows: &[&[&str]]| rows.iter().any(|words| words.iter().all(|word| message.contains(word)));
    if PACE.iter().any(|word| message.contains(word)) || (said.status == 429 && passes) {
        // A rate limit's message may mention the plan that would raise it.
        return !passes && said.status != 429 && holds(&MONEY);
    }
    let any = |words: &[&str]| words.iter().any(|word| message.contains(word));
    holds(&MONEY)
        || holds(&CAPS)
        || (!message.contains("api key") && any(&HELD) && any(&HOW))
        || (said.status == 403 && any(&ALONE_AT_403))
        || (said.status == 429 && any(&["quota", "credit", "billing", "balance"]))
}

fn is_kind(kind: &str) -> bool {
    KINDS.contains(&kind.to_ascii_lowercase().replace(['-', ' '], "_").as_str())
}

fn is_about_a_field(message: &str) -> bool {
    FIELDS.iter().any(|field| {
        let rest = message.trim_start_matches(['`', '"', '\'']).strip_prefix(field);
        rest.is_some_and(|rest| rest.starts_with(['.', ':', '[', '`']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, kind: &'static str, message: &'static str) -> Said<'static> {
        let kind = Some(kind).filter(|kind| !kind.is_empty());
        Said { status, kind, message, ..Said::default() }
    }

    #[test]
    fn c19_an_account_that_cannot_pay_is_known_by_its_type_or_wording_whatever_the_status() {
        for (status, kind, message) in [
            (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            ),
            (400, "invalid_request_error", "YOUR CREDIT BALANCE IS TOO LOW TO ACCESS THE ANTHROPIC API."),
            (
                400,
                "invalid_request_error",
                "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC.",
            ),
            (
                400,
                "invalid_request_error",
                "You have reached your specified workspace API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
            ),
            (400, "invalid_request_error", "This organization has been disabled."),
            (400, "invalid_request_error", "This organisation is on hold."),
            (
                400,
                "invalid_request_error",
                "Your account has been disabled after an automatic review of your recent activities.",
            ),
            (400, "invalid_request_error", "Your organization has reached its monthly spend limit."),
            (400, "invalid_request_error", "Extra usage is required for long context requests."),
            (400, "", "litellm.BadRequestError: AnthropicException - Your credit balance is too low"),
            (400, "", "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0"),
            (402, "", ""),
            (402, "invalid_request_error", "x"),
            (400, "", "Insufficient credits. Add more using https://openrouter.ai/credits"),
            (403, "permission_error", "Your organization's billing is not set up."),
            (403, "permission_error", "Payment required"),
            (403, "forbidden", "Billing must be enabled for this project"),
            (403, "permission_error", "This workspace has been archived."),
            (403, "permission_error", "OAuth token of a suspended account"),
            (403, "", "Monthly quota exhausted"),
            (403, "", "Your prepaid credits have been used up"),
            (401, "authentication_error", "Your subscription has expired"),
            (401, "", "account deactivated"),
            (429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
            (429, "", "You exceeded your current quota, please check your plan and billing details."),
            (429, "rate_limit_error", "You are out of credits"),
            (429, "rate_limit_error", "Workspace monthly limit reached"),
            (429, "", "quota exceeded"),
            (429, "BUDGET-EXCEEDED", "x"),
            (200, "billing_error", "pay"),
            (500, "insufficient_quota", "x"),
        ] {
            assert!(is_billing(said(status, kind, message)), "{status} {kind}: {message}");
        }
        for (status, kind, message) in [
            (400, "invalid_request_error", "messages.3.content.0.text: your credit balance is too low"),
            (400, "invalid_request_error", "tools.0.custom.name: 'spend limit' does not match"),
            (400, "invalid_request_error", "`messages`: this organization has been disabled"),
            (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            (400, "invalid_request_error", "output_config.effort: not supported on claude-haiku-4-5"),
            (400, "invalid_request_error", "Could not process image"),
            (400, "", ""),
            (
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 2,000,000 input tokens per minute",
            ),
            (
                429,
                "rate_limit_error",
                "This request would exceed your workspace's rate limit of 50 requests per minute. Contact sales, or see your plan and billing details.",
            ),
            (429, "rate_limit_error", "Number of concurrent connections has exceeded your rate limit"),
            (429, "", "Quota exceeded for online_prediction_requests_per_minute: 5 requests per minute"),
            (429, "", "Too Many Requests"),
            (403, "permission_error", "Your API key does not have permission to use the specified resource."),
            (403, "permission_error", "This API key has been disabled by your account's administrator"),
            (401, "authentication_error", "invalid x-api-key"),
            (500, "api_error", "billing service unavailable"),
        ] {
            assert!(!is_billing(said(status, kind, message)), "{status} {kind}: {message}");
        }
    }

    #[test]
    fn c19_a_limit_that_passes_soon_by_its_own_word_is_one_of_pace() {
        let quota = |retry_after| Said { retry_after, ..said(429, "", "Quota exceeded") };
        assert!(is_billing(quota(None)) && is_billing(quota(Some(Duration::from_hours(20)))));
        assert!(!is_billing(quota(Some(Duration::from_secs(30)))));
        let spent = Said { code: Some("enforced_spend_limit_reached"), ..quota(Some(Duration::from_secs(30))) };
        assert!(is_billing(spent), "its code says more than its pause");
        assert!(!is_billing(Said { code: Some("ramp_limit_exceeded"), ..said(429, "rate_limit_error", "slow down") }));
    }
}

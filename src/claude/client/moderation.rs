//! Which errors mean that somebody's filter refused the request or its answer, by type, code, fields and wording (C26).
//!
//! The API says so as an invalid request, gateways with 403, 400 or 200 and in their own words, some of which are about money
//! ("No credits were charged"). What was refused is left out of later requests; nothing is wrong with key or account.

/// Lower-case error types and codes of filters.
const KINDS: [&str; 8] = [
    "content_filter",
    "content_filtered",
    "content_policy_violation",
    "guardrail_intervened",
    "guardrail_violation",
    "moderation_blocked",
    "responsibleaipolicyviolation",
    "sensitive_content",
];

/// Lower-case wordings; a message matches if it contains all words of one row.
const WORDINGS: [&[&str]; 15] = [
    &["content filter", "blocked"],
    &["content filter", "policy"],
    &["content_filter"],
    &["content management policy"],
    &["content policy", "violat"],
    &["usage policy", "violat"],
    &["input was flagged"],
    &["content was flagged"],
    &["prompt was flagged"],
    &["flagged for"],
    &["flagged", "moderation"],
    &["guardrail", "violat"],
    &["guardrail", "block"],
    &["guardrail", "interven"],
    &["rejected by the safety system"],
];

/// Returns whether an error is a filter's refusal.
pub(super) fn is_flagged(kind: Option<&str>, code: Option<&str>, message: &str) -> bool {
    let is_named = [kind, code].into_iter().flatten().any(|name| KINDS.contains(&name.to_ascii_lowercase().as_str()));
    let message = message.to_lowercase();
    is_named || WORDINGS.iter().any(|words| words.iter().all(|word| message.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c26_what_a_filter_says_is_told_from_what_is_wrong_with_key_account_or_request() {
        for said in [
            "Output blocked by content filtering policy",
            "anthropic/claude requires moderation on OpenRouter. Your input was flagged for \"violence\". No credits were charged.",
            "Your input was flagged",
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            "Violated guardrail policy",
            "litellm.BadRequestError: Guardrail blocked the request",
            "Your request was rejected by the safety system",
        ] {
            assert!(is_flagged(None, None, said), "{said}");
        }
        for said in [
            "Your credit balance is too low to access the Anthropic API.",
            "Key limit exceeded (total limit).",
            "invalid x-api-key",
            "prompt is too long: 3 tokens > 2 maximum",
            "This model has no moderation",
            "messages: at least one message is required",
            "",
        ] {
            assert!(!is_flagged(Some("invalid_request_error"), Some("403"), said), "{said}");
        }
        assert!(is_flagged(Some("content_filter"), None, "no"));
        assert!(is_flagged(None, Some("ResponsibleAIPolicyViolation"), "no"));
    }
}

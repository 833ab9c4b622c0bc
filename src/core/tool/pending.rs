//! A call that waits until people have decided about it.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{ApprovalRule, Class, ToolName, canonical};
use crate::core::hex::hex;

/// A call that awaits a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The id of the `tool_use` block.
    pub call: String,
    /// The tool's name.
    pub tool: ToolName,
    /// Whether it reads or writes.
    pub class: Class,
    /// Who may decide.
    pub rule: ApprovalRule,
    /// The arguments with which the call will run.
    pub arguments: Value,
}

impl Pending {
    /// Returns the hexadecimal SHA-256 of everything that the decision is about.
    #[must_use]
    pub fn digest(&self) -> String {
        // The last element belonged to earlier cards; keeping it leaves open cards valid.
        let rule = serde_json::json!([self.call, self.tool, self.class, self.rule, false]);
        hex(&Sha256::new().chain_update(canonical(&rule)).chain_update(canonical(&self.arguments)).finalize())
    }

    /// Returns the card's number within its run; other arguments give another number.
    #[must_use]
    pub fn number(&self) -> u64 {
        number(&self.digest())
    }
}

/// Returns the number of the card about the call with this digest.
#[must_use]
pub fn number(digest: &str) -> u64 {
    digest.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

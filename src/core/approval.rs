//! What a call that needs somebody's approval looks like to those who are asked (C12).

use serde_json::Value;

use super::tool::{ApprovalRule, Class, ToolName};

/// A call that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `tool_use_id`
    pub call: String,
    /// The tool.
    pub tool: ToolName,
    /// What it does.
    pub class: Class,
    /// Whose approval it needs.
    pub rule: ApprovalRule,
    /// What it is called with, exactly as it will run.
    pub arguments: Value,
    /// Whether the tool is not the one that was granted or approved before.
    pub changed: bool,
}

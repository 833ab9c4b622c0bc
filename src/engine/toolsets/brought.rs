//! The tools that Workmate brings, as they are offered.

use serde_json::json;

use crate::core::{
    room_tools::RoomTool,
    timetable::REMINDER_CHARS_MAX,
    tool::{ApprovalRule, Class, Offer, Source, ToolName, built_in},
};

/// The assistants' tool that sets up a task.
pub(in crate::engine) const TASK_TOOL: &str = "task_add";
/// The tool that sets a reminder.
const REMINDER_TOOL: &str = "reminder_add";

/// Returns the room tools. Repeating a call after a crash has no further effect.
pub(super) fn room_offers() -> Vec<Offer> {
    let offer = |tool: RoomTool| {
        Some(Offer {
            name: ToolName::parse(tool.name())?,
            description: tool.description().to_owned(),
            schema: tool.input_schema(),
            source: Source::Room,
            class: if tool.writes() { Class::Write } else { Class::Read },
            approval: tool.approval(),
            idempotent: true,
        })
    };
    RoomTool::ALL.into_iter().filter_map(offer).collect()
}

/// Returns the assistants' tools for reminders and tasks. What they keep is the owner's own and leaves nowhere. A
/// reminder needs no approval; a task makes the model work later, so its owner has to see the whole of it. The same call
/// sets one however often it is made.
pub(super) fn chat_offers() -> impl Iterator<Item = Offer> {
    let offer = |name: &str, what: &str, about: &str, class: Class, approval: ApprovalRule| {
        let properties = json!({
            "when": { "type": "string", "description": "When, e.g. tomorrow at 10:00, in 20 minutes, every monday at 9." },
            what: { "type": "string", "description": format!("{about}, at most {REMINDER_CHARS_MAX} characters.") },
        });
        Some(Offer {
            name: ToolName::parse(name)?,
            description: built_in(name)?.told.trim_end().to_owned(),
            schema: json!({
                "type": "object", "properties": properties, "required": ["when", what], "additionalProperties": false,
            }),
            source: Source::Chat,
            class,
            approval,
            idempotent: true,
        })
    };
    let reminder = offer(REMINDER_TOOL, "text", "What to say then", Class::Read, ApprovalRule::Never);
    let task = offer(TASK_TOOL, "task", "What to do then", Class::Write, ApprovalRule::Asker);
    reminder.into_iter().chain(task)
}

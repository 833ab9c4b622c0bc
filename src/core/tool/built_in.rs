//! Workmate's own tools in one list, from which the configuration, the offers and `docs/tools.md` are made.

/// Who executes a built-in tool's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The engine, in the run's room. Such a tool acts on a shared room, so assistants do not have it.
    Room,
    /// The engine, in an assistant's chat with its owner. Only assistants have such a tool.
    Chat,
    /// This process, outside any room.
    Process,
    /// The provider, before anybody here sees the call.
    Provider,
}

/// One of Workmate's own tools.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Its name in the config and for the model.
    pub name: &'static str,
    /// Who executes its calls.
    pub by: By,
    /// Whether it changes something, so that a call may need an approval.
    pub writes: bool,
    /// Whether it opens addresses and needs a list of hosts.
    pub reaches: bool,
    /// Its description for the model; empty for a provider's tool, which the provider describes.
    pub told: &'static str,
    /// Its description for operators.
    pub about: &'static str,
}

impl BuiltIn {
    /// Returns whether a coworker may have it.
    #[must_use]
    pub fn is_for_coworkers(&self) -> bool {
        self.by != By::Chat
    }

    /// Returns whether an assistant may have it.
    #[must_use]
    pub fn is_for_assistants(&self) -> bool {
        self.by != By::Room
    }
}

/// All of Workmate's own tools, by name.
pub static BUILT_IN: [BuiltIn; 19] = [
    writing("attach_file", include_str!("../../prompts/tools/attach_file.md"), "Posts a text file into the thread."),
    provided(
        "code_execution",
        "Computes on the files of the thread, in a container of Anthropic's, and posts what it makes.",
    ),
    BuiltIn {
        reaches: true,
        by: By::Process,
        ..reading(
            "http_get",
            include_str!("../../prompts/tools/http_get.md"),
            "Reads an address of the hosts that are named.",
        )
    },
    writing("note_add", include_str!("../../prompts/tools/note_add.md"), "Keeps a note for the room."),
    reading("note_list", include_str!("../../prompts/tools/note_list.md"), "Lists the room's notes."),
    writing("note_remove", include_str!("../../prompts/tools/note_remove.md"), "Removes one of the room's notes."),
    BuiltIn {
        by: By::Chat,
        ..reading(
            "reminder_add",
            include_str!("../../prompts/tools/reminder_add.md"),
            "Reminds an assistant's owner at a time.",
        )
    },
    reading("room_members", include_str!("../../prompts/tools/room_members.md"), "Lists who is in the room."),
    reading("room_read", include_str!("../../prompts/tools/room_read.md"), "Reads the room from some time on."),
    reading("room_search", include_str!("../../prompts/tools/room_search.md"), "Searches the room's messages."),
    writing(
        "schedule_add",
        include_str!("../../prompts/tools/schedule_add.md"),
        "Sets up work in the room at set times; its asker approves, unless the grant says otherwise.",
    ),
    provided("skill_docx", "With code_execution: makes Word documents."),
    provided("skill_pdf", "With code_execution: makes PDFs."),
    provided("skill_pptx", "With code_execution: makes slides."),
    provided("skill_xlsx", "With code_execution: makes spreadsheets."),
    BuiltIn {
        by: By::Chat,
        ..writing(
            "task_add",
            include_str!("../../prompts/tools/task_add.md"),
            "Does something for an assistant's owner at a time; they approve, unless the grant says otherwise.",
        )
    },
    BuiltIn {
        by: By::Process,
        ..reading("time", include_str!("../../prompts/tools/time.md"), "Tells the time in UTC.")
    },
    BuiltIn { reaches: true, ..provided("web_fetch", "Anthropic reads pages of the hosts that are named.") },
    provided("web_search", "Anthropic searches the web, or the hosts that are named."),
];

const fn reading(name: &'static str, told: &'static str, about: &'static str) -> BuiltIn {
    BuiltIn { name, by: By::Room, writes: false, reaches: false, told, about }
}

const fn provided(name: &'static str, about: &'static str) -> BuiltIn {
    BuiltIn { by: By::Provider, ..reading(name, "", about) }
}

const fn writing(name: &'static str, told: &'static str, about: &'static str) -> BuiltIn {
    BuiltIn { writes: true, ..reading(name, told, about) }
}

/// Returns the built-in tool of that name.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|tool| tool.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::room_tools::RoomTool, kept::kept};

    #[test]
    fn every_tool_of_a_room_is_in_the_list_and_the_other_way_round() {
        let listed: Vec<_> = BUILT_IN.iter().filter(|tool| tool.by == By::Room).map(|tool| tool.name).collect();
        let mut carried_out: Vec<_> = RoomTool::ALL.iter().map(|tool| tool.name()).collect();
        carried_out.sort_unstable();
        assert_eq!(listed, carried_out);
        assert!(BUILT_IN.iter().all(|tool| tool.told.is_empty() == (tool.by == By::Provider)));
    }

    #[test]
    fn docs_tools_is_made_of_the_list() {
        let row = |tool: &BuiltIn| {
            let by = match tool.by {
                By::Room => "in the room",
                By::Chat => "in the owner's chat",
                By::Process => "by Workmate",
                By::Provider => "by Anthropic",
            };
            let yes = |is: bool| if is { "yes" } else { "no" };
            let (writes, hosts, assistants) = (yes(tool.writes), yes(tool.reaches), yes(tool.is_for_assistants()));
            format!("| `{}` | {} | {by} | {writes} | {hosts} | {assistants} |\n", tool.name, tool.about)
        };
        let rows: String = BUILT_IN.iter().map(row).collect();
        kept(
            "docs/tools.md",
            &format!(
                "# Tools that Workmate brings\n\nA coworker or the assistants have those that their `tools:` grant\n\
                 ([configuration](configuration.md)), and tools of MCP servers likewise. This page is made of the list in\n\
                 `src/core/tool/built_in.rs`.\n\n\
                 | tool | what it does | where it is carried out | it writes | it needs `hosts` | assistants may have it |\n\
                 | --- | --- | --- | --- | --- | --- |\n{rows}"
            ),
        );
    }
}

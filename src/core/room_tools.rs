//! The built-in tools that act on one room: their descriptions for the model, their arguments and results. No IO: the
//! engine passes in the room's events, notes and members.
//!
//! Results are text for the model: a first line that says what follows, then one JSON record on each line, so that
//! nobody can forge a speaker.

mod arguments;
mod file;
mod pages;
mod schemas;
#[cfg(test)]
mod tests;
mod work;

use serde_json::Value;

use super::tool::{ApprovalRule, built_in};

pub(in crate::core) use self::arguments::{given, shape, short, times, user};
pub(crate) use self::{
    arguments::{ArgumentError, MembersQuery, Query, Range},
    file::{FILE_BYTES_MAX, FileToAttach, MEDIA_TYPES},
    pages::{People, Source, members, notes, read, search},
    work::NewWork,
};

/// A built-in tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RoomTool {
    /// `room_search`
    Search,
    /// `room_read`
    Read,
    /// `room_members`
    Members,
    /// `note_add`
    NoteAdd,
    /// `note_list`
    NoteList,
    /// `note_remove`
    NoteRemove,
    /// `attach_file`
    AttachFile,
    /// `schedule_add`
    ScheduleAdd,
}

/// A call with checked arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// See [`search`].
    Search(Query),
    /// See [`read`].
    Read(Range),
    /// See [`members`].
    Members(MembersQuery),
    /// Add with [`super::notes::Notes::add`].
    NoteAdd {
        /// The note's text; not blank.
        text: String,
    },
    /// See [`notes`].
    NoteList,
    /// Remove with [`super::notes::Notes::remove`].
    NoteRemove {
        /// The note's number.
        number: u32,
    },
    /// Post into the thread.
    AttachFile(FileToAttach),
    /// Set up work at set times.
    ScheduleAdd(NewWork),
}

impl RoomTool {
    /// All of these tools.
    pub(crate) const ALL: [Self; 8] = [
        Self::Search,
        Self::Read,
        Self::Members,
        Self::NoteAdd,
        Self::NoteList,
        Self::NoteRemove,
        Self::AttachFile,
        Self::ScheduleAdd,
    ];

    /// Returns the tool with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Returns its name in the config and for the model.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Search => "room_search",
            Self::Read => "room_read",
            Self::Members => "room_members",
            Self::NoteAdd => "note_add",
            Self::NoteList => "note_list",
            Self::NoteRemove => "note_remove",
            Self::AttachFile => "attach_file",
            Self::ScheduleAdd => "schedule_add",
        }
    }

    /// Returns its description for the model.
    #[must_use]
    pub(crate) fn description(self) -> &'static str {
        built_in(self.name()).map_or("", |tool| tool.told).trim_end()
    }

    /// Returns the JSON schema of its arguments.
    #[must_use]
    pub(crate) fn input_schema(self) -> Value {
        schemas::of(self)
    }

    /// Returns whether it changes something, so that a call may need an approval.
    #[must_use]
    pub(crate) fn writes(self) -> bool {
        built_in(self.name()).is_some_and(|tool| tool.writes)
    }

    /// Returns who has to approve a call unless a grant says otherwise. What stays in the room, where everybody sees it
    /// and can redact it, needs nobody; what goes on by itself, and costs each time, does.
    #[must_use]
    pub(crate) fn approval(self) -> ApprovalRule {
        if self == Self::ScheduleAdd { ApprovalRule::Asker } else { ApprovalRule::Never }
    }

    /// Checks a call's arguments.
    ///
    /// # Errors
    /// A text for the model: which argument is wrong, and what it should be.
    pub(crate) fn call(self, arguments: &Value) -> Result<Call, ArgumentError> {
        match self {
            Self::Search => Query::parse(arguments).map(Call::Search),
            Self::Read => Range::parse(arguments).map(Call::Read),
            Self::Members => MembersQuery::parse(arguments).map(Call::Members),
            Self::NoteAdd => arguments::note_text(arguments).map(|text| Call::NoteAdd { text }),
            Self::NoteList => arguments::none(arguments).map(|()| Call::NoteList),
            Self::NoteRemove => arguments::note_number(arguments).map(|number| Call::NoteRemove { number }),
            Self::AttachFile => FileToAttach::parse(arguments).map(Call::AttachFile),
            Self::ScheduleAdd => NewWork::parse(arguments).map(Call::ScheduleAdd),
        }
    }
}

//! Computing in the provider's container (C24): what goes into it, whether a thread's container is used again, and what
//! of its files is posted.
//!
//! Nothing here does IO. What the provider says is not trusted: ids are checked before they become part of an address,
//! names lose what steers, and everything is counted.

mod made;
mod session;
#[cfg(test)]
mod tests;

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use self::{
    made::{Look, Made, Unposted, add_made, chosen, looked_at, media_type, name_of, picture_type},
    session::{Session, SessionKey},
};

/// The tool's name in the config and for the model.
pub(crate) const TOOL: &str = "code_execution";
/// The `type` by which a skill's offer is told from a tool's definition.
pub(crate) const SKILL: &str = "skill";
/// How the names of skills begin in the config.
const SKILL_PREFIX: &str = "skill_";
/// The skills for office documents, by their ids at the provider.
const SKILLS: [&str; 4] = ["docx", "pdf", "pptx", "xlsx"];

/// Most files of a context that go into the container.
pub(crate) const UPLOADS_MAX: usize = 10;
/// Most bytes of them together.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 50 << 20;
/// Most bytes of one of them.
pub(crate) const UPLOAD_EACH_MAX: u64 = 25 << 20;
/// How long the provider keeps an uploaded file if nobody deletes it, in seconds.
pub(crate) const UPLOAD_EXPIRES_SECONDS: u32 = 24 * 60 * 60;
/// Most files of one run, and of one result, whose ids are kept; the newest count.
pub(crate) const MADE_MAX: usize = 1_000;
/// Most of them whose names are asked for; the newest count.
pub(crate) const LOOKED_AT_MAX: usize = 40;
/// Most files that one run posts.
pub(crate) const POSTED_MAX: usize = 10;
/// Most bytes of a posted file.
pub(crate) const POSTED_EACH_MAX: u64 = 25 << 20;
/// Most bytes that one run posts.
pub(crate) const POSTED_BYTES_MAX: u64 = 50 << 20;
/// Characters of an id of the provider's.
const ID_CHARS_MAX: usize = 128;

/// What a prompt takes along into the provider's container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Computing {
    /// The container that the thread used before, if it may go on there.
    pub container: Option<String>,
    /// The skills to load, by their ids at the provider.
    pub skills: Vec<String>,
    /// The files of the context.
    pub uploads: Vec<Upload>,
}

/// A file of the context at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// `file_…`
    pub file: String,
    /// Its name in the container.
    pub name: String,
    /// The message that has it.
    pub event: OwnedEventId,
}

/// Whose a file at the provider is; kept until the file is deleted there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// The run that it is for. Once that is over, nobody needs it.
    pub(crate) run: String,
    /// When it was noted.
    pub(crate) noted_at: super::time::Timestamp,
    /// The message that has it, and its place among the message's files; `None` for a file that the run made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<(OwnedEventId, usize)>,
}

impl Computing {
    /// Returns what tells the model of the uploaded files; `None` if there are none.
    #[must_use]
    pub fn listing(&self) -> Option<String> {
        if self.uploads.is_empty() {
            return None;
        }
        let files: Vec<_> =
            self.uploads.iter().map(|upload| json!({ "event_id": upload.event, "name": upload.name })).collect();
        Some(json!({ "files_in_container": files }).to_string())
    }
}

/// Returns the skill that a tool's name grants, by its id at the provider.
#[must_use]
pub(crate) fn skill_of(tool: &str) -> Option<&str> {
    tool.strip_prefix(SKILL_PREFIX).filter(|skill| SKILLS.contains(skill))
}

/// Returns the names of the tools that stand for computing and its skills.
pub(crate) fn tool_names() -> impl Iterator<Item = String> {
    let skills = SKILLS.iter().map(|skill| format!("{SKILL_PREFIX}{skill}"));
    std::iter::once(TOOL.to_owned()).chain(skills)
}

/// Returns whether a tool is code execution or one of its skills.
#[must_use]
pub(crate) fn is_of_container(tool: &str) -> bool {
    tool == TOOL || skill_of(tool).is_some()
}

/// Returns an id of the provider's if it can be part of an address.
#[must_use]
pub(crate) fn checked_id(id: &str) -> Option<&str> {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    (!id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(plain)).then_some(id)
}

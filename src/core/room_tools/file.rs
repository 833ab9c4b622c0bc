//! The file of an `attach_file`: a harmless name and a text of bounded size.

use serde::Deserialize;
use serde_json::Value;

use super::arguments::{ArgumentError, given, shape};
use crate::core::file_name;

/// Most bytes of such a file.
pub(crate) const FILE_BYTES_MAX: usize = 256 * 1024;
/// The allowed media types; none that a browser executes.
pub(crate) const MEDIA_TYPES: [&str; 9] = [
    "text/plain",
    "text/markdown",
    "text/csv",
    "text/tab-separated-values",
    "text/calendar",
    "text/x-diff",
    "application/json",
    "application/yaml",
    "application/xml",
];

/// A text file to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileToAttach {
    /// Its name, without folders, control and direction characters.
    pub name: String,
    /// Its content.
    pub text: String,
    /// One of [`MEDIA_TYPES`].
    pub media_type: &'static str,
}

impl FileToAttach {
    pub(super) fn parse(arguments: &Value) -> Result<Self, ArgumentError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            name: Option<Value>,
            text: Option<Value>,
            media_type: Option<Value>,
        }
        let raw: Raw = shape(arguments)?;
        let name = given(raw.name.as_ref(), "name")?.as_str().map(file_name::cleaned).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ArgumentError::wrong("name", "a file name such as \"report.md\""))?;
        let text = given(raw.text.as_ref(), "text")?.as_str();
        let text = text.filter(|text| !text.is_empty() && text.len() <= FILE_BYTES_MAX);
        let text = text.ok_or_else(|| {
            ArgumentError::wrong("text", format!("a text of 1 to {FILE_BYTES_MAX} bytes; split what is longer"))
        })?;
        let media_type = match &raw.media_type {
            None => by_ending(&name),
            Some(wanted) => {
                let known = wanted.as_str().map(essence).unwrap_or_default();
                let known = MEDIA_TYPES.into_iter().find(|media_type| *media_type == known);
                known.ok_or_else(|| {
                    ArgumentError::wrong("media_type", format!("one of {}, or left out", MEDIA_TYPES.join(", ")))
                })?
            }
        };
        Ok(Self { name, text: text.to_owned(), media_type })
    }
}

/// Returns a media type without parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn by_ending(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "md" | "markdown" => "text/markdown",
        "csv" => "text/csv",
        "tsv" => "text/tab-separated-values",
        "ics" => "text/calendar",
        "diff" | "patch" => "text/x-diff",
        "json" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "xml" => "application/xml",
        _ => "text/plain",
    }
}

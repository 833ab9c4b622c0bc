//! Containers of code execution, and the files that are made there.

use super::{ContentBlock, Fields, Json};
use crate::core::time::Timestamp;

/// Most files that are read of one result.
pub const MADE_OF_A_RESULT_MAX: usize = 1_000;
/// The types of results that name files.
const RESULTS: [&str; 2] = ["code_execution_tool_result", "bash_code_execution_tool_result"];

/// `container` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `container_…`
    pub id: String,
    /// When the provider ends it, if it says so.
    pub expires_at: Option<Timestamp>,
}

impl Container {
    /// Reads it: an object, or the id alone.
    #[must_use]
    pub fn read(json: &Json) -> Option<Self> {
        if let Ok(id) = json.read::<String>() {
            return Some(Self { id, expires_at: None });
        }
        let fields: Fields = json.read().ok()?;
        let expires_at = fields.part::<String>("expires_at").and_then(|at| at.parse::<jiff::Timestamp>().ok());
        Some(Self { id: fields.part("id")?, expires_at: expires_at.map(|at| Timestamp::from_ms(at.as_millisecond())) })
    }
}

impl ContentBlock {
    /// Returns the ids of the files that a result of code execution names.
    #[must_use]
    pub fn made_files(&self) -> Vec<String> {
        let Self::Other(fields) = self else { return Vec::new() };
        if !RESULTS.contains(&self.kind().as_str()) {
            return Vec::new();
        }
        let result: Option<Fields> = fields.part("content");
        let files: Option<Vec<Fields>> = result.and_then(|result| result.part("content"));
        let ids = files.unwrap_or_default().into_iter().filter_map(|file| file.part("file_id"));
        ids.take(MADE_OF_A_RESULT_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_a_container_is_read_in_each_form_and_nothing_else_is_one() {
        for (written, expected) in [
            (r#"{"id":"container_1","expires_at":"1970-01-01T00:01:00Z"}"#, Some(("container_1", Some(60_000)))),
            (r#"{"id":"container_1","expires_at":"soon","skills":[{"skill_id":"docx"}]}"#, Some(("container_1", None))),
            (r#""container_1""#, Some(("container_1", None))),
            (r#"{"expires_at":"1970-01-01T00:01:00Z"}"#, None),
            (r#"{"id":7}"#, None),
            ("[]", None),
        ] {
            let read = Container::read(&Json::parse(written).expect("it is JSON"));
            let expected =
                expected.map(|(id, at)| Container { id: id.to_owned(), expires_at: at.map(Timestamp::from_ms) });
            assert_eq!(read, expected, "{written}");
        }
    }

    #[test]
    fn c24_results_and_errors_of_code_execution_come_back_as_written_and_name_their_files() {
        for (written, files) in [
            (
                r#"{"type":"bash_code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"bash_code_execution_result","stdout":"é\u00e9","stderr":"","return_code":0,"content":[{"type":"bash_code_execution_output","file_id":"file_1"},{"type":"bash_code_execution_output","file_id":"file_2"}]}}"#,
                vec!["file_1", "file_2"],
            ),
            (
                r#"{"type":"code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"encrypted_code_execution_result","encrypted_stdout":"eA==","stderr":"","return_code":0,"content":[{"type":"code_execution_output","file_id":"file_3"}]}}"#,
                vec!["file_3"],
            ),
            (
                r#"{"type":"bash_code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"bash_code_execution_tool_result_error","error_code":"output_file_too_large"}}"#,
                vec![],
            ),
            (
                r#"{"type":"text_editor_code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"text_editor_code_execution_tool_result_error","error_code":"container_expired","error_message":null}}"#,
                vec![],
            ),
            (
                r#"{"type":"text_editor_code_execution_tool_result","tool_use_id":"s","content":{"type":"text_editor_code_execution_view_result","content":"x","file_type":"text","num_lines":1,"start_line":1,"total_lines":1.0}}"#,
                vec![],
            ),
            (r#"{"type":"container_upload","file_id":"file_4"}"#, vec![]),
            (r#"{"type":"bash_code_execution_tool_result","content":{"content":[{"file_id":7},[],{}]}}"#, vec![]),
            (r#"{"type":"bash_code_execution_tool_result","content":[1]}"#, vec![]),
            (r#"{"type":"bash_code_execution_tool_result"}"#, vec![]),
        ] {
            let block: ContentBlock = serde_json::from_str(written).expect(written);
            assert_eq!(serde_json::to_string(&block).expect("a block serializes"), written);
            assert_eq!(block.made_files(), files, "{written}");
        }
        let outputs = vec![serde_json::json!({ "file_id": "file_1" }); 5_000];
        let block = serde_json::json!({ "type": "bash_code_execution_tool_result", "content": { "content": outputs } });
        let block: ContentBlock = serde_json::from_value(block).expect("a block");
        assert_eq!(block.made_files().len(), MADE_OF_A_RESULT_MAX);
    }
}

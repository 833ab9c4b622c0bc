//! What is too large to be journaled with every step of a run: results of the provider's own tools, and pictures; and
//! what is not to be journaled, summaries of the model's thinking.
//!
//! They are kept in memory beside the journaled rounds. In the place of a result stands one that says that it is not there
//! any more, which the API takes: after a crash the model goes on without it, and can fetch it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::prompt::{FileContent, Round};

/// Results larger than this are kept beside, in bytes.
const LARGE_BYTES: usize = 256 << 10;

/// The provider's tools whose results may be large.
const PROVIDERS: [&str; 5] =
    ["web_fetch", "web_search", "code_execution", "bash_code_execution", "text_editor_code_execution"];

/// What is kept beside the rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stowed {
    /// Whole blocks, by what stands in their places.
    blocks: BTreeMap<String, Arc<str>>,
    /// Pictures, by the call that they are the result of.
    pictures: BTreeMap<String, Vec<FileContent>>,
}

impl Stowed {
    /// Takes large results out of a turn's blocks.
    pub(super) fn stow(&mut self, blocks: Vec<String>) -> Vec<String> {
        let stow = |raw: String| match stub(&raw) {
            Some(stub) => {
                self.blocks.insert(stub.clone(), raw.into());
                stub
            }
            None => raw,
        };
        blocks.into_iter().map(stow).collect()
    }

    /// Returns blocks with what was taken out of them.
    pub(super) fn whole(&self, blocks: &[String]) -> Vec<String> {
        let whole = |raw: &String| self.blocks.get(raw).map_or_else(|| raw.clone(), ToString::to_string);
        blocks.iter().map(whole).collect()
    }

    pub(super) fn drop_pictures(&mut self) {
        self.pictures.clear();
    }

    pub(super) fn show(&mut self, call: &str, pictures: Vec<FileContent>) {
        if pictures.is_empty() {
            self.pictures.remove(call);
        } else {
            self.pictures.insert(call.to_owned(), pictures);
        }
    }

    /// Returns rounds as they go to the model.
    pub(super) fn rounds(&self, rounds: &[Round]) -> Vec<Round> {
        let whole = |round: &Round| {
            let mut results = round.results.clone();
            for result in &mut results {
                result.pictures = self.pictures.get(&result.call).cloned().unwrap_or_default();
            }
            Round { said: self.whole(&round.said), results }
        };
        rounds.iter().map(whole).collect()
    }
}

/// Returns what stands in the place of a large result of the provider's, or of thinking that tells what it is about.
fn stub(raw: &str) -> Option<String> {
    let is_large = raw.len() > LARGE_BYTES;
    if !is_large && !raw.contains(r#""thinking""#) {
        return None;
    }
    let mut block: Value = serde_json::from_str(raw).ok()?;
    let kind = block["type"].as_str()?;
    if kind == "thinking" {
        let tells = block["thinking"].as_str().is_some_and(|text| !text.is_empty());
        block["thinking"] = "".into();
        return tells.then(|| block.to_string());
    }
    if !is_large {
        return None;
    }
    let tool = kind.strip_suffix("_tool_result").filter(|tool| PROVIDERS.contains(tool))?;
    let error = json!({ "type": format!("{tool}_tool_result_error"), "error_code": "unavailable" });
    Some(json!({ "type": kind, "tool_use_id": block["tool_use_id"], "content": error }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::prompt::ToolResult;

    #[test]
    fn c12_a_large_result_goes_back_whole_and_is_not_journaled() {
        let large = json!({ "type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": {
            "type": "web_fetch_result", "url": "https://a.org/", "content": { "type": "document",
            "source": { "type": "base64", "media_type": "application/pdf", "data": "A".repeat(LARGE_BYTES) } } } })
        .to_string();
        let small = r#"{"type":"text","text":"x"}"#.to_owned();
        let mut stowed = Stowed::default();
        let kept = stowed.stow(vec![small.clone(), large.clone()]);
        assert_eq!(kept[0], small);
        assert!(
            kept[1].len() < 300 && kept[1].contains("unavailable") && kept[1].contains("srvtoolu_1"),
            "{}",
            kept[1]
        );
        assert_eq!(stowed.whole(&kept), [small, large]);
        assert_eq!(Stowed::default().whole(&kept), kept, "after a crash the model is told that it is gone");
    }

    #[test]
    fn c9_a_summary_of_thinking_goes_back_whole_and_is_not_journaled() {
        let told = json!({ "type": "thinking", "thinking": "I compare.", "signature": "s1" }).to_string();
        let untold = r#"{"type":"thinking","thinking":"","signature":"s2"}"#.to_owned();
        let text = r#"{"type":"text","text":"I was \"thinking\""}"#.to_owned();
        let all = vec![told, untold.clone(), text.clone()];
        let mut stowed = Stowed::default();
        let kept = stowed.stow(all.clone());
        assert!(!kept[0].contains("compare") && kept[0].contains("s1"), "{}", kept[0]);
        assert_eq!((&kept[1], &kept[2]), (&untold, &text));
        assert_eq!(stowed.whole(&kept), all);
    }

    #[test]
    fn c12_pictures_stand_with_the_result_of_their_call() {
        let picture = FileContent::Image { media_type: "image/png", base64: "aW1n".into() };
        let result = |call: &str| ToolResult { call: call.to_owned(), ..ToolResult::default() };
        let round = Round { said: vec![], results: vec![result("a"), result("b")] };
        let mut stowed = Stowed::default();
        stowed.show("b", vec![picture.clone()]);
        stowed.show("a", vec![]);
        let whole = stowed.rounds(std::slice::from_ref(&round));
        assert_eq!((whole[0].results[0].pictures.len(), &whole[0].results[1].pictures), (0, &vec![picture]));
    }
}

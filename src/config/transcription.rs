//! `transcription:`, the recogniser that hears voice messages (C25); without its `url` there is none.

use super::{
    Transcription,
    fault::{Faults, Trouble, shown},
    secrets::{Found, Sources},
    section::Section,
    value,
    yaml::Node,
};

/// The default model's name, which is OpenAI's first.
pub(super) const MODEL: &str = "whisper-1";

pub(super) fn transcription(root: &Section<'_>, sources: &Sources<'_>, faults: &mut Faults) -> Option<Transcription> {
    let section = root.section("transcription", faults);
    let url = section.get("url", faults, |node| value::base_url(node, "/v1"));
    let api_key = match sources.secret(&section, "api_key", faults) {
        Found::Given(secret) => Some(secret),
        Found::Faulty | Found::Absent => None,
    };
    let model = section.get("model", faults, value::model);
    let language = section.get("language", faults, language);
    Some(Transcription { url: url?, model: model.unwrap_or_else(|| MODEL.to_owned()), api_key, language })
}

fn language(node: &Node) -> Result<String, Trouble> {
    let text = value::text(node)?;
    if matches!(text.len(), 2 | 3) && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(text);
    }
    Err(Trouble::new(
        format!("{} is no language's code", shown(&text)),
        "Recognisers take the codes of ISO 639.",
        "write two or three small letters such as en or de, or remove the line, so that it guesses.",
    ))
}

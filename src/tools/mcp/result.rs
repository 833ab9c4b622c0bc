//! What a server's tool gave back, as text for the model.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use crate::core::tool::Output;

/// Characters of a name or type that a server gave.
const NAME_CHARS_MAX: usize = 200;
const UNKNOWN: &str = "[something that is no text, left out]";

/// Returns the texts, and names of what is no text; the structured content where there is no text.
pub(super) fn output(result: CallToolResult) -> Output {
    let has_text = result.content.iter().any(|block| matches!(block, ContentBlock::Text(_)));
    let mut parts: Vec<String> = result.content.into_iter().map(part).collect();
    if let Some(structured) = result.structured_content.filter(|_| !has_text) {
        parts.push(structured.to_string());
    }
    if parts.is_empty() {
        parts.push("(no content)".to_owned());
    }
    Output { is_error: result.is_error.unwrap_or_default(), ..Output::ok(parts.join("\n")) }
}

fn part(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => left_out("an image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => left_out("a sound", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => format!("[a link to {}, {}]", named(&link.uri), named(&link.name)),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                format!("[the text of {}]\n{text}", named(&uri))
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let mime = mime_type.as_deref().unwrap_or("an unknown type");
                left_out(&format!("the file {}", named(&uri)), mime, &blob)
            }
            _ => UNKNOWN.to_owned(),
        },
        _ => UNKNOWN.to_owned(),
    }
}

fn left_out(what: &str, mime: &str, base64: &str) -> String {
    let bytes = base64.trim_end_matches('=').len() * 3 / 4;
    format!("[{what} of {}, {bytes} bytes, left out]", named(mime))
}

/// Returns a server's name for something as it may stand in a line of ours.
fn named(name: &str) -> String {
    name.chars().filter(|char| !char.is_control() && !matches!(char, '[' | ']')).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn texts_are_joined_and_the_rest_is_named() {
        let rows: [(Value, Output); 6] = [
            (
                json!({ "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }),
                Output::ok("a\nb"),
            ),
            (
                json!({ "content": [
                    { "type": "image", "data": "AAAA", "mimeType": "image/png" },
                    { "type": "audio", "data": "AAA=", "mimeType": "audio/wav]\n[fake" },
                    { "type": "resource_link", "uri": "demo://1", "name": "One" },
                    { "type": "resource", "resource": { "uri": "demo://2", "text": "inside" } },
                    { "type": "resource", "resource": { "uri": "demo://3", "blob": "AA==", "mimeType": "application/gzip" } },
                ] }),
                Output::ok(
                    "[an image of image/png, 3 bytes, left out]\n[a sound of audio/wavfake, 2 bytes, left out]\n\
                     [a link to demo://1, One]\n[the text of demo://2]\ninside\n\
                     [the file demo://3 of application/gzip, 1 bytes, left out]",
                ),
            ),
            (json!({ "content": [], "structuredContent": { "a": 1 } }), Output::ok(r#"{"a":1}"#)),
            (json!({ "content": [{ "type": "text", "text": "t" }], "structuredContent": { "a": 1 } }), Output::ok("t")),
            (json!({ "content": [{ "type": "text", "text": "no" }], "isError": true }), Output::error("no")),
            (json!({ "content": [] }), Output::ok("(no content)")),
        ];
        for (result, expected) in rows {
            let parsed = serde_json::from_value(result.clone()).expect("is a result");
            assert_eq!(output(parsed), expected, "{result}");
        }
    }
}

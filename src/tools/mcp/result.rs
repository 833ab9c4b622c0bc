//! A tool's result as text for the model.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::model::{CallToolResult, ContentBlock, ImageContent, ResourceContents};

use crate::core::{prompt::Found, tool::Output};

/// Most characters of a name or type from a server.
const NAME_CHARS_MAX: usize = 200;
/// Most pictures of a result.
const PICTURES_MAX: usize = 8;
/// Most bytes of a picture.
const PICTURE_BYTES_MAX: usize = 8 << 20;
/// Most things found of a result that can be cited; further ones are text.
const FOUND_MAX: usize = 40;
const UNKNOWN: &str = "[something that is no text, left out]";

/// Returns the texts, and the names of other content; the structured content if there is no text.
pub(super) fn output(result: CallToolResult) -> Output {
    let has_text = result.content.iter().any(|block| matches!(block, ContentBlock::Text(_)));
    let mut beside = Beside::default();
    let mut parts: Vec<String> = result.content.into_iter().map(|block| part(block, &mut beside)).collect();
    if let Some(structured) = result.structured_content.filter(|_| !has_text) {
        parts.push(structured.to_string());
    }
    if parts.is_empty() {
        parts.push("(no content)".to_owned());
    }
    let Beside { pictures, found } = beside;
    Output { is_error: result.is_error.unwrap_or_default(), pictures, found, ..Output::ok(parts.join("\n")) }
}

/// What stands beside a result's text.
#[derive(Default)]
struct Beside {
    pictures: Vec<Vec<u8>>,
    found: Vec<Found>,
}

impl Beside {
    /// Takes a text with an address as something that can be cited, if there is room; says whether it did.
    fn find(&mut self, source: &str, title: &str, text: &str) -> bool {
        let (source, title) = (named(source), named(title));
        let fits = self.found.len() < FOUND_MAX && ![&source, &title, text].iter().any(|part| part.trim().is_empty());
        if fits {
            self.found.push(Found { source, title, text: text.to_owned() });
        }
        fits
    }
}

fn part(block: ContentBlock, beside: &mut Beside) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => picture(&image, &mut beside.pictures),
        ContentBlock::Audio(audio) => left_out("a sound", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => {
            let title = link.title.as_deref().unwrap_or(&link.name);
            let told = link.description.as_deref().unwrap_or_default();
            let follows = if beside.find(&link.uri, title, told) { ": what is said of it follows" } else { "" };
            format!("[a link to {}, {}{follows}]", named(&link.uri), named(&link.name))
        }
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                if beside.find(&uri, last_part(&uri), &text) {
                    format!("[the text of {}: it follows]", named(&uri))
                } else {
                    format!("[the text of {}]\n{text}", named(&uri))
                }
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let mime = mime_type.as_deref().unwrap_or("an unknown type");
                if mime.starts_with("image/") && keep(&blob, &mut beside.pictures) {
                    return format!("[the picture {}: it follows]", named(&uri));
                }
                left_out(&format!("the file {}", named(&uri)), mime, &blob)
            }
            _ => UNKNOWN.to_owned(),
        },
        _ => UNKNOWN.to_owned(),
    }
}

fn picture(image: &ImageContent, pictures: &mut Vec<Vec<u8>>) -> String {
    if keep(&image.data, pictures) {
        return format!("[an image of {}: it follows]", named(&image.mime_type));
    }
    left_out("an image", &image.mime_type, &image.data)
}

/// Keeps a picture's bytes for the sandbox, if there is room.
fn keep(base64: &str, pictures: &mut Vec<Vec<u8>>) -> bool {
    let bytes =
        if pictures.len() < PICTURES_MAX { STANDARD.decode(base64.trim()).unwrap_or_default() } else { Vec::new() };
    let fits = !bytes.is_empty() && bytes.len() <= PICTURE_BYTES_MAX;
    if fits {
        pictures.push(bytes);
    }
    fits
}

fn left_out(what: &str, mime: &str, base64: &str) -> String {
    let bytes = base64.trim_end_matches('=').len() * 3 / 4;
    format!("[{what} of {}, {bytes} bytes, left out]", named(mime))
}

/// Returns what a resource is known by: the last part of its address.
fn last_part(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(uri)
}

/// Returns a server's name for something, cleaned for a line of ours.
fn named(name: &str) -> String {
    name.chars().filter(|char| !char.is_control() && !matches!(char, '[' | ']')).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(source: &str, title: &str, text: &str) -> Found {
        Found { source: source.to_owned(), title: title.to_owned(), text: text.to_owned() }
    }

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
                    { "type": "resource", "resource": { "uri": "demo://pages/2.md", "text": "inside" } },
                    {
                        "type": "resource_link", "uri": "https://a.org/x", "name": "x.html", "title": "X",
                        "description": "About x.",
                    },
                    { "type": "resource", "resource": { "uri": "demo://blank", "text": " " } },
                    { "type": "resource", "resource": { "uri": "demo://3", "blob": "AA==", "mimeType": "application/gzip" } },
                ] }),
                Output {
                    pictures: vec![vec![0, 0, 0]],
                    found: vec![
                        found("demo://pages/2.md", "2.md", "inside"),
                        found("https://a.org/x", "X", "About x."),
                    ],
                    ..Output::ok(
                        "[an image of image/png: it follows]\n[a sound of audio/wavfake, 2 bytes, left out]\n\
                     [a link to demo://1, One]\n[the text of demo://pages/2.md: it follows]\n\
                     [a link to https://a.org/x, x.html: what is said of it follows]\n[the text of demo://blank]\n \n\
                     [the file demo://3 of application/gzip, 1 bytes, left out]",
                    )
                },
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

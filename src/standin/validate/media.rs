//! Images and documents: their sources, and whether the bytes are of the claimed type.

use std::io::Cursor;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::{ImageFormat, ImageReader};
use serde_json::{Map, Value};

use super::fields;
use crate::standin::problem::Problem;

const IMAGES: &[(&str, ImageFormat)] = &[
    ("image/jpeg", ImageFormat::Jpeg),
    ("image/png", ImageFormat::Png),
    ("image/gif", ImageFormat::Gif),
    ("image/webp", ImageFormat::WebP),
];
/// Most bytes of a base64 image.
const IMAGE_BASE64_BYTES_MAX: usize = 5 << 20;
/// Longest edge of an image, in pixels.
const IMAGE_EDGE_PIXELS_MAX: u32 = 8_000;
/// Most images in one request.
const IMAGES_MAX: usize = 600;
/// Most characters of a document's title.
const TITLE_CHARS_MAX: usize = 500;

/// Checks the number of images in a request.
pub(super) fn check_count(messages: &Value) -> Result<(), Problem> {
    let blocks =
        messages.as_array().into_iter().flatten().filter_map(|message| message["content"].as_array()).flatten();
    let images = blocks.filter(|block| block["type"] == "image").count();
    if images > IMAGES_MAX {
        return Err(Problem::invalid(format!("messages: too many images: {images} > {IMAGES_MAX}")));
    }
    Ok(())
}

pub(super) fn check_image(block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    let (source, path) = source(block, path)?;
    match fields::required_text(source, &path, "type")? {
        "base64" => check_picture(source, &path),
        "url" => remote(source, &path, "url"),
        "file" => remote(source, &path, "file_id"),
        other => Err(Problem::invalid(format!("{path}.type: Input tag '{other}' is not an image source"))),
    }
}

pub(super) fn check_document(block: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    match block.get("title") {
        None | Some(Value::Null) => {}
        Some(Value::String(title)) if (1..=TITLE_CHARS_MAX).contains(&title.chars().count()) => {}
        Some(_) => {
            let most = format!("{path}.title: String should have 1 to {TITLE_CHARS_MAX} characters");
            return Err(Problem::invalid(most));
        }
    }
    let (source, path) = source(block, path)?;
    match fields::required_text(source, &path, "type")? {
        "base64" => {
            fields::only(source, &path, &["type", "media_type", "data"])?;
            fields::required_text(source, &path, "media_type")?;
            fields::one_of(source, &path, "media_type", &["application/pdf"])?;
            let bytes = data(source, &path)?;
            if bytes.starts_with(b"%PDF-") { Ok(()) } else { Err(invalid(&path, "The PDF specified was not valid.")) }
        }
        "text" => {
            fields::only(source, &path, &["type", "media_type", "data"])?;
            fields::required_text(source, &path, "media_type")?;
            fields::one_of(source, &path, "media_type", &["text/plain"])?;
            let text = fields::required_text(source, &path, "data")?;
            if text.trim().is_empty() { Err(invalid(&path, "String should have at least 1 character")) } else { Ok(()) }
        }
        "content" => fields::required(source, &path, "content").map(|_| ()),
        "url" => remote(source, &path, "url"),
        "file" => remote(source, &path, "file_id"),
        other => Err(Problem::invalid(format!("{path}.type: Input tag '{other}' is not a document source"))),
    }
}

fn source<'a>(block: &'a Map<String, Value>, path: &str) -> Result<(&'a Map<String, Value>, String), Problem> {
    let inside = fields::join(path, "source");
    Ok((fields::object(fields::required(block, path, "source")?, &inside)?, inside))
}

fn remote(source: &Map<String, Value>, path: &str, name: &str) -> Result<(), Problem> {
    fields::only(source, path, &["type", name])?;
    fields::required_text(source, path, name).map(|_| ())
}

fn check_picture(source: &Map<String, Value>, path: &str) -> Result<(), Problem> {
    fields::only(source, path, &["type", "media_type", "data"])?;
    let types: Vec<&str> = IMAGES.iter().map(|(name, _)| *name).collect();
    let claimed = fields::required_text(source, path, "media_type")?;
    fields::one_of(source, path, "media_type", &types)?;
    let length = fields::required_text(source, path, "data")?.len();
    if length > IMAGE_BASE64_BYTES_MAX {
        return Err(invalid(
            path,
            &format!("image exceeds 5 MB maximum: {length} bytes > {IMAGE_BASE64_BYTES_MAX} bytes"),
        ));
    }
    let bytes = data(source, path)?;
    let format = IMAGES.iter().find(|(name, _)| *name == claimed).map(|(_, format)| *format);
    if image::guess_format(&bytes).ok() != format {
        let what = format!("The image was specified using the {claimed} media type, but does not appear to be one");
        return Err(invalid(path, &what));
    }
    let shape =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok().and_then(|it| it.into_dimensions().ok());
    match shape {
        None => Err(invalid(path, "Could not process image")),
        Some((width, height)) if width.max(height) > IMAGE_EDGE_PIXELS_MAX => Err(invalid(
            path,
            &format!("At least one of the image dimensions exceed max allowed size: {IMAGE_EDGE_PIXELS_MAX} pixels"),
        )),
        Some(_) => Ok(()),
    }
}

fn data(source: &Map<String, Value>, path: &str) -> Result<Vec<u8>, Problem> {
    let text = fields::required_text(source, path, "data")?;
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| invalid(path, "invalid base64 data"))?;
    if bytes.is_empty() { Err(invalid(path, "invalid base64 data: it is empty")) } else { Ok(bytes) }
}

fn invalid(path: &str, what: &str) -> Problem {
    Problem::invalid(format!("{path}: {what}"))
}

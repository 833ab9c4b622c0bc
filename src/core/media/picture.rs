//! Pictures: decoded within limits, turned upright, made smaller, written anew.

use std::io::Cursor;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder as _, ImageFormat, ImageReader, Limits, RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
};

use super::{DECODE_BYTES_MAX, DECODED_PIXELS_MAX, EDGE_PIXELS_MAX, PICTURE_BYTES_MAX, Prepared, Unread};
use crate::core::prompt::FileContent;

/// A picture costs a token for this many pixels.
const PIXELS_PER_TOKEN: u64 = 750;
/// The most that one picture costs.
const TOKENS_MAX: u64 = 1_600;
/// Text in screenshots stays sharp.
const JPEG_QUALITY: u8 = 88;

/// Makes a picture ready: the first frame, upright, at most [`EDGE_PIXELS_MAX`] on its longest edge.
pub(super) fn prepare(bytes: &[u8], format: ImageFormat) -> Result<Prepared, Unread> {
    let picture = shrunk(decoded(bytes, format)?);
    let (width, height) = (picture.width(), picture.height());
    let keeps_png = match format {
        ImageFormat::Png => picture.color().has_alpha(),
        ImageFormat::Gif | ImageFormat::WebP => true,
        _ => false,
    };
    let png = if keeps_png { Some(png(&picture)?) } else { None };
    let (media_type, written) = match png.filter(|written| written.len() <= PICTURE_BYTES_MAX) {
        Some(written) => ("image/png", written),
        None => ("image/jpeg", jpeg(&picture)?),
    };
    if written.len() > PICTURE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let tokens = (u64::from(width) * u64::from(height)).div_ceil(PIXELS_PER_TOKEN).min(TOKENS_MAX);
    Ok(Prepared {
        bytes: written.len() as u64,
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        content: FileContent::Image { media_type, base64: BASE64_STANDARD.encode(&written).into() },
        cut: false,
    })
}

fn decoded(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, Unread> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let unreadable = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => Unread::TooLarge,
        _ => Unread::Broken,
    };
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    // Not every decoder counts what it allocates, so the size is looked at first.
    if u64::from(width) * u64::from(height) > DECODED_PIXELS_MAX || decoder.total_bytes() > DECODE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn shrunk(picture: DynamicImage) -> DynamicImage {
    let edge = picture.width().max(picture.height());
    if edge <= EDGE_PIXELS_MAX {
        return picture;
    }
    // The short edge of a very long picture stays at least one pixel wide.
    let scaled = |length: u32| {
        let scaled = u64::from(length) * u64::from(EDGE_PIXELS_MAX) / u64::from(edge);
        u32::try_from(scaled).unwrap_or(EDGE_PIXELS_MAX).max(1)
    };
    picture.resize_exact(scaled(picture.width()), scaled(picture.height()), FilterType::Triangle)
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>, Unread> {
    let mut written = Vec::new();
    let encoder = PngEncoder::new(&mut written);
    let done = if picture.color().has_alpha() {
        let pixels = picture.to_rgba8();
        encoder.write_image(&pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgba8)
    } else {
        let pixels = picture.to_rgb8();
        encoder.write_image(&pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgb8)
    };
    done.map_err(|_| Unread::Broken)?;
    Ok(written)
}

fn jpeg(picture: &DynamicImage) -> Result<Vec<u8>, Unread> {
    let pixels = if picture.color().has_alpha() { on_white(picture) } else { picture.to_rgb8() };
    let mut written = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut written, JPEG_QUALITY);
    encoder
        .write_image(&pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgb8)
        .map_err(|_| Unread::Broken)?;
    Ok(written)
}

fn on_white(picture: &DynamicImage) -> RgbImage {
    let pixels = picture.to_rgba8();
    RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| {
        let [red, green, blue, alpha] = pixels.get_pixel(x, y).0.map(u16::from);
        let mixed = |colour: u16| u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX);
        image::Rgb([mixed(red), mixed(green), mixed(blue)])
    })
}

//! Pictures: decoded within limits, turned upright, made smaller, written anew.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder as _, ImageError, ImageFormat, ImageReader, Limits,
    RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
    metadata::Orientation,
};

use super::{
    DECODE_BYTES_MAX, DECODED_EDGE_MAX, DECODED_PIXELS_MAX, Decoded, EDGE_PIXELS_MAX, Made, PICTURE_BYTES_MAX, Unread,
};

/// A picture costs a token for this many pixels.
const PIXELS_PER_TOKEN: u64 = 750;
/// The most that one picture costs.
pub(super) const TOKENS_MAX: u32 = 1_600;
/// Text in screenshots stays sharp.
const JPEG_QUALITY: u8 = 88;

/// Makes a picture ready: the first frame, upright, at most [`EDGE_PIXELS_MAX`] on its longest edge. Of an animation
/// nothing behind the first frame is unpacked, however many there are.
pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<Decoded, Unread> {
    let (picture, orientation) = decoded(bytes, format)?;
    let mut picture = shrunk(picture);
    // Turned only now: turning makes a copy, and the picture as it was sent may be large.
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    let keeps_png = match format {
        ImageFormat::Png => picture.color().has_alpha(),
        ImageFormat::Gif | ImageFormat::WebP => true,
        _ => false,
    };
    let png = if keeps_png { Some(png(&picture)?) } else { None };
    let (made, written) = match png.filter(|written| written.len() <= PICTURE_BYTES_MAX) {
        Some(written) => (Made::Png, written),
        None => (Made::Jpeg, jpeg(&picture)?),
    };
    if written.len() > PICTURE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let tokens = (u64::from(width) * u64::from(height)).div_ceil(PIXELS_PER_TOKEN);
    let tokens = u32::try_from(tokens).unwrap_or(TOKENS_MAX).min(TOKENS_MAX);
    Ok(Decoded { made, tokens, cut: false, bytes: written })
}

fn decoded(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation), Unread> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    limits.max_image_width = Some(DECODED_EDGE_MAX);
    limits.max_image_height = Some(DECODED_EDGE_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions();
    // Not every decoder keeps to its limits, so the size is looked at first.
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > DECODED_EDGE_MAX || pixels > DECODED_PIXELS_MAX || decoder.total_bytes() > DECODE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    Ok((picture, orientation))
}

fn unreadable(error: &ImageError) -> Unread {
    use image::error::LimitErrorKind::DimensionError;
    match error {
        ImageError::Limits(limit) if limit.kind() == DimensionError => Unread::TooLarge,
        ImageError::Limits(_) => Unread::TooLargeUnpacked,
        _ => Unread::Broken,
    }
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

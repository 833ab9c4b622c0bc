//! Pictures: decoded within limits, turned upright, scaled down, written anew.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder as _, ImageError, ImageFormat, ImageReader, Limits,
    RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
    metadata::Orientation,
};

use super::{
    DECODE_BYTES_MAX, DECODED_BYTES_MAX, DECODED_EDGE_MAX, DECODED_PIXELS_MAX, Decoded, EDGE_PIXELS_MAX, Extent, Made,
    PICTURE_BYTES_MAX, PICTURE_PARTS_MAX, Unread,
};

/// Pixels of a picture for one token.
const PIXELS_PER_TOKEN: u64 = 750;
/// Most tokens of a picture.
pub(super) const TOKENS_MAX: u32 = 1_600;
/// A picture this many times longer than wide is cut into parts.
const PARTS_RATIO_MIN: u32 = 3;
/// A narrower part contains nothing readable.
const PART_SHORT_EDGE_MIN: u32 = 64;
/// Pixels that consecutive parts share.
const PARTS_OVERLAP: u32 = 64;
/// Keeps text in screenshots sharp.
const JPEG_QUALITY: u8 = 88;

/// Prepares a picture: its first frame, upright, with at most [`EDGE_PIXELS_MAX`] on its longest edge. Further frames
/// of an animation are not unpacked.
pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<Decoded, Unread> {
    let (picture, orientation) = decoded(bytes, format)?;
    if orientation == Orientation::NoTransforms
        && let Some(parts) = parts(&picture)?
    {
        return Ok(parts);
    }
    let sent = (picture.width(), picture.height());
    let mut picture = shrunk(picture);
    let is_smaller = sent != (picture.width(), picture.height());
    // Rotating makes a copy, so it comes after scaling down a possibly large original.
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
    let is_turned = (width > height) != (sent.0 > sent.1);
    let from = if is_turned { (sent.1, sent.0) } else { sent };
    let shown = if is_smaller { Extent::Smaller { from, to: (width, height) } } else { Extent::Whole };
    Ok(Decoded { made, tokens: tokens(width, height), shown, bytes: written })
}

fn tokens(width: u32, height: u32) -> u32 {
    let tokens = (u64::from(width) * u64::from(height)).div_ceil(PIXELS_PER_TOKEN);
    u32::try_from(tokens).unwrap_or(TOKENS_MAX).min(TOKENS_MAX)
}

/// Cuts a very long picture, such as a screenshot of a whole page, into readable parts. They overlap a little, so that
/// every line of text is whole in one of them.
fn parts(picture: &DynamicImage) -> Result<Option<Decoded>, Unread> {
    let (width, height) = (picture.width(), picture.height());
    let (long, short) = (width.max(height), width.min(height));
    if long <= EDGE_PIXELS_MAX || short < PART_SHORT_EDGE_MIN || long / short < PARTS_RATIO_MIN {
        return Ok(None);
    }
    let step = |number: u32| long.div_ceil(number);
    let fits = |number: &u32| {
        let length = step(*number) + PARTS_OVERLAP;
        length <= EDGE_PIXELS_MAX && u64::from(length) * u64::from(short) <= PIXELS_PER_TOKEN * u64::from(TOKENS_MAX)
    };
    let number = (2..PICTURE_PARTS_MAX).find(fits).unwrap_or(PICTURE_PARTS_MAX);
    let (mut written, mut sum) = (Vec::new(), 0);
    for begin in (0..number).map(|part| part * step(number)) {
        let length = (step(number) + PARTS_OVERLAP).min(long - begin);
        let part = if height > width {
            picture.crop_imm(0, begin, width, length)
        } else {
            picture.crop_imm(begin, 0, length, height)
        };
        let part = shrunk(part);
        sum += tokens(part.width(), part.height());
        let part = jpeg(&part)?;
        let length = u32::try_from(part.len()).map_err(|_| Unread::TooLarge)?;
        written.extend(length.to_le_bytes());
        written.extend(part);
    }
    let shown = Extent::Parts { from: (width, height), number };
    let is_small = written.len() <= DECODED_BYTES_MAX;
    Ok(is_small.then_some(Decoded { made: Made::Parts, tokens: sum, shown, bytes: written }))
}

pub(super) fn decoded(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation), Unread> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    limits.max_image_width = Some(DECODED_EDGE_MAX);
    limits.max_image_height = Some(DECODED_EDGE_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions();
    // Not every decoder respects its limits, so check the size first.
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
    // A very long picture's short edge stays at least one pixel.
    let scaled = |length: u32| {
        let scaled = u64::from(length) * u64::from(EDGE_PIXELS_MAX) / u64::from(edge);
        u32::try_from(scaled).unwrap_or(EDGE_PIXELS_MAX).max(1)
    };
    picture.resize_exact(scaled(picture.width()), scaled(picture.height()), FilterType::Triangle)
}

pub(super) fn png(picture: &DynamicImage) -> Result<Vec<u8>, Unread> {
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

pub(super) fn jpeg(picture: &DynamicImage) -> Result<Vec<u8>, Unread> {
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

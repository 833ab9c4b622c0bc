//! What a client shows of a picture before it is downloaded: its size, a small copy of it, and a blur.
//!
//! Pictures of ours that are posted are decoded like those of strangers: code wrote them that a model wrote.

use image::{DynamicImage, ImageFormat, Rgb32FImage, imageops::FilterType};

use super::{Decoded, Extent, Made, Unread, picture};
use crate::core::computing::picture_type;

/// The longest and the shorter edge of the small copy, in pixels.
const THUMBNAIL_EDGES: (u32, u32) = (800, 600);
/// Most bytes of the small copy.
const THUMBNAIL_BYTES_MAX: usize = 2 << 20;
/// The edge of the picture from which the blur is made.
const BLUR_EDGE: u32 = 32;
/// Waves of the blur, across and down.
const WAVES: (u16, u16) = (4, 3);
/// The digits of a blurhash.
const DIGITS: &[u8; 83] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// A picture's size, small copy and blur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// The small copy, with its own width and height.
    pub thumbnail: Thumbnail,
    /// The blur (MSC2448).
    pub blurhash: String,
}

/// A small copy of a picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// `image/png` or `image/jpeg`.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Thumbnail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thumbnail").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Makes a picture's preview.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Unread> {
    let format = match picture_type(bytes) {
        Some("image/png") => ImageFormat::Png,
        Some("image/jpeg") => ImageFormat::Jpeg,
        Some("image/gif") => ImageFormat::Gif,
        Some("image/webp") => ImageFormat::WebP,
        _ => return Err(Unread::Unsupported),
    };
    let (whole, orientation) = picture::decoded(bytes, format)?;
    let mut small = whole.thumbnail(THUMBNAIL_EDGES.0.min(whole.width()), THUMBNAIL_EDGES.1.min(whole.height()));
    let mut size = (whole.width(), whole.height());
    drop(whole);
    let before = (small.width(), small.height());
    small.apply_orientation(orientation);
    if before != (small.width(), small.height()) {
        size = (size.1, size.0);
    }
    let thumbnail = if small.color().has_alpha() { picture::png(&small)? } else { picture::jpeg(&small)? };
    if thumbnail.len() > THUMBNAIL_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let blur = blurhash(&small);
    let mut written = Vec::new();
    for number in [size.0, size.1, small.width(), small.height()] {
        written.extend(number.to_le_bytes());
    }
    written.push(u8::try_from(blur.len()).map_err(|_| Unread::Broken)?);
    written.extend(blur.as_bytes());
    written.extend(thumbnail);
    Ok(Decoded { made: Made::Preview, tokens: 0, shown: Extent::Whole, bytes: written })
}

impl Decoded {
    /// Checks the output and returns the preview.
    ///
    /// # Errors
    /// [`Unread::Broken`] if our decoder makes no such output.
    pub fn preview(self) -> Result<Preview, Unread> {
        let read = || {
            let (numbers, rest) = self.bytes.split_first_chunk::<16>()?;
            let number = |at: usize| numbers.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
            let (length, rest) = rest.split_first()?;
            let (blur, bytes) = rest.split_at_checked(usize::from(*length))?;
            let blurhash = std::str::from_utf8(blur).ok()?.to_owned();
            let is_blur = blurhash.bytes().all(|digit| DIGITS.contains(&digit));
            let media_type = picture_type(bytes).filter(|kind| matches!(*kind, "image/png" | "image/jpeg"))?;
            let thumbnail = Thumbnail { width: number(8)?, height: number(12)?, media_type, bytes: bytes.to_vec() };
            let preview = Preview { width: number(0)?, height: number(4)?, thumbnail, blurhash };
            (is_blur && bytes.len() <= THUMBNAIL_BYTES_MAX).then_some(preview)
        };
        if self.made != Made::Preview {
            return Err(Unread::Broken);
        }
        read().ok_or(Unread::Broken)
    }
}

/// Returns a picture's blurhash: few waves of light, by their strengths.
fn blurhash(picture: &DynamicImage) -> String {
    let edge = |length: u32| length.min(BLUR_EDGE);
    let (width, height) = (edge(picture.width()), edge(picture.height()));
    let mut pixels: Rgb32FImage = picture.resize_exact(width, height, FilterType::Triangle).to_rgb32f();
    for pixel in pixels.pixels_mut() {
        pixel.0 = pixel.0.map(linear);
    }
    let (across, down) = WAVES;
    let waves = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
    let strengths: Vec<[f32; 3]> = waves.map(|wave| strength(&pixels, wave)).collect();
    let [mean, others @ ..] = strengths.as_slice() else { return String::new() };
    let most = others.iter().flatten().fold(0.0_f32, |most, value| most.max(value.abs()));
    let most_told = quantised(most * 166.0 - 0.5, 82);
    let unit = f32::from(u16::try_from(most_told + 1).unwrap_or(1)) / 166.0;
    let mut hash = String::new();
    push(&mut hash, u32::from(across - 1) + u32::from(down - 1) * 9, 1);
    push(&mut hash, most_told, 1);
    let light = mean.map(|value| quantised(curved(value) * 255.0 + 0.5, 255));
    push(&mut hash, light[0] << 16 | light[1] << 8 | light[2], 4);
    for wave in others {
        let told = wave.map(|value| {
            let share = value / unit;
            quantised(share.abs().sqrt().copysign(share) * 9.0 + 9.5, 18)
        });
        push(&mut hash, (told[0] * 19 + told[1]) * 19 + told[2], 2);
    }
    hash
}

/// Returns how strong a wave is in each colour.
fn strength(pixels: &Rgb32FImage, (x, y): (u16, u16)) -> [f32; 3] {
    let length = |pixels: u32| f32::from(u16::try_from(pixels).unwrap_or(u16::MAX));
    let (width, height) = (length(pixels.width()), length(pixels.height()));
    let mut sum = [0.0_f32; 3];
    for (column, row, pixel) in pixels.enumerate_pixels() {
        let wave = |number: u16, at: u32, of: f32| (std::f32::consts::PI * f32::from(number) * length(at) / of).cos();
        let basis = wave(x, column, width) * wave(y, row, height);
        for (sum, value) in sum.iter_mut().zip(pixel.0) {
            *sum += basis * value;
        }
    }
    let scale = (if (x, y) == (0, 0) { 1.0 } else { 2.0 }) / (width * height);
    sum.map(|sum| sum * scale)
}

/// Returns a colour's light from its value in sRGB.
fn linear(value: f32) -> f32 {
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// Returns a colour's value in sRGB from its light.
fn curved(light: f32) -> f32 {
    let light = light.clamp(0.0, 1.0);
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 255")]
fn quantised(value: f32, most: u16) -> u32 {
    value.floor().clamp(0.0, f32::from(most)) as u32
}

fn push(hash: &mut String, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = usize::try_from(number / 83_u32.pow(place) % 83).unwrap_or_default();
        hash.push(char::from(DIGITS[digit]));
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn written(picture: RgbImage) -> Vec<u8> {
        picture::png(&DynamicImage::ImageRgb8(picture)).expect("it is written")
    }

    #[test]
    fn c24_a_picture_has_its_size_a_small_copy_and_a_blur() {
        let wide = RgbImage::from_fn(1_600, 400, |x, _| if x < 800 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
        let preview = decode(&written(wide)).expect("it is decoded").preview().expect("it is one");
        assert_eq!((preview.width, preview.height), (1_600, 400));
        assert_eq!((preview.thumbnail.width, preview.thumbnail.height), (800, 200));
        assert_eq!(preview.thumbnail.media_type, "image/jpeg");
        assert_eq!(preview.blurhash.len(), 1 + 1 + 4 + 2 * 11);
        let tiny = decode(&written(RgbImage::new(1, 1))).expect("it is decoded").preview().expect("it is one");
        assert_eq!((tiny.width, tiny.thumbnail.width), (1, 1));
        // A picture of one colour has no waves.
        assert!(tiny.blurhash.starts_with("L00000"), "{}", tiny.blurhash);
    }

    #[test]
    fn c24_a_bomb_or_what_only_looks_like_a_picture_has_no_preview() {
        let whole = written(RgbImage::new(64, 64));
        let mut bomb = whole.clone();
        bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(decode(&bomb).is_err(), "65536 pixels on each edge");
        assert_eq!(decode(b"<svg/>"), Err(Unread::Unsupported));
        assert!(decode(&whole[..60]).is_err());
        for bytes in [vec![], vec![0; 16], vec![0; 40]] {
            let decoded = Decoded { made: Made::Preview, tokens: 0, shown: Extent::Whole, bytes };
            assert_eq!(decoded.preview(), Err(Unread::Broken));
        }
    }
}

//! Avatars for virtual users that were given none: the same picture every time, visibly different for each.

use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
use sha2::{Digest as _, Sha256};

/// Width and height, in pixels.
const SIZE: usize = 256;
/// Cells on a side of the pattern; the left half is mirrored to the right.
const CELLS: usize = 6;

/// Returns a PNG made from `seed` (a user id): a mirrored pattern of two hues on a light ground.
///
/// # Panics
/// Never: the PNG is written to memory with the size that its header states.
#[must_use]
pub(crate) fn generate(seed: &str) -> Vec<u8> {
    let hash: [u8; 32] = Sha256::digest(seed.as_bytes()).into();
    let turn = f32::from(hash[0]) / 256.0;
    let front = colour(turn, 0.62, 0.45);
    let accent = colour((turn + 0.12 + f32::from(hash[1]) / 1024.0).fract(), 0.70, 0.58);
    let ground = colour(turn, 0.35, 0.93);
    let cell = SIZE / (CELLS + 1);
    let margin = (SIZE - cell * CELLS) / 2;
    let mut pixels = Vec::with_capacity(SIZE * SIZE * 3);
    for y in 0..SIZE {
        for x in 0..SIZE {
            let inside = |p: usize| (margin..margin + cell * CELLS).contains(&p);
            let colour = if inside(x) && inside(y) {
                let (column, row) = ((x - margin) / cell, (y - margin) / cell);
                let mirrored = column.min(CELLS - 1 - column);
                match hash[2 + row * (CELLS / 2) + mirrored] % 5 {
                    0 | 1 => ground,
                    2 => accent,
                    _ => front,
                }
            } else {
                ground
            };
            pixels.extend_from_slice(&colour);
        }
    }
    encode(&pixels)
}

fn encode(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let side = u32::try_from(SIZE).expect("the size is small");
    let encoder = PngEncoder::new(&mut bytes);
    encoder
        .write_image(pixels, side, side, ExtendedColorType::Rgb8)
        .expect("the pixels fill the size, and memory takes it");
    bytes
}

/// Returns the RGB of a hue (0 to 1), saturation and lightness.
fn colour(hue: f32, saturation: f32, lightness: f32) -> [u8; 3] {
    let spread = saturation * lightness.min(1.0 - lightness);
    let channel = |offset: f32| {
        let k = (offset + hue * 12.0) % 12.0;
        let value = lightness - spread * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value lies in 0..=255")]
        let byte = (value * 255.0).round() as u8;
        byte
    };
    [channel(0.0), channel(8.0), channel(4.0)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::generate;

    #[test]
    fn c1_avatars_are_stable_and_differ() {
        let names = ["@coworker-oncall:hs", "@coworker-ci:hs", "@coworker-sales:hs", "@workmate:hs", "@assistant-a:hs"];
        let pictures: BTreeSet<Vec<u8>> = names.iter().map(|name| generate(name)).collect();
        assert_eq!(pictures.len(), names.len());
        assert_eq!(generate(names[0]), generate(names[0]));
        assert!(generate(names[0]).starts_with(b"\x89PNG"));
    }
}

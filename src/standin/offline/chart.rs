//! A chart from a table: what the stand-in computes, as code in a container would.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// Rows of a table that are drawn, at most.
const ROWS_MAX: usize = 40;
/// The picture's width and height in pixels.
const SIZE: (u32, u32) = (960, 540);
/// Free pixels around the bars.
const MARGIN: u32 = 40;
const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const AXIS: Rgb<u8> = Rgb([90, 90, 90]);
const BAR: Rgb<u8> = Rgb([46, 110, 180]);
const TOP: Rgb<u8> = Rgb([214, 116, 48]);

/// A picture, and what it shows.
pub(in crate::standin) struct Chart {
    pub(in crate::standin) png: Vec<u8>,
    pub(in crate::standin) told: String,
}

/// Draws the last column of numbers of comma-separated text against its first column.
pub(in crate::standin) fn chart(table: &str) -> Option<Chart> {
    let mut lines = table.lines().map(|line| line.split(',').map(str::trim).collect::<Vec<_>>());
    let head = lines.next()?;
    let rows: Vec<Vec<&str>> = lines.take(ROWS_MAX).filter(|row| row.len() == head.len()).collect();
    let number = |row: &Vec<&str>, at: usize| row.get(at)?.parse::<f64>().ok().filter(|number| number.is_finite());
    let column =
        (0..head.len()).rev().find(|at| !rows.is_empty() && rows.iter().all(|row| number(row, *at).is_some()))?;
    let values: Vec<(&str, f64)> =
        rows.iter().filter_map(|row| Some((*row.first()?, number(row, column)?.max(0.0)))).collect();
    let (most, highest) = values.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1))?;
    let sum: f64 = values.iter().map(|(_, value)| value).sum();
    let told = format!(
        "{} by {}: {} rows, {sum} in all, most in {most} ({highest})",
        head.get(column)?,
        head.first()?,
        values.len()
    );
    Some(Chart { png: drawn(&values.iter().map(|(_, value)| value / highest.max(1.0)).collect::<Vec<_>>())?, told })
}

/// Draws bars of these shares of the height.
fn drawn(shares: &[f64]) -> Option<Vec<u8>> {
    let (width, height) = (SIZE.0 - 2 * MARGIN, SIZE.1 - 2 * MARGIN);
    let count = u32::try_from(shares.len()).ok()?;
    let step = (width / count.max(1)).max(2);
    let mut picture = RgbImage::from_pixel(SIZE.0, SIZE.1, PAPER);
    for (at, share) in (0_u32..).zip(shares) {
        let length = scaled(height, *share);
        let colour = if length >= height { TOP } else { BAR };
        for x in 0..step.saturating_sub(step / 4).max(1) {
            for y in 0..length {
                picture.put_pixel((MARGIN + at * step + x).min(SIZE.0 - 1), SIZE.1 - MARGIN - 1 - y, colour);
            }
        }
    }
    for x in MARGIN..SIZE.0 - MARGIN {
        picture.put_pixel(x, SIZE.1 - MARGIN, AXIS);
    }
    let mut png = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut png, ImageFormat::Png).ok()?;
    Some(png.into_inner())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a picture's height")]
fn scaled(height: u32, share: f64) -> u32 {
    (f64::from(height) * share.clamp(0.0, 1.0)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_a_table_becomes_a_picture_and_what_is_none_becomes_nothing() {
        let chart = chart("month,orders,revenue\nJan,3,10\nFeb,5,40\nMar,4,25\n").expect("it is a table");
        assert_eq!(chart.told, "revenue by month: 3 rows, 75 in all, most in Feb (40)");
        let picture = image::load_from_memory(&chart.png).expect("it is a picture");
        assert_eq!((picture.width(), picture.height()), SIZE);
        for nothing in ["", "a,b", "a,b\nx,y", "no table"] {
            assert!(super::chart(nothing).is_none(), "{nothing:?}");
        }
    }
}

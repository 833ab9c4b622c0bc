//! The cost of decoding in a child over decoding in this process: the same files, in turn, in one run.
//!
//! `cargo bench --bench sandbox -- --rounds 30`

use std::{io::Cursor, path::PathBuf};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use lopdf::{Document, Object, Stream, dictionary};
use tokio::time::{Duration, Instant};
use workmate::{
    cli::say::say,
    core::media::{self, Kind},
    sandbox::{Limits, Owner, Program, Sandbox},
};

const ROUNDS: usize = 30;

/// Returns a picture full of detail, which compresses as badly as a photograph.
fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut state = 7_u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [noise, ..] = state.to_be_bytes();
        let [x, ..] = (x / 16).to_le_bytes();
        let [y, ..] = (y / 16).to_le_bytes();
        Rgb([x, y, noise / 8])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format).expect("a picture can be written");
    bytes.into_inner()
}

fn pdf(pages: u32) -> Vec<u8> {
    let mut document = Document::with_version("1.5");
    let tree = document.new_object_id();
    let mut page = || -> Object {
        let content = document.add_object(Stream::new(dictionary! {}, vec![b' '; 40_000]));
        document.add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content }).into()
    };
    let kids: Vec<Object> = (0..pages).map(|_| page()).collect();
    document.set_object(tree, dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => pages });
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    document.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).expect("a PDF can be written");
    bytes
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn rounds() -> usize {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().position(|argument| argument == "--rounds");
    asked.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(ROUNDS)
}

#[tokio::main]
async fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        say("nothing is measured without --bench, which `cargo bench` gives");
        return;
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_workmate"));
    let sandbox = Sandbox::new(Program::At(program.clone()), Limits::default());
    let files = [
        ("photo, 4000 × 3000", Kind::Jpeg, picture(4_000, 3_000, ImageFormat::Jpeg)),
        ("screenshot, 1500 × 1000", Kind::Png, picture(1_500, 1_000, ImageFormat::Png)),
        ("icon, 64 × 64", Kind::Png, picture(64, 64, ImageFormat::Png)),
        ("PDF, 50 pages", Kind::Pdf, pdf(50)),
        ("text", Kind::Text, b"A line of a log, as they are.\n".repeat(2_000)),
    ];
    say(format!("{:<26} {:>9} {:>12} {:>12} {:>7}", "file", "kB", "in process", "in a child", "ratio"));
    for (name, kind, bytes) in files {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let began = Instant::now();
            let ours = media::decode(kind, &bytes);
            here.push(began.elapsed());
            let began = Instant::now();
            let theirs = sandbox.decode(Owner::room("!bench:hs"), kind, &bytes).await;
            there.push(began.elapsed());
            assert_eq!(ours, theirs, "{name}");
        }
        let (here, there) = (median(here), median(there));
        let ratio = there.as_secs_f64() / here.as_secs_f64();
        say(format!("{name:<26} {:>9} {here:>12.2?} {there:>12.2?} {ratio:>7.2}", bytes.len() / 1000));
    }
    let mut started = Vec::new();
    for _ in 0..rounds().min(20) {
        let began = Instant::now();
        let limits = Limits { children_max: 1, ..Limits::default() };
        let new = Sandbox::new(Program::At(program.clone()), limits);
        assert!(new.decode(Owner::room("!bench:hs"), Kind::Text, b"hello\n").await.is_ok(), "a text");
        started.push(began.elapsed());
    }
    say(format!("a child that is not warm: {:.2?} more", median(started)));
}

//! The simulation: many histories of `workmate::simulation`, on all cores.
//!
//! `cargo bench --bench simulation` runs ten million; `-- --histories 100000` so many, `--seed 7` from another seed on
//! (seeds follow each other), `--minutes 5` as many as take so long. A history in which something does not hold is printed
//! as a table, with its seed: `cargo bench --bench simulation -- --seed SEED --histories 1` runs it alone, and in
//! `src/simulation/tests.rs` it stays as a test.

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::time::Instant;
use workmate::{
    cli::say::say,
    simulation::{Broken, Held, history},
};

/// Histories where nothing is asked for.
const HISTORIES: u64 = 10_000_000;
/// Histories that one thread takes at a time.
const PORTION: u64 = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (histories, first) = (number("--histories").unwrap_or(HISTORIES), number("--seed").unwrap_or(0));
    let minutes = number("--minutes");
    let (began, next, ends) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    let (held, broken) = (Mutex::new(Held::default()), Mutex::new(None::<Box<Broken>>));
    let is_over = || ends.load(Ordering::Relaxed) || minutes.is_some_and(|most| began.elapsed().as_secs() >= most * 60);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Held::default();
                while !is_over() {
                    let from = next.fetch_add(PORTION, Ordering::Relaxed);
                    for seed in from..(from + PORTION).min(histories) {
                        match history(first.wrapping_add(seed), None) {
                            Ok(more) => mine += more,
                            Err(found) => {
                                ends.store(true, Ordering::Relaxed);
                                broken.lock().expect("nobody panics").get_or_insert(found);
                            }
                        }
                    }
                    if from + PORTION >= histories {
                        break;
                    }
                }
                *held.lock().expect("nobody panics") += mine;
            });
        }
    });
    let (held, took) = (*held.lock().expect("nobody panics"), began.elapsed().as_secs_f64());
    let done = next.load(Ordering::Relaxed).min(histories);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = done as f64 / took;
    say(format!("{done} histories from seed {first} in {took:.1} s, {rate:.0} a second on {threads} threads"));
    say(format!("{held:?}"));
    match broken.into_inner().expect("nobody panics") {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            say(broken.to_string());
            ExitCode::FAILURE
        }
    }
}

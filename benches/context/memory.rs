//! Peak resident memory, each size in its own process.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use workmate::cli::say::say;

use crate::{RATIO_MAX, SIZES, figures::verdict, room::Room};

/// Compositions in each process.
const TIMES: usize = 20;
/// Processes for each size; the lowest peak counts.
const PROCESSES: usize = 3;

/// Prints the peak memory of a process that fills a room of each size and composes in it.
pub(crate) fn measure() -> Result<()> {
    let empty_kb = peak_kb(0)?;
    say(format!("  an empty process: {:.1} MB", mb(empty_kb)));
    let mut above_mb = Vec::new();
    for size in SIZES {
        let above = mb(peak_kb(size)?.saturating_sub(empty_kb));
        say(format!("  {size:>7} events: {above:.1} MB more"));
        above_mb.push(above);
    }
    if let [.., before, largest] = above_mb[..] {
        let ratio = largest / before;
        say(format!("  the largest over the one before: {ratio:.2} (goal {RATIO_MAX}: {})", verdict(ratio, RATIO_MAX)));
    }
    Ok(())
}

/// Does the work and prints this process's peak resident memory, in KiB.
pub(crate) fn print_own_peak(events: usize) -> Result<()> {
    if events > 0 {
        let room = Room::of(events);
        for _ in 0..TIMES {
            drop(room.compose());
        }
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc names no VmHWM")?;
    say(line.trim().trim_end_matches(" kB"));
    Ok(())
}

fn peak_kb(events: usize) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..PROCESSES {
        let own = std::env::current_exe()?;
        let measured = Command::new(own).args(["--peak", &events.to_string()]).output()?;
        ensure!(measured.status.success(), "the process that was to be measured failed");
        least = least.min(String::from_utf8(measured.stdout)?.trim().parse()?);
    }
    Ok(least)
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
fn mb(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

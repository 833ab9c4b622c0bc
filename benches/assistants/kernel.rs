//! What Linux reports about a process: its memory and its processor time.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use tokio::time::Duration;

/// `USER_HZ`, the unit of processor time that Linux reports on every platform that matters here.
const TICKS_PER_SECOND: u64 = 100;

/// Processor load since a point in time, for the machine and for named processes.
pub(crate) struct Load {
    processes: Vec<(&'static str, Busy)>,
    /// Ticks of all cores together: in total, and idle.
    machine: (u64, u64),
}

impl Load {
    pub(crate) fn of(processes: &[(&'static str, u32)]) -> Result<Self> {
        let processes = processes.iter().map(|&(name, pid)| Ok((name, Busy::of(pid)?))).collect::<Result<_>>()?;
        Ok(Self { processes, machine: machine_ticks()? })
    }

    /// Formats each process's processor time and the machine's total load.
    pub(crate) fn so_far(&self) -> Result<String> {
        let (all, idle) = machine_ticks()?;
        let (all, idle) = (all - self.machine.0, idle - self.machine.1);
        let told = |(name, busy): &(&str, Busy)| Ok(format!("{name} {:.1} s", busy.since()?.as_secs_f64()));
        let told = self.processes.iter().map(told).collect::<Result<Vec<_>>>()?;
        Ok(format!("{}; all cores together {} % busy", told.join(", "), 100 - 100 * idle / all.max(1)))
    }
}

fn machine_ticks() -> Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let first = stat.lines().next().context("/proc/stat is not empty")?;
    let ticks = first.split_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; the fields after them are counted in these already.
    let all = ticks.iter().take(8).sum();
    Ok((all, ticks.iter().skip(3).take(2).sum()))
}

/// A process's processor time since a point in time.
pub(crate) struct Busy {
    pid: u32,
    before: Duration,
}

impl Busy {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Ok(Self { pid, before: busy(pid)? })
    }

    pub(crate) fn since(&self) -> Result<Duration> {
        Ok(busy(self.pid)?.saturating_sub(self.before))
    }
}

fn busy(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name in parentheses may contain anything; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').with_context(|| path.clone())?;
    let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.sum::<Result<u64, _>>().with_context(|| path.clone())?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Finds the process whose command line names a path below `dir`.
pub(crate) fn process_in(dir: &Path) -> Result<u32> {
    let wanted = dir.to_string_lossy();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid
            && String::from_utf8_lossy(&line).contains(&*wanted)
        {
            return Ok(pid);
        }
    }
    anyhow::bail!("no process was started with a path below {}", dir.display())
}

/// Returns the resident memory, in KiB.
pub(crate) fn resident_kb(pid: u32) -> Result<u64> {
    status_kb(pid, "VmRSS:")
}

/// Returns the peak resident memory since the process started, in KiB.
pub(crate) fn peak_kb(pid: u32) -> Result<u64> {
    status_kb(pid, "VmHWM:")
}

fn status_kb(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("{path}: memory is read on Linux only"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("the kernel tells it")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

//! What Linux tells of a process: its memory, and how long it kept a core busy.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use tokio::time::Duration;

/// `USER_HZ`, in which Linux tells processor time on every platform that matters here.
const TICKS_PER_SECOND: u64 = 100;

/// Who kept the machine's cores busy since a moment.
pub(crate) struct Load {
    processes: Vec<(&'static str, Busy)>,
    /// Time of all cores together, in ticks: all of it, and that in which they had nothing to do.
    machine: (u64, u64),
}

impl Load {
    pub(crate) fn of(processes: &[(&'static str, u32)]) -> Result<Self> {
        let processes = processes.iter().map(|&(name, pid)| Ok((name, Busy::of(pid)?))).collect::<Result<_>>()?;
        Ok(Self { processes, machine: machine_ticks()? })
    }

    /// Says the processor time of each process, and how much of the machine's was taken by anybody.
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
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in them already.
    let all = ticks.iter().take(8).sum();
    Ok((all, ticks.iter().skip(3).take(2).sum()))
}

/// Processor time of a process since a moment.
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
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(')').with_context(|| path.clone())?;
    let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.sum::<Result<u64, _>>().with_context(|| path.clone())?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Returns the process whose command line names a path below `dir`.
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

/// Returns the most memory that was resident since the process started, in KiB.
pub(crate) fn peak_kb(pid: u32) -> Result<u64> {
    status_kb(pid, "VmHWM:")
}

fn status_kb(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("{path}: memory is read on Linux only"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("the kernel tells it")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

//! The standard process metrics of Prometheus' client libraries, under their usual names.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Clock ticks in a second, and bytes of a page: Linux's values on every platform of Rust's that has 4 KiB pages.
/// Elsewhere memory is not reported.
const TICKS: f64 = 100.0;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct Process;

/// The values from `/proc/self`.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    cpu_seconds: f64,
    started_at: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_fds: u64,
    max_fds: u64,
    threads: u64,
}

impl Figures {
    fn read() -> Option<Self> {
        let text = |name: &str| fs::read_to_string(format!("/proc/{name}")).ok();
        let (stat, status, limits) = (text("self/stat")?, text("self/status")?, text("self/limits")?);
        let mut figures = Self::of(&stat, &status, &limits, &text("stat")?)?;
        // Listing the descriptors opens one.
        figures.open_fds = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64;
        Some(figures)
    }

    fn of(stat: &str, status: &str, limits: &str, system: &str) -> Option<Self> {
        // The program's name is in parentheses and may contain spaces.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number)?.parse::<f64>().ok();
        let line = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok())
        };
        let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
        let max_fds = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
        Some(Self {
            cpu_seconds: (field(11)? + field(12)?) / TICKS,
            started_at: booted + field(19)? / TICKS,
            resident_bytes: line("VmRSS:")? * 1024,
            virtual_bytes: line("VmSize:")? * 1024,
            threads: line("Threads:")?,
            open_fds: 0,
            max_fds: max_fds.unwrap_or_default(),
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(figures) = Figures::read() else { return Ok(()) };
        let help = "Total user and system CPU time spent.";
        let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(figures.cpu_seconds).encode(metric)?;
        let help = "Start time of the process, since the epoch.";
        let metric = encoder.encode_descriptor("process_start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(figures.started_at).encode(metric)?;
        let bytes = Unit::Bytes;
        for (name, help, number, unit) in [
            ("process_resident_memory", "Resident memory size.", figures.resident_bytes, Some(&bytes)),
            ("process_virtual_memory", "Virtual memory size.", figures.virtual_bytes, Some(&bytes)),
            ("process_open_fds", "Open file descriptors.", figures.open_fds, None),
            ("process_max_fds", "Most open file descriptors.", figures.max_fds, None),
            ("process_threads", "Threads of the operating system.", figures.threads, None),
        ] {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_proc_whatever_the_program_is_called() {
        let stat = "42 (work mate) x) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 1000 99 88 77";
        let status = "Name:\tx\nVmSize:\t  2000 kB\nVmRSS:\t  1000 kB\nThreads:\t7\n";
        let limits = "Limit  Soft  Hard\nMax open files            16384                524288               files\n";
        let figures = Figures::of(stat, status, limits, "cpu 1\nbtime 1000\n").expect("is read");
        let expected = Figures {
            cpu_seconds: 3.0,
            started_at: 1010.0,
            resident_bytes: 1_024_000,
            virtual_bytes: 2_048_000,
            open_fds: 0,
            max_fds: 16_384,
            threads: 7,
        };
        assert_eq!(figures, expected);
        assert!(Figures::read().is_some_and(|figures| figures.open_fds > 0 && figures.resident_bytes > 0));
    }
}

//! Reads the resource usage of processes, and the machine's description, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Ticks per second in `/proc/<pid>/stat`: fixed in Linux's user-space interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// The memory of a process, in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Current resident memory.
    pub(crate) resident_mib: f64,
    /// Maximum resident memory so far.
    pub(crate) peak_mib: f64,
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process has exited")?;
    let field = |name: &str| -> Result<f64> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| format!("{name} is missing"))?;
        let kib: f64 = line.trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1_024.0)
    };
    Ok(Memory {
        resident_mib: field("VmRSS:")?,
        peak_mib: field("VmHWM:")?,
    })
}

/// The user and system time of a process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    ticks(&format!("/proc/{pid}/stat"), &[11, 12])
}

/// The user and system time of a process and of its children that have exited.
pub(crate) fn cpu_with_children(pid: u32) -> Result<Duration> {
    ticks(&format!("/proc/{pid}/stat"), &[11, 12, 13, 14])
}

/// The processor time of this process's children that have exited.
pub(crate) fn cpu_of_children() -> Result<Duration> {
    ticks("/proc/self/stat", &[13, 14])
}

/// Sums fields of a stat file, which are counted after the process name.
fn ticks(stat: &str, fields: &[usize]) -> Result<Duration> {
    let text = fs::read_to_string(stat).context("the process has exited")?;
    // The second field is the name in parentheses, which may contain anything.
    let all: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let mut sum = 0.0;
    for at in fields {
        let ticks: f64 = all
            .get(*at)
            .context("the line has too few fields")?
            .parse()?;
        sum += ticks;
    }
    Ok(Duration::from_secs_f64(sum / TICKS_PER_SECOND))
}

/// The load average of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|one| one.parse().ok())
        .unwrap_or(f64::NAN)
}

/// A description of the machine in one line.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let after_colon = |line: &str| {
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
    };
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(after_colon);
    let processors = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    format!(
        "{processors} processors ({}), {:.0} GiB of memory, Linux {}",
        model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        memory.unwrap_or_default() / 1_048_576.0,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

//! What this computer does, and what it has: from the kernel's own counters (see proc(5)).

use std::fs;

/// The counters of this computer at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostUsage {
    /// How many processors there are.
    pub processors: u32,
    /// What they did since the start, in ticks.
    busy_ticks: u64,
    all_ticks: u64,
    /// The memory that there is.
    pub memory_total_bytes: u64,
    /// What of it programs could still have.
    pub memory_available_bytes: u64,
}

impl HostUsage {
    /// Reads them; `None` where the system has no such counters.
    pub fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let memory = fs::read_to_string("/proc/meminfo").ok()?;
        Self::parse(&stat, &memory)
    }

    fn parse(stat: &str, memory: &str) -> Option<Self> {
        let times = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what guests take is in the first two.
        let ticks: Vec<u64> = times
            .split_ascii_whitespace()
            .take(8)
            .map_while(|field| field.parse().ok())
            .collect();
        let all_ticks = ticks.iter().sum();
        let idle_ticks: u64 = ticks.iter().skip(3).take(2).sum();
        let processors = stat.lines().filter(|line| {
            let number = line.strip_prefix("cpu").map(str::as_bytes);
            number.is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
        });
        let bytes = |name: &str| {
            let field = memory.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = field.split_ascii_whitespace().next()?.parse().ok()?;
            kib.checked_mul(1024)
        };
        Some(Self {
            processors: u32::try_from(processors.count()).ok()?,
            busy_ticks: all_ticks - idle_ticks,
            all_ticks,
            memory_total_bytes: bytes("MemTotal:")?,
            memory_available_bytes: bytes("MemAvailable:")?,
        })
    }

    /// How many processors were busy since an earlier reading; `None` where no time has passed.
    pub fn cpus_since(&self, earlier: &Self) -> Option<f64> {
        let all = self
            .all_ticks
            .checked_sub(earlier.all_ticks)
            .filter(|ticks| *ticks > 0)?;
        // The kernel's idle time may go back a little.
        let busy = self.busy_ticks.saturating_sub(earlier.busy_ticks).min(all);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share to show, not to count with"
        )]
        Some(f64::from(self.processors) * busy as f64 / all as f64)
    }

    /// The memory that is taken.
    pub fn memory_used_bytes(&self) -> u64 {
        self.memory_total_bytes
            .saturating_sub(self.memory_available_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:   4000 kB\n";

    #[test]
    fn busy_processors_are_counted_between_two_readings() {
        let then = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n";
        let now = "cpu  250 0 100 740 110 0 0 0 90 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n";
        let then = HostUsage::parse(then, MEMORY).unwrap();
        let now = HostUsage::parse(now, MEMORY).unwrap();
        assert_eq!(
            (now.processors, now.memory_used_bytes()),
            (2, 12_000 * 1024)
        );
        assert_eq!(now.cpus_since(&then), Some(1.5));
        assert_eq!(then.cpus_since(&then), None);
        assert_eq!(then.cpus_since(&now), None);
    }

    #[test]
    fn this_computer_has_processors_and_memory() {
        let usage = HostUsage::now().unwrap();
        assert!(
            usage.processors > 0 && usage.memory_used_bytes() > 0,
            "{usage:?}"
        );
        assert_eq!(HostUsage::parse("", MEMORY), None);
        assert_eq!(HostUsage::parse("cpu  1 2 3 4\n", ""), None);
    }
}

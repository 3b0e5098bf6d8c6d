//! The process as the system sees it, under the names that all of Prometheus' clients give it. Nothing where
//! there is no `/proc`.

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::fs;

/// Reads the figures when they are asked for.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl prometheus_client::collector::Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(process) = Process::read() else { return Ok(()) };
        let cpu = ConstCounter::new(process.cpu_seconds);
        let help = "User and system CPU time of the process.";
        let of_cpu =
            encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?;
        cpu.encode(of_cpu)?;
        let gauges = [
            (
                "process_start_time_seconds",
                "Start of the process, in seconds since 1970.",
                process.started,
            ),
            ("process_resident_memory_bytes", "Resident memory of the process.", process.resident),
            ("process_open_fds", "Open file descriptors.", process.open_fds),
            ("process_max_fds", "Most file descriptors that may be open.", process.max_fds),
            ("process_threads", "Threads of the process.", process.threads),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// What `/proc` says of us.
struct Process {
    cpu_seconds: f64,
    started: f64,
    resident: f64,
    open_fds: f64,
    max_fds: f64,
    threads: f64,
}

/// Linux tells user space all times in hundredths of a second, whatever its own ticks are.
const TICKS: f64 = 100.0;

impl Process {
    fn read() -> Option<Self> {
        let text = |name: &str| fs::read_to_string(format!("/proc/{name}")).ok();
        let (stat, status) = (text("self/stat")?, text("self/status")?);
        // The second field is our name, in parentheses, and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let boot = after(&text("stat")?, "btime ")?;
        Some(Self {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
            started: boot + ticks(19)? / TICKS,
            resident: after(&status, "VmRSS:")? * 1024.0,
            #[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
            open_fds: fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            max_fds: after(&text("self/limits")?, "Max open files").unwrap_or(f64::INFINITY),
            threads: after(&status, "Threads:")?,
        })
    }
}

/// The number that follows a word at the beginning of a line.
fn after(text: &str, word: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn the_figures_are_those_of_this_process() {
        let process = Process::read().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - process.started).abs() < 86_400.0, "{} and {now}", process.started);
        assert!(process.resident > 1e6 && process.resident < 1e11, "{}", process.resident);
        assert!(process.open_fds >= 3.0 && process.open_fds <= process.max_fds);
        assert!(process.threads >= 1.0 && process.cpu_seconds < 86_400.0);
    }
}

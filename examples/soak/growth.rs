//! Samples of what a process and its database hold, and whether it grows.

use super::{
    MINUTE, UNTIL_OLD,
    servers::{Processes, Storage},
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    fs,
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

/// A look, at so long after the beginning. A process that was just killed has no figures.
struct Sample {
    at: Duration,
    memory: [Option<u64>; 2],
    files: [Option<u64>; 2],
    /// Of the leader's database, of the helper's, and of what is written ahead.
    disk: [u64; 3],
}

/// Looks in every ten seconds.
pub(super) struct Samples {
    stop: oneshot::Sender<()>,
    taken: JoinHandle<anyhow::Result<Vec<Sample>>>,
}

/// What became of one figure.
#[derive(Serialize)]
pub(super) struct Grown {
    figure: &'static str,
    unit: &'static str,
    /// Medians of the first and of the last quarter of the time that is judged.
    first: u64,
    last: u64,
    /// The line of least squares through all of that time.
    an_hour: f64,
    /// Growth that is let pass.
    tolerated: u64,
    /// Whether it stayed within that; nothing if the time was too short to tell.
    pub(super) flat: Option<bool>,
}

impl Samples {
    pub(super) fn begin(storage: Arc<Storage>, processes: Processes) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, taken: tokio::spawn(take(storage, processes, stopped)) }
    }

    /// Ends the looking; says of each figure whether it grew in a run that was to take so `long`.
    pub(super) async fn end(self, long: Duration) -> anyhow::Result<Vec<Grown>> {
        let _ = self.stop.send(());
        let samples = self.taken.await??;
        // Each process by the half in which the other was killed, without the time that its caches took.
        let half = long / 2;
        let leader = half / 3..half;
        let helper = half + MINUTE + half / 3..long;
        // Databases once as much is forgotten as comes.
        let full = UNTIL_OLD + 3 * MINUTE..long;
        let judge =
            |figure, unit, within: &Range<Duration>, slack, of: &dyn Fn(&Sample) -> Option<u64>| {
                let points = samples.iter().filter(|sample| within.contains(&sample.at));
                let points = points.filter_map(|sample| Some((sample.at, of(sample)?)));
                grown(figure, unit, &points.collect::<Vec<_>>(), slack)
            };
        Ok(vec![
            judge("leader's memory", "kB", &leader, 8 << 10, &|one| one.memory[0]),
            judge("helper's memory", "kB", &helper, 8 << 10, &|one| one.memory[1]),
            judge("leader's open files", "", &leader, 16, &|one| one.files[0]),
            judge("helper's open files", "", &helper, 16, &|one| one.files[1]),
            judge("leader's database", "bytes", &full, 16 << 20, &|one| Some(one.disk[0])),
            judge("helper's database", "bytes", &full, 16 << 20, &|one| Some(one.disk[1])),
            judge("written ahead", "bytes", &full, 64 << 20, &|one| Some(one.disk[2])),
        ])
    }
}

async fn take(
    storage: Arc<Storage>,
    processes: Processes,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<Vec<Sample>> {
    let started = Instant::now();
    let mut every = tokio::time::interval(Duration::from_secs(10));
    let mut samples = Vec::new();
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = &mut stopped => return Ok(samples),
        }
        let storage = Arc::clone(&storage);
        let disk = spawn_blocking(move || storage.bytes()).await??;
        let pids = [0, 1].map(|role| processes[role].load(Relaxed));
        let (memory, files) = (pids.map(memory), pids.map(files));
        samples.push(Sample { at: started.elapsed(), memory, files, disk });
    }
}

/// Resident memory, in kilobytes.
fn memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn files(process: u32) -> Option<u64> {
    Some(fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64)
}

fn grown(
    figure: &'static str,
    unit: &'static str,
    points: &[(Duration, u64)],
    slack: u64,
) -> Grown {
    let quarter = points.len() / 4;
    let median = |points: &[(Duration, u64)]| {
        let mut values: Vec<_> = points.iter().map(|(_, value)| *value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    let first = median(&points[..quarter]);
    let last = median(&points[points.len() - quarter..]);
    let tolerated = slack.max(first / 10);
    let flat = (quarter >= ENOUGH).then_some(last <= first + tolerated);
    Grown { figure, unit, first, last, an_hour: slope(points), tolerated, flat }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn slope(points: &[(Duration, u64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let hours = |at: &Duration| at.as_secs_f64() / 3600.0;
    let middle = points.iter().map(|(at, _)| hours(at)).sum::<f64>() / count;
    let mean = points.iter().map(|(_, value)| *value as f64).sum::<f64>() / count;
    let spread = points.iter().map(|(at, _)| (hours(at) - middle).powi(2)).sum::<f64>();
    let together =
        points.iter().map(|(at, value)| (hours(at) - middle) * (*value as f64 - mean)).sum::<f64>();
    if spread > 0.0 { together / spread } else { 0.0 }
}

/// As lines for people.
pub(super) fn table(grown: &[Grown]) -> String {
    let mut text = String::new();
    for Grown { figure, unit, first, last, an_hour, tolerated, flat } in grown {
        let verdict = match flat {
            Some(true) => "flat",
            Some(false) => "GROWS",
            None => "too short to tell",
        };
        let _ = writeln!(
            text,
            "{figure:20} {first:>12} → {last:>12} {unit:5} {an_hour:>+14.0} an hour, {tolerated:>10} \
             tolerated: {verdict}"
        );
    }
    text
}

/// Samples of a quarter from which on its median says something.
const ENOUGH: usize = 6;

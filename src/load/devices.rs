//! Many devices at once: they randomize, seal and send, and remember only the randomized answers.

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use sottovoce_client::{
    hpke_configs::HpkeConfigs,
    report::{Prepared, Reporter},
};
use sottovoce_courier::uploader::Uploader;
use sottovoce_dap::{time::Time, vdaf::shard::Measurement};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::answer::{Answer, Given};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet};

/// What is to be sent, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Reports.
    pub(super) reports: u64,
    /// Reports of one request.
    pub(super) per_upload: u64,
    /// Concurrent requests.
    pub(super) connections: usize,
    /// When to stop in any case.
    pub(super) until: Instant,
    /// The window that they are for.
    pub(super) window: Time,
}

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Reports that the leader acknowledged.
    pub(super) reports: u64,
    /// Their sums per bin, which the collector must find.
    pub(super) sums: Vec<u64>,
    /// How long each request took.
    pub(super) latencies: Vec<Duration>,
}

/// The devices of one task.
pub(super) struct Devices {
    pub(super) uploader: Arc<Uploader>,
    pub(super) reporter: Arc<Reporter>,
    pub(super) configs: HpkeConfigs,
    /// The possible answers, given in turn.
    pub(super) levels: Arc<[&'static str]>,
}

/// One request's reports and their measurements.
struct Sealed {
    reports: Vec<Prepared>,
    measured: Vec<usize>,
}

impl Devices {
    /// Makes and sends the reports concurrently, on all cores.
    pub(super) async fn send(&self, plan: Plan) -> anyhow::Result<Sent> {
        let style = "{bar:40} {pos}/{len} reports ({per_sec}, {eta} left)";
        let progress =
            ProgressBar::new(plan.reports).with_style(ProgressStyle::with_template(style)?);
        let mut sealed = self.seal(plan);
        let mut sent = Sent { sums: vec![0; self.levels.len() + 1], ..Sent::default() };
        let mut requests = JoinSet::new();
        while let Some(next) = sealed.recv().await {
            let Sealed { mut reports, measured } = next?;
            while requests.len() >= plan.connections {
                count(&mut sent, &progress, requests.join_next().await)?;
            }
            let (uploader, reporter) = (Arc::clone(&self.uploader), Arc::clone(&self.reporter));
            requests.spawn(async move {
                let started = Instant::now();
                let uploaded = uploader.upload(&reporter, &mut reports, u64::MAX).await?;
                let lost = [&uploaded.refused[..], &uploaded.unknown].concat();
                ensure!(lost.is_empty(), "the leader refused reports: {lost:?}");
                ensure!(
                    reports.is_empty(),
                    "the leader says that {} reports are too early",
                    reports.len()
                );
                Ok((measured, started.elapsed()))
            });
        }
        while let Some(ended) = requests.join_next().await {
            count(&mut sent, &progress, Some(ended))?;
        }
        progress.finish_and_clear();
        Ok(sent)
    }

    /// Starts a thread for each core that seals reports; bounded, so that little is made ahead.
    fn seal(&self, plan: Plan) -> mpsc::Receiver<anyhow::Result<Sealed>> {
        let (sender, receiver) = mpsc::channel(plan.connections);
        let made = Arc::new(AtomicU64::new(0));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (sender, made) = (sender.clone(), Arc::clone(&made));
            let (reporter, configs) = (Arc::clone(&self.reporter), self.configs.clone());
            let levels = Arc::clone(&self.levels);
            std::thread::spawn(move || {
                while Instant::now() < plan.until {
                    let first = made.fetch_add(plan.per_upload, Ordering::Relaxed);
                    let last = plan.reports.min(first.saturating_add(plan.per_upload));
                    if first >= last {
                        return;
                    }
                    let sealed = seal(&reporter, &configs, &levels, plan.window, first..last);
                    let failed = sealed.is_err();
                    if sender.blocking_send(sealed).is_err() || failed {
                        return;
                    }
                }
            });
        }
        receiver
    }
}

fn seal(
    reporter: &Reporter,
    configs: &HpkeConfigs,
    levels: &[&'static str],
    window: Time,
    numbers: std::ops::Range<u64>,
) -> anyhow::Result<Sealed> {
    let mut rng = DeviceRng::new()?;
    let mut sealed = Sealed { reports: Vec::new(), measured: Vec::new() };
    for number in numbers {
        let level = usize::try_from(number).unwrap_or(0) % levels.len();
        let answer = Answer::given(Given::Rating(levels[level].to_owned()));
        let drawn = reporter.draw(&answer, window, &mut rng)?;
        let Measurement::Bin(bin) = drawn.measurement() else {
            bail!("the load's metric has one bin per answer");
        };
        sealed.measured.push(bin);
        sealed.reports.push(reporter.prepare_drawn(drawn, configs)?);
    }
    Ok(sealed)
}

type Ended = Result<anyhow::Result<(Vec<usize>, Duration)>, tokio::task::JoinError>;

fn count(sent: &mut Sent, progress: &ProgressBar, ended: Option<Ended>) -> anyhow::Result<()> {
    let Some(ended) = ended else { return Ok(()) };
    let (measured, took) = ended?.context("uploading")?;
    sent.latencies.push(took);
    sent.reports += measured.len() as u64;
    progress.inc(measured.len() as u64);
    for bin in measured {
        sent.sums[bin] += 1;
    }
    Ok(())
}

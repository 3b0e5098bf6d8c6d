//! Invented users' reports for servers that run already, at a bounded rate.

use crate::{
    collector::{collect, secrets_of},
    simulate::{crowd::Crowd, scenario::Scenario},
};
use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sottovoce_client::{
    hpke_configs::HpkeConfigs,
    report::{Prepared, Reporter},
};
use sottovoce_collector::{collector::Collector, window};
use sottovoce_courier::uploader::Uploader;
use sottovoce_dap::{
    collect::Query,
    task::BatchMode,
    time::{Interval, Time},
};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{Program, compile::CompiledTask, format_moment};
use sottovoce_transport::http::HttpClient;
use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What is sent to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program file.
    pub program: PathBuf,
    /// Invented devices, each with one report for each metric.
    pub devices: u64,
    /// Devices in a second, at most.
    pub rate: u32,
    /// Where the users' behaviour is drawn from.
    pub seed: u64,
    /// The collector's secrets, if the window is to be collected and compared.
    pub secrets: Option<PathBuf>,
    /// How long to wait for the collection.
    pub patience: Duration,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub struct Driven {
    /// The window's start that the reports are for.
    pub window: String,
    /// Devices that reported.
    pub devices: u64,
    /// How long that took.
    pub seconds: f64,
    /// Each task of the program.
    pub tasks: Vec<TaskLoad>,
}

/// What one task got.
#[derive(Debug, Serialize)]
pub struct TaskLoad {
    /// Its name in the program.
    pub name: String,
    /// Reports that the leader acknowledged.
    pub sent: u64,
    /// Reports that were collected, those of others too; nothing if none were asked for.
    pub collected: Option<u64>,
}

/// Sends the reports; collects and compares if there are secrets.
pub fn drive(options: &Options) -> anyhow::Result<Driven> {
    let program = Program::read(&options.program)?;
    let scenario = Scenario::parse("the default scenario", "", &program)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let window = window_for(&program, options.secrets.is_some())?;
    runtime.block_on(async {
        let installation = Installation::new(&program, window).await?;
        let crowd = Crowd::new(&program, &scenario, options.seed);
        let mut driven = installation.send(&crowd, options).await?;
        if options.secrets.is_some() {
            installation.compare(options, &mut driven).await?;
        }
        Ok(driven)
    })
}

/// The window that is open, or the last one that can be collected already.
fn window_for(program: &Program, is_collected: bool) -> anyhow::Result<Time> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    if !is_collected {
        return Ok(program.window().time_at(now));
    }
    ensure!(
        program.batch_mode() == BatchMode::TimeInterval,
        "the leader selects this program's batches, so that reports are not comparable; remove --secrets"
    );
    Ok(window::choose(program.window(), program.grace(), None, 1, now)?.start())
}

struct Installation<'a> {
    program: &'a Program,
    window: Time,
    uploader: Uploader,
    configs: HpkeConfigs,
    reporters: Vec<Reporter>,
}

impl<'a> Installation<'a> {
    async fn new(program: &'a Program, window: Time) -> anyhow::Result<Self> {
        let uploader = Uploader::new(HttpClient::new(REQUEST)?, program, None, 5)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let configs = uploader.hpke_configs(now).await?;
        let reporters = program.tasks().iter().map(Reporter::new).collect::<Result<_, _>>()?;
        Ok(Self { program, window, uploader, configs, reporters })
    }

    async fn send(&self, crowd: &Crowd<'_>, options: &Options) -> anyhow::Result<Driven> {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} devices ({eta} left)")?;
        let progress = ProgressBar::new(options.devices).with_style(style);
        let mut sent = vec![0; self.reporters.len()];
        let (began, mut device) = (Instant::now(), 0);
        while device < options.devices {
            let due = began + Duration::from_secs(device) / options.rate;
            tokio::time::sleep_until(due.into()).await;
            let last = options.devices.min(device + u64::from(options.rate.min(TOGETHER)));
            self.send_some(crowd, device..last, &mut sent).await?;
            device = last;
            progress.set_position(device);
        }
        progress.finish_and_clear();
        let task = |(task, sent): (&CompiledTask, u64)| TaskLoad {
            name: task.name.clone(),
            sent,
            collected: None,
        };
        Ok(Driven {
            window: format_moment(self.program.window().start_of(self.window)),
            devices: device,
            seconds: began.elapsed().as_secs_f64(),
            tasks: self.program.tasks().iter().zip(sent).map(task).collect(),
        })
    }

    /// Reports of some devices: one request for each task.
    async fn send_some(
        &self,
        crowd: &Crowd<'_>,
        devices: std::ops::Range<u64>,
        sent: &mut [u64],
    ) -> anyhow::Result<()> {
        let mut prepared: Vec<Vec<Prepared>> = self.reporters.iter().map(|_| Vec::new()).collect();
        let mut rng = DeviceRng::new()?;
        for (task, answer) in devices.flat_map(|device| crowd.answers(device)) {
            let drawn = self.reporters[task].draw(&answer, self.window, &mut rng)?;
            prepared[task].push(self.reporters[task].prepare_drawn(drawn, &self.configs)?);
        }
        for ((reporter, mut reports), sent) in self.reporters.iter().zip(prepared).zip(sent) {
            let count = reports.len() as u64;
            if count > 0 {
                let uploaded = self.uploader.upload(reporter, &mut reports, u64::MAX).await?;
                let lost = uploaded.refused.iter().chain(&uploaded.unknown).next();
                if let Some((_, reason)) = lost {
                    bail!(
                        "the leader refuses reports: {reason:?}; has the window been collected already?"
                    );
                }
                ensure!(
                    reports.is_empty(),
                    "the leader says that reports are too early; check the clocks"
                );
                *sent += count;
            }
        }
        Ok(())
    }

    /// Collects what was sent, and holds the counts against each other.
    async fn compare(&self, options: &Options, driven: &mut Driven) -> anyhow::Result<()> {
        let path = options.secrets.as_ref().context("there are no secrets to collect with")?;
        let secrets = secrets_of(self.program, path)?;
        let collector = Collector::new(self.program, secrets, options.patience)?;
        let query = Query::TimeInterval(Interval::new(self.window, 1)?.into());
        for (task, load) in self.program.tasks().iter().zip(&mut driven.tasks) {
            let least = self.program.min_batch_size();
            if load.sent < least {
                eprintln!(
                    "{}: {} reports are too few to be collected, the minimum is {least}; use more --devices",
                    load.name, load.sent
                );
                continue;
            }
            let found = collect(&collector, task, query).await?.release.reports;
            ensure!(
                found >= load.sent,
                "{}: {found} reports were collected, and {} sent; see `batches compare` of the leader",
                load.name,
                load.sent
            );
            load.collected = Some(found);
        }
        Ok(())
    }
}

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(60);
/// Devices whose reports go in one request, at most.
const TOGETHER: u32 = 100;

impl fmt::Display for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, devices, seconds, tasks } = self;
        write!(f, "{devices} devices reported for the window from {window} in {seconds:.1} s")?;
        for TaskLoad { name, sent, collected } in tasks {
            write!(f, "\n{name}: {sent} reports acknowledged")?;
            if let Some(collected) = collected {
                write!(f, ", {collected} collected")?;
            }
        }
        Ok(())
    }
}

//! The whole way on one machine: real feedback, two real servers, released figures.
//!
//! [`data`] is the feedback, [`local_servers`](crate::local_servers) starts a leader and a helper
//! as processes of their own, [`devices`] sends one report for each judgement through the client library. Then the collector
//! collects, and [`report`] sets its figures beside the truth, which only a demonstration knows.

pub mod data;
mod devices;
mod program;
pub mod report;

use crate::{
    collector::{collect, read_secrets},
    keygen::Secrets,
    local_servers::{Servers, Setup, free_ports},
};
use anyhow::Context;
use report::{Metric, Outcome};
use sottovoce_aggregator::serve::signals::stop_signal;
use sottovoce_collector::{collector::Collector, window};
use sottovoce_dap::collect::Query;
use sottovoce_program::Program;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What the demonstration is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Devices, one for each judgement; as many as there are judgements if it is not given.
    pub devices: Option<usize>,
    /// Where to leave databases and logs.
    pub keep: Option<PathBuf>,
    /// Reports of one upload request.
    pub reports_per_upload: usize,
}

/// Runs the demonstration; whatever it made is gone afterwards, unless it is to be kept.
pub fn run(options: &Options) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = stop_signal()?;
        tokio::select! {
            outcome = demonstrate(options) => outcome,
            _ = stop.wait_for(|stop| *stop) => anyhow::bail!("interrupted; everything is cleaned up"),
        }
    })
}

async fn demonstrate(options: &Options) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let folder = Folder::new(options.keep.as_deref())?;
    let metrics = data::load(options.devices)?;
    let program_path = folder.path().join("program.toml");
    let secrets = Secrets::generate()?;
    secrets.write(folder.path())?;
    let ports = free_ports()?;
    let smallest = metrics.iter().map(|metric| metric.answers.len()).min().unwrap_or(0);
    let text = program::text(ports, &secrets.collector_hpke_config(), smallest);
    std::fs::write(&program_path, &text)?;
    let program = Program::parse("program.toml", &text)?;

    let servers = Servers::start(&Setup {
        folder: folder.path(),
        ports,
        databases: ["leader.sqlite", "helper.sqlite"].map(str::to_owned),
    })
    .await?;
    // The devices answered in the hour that closed last, so that it can be collected now.
    let window = window::choose(program.window(), program.grace(), None, 1, unix_now()?)?;
    let answered = program.window().start_of(window.start());
    let sent = devices::send(&program, &metrics, answered, options.reports_per_upload).await?;

    let secrets = read_secrets(&folder.path().join("collector.secrets.toml"))?;
    let collector = Collector::new(&program, secrets, Duration::from_secs(300))?;
    let mut figures = Vec::new();
    for metric in &metrics {
        let task = program.task(metric.name).context("the demo's program lacks a metric")?;
        let batch = collect(&collector, task, Query::TimeInterval(window.into())).await?;
        figures.push(Metric::new(&batch.release, &metric.truth(task)?));
    }
    let usage = servers.stop().await?;
    let elapsed = started.elapsed();
    let period = program.period_cost()?;
    Ok(Outcome { period, metrics: figures, sent, usage, elapsed, kept: folder.kept() })
}

fn unix_now() -> anyhow::Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

/// Where everything happens.
enum Folder {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = keep else {
            let folder = tempfile::Builder::new().prefix("sottovoce-demo-").tempdir()?;
            return Ok(Self::Temporary(folder));
        };
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        let is_empty = std::fs::read_dir(path)?.next().is_none();
        anyhow::ensure!(is_empty, "{} is not empty; name a new folder", path.display());
        Ok(Self::Kept(path.canonicalize()?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    fn kept(&self) -> Option<PathBuf> {
        match self {
            Self::Temporary(_) => None,
            Self::Kept(path) => Some(path.clone()),
        }
    }
}

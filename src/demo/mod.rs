//! The whole system on one machine: real feedback, two real servers, released figures.
//!
//! [`data`] is the feedback. [`local_servers`](crate::local_servers) starts a leader and a helper as processes of
//! their own, and [`devices`] sends one report for each judgement through the client library. Then the
//! collector collects, and [`report`] prints its figures beside the truth, which only a demonstration knows.
//!
//! [`serve()`] keeps both servers up for somebody who tries an app on them; [`welcome`] is what it prints.

mod clock;
mod crowd;
pub mod data;
mod devices;
mod folder;
mod program;
pub mod report;
mod serve;
mod welcome;

pub use serve::serve;

use crate::{
    collector::{collect, read_secrets},
    keygen::Secrets,
    local_servers::{Servers, Setup, free_ports},
};
use anyhow::Context;
use folder::Folder;
use report::{Metric, Outcome};
use sottovoce_aggregator::serve::signals::stop_signal;
use sottovoce_collector::{collector::Collector, window};
use sottovoce_dap::collect::Query;
use sottovoce_program::Program;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Settings of a demonstration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Devices, one for each judgement; as many as there are judgements if it is not given.
    pub devices: Option<usize>,
    /// The folder to keep databases and logs in.
    pub keep: Option<PathBuf>,
    /// Reports of one upload request.
    pub reports_per_upload: usize,
}

/// Runs the demonstration. Its files are removed at the end, unless they are to be kept.
pub fn run(options: &Options) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = stop_signal()?;
        tokio::select! {
            outcome = demonstrate(options) => outcome,
            _ = stop.wait_for(|stop| *stop) => anyhow::bail!("interrupted; all files are removed"),
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
    let text = program::to_replay(ports, &secrets.collector_hpke_config(), smallest);
    std::fs::write(&program_path, &text)?;
    let program = Program::parse("program.toml", &text)?;

    let servers = Servers::start(&Setup {
        folder: folder.path(),
        ports,
        databases: ["leader.sqlite", "helper.sqlite"].map(str::to_owned),
    })
    .await?;
    // The devices answered in the hour that closed last, so that it can be collected now.
    let window = window::choose(program.window(), program.grace(), None, 1, clock::now())?;
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
    let elapsed = started.elapsed();
    let usage = servers.stop().await?;
    let period = program.period_cost()?;
    Ok(Outcome { period, metrics: figures, sent, usage, elapsed, kept: folder.kept() })
}

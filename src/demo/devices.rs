//! One device for each judgement, using the client library.

use super::data::Asked;
use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use sottovoce_client::report::{Prepared, Reporter};
use sottovoce_courier::uploader::Uploader;
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::Program;
use sottovoce_transport::http::HttpClient;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// What the devices sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Reports.
    pub reports: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// Concurrent requests: enough for uploads to share the leader's transactions.
const AT_ONCE: usize = 32;

/// Makes and sends each device's report. `answered` is when they answered, in seconds since the Epoch.
pub(super) async fn send(
    program: &Program,
    metrics: &[Asked],
    answered: u64,
    reports_per_upload: usize,
) -> anyhow::Result<Sent> {
    let http = HttpClient::new(Duration::from_secs(60))?;
    let uploader = Arc::new(Uploader::new(http, program, None, 5)?);
    let total: usize = metrics.iter().map(|metric| metric.answers.len()).sum();
    let style = "devices report {bar:40} {pos}/{len} ({per_sec}, {eta} left)";
    let progress = ProgressBar::new(total as u64).with_style(ProgressStyle::with_template(style)?);
    let mut sent = Sent::default();
    for metric in metrics {
        let task = program.task(metric.name).context("the demo's program lacks a metric")?;
        let reporter = Arc::new(Reporter::new(task)?);
        let configs = Arc::new(uploader.hpke_configs(answered).await?);
        let mut uploads = JoinSet::new();
        // Bounded: no more reports are sealed in advance than are being sent.
        for answers in metric.answers.chunks(AT_ONCE * reports_per_upload) {
            let (reporter_, configs, answers) =
                (Arc::clone(&reporter), Arc::clone(&configs), answers.to_vec());
            let prepare = move || -> anyhow::Result<Vec<Prepared>> {
                let prepare = |rng: &mut Result<DeviceRng, _>, answer| {
                    let rng = rng.as_mut().map_err(|error| anyhow::anyhow!("{error}"))?;
                    Ok(reporter_.prepare(answer, answered, &configs, rng)?)
                };
                answers.par_iter().map_init(DeviceRng::new, prepare).collect()
            };
            let mut prepared = tokio::task::spawn_blocking(prepare).await??.into_iter();
            loop {
                let reports: Vec<_> = prepared.by_ref().take(reports_per_upload).collect();
                if reports.is_empty() {
                    break;
                }
                while uploads.len() >= AT_ONCE {
                    finish(&mut uploads, &mut sent, &progress).await?;
                }
                let (uploader, reporter) = (Arc::clone(&uploader), Arc::clone(&reporter));
                uploads.spawn(async move {
                    let mut reports = reports;
                    let uploaded = uploader.upload(&reporter, &mut reports, answered).await?;
                    ensure!(
                        reports.is_empty(),
                        "the leader says that {} reports are too early",
                        reports.len()
                    );
                    Ok(uploaded)
                });
            }
        }
        while !uploads.is_empty() {
            finish(&mut uploads, &mut sent, &progress).await?;
        }
    }
    progress.finish_and_clear();
    Ok(sent)
}

type Uploads = JoinSet<anyhow::Result<sottovoce_courier::uploader::Uploaded>>;

async fn finish(
    uploads: &mut Uploads,
    sent: &mut Sent,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let Some(uploaded) = uploads.join_next().await else { return Ok(()) };
    let uploaded = uploaded??;
    let lost = [&uploaded.refused[..], &uploaded.unknown].concat();
    ensure!(lost.is_empty(), "the leader refused reports: {lost:?}");
    sent.reports += uploaded.accepted;
    sent.bytes += uploaded.bytes;
    progress.inc(uploaded.accepted as u64);
    Ok(())
}

//! Devices that report at a steady rate, and send again what was not acknowledged.

use super::LEVELS;
use anyhow::{Context, bail, ensure};
use sottovoce_client::{hpke_configs::HpkeConfigs, report::Reporter};
use sottovoce_courier::uploader::Uploader;
use sottovoce_dap::{time::Time, vdaf::shard::Measurement};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{
    Program,
    answer::{Answer, Given},
    compile::CompiledTask,
};
use sottovoce_transport::http::HttpClient;
use std::time::Duration;

pub(super) struct Devices {
    uploader: Uploader,
    reporter: Reporter,
    configs: HpkeConfigs,
}

impl Devices {
    /// With the keys that the servers offer now.
    pub(super) async fn new(program: &Program, task: &CompiledTask) -> anyhow::Result<Self> {
        let http = HttpClient::new(Duration::from_secs(30))?;
        let uploader = Uploader::new(http, program, None, ATTEMPTS)?;
        let configs = uploader.hpke_configs(0).await?;
        Ok(Self { uploader, reporter: Reporter::new(task)?, configs })
    }

    /// Sends so many reports each second, and says what they add up to.
    pub(super) async fn send(
        &self,
        window: Time,
        rate: u32,
        long: Duration,
    ) -> anyhow::Result<Vec<u64>> {
        let mut sums = vec![0; LEVELS.len() + 1];
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for _ in 0..long.as_secs() {
            second.tick().await;
            self.upload(window, rate, &mut sums).await?;
        }
        Ok(sums)
    }

    async fn upload(&self, window: Time, count: u32, sums: &mut [u64]) -> anyhow::Result<()> {
        let mut rng = DeviceRng::new()?;
        let mut reports = Vec::new();
        for number in 0..count as usize {
            let level = LEVELS[number % LEVELS.len()].to_owned();
            let answer = Answer::given(Given::Rating(level));
            let drawn = self.reporter.draw(&answer, window, &mut rng)?;
            let Measurement::Bin(bin) = drawn.measurement() else {
                bail!("the metric has one bin for each answer");
            };
            sums[bin] += 1;
            reports.push(self.reporter.prepare_drawn(drawn, &self.configs)?);
        }
        let uploaded = self.uploader.upload(&self.reporter, &mut reports, 0).await;
        let uploaded = uploaded.context("uploading")?;
        let lost = [&uploaded.refused[..], &uploaded.unknown].concat();
        ensure!(
            lost.is_empty() && reports.is_empty(),
            "refused: {lost:?}, left: {}",
            reports.len()
        );
        Ok(())
    }
}

/// Waits double each time: long enough for a server that starts.
const ATTEMPTS: u32 = 10;

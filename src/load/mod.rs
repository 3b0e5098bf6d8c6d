//! Sends honest reports to both servers and measures what they cost.
//!
//! [`devices`] makes and sends reports through the client library, as fast as the servers accept
//! them; the collector's sums must be exactly what was sent. [`floor`] measures, in
//! the same run, what the cryptography alone costs. [`storage`] starts the databases and asks
//! how full they are, and [`report`] puts it together. Everything is on this machine and bounded in count and time.
//! [`installation`] is the exception: it sends invented users' reports to servers that run already.

mod devices;
mod floor;
pub mod installation;
pub mod report;
mod storage;

use crate::{
    collector::{collect, read_secrets},
    keygen::Secrets,
    local_servers::{Servers, Setup, free_ports, signal},
};
use anyhow::{Context, ensure};
use devices::{Devices, Plan, Sent};
use report::{Collections, Disk, Latency, Measured, Memory, Parties, milliseconds};
use sottovoce_client::report::Reporter;
use sottovoce_collector::{collector::Collector, window};
use sottovoce_courier::uploader::Uploader;
use sottovoce_dap::{
    collect::Query,
    time::{Interval, Time},
};
use sottovoce_program::{Program, compile::CompiledTask};
use sottovoce_transport::http::HttpClient;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use storage::Storage;

/// Settings of a load.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Reports to send.
    pub reports: u64,
    /// Reports of one upload request.
    pub per_upload: u64,
    /// Concurrent upload requests.
    pub connections: usize,
    /// Stop sending after this long.
    pub at_most: Duration,
    /// Use PostgreSQL, on a temporary server of its own.
    pub postgres: bool,
}

/// Starts servers and runs the load on them.
pub fn run(options: Options) -> anyhow::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(load(options))
}

async fn load(options: Options) -> anyhow::Result<Measured> {
    let folder = tempfile::Builder::new().prefix("sottovoce-load-").tempdir()?;
    let secrets = Secrets::generate()?;
    secrets.write(folder.path())?;
    let ports = free_ports()?;
    let text = program_text(ports, &secrets.collector_hpke_config());
    std::fs::write(folder.path().join("program.toml"), &text)?;
    let program = Program::parse("program.toml", &text)?;
    let task = program.task("answer_quality").context("the load's program lacks its metric")?;
    let storage = if options.postgres {
        tokio::task::block_in_place(|| Storage::postgres(folder.path()))?
    } else {
        Storage::sqlite(folder.path())
    };
    let setup = Setup { folder: folder.path(), ports, databases: storage.names() };
    let servers = Servers::start(&setup).await?;
    let run = Run { options, folder: folder.path(), program: &program, task, servers, storage };
    run.measure().await
}

struct Run<'a> {
    options: Options,
    folder: &'a Path,
    program: &'a Program,
    task: &'a CompiledTask,
    servers: Servers,
    storage: Storage,
}

impl Run<'_> {
    async fn measure(self) -> anyhow::Result<Measured> {
        let devices = self.devices().await?;
        // Windows that are over: one to look at while its reports wait, one to measure, and some that are
        // collected once all is aggregated.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let windows = window::choose(
            self.program.window(),
            self.program.grace(),
            None,
            2 + COLLECTIONS,
            now,
        )?;
        let before = self.waiting_bytes(&devices, windows.start()).await?;

        let (disk, usage) = (self.storage.bytes()?, self.servers.usage());
        let (database, started) = (self.storage.cpu(), Instant::now());
        let sent = devices.send(self.plan(Time(windows.start().0 + 1))).await?;
        self.collect(Time(windows.start().0 + 1), &sent).await?;
        let elapsed = started.elapsed();
        let used = self.servers.usage();
        let database = self.storage.cpu().saturating_sub(database);
        let grown = self.storage.bytes()?;
        let collections = self.collections(&devices, Time(windows.start().0 + 2)).await?;

        let per_report = |now: u64, then: u64| ratio(now.saturating_sub(then), sent.reports);
        let disk = Disk {
            before,
            leader: per_report(grown[0], disk[0]),
            helper: per_report(grown[1], disk[1]),
        };
        let request = self.request_cost().await?;
        let storage = self.storage.kind();
        let memory = self.servers.stop().await?.map(|usage| ratio(usage.memory, 1000));
        let floor = floor::measure(self.task.configuration.vdaf)?
            + request.div_f64(ratio(self.options.per_upload, 1));
        let cpu = |index: usize| {
            milliseconds(used[index].cpu.saturating_sub(usage[index].cpu)) / ratio(sent.reports, 1)
        };
        let (leader, helper) = (cpu(0), cpu(1));
        let database = milliseconds(database) / ratio(sent.reports, 1);
        let total = leader + helper + database;
        Ok(Measured {
            reports: sent.reports,
            seconds: elapsed.as_secs_f64(),
            reports_per_second: ratio(sent.reports, 1) / elapsed.as_secs_f64(),
            cpu_ms_per_report: Parties { leader, helper, database, total },
            floor_ms_per_report: milliseconds(floor),
            times_floor: total / milliseconds(floor),
            peak_rss_mb: Memory { leader: memory[0], helper: memory[1] },
            disk_bytes_per_report: disk,
            latency_ms: Latency::of(&sent),
            collection_ms: Collections::of(collections),
            reports_per_upload: self.options.per_upload,
            storage,
        })
    }

    async fn devices(&self) -> anyhow::Result<Devices> {
        let http = HttpClient::new(Duration::from_secs(60))?;
        let uploader = Arc::new(Uploader::new(http, self.program, None, 5)?);
        Ok(Devices {
            configs: uploader.hpke_configs(0).await?,
            uploader,
            reporter: Arc::new(Reporter::new(self.task)?),
            levels: LEVELS.into(),
        })
    }

    fn plan(&self, window: Time) -> Plan {
        let Options { reports, per_upload, connections, at_most, .. } = self.options;
        Plan { reports, per_upload, connections, until: Instant::now() + at_most, window }
    }

    /// What a waiting report takes of the leader's disk: sends some while the helper stands still.
    async fn waiting_bytes(&self, devices: &Devices, window: Time) -> anyhow::Result<f64> {
        let helper = self.servers.helper_id().context("the helper has ended")?;
        let before = self.storage.bytes()?[0];
        signal(helper, "STOP").await?;
        let plan = Plan { reports: self.options.reports.min(SAMPLE), ..self.plan(window) };
        let sent = devices.send(plan).await;
        let after = self.storage.bytes();
        signal(helper, "CONT").await?;
        let (sent, after) = (sent?, after?[0]);
        self.collect(window, &sent).await?;
        Ok(ratio(after.saturating_sub(before), sent.reports))
    }

    /// How long it takes to collect a window whose reports are all aggregated, again and again.
    async fn collections(&self, devices: &Devices, first: Time) -> anyhow::Result<Vec<Duration>> {
        let mut windows = Vec::new();
        for window in (first.0..first.0 + COLLECTIONS).map(Time) {
            let plan = Plan { reports: LEAST, per_upload: LEAST, ..self.plan(window) };
            windows.push((window, devices.send(plan).await?));
        }
        self.storage.wait_until_aggregated(&self.task.task_id, self.options.at_most).await?;
        let (collector, mut took) = (self.collector()?, Vec::new());
        for (window, sent) in &windows {
            let started = Instant::now();
            self.collect_with(&collector, *window, sent).await?;
            took.push(started.elapsed());
        }
        Ok(took)
    }

    async fn collect(&self, window: Time, sent: &Sent) -> anyhow::Result<()> {
        self.collect_with(&self.collector()?, window, sent).await
    }

    fn collector(&self) -> anyhow::Result<Collector<'_>> {
        let secrets = read_secrets(&self.folder.join("collector.secrets.toml"))?;
        Ok(Collector::new(self.program, secrets, self.options.at_most)?)
    }

    /// Collects a window and holds the sums against what was sent.
    async fn collect_with(
        &self,
        collector: &Collector<'_>,
        window: Time,
        sent: &Sent,
    ) -> anyhow::Result<()> {
        let interval = Interval::new(window, 1)?;
        let query = Query::TimeInterval(interval.into());
        let batch = collect(collector, self.task, query).await?;
        let release = &batch.release;
        let reported: Vec<_> = release.bins.iter().map(|bin| bin.reported).collect();
        let sums: Vec<_> =
            sent.sums.iter().map(|sum| i64::try_from(*sum)).collect::<Result<_, _>>()?;
        ensure!(
            release.reports == sent.reports && reported == sums,
            "collected {} reports {reported:?}, and sent {} reports {sums:?}",
            release.reports,
            sent.reports
        );
        Ok(())
    }

    /// What one HTTP request costs the leader that asks nothing of it.
    async fn request_cost(&self) -> anyhow::Result<Duration> {
        let client = reqwest::Client::new();
        let url = format!("{}healthz", self.program.leader());
        let before = self.servers.usage()[0].cpu;
        for _ in 0..REQUESTS {
            client.get(&url).send().await?.error_for_status()?.bytes().await?;
        }
        Ok((self.servers.usage()[0].cpu.saturating_sub(before)) / REQUESTS)
    }
}

/// Reports that are looked at while they wait.
const SAMPLE: u64 = 5000;
/// Collections that are timed, and the reports of each: the program's smallest batch.
const COLLECTIONS: u64 = 20;
const LEAST: u64 = 100;
const REQUESTS: u32 = 4000;
const LEVELS: [&str; 4] = ["Bad", "Could be better", "Good", "Excellent"];

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

/// One metric of four answers: with *no answer* a Prio3Histogram of five.
fn program_text([leader, helper]: [u16; 2], collector: &str) -> String {
    format!(
        r#"name = "load"
leader = "http://127.0.0.1:{leader}/"
helper = "http://127.0.0.1:{helper}/"
collector = "{collector}"
window = "1 hour"
grace = "0 seconds"
min_batch_size = 100

[privacy]
epsilon0 = 4.0
epsilon = 4.0
delta = 1e-6

[metrics.answer_quality]
kind = "rating"
question = "How good is this answer?"
levels = {LEVELS:?}
randomizer = "krr"
"#
    )
}

//! Runs both servers for a long time, disturbs them, and looks at what grows.
//!
//! ```sh
//! cargo run --release --example soak -- --minutes 60
//! cargo run --release --example soak -- --minutes 60 --postgres
//! ```
//!
//! Each minute is a round: devices report into a window of their own, somebody is killed, a key rotates, a
//! backup is made, and the window is collected; its sums must be exactly what was sent. Windows lie nearly
//! as far back as reports are kept, so that report IDs are forgotten after some minutes, as they are
//! after days elsewhere. In the first half the helper is killed and in the second the leader, so that each
//! has half of the time to show whether its memory grows. Ends with an error if a sum is wrong or
//! something grows.

mod devices;
mod growth;
mod servers;

use anyhow::{Context, ensure};
use clap::Parser;
use devices::Devices;
use growth::{Grown, Samples};
use serde::Serialize;
use servers::{Servers, Storage};
use sottovoce::{
    collector::{collect, read_secrets},
    command_line,
    keygen::Secrets,
    local_servers::free_ports,
    servers::{self as command, Command},
};
use sottovoce_collector::collector::Collector;
use sottovoce_dap::{
    collect::Query,
    time::{Interval, Time},
};
use sottovoce_program::{Program, compile::CompiledTask};
use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep_until};

/// Run both servers for long, disturb them, and say what grows.
#[derive(Parser)]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// Reports in a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..=1000))]
    rate: u32,
    /// Keep it in PostgreSQL, on a server that is started for this.
    #[arg(long)]
    postgres: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What the same program is when it is one of the two servers.
#[derive(Parser)]
enum Role {
    #[command(subcommand)]
    Leader(Command),
    #[command(subcommand)]
    Helper(Command),
}

fn main() -> ExitCode {
    let is_server =
        std::env::args().nth(1).is_some_and(|word| word == "leader" || word == "helper");
    command_line::exit(match is_server.then(Role::parse) {
        Some(Role::Leader(command)) => command::leader(command),
        Some(Role::Helper(command)) => command::helper(command),
        None => run(&Arguments::parse()),
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let soaked = runtime.block_on(soak(arguments))?;
    if arguments.json {
        command_line::print(serde_json::to_string_pretty(&soaked)?)?;
    } else {
        let Soaked { minutes, storage, reports, collections, kills, rotations, backups, .. } =
            &soaked;
        command_line::print(format_args!(
            "{minutes} minutes on {storage}: {reports} reports in {collections} collections, all sums as sent; \
             {kills} kills, {rotations} new keys, {backups} backups\n{}",
            growth::table(&soaked.grown)
        ))?;
    }
    let grows: Vec<_> = soaked.grown.iter().filter(|one| one.flat == Some(false)).collect();
    ensure!(grows.is_empty(), "{} of the figures grow", grows.len());
    Ok(())
}

/// What was done, and what became of it.
#[derive(Default, Serialize)]
struct Soaked {
    minutes: u32,
    storage: &'static str,
    reports: u64,
    collections: u64,
    kills: u64,
    rotations: u64,
    backups: u64,
    /// Empty until the end.
    grown: Vec<Grown>,
}

async fn soak(arguments: &Arguments) -> anyhow::Result<Soaked> {
    let folder = tempfile::Builder::new().prefix("sottovoce-soak-").tempdir()?;
    let secrets = Secrets::generate()?;
    secrets.write(folder.path())?;
    let ports = free_ports()?;
    let text = program_text(ports, &secrets.collector_hpke_config());
    std::fs::write(folder.path().join("program.toml"), &text)?;
    let program = Program::parse("program.toml", &text)?;
    let task = program.task("answer_quality").context("the program lacks its metric")?;
    let storage = tokio::task::block_in_place(|| Storage::new(folder.path(), arguments.postgres))?;
    let storage = Arc::new(storage);
    let servers = Servers::start(folder.path(), ports, &storage.names()).await?;
    let samples = Samples::begin(Arc::clone(&storage), servers.processes());
    let done = Soaked { minutes: arguments.minutes, storage: storage.kind(), ..Soaked::default() };
    let mut run = Run { arguments, folder: folder.path(), program: &program, task, servers, done };
    run.rounds().await?;
    let Run { mut done, servers, .. } = run;
    done.grown = samples.end(Duration::from_secs(60) * arguments.minutes).await?;
    servers.stop().await?;
    Ok(done)
}

struct Run<'a> {
    arguments: &'a Arguments,
    folder: &'a Path,
    program: &'a Program,
    task: &'a CompiledTask,
    servers: Servers,
    done: Soaked,
}

impl Run<'_> {
    async fn rounds(&mut self) -> anyhow::Result<()> {
        let first = oldest_window()?;
        let started = Instant::now();
        for round in 0..self.arguments.minutes {
            let window = Time(first + u64::from(round));
            self.round(round, window).await.with_context(|| format!("round {round}"))?;
            eprintln!("round {}: {} reports collected", round + 1, self.done.reports);
            sleep_until(started + MINUTE * (round + 1)).await;
        }
        Ok(())
    }

    async fn round(&mut self, round: u32, window: Time) -> anyhow::Result<()> {
        let devices = Devices::new(self.program, self.task).await?;
        // What is on its way meanwhile is what a kill is about.
        let sending = devices.send(window, self.arguments.rate, SENDING);
        let half = self.arguments.minutes / 2;
        let disturbing = disturb(&mut self.servers, &mut self.done, round, half);
        let (sent, disturbed) = tokio::join!(sending, disturbing);
        disturbed?;
        let sent = sent?;
        let reports = self.collect(window, &sent).await?;
        self.done.reports += reports;
        self.done.collections += 1;
        Ok(())
    }

    /// Collects a window, and holds its sums against what was sent.
    async fn collect(&self, window: Time, sent: &[u64]) -> anyhow::Result<u64> {
        let secrets = read_secrets(&self.folder.join("collector.secrets.toml"))?;
        let collector = Collector::new(self.program, secrets, PATIENCE)?;
        let query = Query::TimeInterval(Interval::new(window, 1)?.into());
        let batch = collect(&collector, self.task, query).await?;
        let found: Vec<_> = batch.release.bins.iter().map(|bin| bin.reported).collect();
        let sums: Vec<_> = sent.iter().map(|sum| i64::try_from(*sum)).collect::<Result<_, _>>()?;
        ensure!(found == sums, "collected {found:?}, and sent {sums:?}");
        let reports = batch.release.reports;
        collector.forget(batch).await?;
        Ok(reports)
    }
}

/// What else happens in a round, a while after it began.
async fn disturb(
    servers: &mut Servers,
    done: &mut Soaked,
    round: u32,
    half: u32,
) -> anyhow::Result<()> {
    tokio::time::sleep(SENDING / 3).await;
    let role = usize::from(round < half);
    if round % 3 == 1 {
        servers.kill_and_start(role).await?;
        done.kills += 1;
    }
    if round % 5 == 2 {
        servers.tell(role, &["hpke", "rotate", "--at-once"], None).await?;
        done.rotations += 1;
    }
    if round % 7 == 3 && done.storage == "sqlite" {
        let copy = servers.folder().join("copy.sqlite");
        servers.tell(role, &["database", "backup"], Some(&copy)).await?;
        std::fs::remove_file(copy)?;
        done.backups += 1;
    }
    Ok(())
}

/// The window that the first round reports into: its reports' IDs are forgotten `UNTIL_OLD` later.
fn oldest_window() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok((now.as_secs() - 86_400 + UNTIL_OLD.as_secs()) / 60)
}

const MINUTE: Duration = Duration::from_secs(60);
/// How long the devices of a round send.
const SENDING: Duration = Duration::from_secs(42);
/// How long a round may take to be collected: longer than a killed server's leases.
const PATIENCE: Duration = Duration::from_secs(180);
/// A round has to be over by then.
const UNTIL_OLD: Duration = Duration::from_secs(300);
const LEVELS: [&str; 4] = ["Bad", "Could be better", "Good", "Excellent"];

fn program_text([leader, helper]: [u16; 2], collector: &str) -> String {
    format!(
        r#"name = "soak"
leader = "http://127.0.0.1:{leader}/"
helper = "http://127.0.0.1:{helper}/"
collector = "{collector}"
window = "1 minute"
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

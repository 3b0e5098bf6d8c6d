//! The collector's command line.

pub mod doctor;

use crate::command_line::{self, Ended};
use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand};
use indicatif::ProgressBar;
use sottovoce_collector::{
    collector::{Batch, Collector, CollectorError, Progress},
    document::ReleaseDocument,
    present,
    secrets::CollectorSecrets,
    window::{self, WindowError},
};
use sottovoce_dap::{collect::Query, task::BatchMode};
use sottovoce_estimate::findings::Findings;
use sottovoce_program::{
    Program, budget::PeriodCost, compile::CompiledTask, format_moment, parse_moment,
};
use sottovoce_transport::{authority::Authority, error::TransportError};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Collect a batch of each metric and print estimates with their intervals and guarantees.
///
/// A batch can be collected only once. Collecting the same batch again gives the same figures.
///
/// Exit codes, for cron: 0 all is collected; 1 failed, and somebody has to do something; 2 wrong usage; 3 not yet: run the
/// same command again later; 4 some metrics are collected, and others are not.
#[derive(Debug, Parser)]
#[command(name = "sottovoce-collector", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    collect: Option<CollectArgs>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare tasks, keys, token and clock with the leader; collect nothing.
    Doctor(doctor::DoctorArgs),
}

/// What to collect, and with which secrets.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// The program file that all parties share.
    pub program: PathBuf,
    // Not a `RequiredFile`: clap does not tell whether an optional group is there that has another within.
    /// The collector's secrets, from `sottovoce keygen`.
    #[arg(value_name = "SECRETS", required_unless_present = "secrets_option")]
    pub secrets: Option<PathBuf>,
    /// The same as SECRETS.
    #[arg(long = "secrets", value_name = "SECRETS", conflicts_with = "secrets")]
    pub secrets_option: Option<PathBuf>,
    /// Collect only this task, by its name in `sottovoce tasks`. Default: all tasks.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub task: Option<String>,
    /// Start of the first window, such as 2026-11-01T00:00:00Z. Default: the latest windows whose grace is over.
    #[arg(long, value_name = "MOMENT")]
    pub start: Option<String>,
    /// Collect this many windows as one batch. Each window that has reports must have at least min_batch_size.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub windows: u64,
    /// Retry for this many seconds, for all metrics together, while the leader is not ready or does not answer, or, if
    /// the program requires proofs, until both logs prove inclusion of the release.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub patience: u64,
    /// Trust the certificates of a private CA in this PEM file, besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the collector's command line.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match (&arguments.command, &arguments.collect) {
        (Some(Command::Doctor(args)), _) => doctor::run(args),
        (None, Some(args)) => collect_batches(args),
        (None, None) => bail!("name a program; see `sottovoce-collector --help`"),
    }
}

/// Collects the batches and prints what they say.
fn collect_batches(args: &CollectArgs) -> anyhow::Result<()> {
    let program = Program::read(&args.program)?;
    let path = args.secrets.as_ref().or(args.secrets_option.as_ref());
    let path = path.context("name the collector's secrets; see `sottovoce-collector --help`")?;
    let secrets = secrets_of(&program, path)?;
    let tasks = chosen(&program, args.task.as_deref())?;
    // Once for all tables: composing a period takes up to seconds.
    let period = program.budget().map(|_| program.period_cost()).transpose()?;
    let query = query(&program, args).map_err(too_early)?;
    let patience = Duration::from_secs(args.patience);
    let until = Instant::now() + patience;
    let authority = args.ca.as_deref().map(Authority::read).transpose()?;
    let mut collector =
        Collector::new(&program, secrets, patience)?.trusting(authority.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut collected, mut batches, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for task in &tasks {
            let left = until.saturating_duration_since(Instant::now());
            collector.set_patience(left.max(ONE_ATTEMPT.min(patience)));
            match collect(&collector, task, query).await {
                Ok(batch) => {
                    batches.push(batch.release.as_batch(task));
                    if args.json {
                        collected.push(batch);
                    } else {
                        command_line::print(present::table(&batch.release, period.as_ref()))?;
                        collector.forget(batch).await?;
                    }
                }
                Err(error) => failed.push(error.context(named(&program, task, query))),
            }
        }
        let findings = Findings::of(&program, batches)?;
        if args.json {
            print_document(&collector, collected, period.as_ref(), findings).await?;
        } else if !findings.metrics.is_empty() {
            command_line::print(format_args!("Findings\n\n{findings}"))?;
        }
        report(&failed, tasks.len())
    })
}

/// Collects one batch of one task, and shows on standard error how that goes on.
pub async fn collect(
    collector: &Collector<'_>,
    task: &CompiledTask,
    query: Query,
) -> anyhow::Result<Batch> {
    let mut spinner = Spinner::new(collector.patience());
    let collected = collector.collect(task, query, &mut spinner).await;
    spinner.bar.finish_and_clear();
    let batch = collected?;
    if let Some(Err(unproved)) = &batch.release.proofs {
        eprintln!("{}: no inclusion proofs of the release: {unproved}", task.name);
    }
    Ok(batch)
}

/// Shows the wait for the leader, and says once what is wrong if something is.
struct Spinner {
    bar: ProgressBar,
    patience: Duration,
    failed: bool,
}

impl Spinner {
    fn new(patience: Duration) -> Self {
        Self { bar: ProgressBar::new_spinner(), patience, failed: false }
    }
}

impl Progress for Spinner {
    fn waiting(&mut self, task: &CompiledTask, waited: Duration, failure: Option<&TransportError>) {
        let (name, waited) = (&task.name, waited.as_secs());
        if let Some(failure) = failure.filter(|_| !std::mem::replace(&mut self.failed, true)) {
            let patience = self.patience.as_secs();
            eprintln!("{name}: {failure}; retrying for up to {patience} s");
        }
        self.bar.set_message(format!("{name}: waiting for the leader, {waited} s"));
        self.bar.tick();
    }
}

/// Prints the releases for machines; only then the leader may forget them.
async fn print_document(
    collector: &Collector<'_>,
    collected: Vec<Batch>,
    period: Option<&PeriodCost>,
    findings: Findings,
) -> anyhow::Result<()> {
    let releases = collected.iter().map(|batch| &batch.release);
    let document = ReleaseDocument::new(releases, period, findings);
    command_line::print(serde_json::to_string_pretty(&document)?)?;
    for batch in collected {
        collector.forget(batch).await?;
    }
    Ok(())
}

/// What a metric has for a first answer when others have used up the patience.
const ONE_ATTEMPT: Duration = Duration::from_secs(10);

/// The exit code if nothing is collected, and the same command may collect it later.
const NOT_YET: u8 = 3;
/// The exit code if some metrics are collected, and others are not.
const SOME: u8 = 4;

/// The task and the windows that could not be collected.
fn named(program: &Program, task: &CompiledTask, query: Query) -> String {
    let id = task.task_id.to_string();
    let short: String = id.chars().take(12).collect();
    let interval = match query {
        Query::TimeInterval(query) => query.interval(),
        Query::LeaderSelected => None,
    };
    let Some(interval) = interval else { return format!("{} ({short}…)", task.name) };
    let moment = |time| format_moment(program.window().start_of(time));
    let (start, end) = (moment(interval.start()), moment(interval.end()));
    format!("{} ({short}…), from {start} to {end}", task.name)
}

/// A window that is not over is no failure.
fn too_early(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(WindowError::TooEarly { .. }) => Ended::with(NOT_YET, error.to_string()),
        _ => error,
    }
}

/// One metric that cannot be collected keeps none of the others back.
fn report(failed: &[anyhow::Error], tasks: usize) -> anyhow::Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let waits = |error: &anyhow::Error| {
        error.downcast_ref().is_some_and(|error: &CollectorError| error.is_not_yet())
    };
    let code = match failed.iter().all(waits) {
        _ if failed.len() < tasks => SOME,
        true => NOT_YET,
        false => FAILED,
    };
    if let ([only], 1) = (failed, tasks) {
        return Err(Ended::with(code, command_line::story(only)));
    }
    for error in failed {
        eprintln!("{}", command_line::story(error));
    }
    let message = format!("{} of {tasks} metrics could not be collected", failed.len());
    Err(Ended::with(code, message))
}

/// The exit code of a failure.
const FAILED: u8 = 1;

/// The secrets of the collector that a program names.
pub fn secrets_of(program: &Program, path: &Path) -> anyhow::Result<CollectorSecrets> {
    let secrets = read_secrets(path)?;
    ensure!(
        secrets.hpke_config == *program.collector(),
        "the key in {} is not the program's `collector`; use the secrets that were created with this program's key",
        path.display()
    );
    Ok(secrets)
}

/// Reads the collector's secrets; errors show none of them.
pub fn read_secrets(path: &Path) -> anyhow::Result<CollectorSecrets> {
    let text = std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!(
            "{} is not a collector's file of secrets: {}",
            path.display(),
            error.message()
        )
    })
}

fn chosen<'a>(program: &'a Program, name: Option<&str>) -> anyhow::Result<Vec<&'a CompiledTask>> {
    let Some(name) = name else { return Ok(program.tasks().iter().collect()) };
    match program.task(name) {
        Some(task) => Ok(vec![task]),
        None => {
            let names: Vec<_> = program.tasks().iter().map(|task| task.name.as_str()).collect();
            bail!("the program has no task {name:?}; tasks: {}", names.join(", "))
        }
    }
}

fn query(program: &Program, args: &CollectArgs) -> anyhow::Result<Query> {
    let start = args.start.as_deref().map(parse_moment).transpose().map_err(anyhow::Error::msg)?;
    if program.batch_mode() == BatchMode::LeaderSelected {
        if start.is_some() || args.windows != 1 {
            bail!("the leader selects this program's batches: remove --start and --windows");
        }
        return Ok(Query::LeaderSelected);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let interval = window::choose(program.window(), program.grace(), start, args.windows, now)?;
    Ok(Query::TimeInterval(interval.into()))
}

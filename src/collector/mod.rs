//! The collector's command line.

pub mod doctor;

use crate::command_line;
use anyhow::{Context, bail};
use clap::Args;
use sottovoce_collector::{
    collect::{Collected, Collection, collect, request},
    document::ReleaseDocument,
    open::open,
    present,
    proofs::{self, Expected, Proofs, Unproved},
    release::Release,
    secrets::CollectorSecrets,
    window,
};
use sottovoce_dap::{
    collect::Query, task::BatchMode, time::Interval, vdaf::unshard::AggregateResult,
};
use sottovoce_estimate::findings::Findings;
use sottovoce_program::{Program, compile::CompiledTask, parse_moment};
use sottovoce_transport::http::HttpClient;
use std::{path::PathBuf, time::Duration};

/// What to collect, and as whom.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// The program that all parties hold.
    pub program: PathBuf,
    /// The collector's secrets, from `sottovoce keygen`.
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
    /// Collect only this task, by the name that `sottovoce tasks` shows; all of them otherwise.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Start of the first window, such as 2026-11-01T00:00:00Z; the last ones that are over with
    /// their grace otherwise.
    #[arg(long, value_name = "MOMENT")]
    pub start: Option<String>,
    /// Collect this many windows as one batch; each of them that has reports must have the minimum by
    /// itself.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub windows: u64,
    /// Give up when the leader is not ready, or does not answer, after this many seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub patience: u64,
    /// Print JSON for machines.
    #[arg(long)]
    pub json: bool,
}

/// Collects the batches and prints what they say.
pub fn run(args: &CollectArgs) -> anyhow::Result<()> {
    let program = Program::read(&args.program)?;
    let secrets: CollectorSecrets = read_secrets(&args.secrets)?;
    if secrets.hpke_config != *program.collector() {
        bail!("{} is not the key of the collector that the program names", args.secrets.display());
    }
    let tasks = chosen(&program, args.task.as_deref())?;
    // Once for all tables: composing a period takes up to seconds.
    let period = program.budget().map(|_| program.period_cost()).transpose()?;
    let start = args.start.as_deref().map(parse_moment).transpose().map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let collector = Collector::new(&program, secrets, Duration::from_secs(args.patience))?;
        let query = query(&program, args, start)?;
        let mut collected = Vec::new();
        let mut batches = Vec::new();
        let mut failed = Vec::new();
        for task in &tasks {
            match collector.collect(task, query).await {
                Ok(batch) => {
                    let release = &batch.release;
                    batches.push(release.as_batch(task));
                    if args.json {
                        collected.push(batch);
                    } else {
                        command_line::print(present::table(release, period.as_ref()))?;
                        collector.forget(batch).await?;
                    }
                }
                Err(error) => failed.push(error.context(task.name.clone())),
            }
        }
        let findings = Findings::of(&program, batches)?;
        if args.json {
            let releases = collected.iter().map(|batch| &batch.release);
            let document = ReleaseDocument::new(releases, period.as_ref(), findings);
            command_line::print(serde_json::to_string_pretty(&document)?)?;
            for batch in collected {
                collector.forget(batch).await?;
            }
        } else if !findings.metrics.is_empty() {
            command_line::print(format_args!("What that says\n\n{findings}"))?;
        }
        report(failed, tasks.len())
    })
}

/// One metric that cannot be collected keeps none of the others back.
fn report(mut failed: Vec<anyhow::Error>, tasks: usize) -> anyhow::Result<()> {
    let Some(last) = failed.pop() else { return Ok(()) };
    if failed.is_empty() && tasks == 1 {
        return Err(last);
    }
    let count = failed.len() + 1;
    for error in failed {
        eprintln!("{}", command_line::story(&error));
    }
    eprintln!("{}", command_line::story(&last));
    bail!("{count} of {tasks} metrics could not be collected")
}

/// Reads the collector's secrets; errors show none of them.
pub fn read_secrets(path: &std::path::Path) -> anyhow::Result<CollectorSecrets> {
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
            bail!("the program has no task {name:?}; it has: {}", names.join(", "))
        }
    }
}

fn query(program: &Program, args: &CollectArgs, start: Option<u64>) -> anyhow::Result<Query> {
    if program.batch_mode() == BatchMode::LeaderSelected {
        if start.is_some() || args.windows != 1 {
            bail!("the leader selects this program's batches: leave --start and --windows out");
        }
        return Ok(Query::LeaderSelected);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let interval = window::choose(program.window(), program.grace(), start, args.windows, now)?;
    Ok(Query::TimeInterval(interval.into()))
}

/// A batch that was collected and opened.
pub struct Batch {
    /// What it says.
    pub release: Release,
    query: Query,
    collection: Collection,
    collected: Collected,
}

/// A collector of one program.
pub struct Collector<'a> {
    program: &'a Program,
    secrets: CollectorSecrets,
    http: HttpClient,
    patience: Duration,
}

impl<'a> Collector<'a> {
    /// A collector that waits for the leader for as long as `patience`.
    pub fn new(
        program: &'a Program,
        secrets: CollectorSecrets,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let http = HttpClient::new(Duration::from_secs(60))?;
        Ok(Self { program, secrets, http, patience })
    }

    /// Collects one batch of one task and opens it.
    pub async fn collect(&self, task: &CompiledTask, query: Query) -> anyhow::Result<Batch> {
        let collection = self.collection(task);
        let request = request(query);
        let progress = indicatif::ProgressBar::new_spinner().with_message(task.name.clone());
        let mut said = false;
        let collected = collect(&self.http, &collection, &request, |waited, failure| {
            let waited = waited.as_secs();
            if let Some(failure) = failure.filter(|_| !std::mem::replace(&mut said, true)) {
                let patience = self.patience.as_secs();
                eprintln!("{}: {failure}; asking again for up to {patience} s", task.name);
            }
            progress.set_message(format!("{}: waiting for the leader, {waited} s", task.name));
            progress.tick();
        })
        .await?;
        progress.finish_and_clear();
        let (aggregate, interval): (AggregateResult, Interval) = {
            let response = &collected.response;
            let opener = self.secrets.opener()?;
            let configuration = &task.configuration;
            let aggregate = open(&task.task_id, configuration, &request, response, &opener)?;
            (aggregate, response.interval)
        };
        let reports = collected.response.report_count;
        let mut release = Release::new(self.program, task, &aggregate, reports, interval)?;
        release.batch = (query == Query::LeaderSelected).then(|| collected.batch_name());
        release.proofs = self.proofs(task, query, &collected).await?;
        Ok(Batch { release, query, collection, collected })
    }

    /// The proofs that both logs have the release, if the program names logs, or why there are none. Where
    /// it demands them, that is an error.
    async fn proofs(
        &self,
        task: &CompiledTask,
        query: Query,
        collected: &Collected,
    ) -> anyhow::Result<Option<Result<Proofs, Unproved>>> {
        let Some(policy) = self.program.log() else { return Ok(None) };
        let expected = Expected { task: task.task_id, query, response: &collected.response };
        // What nobody insists on is not waited for.
        let patience = if policy.collector_requires() { self.patience } else { Duration::ZERO };
        match proofs::proofs(&self.http, self.program, policy, expected, patience).await {
            Ok(proofs) => Ok(Some(Ok(proofs))),
            Err(error) if policy.collector_requires() => Err(anyhow::Error::new(error).context(
                "the figures are held back, because the program demands proofs of both logs; ask for \
                 the same batch again once its release is in both",
            )),
            Err(error) => {
                eprintln!("{}: the release is not proved: {error}", task.name);
                Ok(Some(Err(error)))
            }
        }
    }

    /// Tells the leader that a leader-selected batch is in good hands, so that the same query asks for
    /// the next one. For after its figures are safe; other batches can be asked for again.
    pub async fn forget(&self, batch: Batch) -> anyhow::Result<()> {
        if batch.query == Query::LeaderSelected {
            batch.collected.delete(&self.http, &batch.collection).await?;
        }
        Ok(())
    }

    fn collection(&self, task: &CompiledTask) -> Collection {
        Collection {
            leader: self.program.leader().clone(),
            task: task.task_id,
            token: self.secrets.collector_token.clone(),
            patience: self.patience,
        }
    }
}

//! What is in the database, for people and (with `--json`) for machines.

use super::{
    compare,
    hpke::moment,
    instance::Instance,
    naming::{ListArgs, ShowArgs, bucket, hex, label, name, select_tasks},
    repair, trail,
};
use crate::command_line;
use clap::Subcommand;
use serde::Serialize;
use sottovoce_aggregator::{
    clock, metrics,
    store::{BatchSummary, CollectionSummary, LostReports, Stage},
    task::{StoredTask, Task, Windows},
    task_file::FromFile,
};
use sottovoce_dap::task::BatchMode;
use std::collections::BTreeMap;

/// Commands for batches.
#[derive(Debug, Subcommand)]
pub enum BatchesCommand {
    /// List batches that have verified reports and are not collected yet.
    List(ListArgs),
    /// Compare these batches with the other aggregator: which ones differ, by which reports, and what to do. Both
    /// servers must be running.
    Compare(ListArgs),
    /// Repair a batch that differs: both aggregators keep the reports that both have, and drop the others. Shows a
    /// plan first; each operator then applies it on their own side with --agree. Both servers must be running.
    Repair(repair::RepairArgs),
}

/// Commands for reports.
#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// Show how many reports are waiting, in aggregation jobs, or stuck, and since when.
    Status(ListArgs),
    /// Retry stuck reports, after the reason why the helper refused them was fixed.
    RetryStuck(ListArgs),
}

/// Commands for collections.
#[derive(Debug, Subcommand)]
pub enum CollectionsCommand {
    /// List collection jobs, oldest first.
    List(ListArgs),
}

#[derive(Serialize)]
struct TaskRow {
    task: String,
    name: String,
    vdaf: String,
    batch_mode: &'static str,
    min_batch_size: u64,
    window_seconds: u64,
    week_begins: Option<String>,
    /// Whether each window of a batch must be full by itself.
    windows: &'static str,
}

pub(super) fn tasks<T: StoredTask + FromFile>(args: &ShowArgs) -> anyhow::Result<()> {
    for task in Instance::<T>::open(&args.config.path)?.tasks.all()? {
        let row = task_row(task.task());
        let text = if args.json { serde_json::to_string(&row)? } else { task_line(&row) };
        command_line::print(text)?;
    }
    Ok(())
}

fn task_row(task: &Task) -> TaskRow {
    let configuration = &task.configuration;
    TaskRow {
        task: task.id.to_string(),
        name: name(task),
        vdaf: configuration.vdaf.name().to_string(),
        batch_mode: match configuration.batch_mode {
            BatchMode::TimeInterval => "time-interval",
            BatchMode::LeaderSelected => "leader-selected",
        },
        min_batch_size: configuration.min_batch_size,
        window_seconds: task.window.seconds(),
        week_begins: task.window.week_begins().map(|day| day.to_string()),
        windows: task.terms.windows.word(),
    }
}

fn task_line(row: &TaskRow) -> String {
    let week = row.week_begins.as_ref().map(|day| format!(" beginning on {day}s"));
    let weakened = row.windows == Windows::Unchecked.word();
    format!(
        "{}  {}  {}  {}  at least {} reports, windows of {} s{}{}",
        row.task,
        row.name,
        row.vdaf,
        row.batch_mode,
        row.min_batch_size,
        row.window_seconds,
        week.unwrap_or_default(),
        if weakened { ", WEAKENED: single windows may have fewer reports" } else { "" }
    )
}

/// Prints something about each of the tasks that are asked for.
fn each<T, R>(
    args: &ListArgs,
    mut about: impl FnMut(&Instance<T>, &Task) -> anyhow::Result<Vec<R>>,
    line: impl Fn(&R) -> String,
) -> anyhow::Result<()>
where
    T: StoredTask + FromFile,
    R: Serialize,
{
    let opened = Instance::<T>::open(args.config())?;
    let tasks = opened.tasks.all()?;
    for task in select_tasks(args, tasks.iter().map(|task| task.task()))? {
        for row in about(&opened, task)? {
            let text = if args.json() { serde_json::to_string(&row)? } else { line(&row) };
            command_line::print(text)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct BatchRow {
    task: String,
    name: String,
    batch: String,
    reports: u64,
    min_batch_size: u64,
    checksum: String,
    set_aside: bool,
}

pub(super) fn batches<T: StoredTask + FromFile>(command: &BatchesCommand) -> anyhow::Result<()> {
    let args = match command {
        BatchesCommand::List(args) => args,
        BatchesCommand::Compare(args) => return compare::run::<T>(args),
        BatchesCommand::Repair(args) => return repair::run::<T>(args),
    };
    let row = |task: &Task, batch: BatchSummary| BatchRow {
        task: task.id.to_string(),
        name: name(task),
        batch: bucket(task, batch.key.as_bytes()),
        reports: batch.reports,
        min_batch_size: task.configuration.min_batch_size,
        checksum: hex(&batch.checksum),
        set_aside: batch.set_aside,
    };
    each::<T, _>(
        args,
        |opened, task| {
            let batches = opened.store.batches(&task.id)?;
            Ok(batches.into_iter().map(|batch| row(task, batch)).collect())
        },
        |row| {
            let enough = if row.reports >= row.min_batch_size { "enough" } else { "too few" };
            let aside =
                if row.set_aside { "  set aside: differs from the helper's batch" } else { "" };
            format!(
                "{}  {}  {} reports, minimum {} ({enough})  {}{aside}",
                label(&row.name, &row.task),
                row.batch,
                row.reports,
                row.min_batch_size,
                &row.checksum[..16]
            )
        },
    )
}

#[derive(Serialize)]
struct ReportsRow {
    task: String,
    name: String,
    waiting: u64,
    in_flight: u64,
    in_flight_jobs: u64,
    stuck: u64,
    dropped: u64,
    /// By the reason of the draft.
    lost: BTreeMap<&'static str, u64>,
    verified_not_collected: u64,
    oldest_seconds: Option<u64>,
}

#[derive(Serialize)]
struct RetriedRow {
    task: String,
    name: String,
    reports: u64,
}

pub(super) fn reports<T: StoredTask + FromFile>(command: &ReportsCommand) -> anyhow::Result<()> {
    let args = match command {
        ReportsCommand::Status(args) => args,
        ReportsCommand::RetryStuck(args) => {
            let mut first = true;
            return each::<T, _>(
                args,
                |opened, task| {
                    if std::mem::take(&mut first) {
                        trail::write(opened.store.as_ref())?;
                    }
                    let (task_id, name) = (task.id.to_string(), name(task));
                    let reports = opened.store.retry_stuck(&task.id)?;
                    Ok(vec![RetriedRow { task: task_id, name, reports }])
                },
                |row| {
                    let label = label(&row.name, &row.task);
                    format!("{label}  {} reports will be retried", row.reports)
                },
            );
        }
    };
    each::<T, _>(
        args,
        |opened, task| {
            let counts = opened.store.counts(&task.id)?;
            let now = clock::seconds(clock::now());
            let age = |oldest| now.saturating_sub(clock::seconds(oldest));
            Ok(vec![ReportsRow {
                task: task.id.to_string(),
                name: name(task),
                waiting: counts.waiting_reports,
                in_flight: counts.in_flight_reports,
                in_flight_jobs: counts.in_flight_jobs,
                stuck: counts.stuck_reports,
                dropped: counts.dropped_reports,
                lost: lost(opened.store.lost(&task.id)?),
                verified_not_collected: counts.verified_reports,
                oldest_seconds: counts.oldest.map(age),
            }])
        },
        |row| {
            let oldest =
                row.oldest_seconds.map_or(String::new(), |age| format!(", the oldest for {age} s"));
            format!(
                "{}  {} waiting, {} in {} aggregation jobs{oldest}; {} verified and not collected; \
                 {} stuck, {} dropped, {}",
                label(&row.name, &row.task),
                row.waiting,
                row.in_flight,
                row.in_flight_jobs,
                row.verified_not_collected,
                row.stuck,
                row.dropped,
                lost_in_words(&row.lost)
            )
        },
    )
}

fn lost(reports: Vec<LostReports>) -> BTreeMap<&'static str, u64> {
    let mut lost = BTreeMap::new();
    for LostReports { reason, reports } in reports {
        *lost.entry(metrics::reason_of_code(reason)).or_default() += reports;
    }
    lost
}

fn lost_in_words(lost: &BTreeMap<&'static str, u64>) -> String {
    let reasons: Vec<_> = lost.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let all: u64 = lost.values().sum();
    if reasons.is_empty() {
        "0 lost".to_owned()
    } else {
        format!("{all} lost ({})", reasons.join(", "))
    }
}

#[derive(Serialize)]
struct CollectionRow {
    task: String,
    name: String,
    id: String,
    stage: String,
    from: Option<String>,
    to: Option<String>,
    attempts: u32,
    closed_at: Option<String>,
    asked_at: Option<String>,
    /// What one that is not over waits for.
    waits_for: Option<&'static str>,
}

/// What a collection waits for, as its stage says.
fn waits_for(stage: Stage, by_time: bool) -> Option<&'static str> {
    match stage {
        Stage::Pending if by_time => Some("the aggregation of its batch's reports"),
        Stage::Pending => Some("a full batch"),
        Stage::Closed => Some("the helper's share"),
        Stage::Finished | Stage::Failed | Stage::Deleted => None,
    }
}

pub(super) fn collections<T: StoredTask + FromFile>(
    command: &CollectionsCommand,
) -> anyhow::Result<()> {
    let CollectionsCommand::List(args) = command;
    let row = |task: &Task, found: CollectionSummary| {
        let (from, to) = found.range.unzip();
        let by_time = task.configuration.batch_mode == BatchMode::TimeInterval;
        CollectionRow {
            task: task.id.to_string(),
            name: name(task),
            id: base64(found.id.as_bytes()),
            stage: found.stage.to_string(),
            from: from.map(|key| bucket(task, key.as_bytes())),
            to: to.filter(|_| by_time).map(|key| bucket(task, key.as_bytes())),
            attempts: found.attempts,
            closed_at: found.closed_at.map(moment),
            asked_at: found.asked_at.map(moment),
            waits_for: waits_for(found.stage, by_time),
        }
    };
    each::<T, _>(
        args,
        |opened, task| {
            let found = opened.store.collections(&task.id)?;
            Ok(found.into_iter().map(|collection| row(task, collection)).collect())
        },
        |row| {
            let to = row.to.as_ref().map_or(String::new(), |to| format!(" – {to}"));
            format!(
                "{}  {}  {:8}  {}{to}  {} attempts{}{}",
                label(&row.name, &row.task),
                row.id,
                row.stage,
                row.from.as_deref().unwrap_or("the next batch"),
                row.attempts,
                row.closed_at.as_ref().map_or(String::new(), |at| format!(", closed {at}")),
                row.waits_for.map_or(String::new(), |what| format!(
                    ", waiting for {what}{}",
                    row.closed_at
                        .as_ref()
                        .or(row.asked_at.as_ref())
                        .map_or(String::new(), |at| format!(" since {at}"))
                )),
            )
        },
    )
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

//! `batches repair`: what both aggregators hold of a batch is kept, what one holds alone is dropped.

use super::{
    ConfigOption,
    compare::Comparing,
    instance::Instance,
    naming::{bucket, name, select_task},
    trail,
};
use crate::command_line;
use anyhow::{bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use serde::Serialize;
use sottovoce_aggregator::{
    clock,
    comparison::{Wanted, bucket_key},
    log::entries,
    repair::{Plan, reports},
    store::{Repair, Repaired},
    task::{StoredTask, Task},
    task_file::FromFile,
};
use sottovoce_dap::{
    collect::BatchSelector,
    ids::BatchId,
    role::Role,
    time::{Interval, Time},
};
use sottovoce_log::entry;
use std::collections::BTreeSet;

/// Which batch to repair.
#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    config: ConfigOption,
    /// The task, by its ID or by its name in the program.
    // IDs are base64url, and may begin with a hyphen.
    #[arg(value_name = "TASK", allow_hyphen_values = true, required_unless_present = "task")]
    #[arg(requires = "batch_word")]
    task_word: Option<String>,
    /// The batch, as `batches compare` prints it.
    #[arg(value_name = "BATCH", allow_hyphen_values = true, required_unless_present = "batch")]
    batch_word: Option<String>,
    /// The same as TASK.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "task_word", requires = "batch")]
    task: Option<String>,
    /// The same as BATCH.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "batch_word")]
    batch: Option<String>,
    /// Apply the plan with this digest on our side. Both operators have to see the same digest. Without it, the
    /// plan is shown and nothing is changed.
    #[arg(long, value_name = "DIGEST")]
    agree: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl RepairArgs {
    /// The task that was named in either form; clap requires one.
    fn task(&self) -> &str {
        self.task_word.as_deref().or(self.task.as_deref()).unwrap_or_default()
    }

    /// The batch, likewise.
    fn batch(&self) -> &str {
        self.batch_word.as_deref().or(self.batch.as_deref()).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Row {
    task: String,
    name: String,
    batch: String,
    kept_reports: u64,
    leader_drops_reports: u64,
    helper_drops_reports: u64,
    min_batch_size: u64,
    plan: String,
    repaired: bool,
}

/// Shows the plan, or carries out our part of it.
pub(super) fn run<T: StoredTask + FromFile>(args: &RepairArgs) -> anyhow::Result<()> {
    let opened = Instance::<T>::open(&args.config.config)?;
    let comparing = Comparing::new(&opened)?;
    let tasks = opened.tasks.all()?;
    let found = select_task(Some(args.task()), tasks.iter().map(|task| task.task()))?;
    let [task] = found[..] else {
        bail!("{} tasks are named {:?}; select one by its ID", found.len(), args.task());
    };
    let key = find(&comparing, task, args.batch())?;
    let (leader, helper) = comparing.both(task, &Wanted::Parts(key.clone()))?;
    let bytes = URL_SAFE_NO_PAD.decode(&key)?;
    let plan = Plan::new(&task.id, &bytes, &leader, &helper)?;
    let repaired = match &args.agree {
        None => false,
        Some(digest) => {
            ensure!(
                *digest == plan.digest.to_string(),
                "the plan is now {}, not {digest}: the batch has changed on one side; agree on the new plan with the \
                 other operator",
                plan.digest
            );
            trail::write(opened.store.as_ref())?;
            carry_out(&opened, task, &key, &bytes, &plan)?;
            true
        }
    };
    let row = Row {
        task: task.id.to_string(),
        name: name(task),
        batch: bucket(task, &bytes),
        kept_reports: reports(&plan.kept),
        leader_drops_reports: reports(&plan.leader_drops),
        helper_drops_reports: reports(&plan.helper_drops),
        min_batch_size: task.configuration.min_batch_size,
        plan: plan.digest.to_string(),
        repaired,
    };
    command_line::print(if args.json { serde_json::to_string(&row)? } else { text::<T>(&row) })
}

/// The key of a batch that either side holds, in base64url.
fn find(comparing: &Comparing<'_>, task: &Task, batch: &str) -> anyhow::Result<String> {
    let (leader, helper) = comparing.both(task, &Wanted::Batches)?;
    let keys: BTreeSet<_> = leader.batches.keys().chain(helper.batches.keys()).collect();
    let is_meant = |key: &&&String| {
        URL_SAFE_NO_PAD.decode(key).is_ok_and(|bytes| bucket(task, &bytes) == batch)
    };
    match keys.iter().find(is_meant) {
        Some(key) => Ok((**key).clone()),
        None => bail!(
            "neither side has an uncollected batch {batch} of {}; `batches compare` lists those that differ",
            name(task)
        ),
    }
}

fn carry_out<T: StoredTask>(
    opened: &Instance<T>,
    task: &Task,
    key: &str,
    bytes: &[u8],
    plan: &Plan,
) -> anyhow::Result<()> {
    let (Some(bucket), Some(batch)) = (bucket_key(key), selector(bytes)) else {
        bail!(
            "the batch's key is neither a time nor a batch ID; the other server's version may differ"
        );
    };
    let entry = entries::repaired(
        entry::Repaired {
            task: task.id,
            batch,
            kept: reports(&plan.kept),
            dropped: reports(plan.drops(T::role())),
            plan: plan.digest.0,
        },
        clock::now(),
    )?;
    let (found, keep) = (plan.held(T::role()), &plan.kept[..]);
    let (found, bucket, entry) = (&found[..], &bucket, &entry);
    let repair = Repair { task: &task.id, bucket, found, keep, entry };
    match opened.store.repair_batch(&repair)? {
        Repaired::Dropped(_) | Repaired::Nothing => Ok(()),
        Repaired::Changed => {
            bail!(
                "the batch has just changed on this side; nothing was dropped; agree on a new plan"
            )
        }
        Repaired::Collected => {
            bail!("the batch has just been collected on this side; nothing was dropped")
        }
    }
}

fn selector(bytes: &[u8]) -> Option<BatchSelector> {
    if let Ok(time) = <[u8; 8]>::try_from(bytes) {
        let interval = Interval::new(Time(u64::from_be_bytes(time)), 1).ok()?;
        return Some(BatchSelector::TimeInterval(interval.into()));
    }
    <[u8; 32]>::try_from(bytes).ok().map(|id| BatchSelector::LeaderSelected(BatchId::new(id)))
}

fn text<T: StoredTask>(row: &Row) -> String {
    let (kept, least) = (row.kept_reports, row.min_batch_size);
    let enough = if kept >= least {
        format!("enough to be collected (at least {least})")
    } else {
        format!("too few to be collected (at least {least}) unless more arrive")
    };
    let next = if row.repaired {
        let other = if T::role() == Role::Leader { "helper" } else { "leader" };
        format!("applied on this side; after the {other} has applied it too, collect again")
    } else {
        "nothing was changed: when both operators see the same plan, each runs this command again with --agree and \
         the plan's digest"
            .to_owned()
    };
    format!(
        "{}  {}  both keep {kept} reports, {enough}; the leader drops {}, the helper {}\n    plan \
         {}\n    {next}",
        row.name, row.batch, row.leader_drops_reports, row.helper_drops_reports, row.plan
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RepairArgs,
    }

    /// One ID in 64 begins with a hyphen.
    #[test]
    fn ids_that_begin_with_a_hyphen_are_no_options() {
        for words in [
            &["--config", "c", "--task", "-aB", "--batch", "--x", "--json"][..],
            &["--config", "c", "-aB", "--x", "--json"],
            &["--json", "-aB", "--x", "-c", "c"],
        ] {
            let Line { args } = Line::try_parse_from([&["repair"], words].concat()).unwrap();
            assert_eq!((args.task(), args.batch(), args.json), ("-aB", "--x", true), "{words:?}");
        }
    }

    #[test]
    fn a_task_and_a_batch_are_given_once_each_and_together() {
        for words in [&[][..], &["-aB"], &["--task", "-aB"], &["--task", "a", "-aB", "--x"]] {
            let line = [&["repair", "--config", "c"], words].concat();
            assert!(Line::try_parse_from(line).is_err(), "{words:?}");
        }
    }
}

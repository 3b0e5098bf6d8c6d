//! Which tasks an operator means, and what tasks and batches are called.

use super::ConfigArgs;
use clap::Args;
use sottovoce_aggregator::task::Task;
use sottovoce_dap::{ids::BatchId, time::Time};
use std::path::Path;

/// What to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this task, by its ID or by its name in the program.
    #[arg(long, allow_hyphen_values = true)]
    task: Option<String>,
    /// Print JSON for machines, one object a line.
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    pub(super) fn config(&self) -> &Path {
        &self.config.config
    }

    pub(super) fn json(&self) -> bool {
        self.json
    }
}

/// The tasks that are asked for.
pub(super) fn select_tasks<'a>(
    args: &ListArgs,
    tasks: impl Iterator<Item = &'a Task>,
) -> anyhow::Result<Vec<&'a Task>> {
    select_task(args.task.as_deref(), tasks)
}

/// The tasks of an ID or name, or all.
pub(super) fn select_task<'a>(
    wanted: Option<&str>,
    tasks: impl Iterator<Item = &'a Task>,
) -> anyhow::Result<Vec<&'a Task>> {
    let Some(wanted) = wanted else { return Ok(tasks.collect()) };
    let is_wanted = |task: &&Task| *wanted == task.id.to_string() || *wanted == task.name;
    let (found, others): (Vec<_>, Vec<_>) = tasks.partition(is_wanted);
    if found.is_empty() {
        let others: Vec<_> =
            others.iter().map(|task| format!("{} ({})", task.id, name(task))).collect();
        anyhow::bail!("there is no task {wanted:?}; there are: {}", others.join(", "));
    }
    Ok(found)
}

/// A task as people know it.
pub(super) fn name(task: &Task) -> String {
    if task.name.is_empty() { "(unnamed)".to_owned() } else { task.name.clone() }
}

/// A bucket as people know it: the start of its window, or the batch's ID.
pub(super) fn bucket(task: &Task, bytes: &[u8]) -> String {
    if let Ok(time) = <[u8; 8]>::try_from(bytes) {
        let start = task.window.start_of(Time(u64::from_be_bytes(time)));
        return sottovoce_program::format_moment(start);
    }
    <[u8; 32]>::try_from(bytes).map_or_else(|_| hex(bytes), |id| BatchId::new(id).to_string())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

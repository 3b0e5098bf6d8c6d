//! Which tasks an operator means, and what tasks and batches are called.

use super::{ConfigArgs, ConfigOption};
use clap::Args;
use sottovoce_aggregator::task::Task;
use sottovoce_dap::{ids::BatchId, time::Time};
use std::path::Path;

/// What to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigOption,
    /// Only this task, by its ID or by its name in the program [default: all tasks].
    // An ID is base64url, and may begin with a hyphen.
    #[arg(value_name = "TASK", allow_hyphen_values = true)]
    task_word: Option<String>,
    /// The same as TASK.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "task_word")]
    task: Option<String>,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    pub(super) fn config(&self) -> &Path {
        &self.config.config
    }

    fn task(&self) -> Option<&str> {
        self.task_word.as_deref().or(self.task.as_deref())
    }

    pub(super) fn json(&self) -> bool {
        self.json
    }
}

/// A configuration to show something of.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub(super) json: bool,
}

/// The tasks that are asked for.
pub(super) fn select_tasks<'a>(
    args: &ListArgs,
    tasks: impl Iterator<Item = &'a Task>,
) -> anyhow::Result<Vec<&'a Task>> {
    select_task(args.task(), tasks)
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
        anyhow::bail!("there is no task {wanted:?}; tasks: {}", others.join(", "));
    }
    Ok(found)
}

/// A task as people know it.
pub(super) fn name(task: &Task) -> String {
    if task.name.is_empty() { "(unnamed)".to_owned() } else { task.name.clone() }
}

/// A name with the beginning of its task's ID, which tells two generations of a program apart.
pub(super) fn label(name: &str, task: &str) -> String {
    let short = task.char_indices().nth(SHORT).map_or(task, |(end, _)| &task[..end]);
    format!("{name} ({short}…)")
}

/// Characters of a task's ID that tell it from all others of an installation.
const SHORT: usize = 12;

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ListArgs,
    }

    #[test]
    fn two_generations_of_a_task_are_told_apart() {
        let label = |id: &str| label("helpful", id);
        assert_eq!(label("em5GfmarvCZ5rest"), "helpful (em5GfmarvCZ5…)");
        assert_ne!(label("em5GfmarvCZ5rest"), label("Me4_U6j-lupzrest"));
        assert_eq!(label("short"), "helpful (short…)");
    }

    #[test]
    fn a_task_is_named_by_position_or_by_option_also_if_it_begins_with_a_hyphen() {
        for words in [&["-aB"][..], &["--task", "-aB"], &["--task=-aB"]] {
            let line = [&["list", "--config", "c", "--json"], words].concat();
            let Line { args } = Line::try_parse_from(line).unwrap();
            assert_eq!((args.task(), args.json()), (Some("-aB"), true), "{words:?}");
        }
        let both = ["list", "--config", "c", "a", "--task", "b"];
        assert!(Line::try_parse_from(both).is_err());
    }
}

//! `sottovoce tasks`: the DAP tasks of a program.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sottovoce::command_line;
use sottovoce_collector::present;
use sottovoce_dap::codec::Encode;
use sottovoce_program::{Program, budget::PeriodCost, compile::CompiledTask, format_duration};
use std::path::PathBuf;

/// Show the DAP tasks that a program compiles to, and what one device risks over a period.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// Print JSON: for each task its ID and its configuration in the draft's encoding (base64url).
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Program::read(&arguments.program)?;
    let period = program.budget().map(|_| program.period_cost()).transpose()?;
    if arguments.json {
        let tasks: Vec<_> = program.tasks().iter().map(json).collect();
        let document = serde_json::json!({ "period": period, "tasks": tasks });
        return command_line::print(serde_json::to_string_pretty(&document)?);
    }
    command_line::print(head(&program, period.as_ref()))?;
    program.tasks().iter().try_for_each(|task| command_line::print(text(task)))
}

fn head(program: &Program, period: Option<&PeriodCost>) -> String {
    let (name, window) = (program.name(), program.window());
    let windows = window.week_begins().map_or_else(String::new, |day| {
        format!("  windows of {}, from {day}s on\n", format_duration(window.seconds()))
    });
    match period {
        Some(period) => format!("{name}\n{windows}{}", present::period(period)),
        None => format!(
            "{name}\n{windows}  no budget: nothing limits what one device risks over time\n"
        ),
    }
}

fn text(task: &CompiledTask) -> String {
    let (vdaf, labels) = (task.configuration.vdaf.name(), task.labels());
    format!(
        "{}\n  task {}\n  {vdaf} over {} bins: {}\n  one report in one batch:\n{}",
        task.name,
        task.task_id,
        labels.len(),
        labels.join(" | "),
        present::privacy(task.guarantees())
    )
}

fn json(task: &CompiledTask) -> serde_json::Value {
    let configuration = &task.configuration;
    serde_json::json!({
        "name": task.name,
        "task_id": task.task_id,
        "task_configuration": URL_SAFE_NO_PAD.encode(configuration.to_bytes()),
        "window_seconds": task.window().seconds(),
        "week_begins": task.window().week_begins(),
        "vdaf": configuration.vdaf.name(),
        "leader": configuration.leader_aggregator_endpoint.as_str(),
        "helper": configuration.helper_aggregator_endpoint.as_str(),
        "bins": task.labels(),
        "manifest": task.manifest,
        "guarantees": task.guarantees(),
    })
}

//! `sottovoce tasks`: the DAP tasks of a program.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sottovoce::{
    collector::present,
    dap::codec::Encode,
    program::{Program, compile::CompiledTask},
};
use std::path::PathBuf;

/// Show the DAP tasks that a program compiles to.
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
    if arguments.json {
        let tasks: Vec<_> = program.tasks().iter().map(json).collect();
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "tasks": tasks }))?);
        return Ok(());
    }
    for task in program.tasks() {
        println!("{}\n  task {}", task.name, task.task_id);
        let vdaf = task.configuration.vdaf.name();
        println!("  {vdaf} over {} bins: {}", task.labels().len(), task.labels().join(" | "));
        println!("{}", present::privacy(task.guarantees()));
    }
    Ok(())
}

fn json(task: &CompiledTask) -> serde_json::Value {
    let configuration = &task.configuration;
    serde_json::json!({
        "name": task.name,
        "task_id": task.task_id,
        "task_configuration": URL_SAFE_NO_PAD.encode(configuration.to_bytes()),
        "vdaf": configuration.vdaf.name(),
        "leader": configuration.leader_aggregator_endpoint.as_str(),
        "helper": configuration.helper_aggregator_endpoint.as_str(),
        "bins": task.labels(),
        "manifest": task.manifest,
        "guarantees": task.guarantees(),
    })
}

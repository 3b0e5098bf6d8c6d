//! Fetches inclusion proofs of a program's tasks from both logs, for devices that require them.

use crate::command_line::{
    self,
    file_argument::{FileArgument, Named, RequiredFile},
};
use anyhow::Context;
use clap::Args;
use sottovoce_audit::source::Reader;
use sottovoce_client::logged::{self, TaskProof, TaskProofs};
use sottovoce_log::{checkpoint::Trust, entry::EntryKey};
use sottovoce_program::{Program, compile::CompiledTask};
use sottovoce_transport::authority::Authority;
use std::{path::PathBuf, time::Duration};

/// What to prove.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The program file; its table `log` has the keys of both logs.
    program: PathBuf,
    #[command(flatten)]
    output: RequiredFile<ProofsFile>,
    /// Retry for this many seconds while a log is unreachable or answers with a Retry-After.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    /// Trust the certificates of a private CA in this PEM file, besides those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Where to write the proofs: `program.toml program.proofs`, or `--output FILE`.
#[derive(Debug)]
struct ProofsFile;

impl Named for ProofsFile {
    const FILE: FileArgument = FileArgument {
        name: "OUTPUT",
        option: "output",
        short: Some('o'),
        help: "Where to write the proofs. The app ships this file to its devices with the program file",
    };
}

/// Fetches, checks and writes the proofs.
pub fn run(args: &ProveArgs) -> anyhow::Result<()> {
    let program = Program::read(&args.program)?;
    let policy = program.log().context(logged::NotLogged::NoLogs)?;
    let authority = args.ca.as_deref().map(Authority::read).transpose()?;
    let at = |endpoint: &sottovoce_dap::task::Url| {
        let place = format!("{}/log", endpoint.as_str().trim_end_matches('/'));
        let patience = Duration::from_secs(args.patience);
        let reader = Reader::new(place.parse()?)?.trusting(authority.as_ref())?;
        Ok::<_, anyhow::Error>(reader.with_patience(patience))
    };
    let (leader, helper) = (at(program.leader())?, at(program.helper())?);
    let mut proofs = TaskProofs::default();
    for task in program.tasks() {
        let leader = one(&program, task, policy.leader(), &leader)?;
        let helper = one(&program, task, policy.helper(), &helper)?;
        proofs.tasks.insert(task.task_id, TaskProof { leader, helper });
    }
    let text = serde_json::to_string_pretty(&proofs)?;
    logged::verify(&program, &text)?;
    std::fs::write(&args.output.path, text)
        .with_context(|| format!("{} cannot be written", args.output.path.display()))?;
    command_line::print(format_args!(
        "wrote {}: inclusion proofs from both logs for all {} tasks of {}",
        args.output.path.display(),
        program.tasks().len(),
        program.name()
    ))
}

fn one(
    program: &Program,
    task: &CompiledTask,
    trust: &Trust,
    reader: &Reader,
) -> anyhow::Result<String> {
    let proof = reader.proof(&EntryKey::task(&task.task_id)).map_err(|error| {
        let passes = error.may_pass();
        let error = anyhow::Error::new(error);
        if passes { error.context("retry later, or raise --patience") } else { error }
    })?;
    let proof = proof.with_context(|| {
        format!(
            "the log at {} does not have the task {}; its operator has to serve the program first",
            reader.source(),
            task.name
        )
    })?;
    let proof = String::from_utf8(proof).context("the proof is not UTF-8")?;
    logged::check(program, task, trust, &proof)?;
    Ok(proof)
}

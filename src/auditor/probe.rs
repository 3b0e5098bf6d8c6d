//! `probe`: arguments and output.

use crate::command_line;
use anyhow::{Context, bail};
use clap::Args;
use sottovoce_audit::probe::{
    Limits, Outcome, Verdict,
    client::{Client, Library},
    executable::Executable,
    probe,
    reader::TestAggregators,
};
use sottovoce_privacy::shown::{at_least, at_most};
use sottovoce_program::{Program, compile::CompiledTask};
use std::{fmt::Write, path::PathBuf, time::Duration};

/// What to probe.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// The program file whose promises are tested.
    program: PathBuf,
    /// Test only this task, by its name in `sottovoce tasks`. Default: all tasks.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    task: Option<String>,
    /// Test this executable instead of the shipped client library. It is run with a protocol of JSON lines on
    /// standard input and output, which the documentation of `sottovoce_audit::probe::client` describes.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// The confidence level of all verdicts together.
    #[arg(long, default_value_t = 0.999)]
    confidence: f64,
    /// How close the measured lower bound on ε must come to the promised ε: 0.05 is within five percent.
    #[arg(long, default_value_t = 0.05)]
    precision: f64,
    /// Maximum number of reports for each task.
    #[arg(long, default_value_t = 2_000_000)]
    reports: u64,
    /// Maximum number of seconds for each task.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Probes; whether all tasks are certified, or `None` if a limit came first.
pub fn run(args: &ProbeArgs) -> anyhow::Result<Option<bool>> {
    for (name, value) in [("confidence", args.confidence), ("precision", args.precision)] {
        if !(value > 0.0 && value < 1.0) {
            bail!("--{name} is {value}; it must be above 0 and below 1");
        }
    }
    let text = std::fs::read_to_string(&args.program)
        .with_context(|| format!("{} cannot be read", args.program.display()))?;
    let program = Program::parse(&args.program.display().to_string(), &text)?;
    let (mut outcomes, mut failed) = (Vec::new(), Ok(()));
    let tasks = chosen(&program, args.task.as_deref())?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    let confidence = 1.0 - (1.0 - args.confidence) / tasks.len().max(1) as f64;
    for task in tasks {
        match one(args, confidence, &text, task).with_context(|| task.name.clone()) {
            Ok(outcome) => {
                if !args.json {
                    command_line::print(words(&outcome))?;
                }
                outcomes.push(outcome);
            }
            // What was found of other tasks must not be lost.
            Err(error) => {
                failed = Err(error);
                break;
            }
        }
    }
    if args.json {
        command_line::print(serde_json::to_string_pretty(&outcomes)?)?;
    }
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| outcome.verdict).collect();
    if verdicts.contains(&Verdict::Faulty) {
        if let Err(error) = failed {
            eprintln!("{error:#}");
        }
        return Ok(Some(false));
    }
    failed?;
    Ok(if verdicts.contains(&Verdict::Undecided) { None } else { Some(true) })
}

fn chosen<'a>(program: &'a Program, name: Option<&str>) -> anyhow::Result<Vec<&'a CompiledTask>> {
    let Some(name) = name else { return Ok(program.tasks().iter().collect()) };
    let names: Vec<_> = program.tasks().iter().map(|task| task.name.as_str()).collect();
    let task = program.task(name);
    let task =
        task.with_context(|| format!("no task is named {name:?}; tasks: {}", names.join(", ")));
    Ok(vec![task?])
}

fn one(
    args: &ProbeArgs,
    confidence: f64,
    text: &str,
    task: &CompiledTask,
) -> anyhow::Result<Outcome> {
    let aggregators = TestAggregators::new(task)?;
    let limits = Limits {
        confidence,
        precision: args.precision,
        reports: args.reports,
        time: Duration::from_secs(args.seconds),
    };
    let mut client: Box<dyn Client + '_> = match &args.exec {
        None => Box::new(Library::new(task, &aggregators)?),
        Some(command) => Box::new(Executable::start(command, text, task, &aggregators, PATIENCE)?),
    };
    let bar = indicatif::ProgressBar::new_spinner();
    let outcome = probe(task, &aggregators, client.as_mut(), limits, &mut |reports, judgement| {
        bar.set_message(format!(
            "{}: {reports} reports, ε is at least {}",
            task.name,
            at_least(judgement.epsilon_at_least, 3)
        ));
        bar.tick();
    });
    bar.finish_and_clear();
    Ok(outcome?)
}

/// For an answer of the client.
const PATIENCE: Duration = Duration::from_secs(30);

fn words(outcome: &Outcome) -> String {
    let Outcome { task, reports, seconds, confidence, judgement, verdict } = outcome;
    let verdict = match verdict {
        Verdict::Certified => "keeps the promises of its manifest",
        Verdict::Faulty => "BREAKS the promises of its manifest",
        Verdict::Undecided => "is undecided within the limits; raise --reports or --seconds",
    };
    let text = format!(
        "{task}: the client {verdict}\n  {reports} reports in {seconds:.1} s; confidence level {confidence}\n  \
         measured ε ≥ {}, promised ε ≤ {}: {}\n  flip probability: measured {} to {}, promised {:.5}\n  \
         detection limit for one bin: a deviation of {:.1} % is found with a probability of one half",
        at_least(judgement.epsilon_at_least, 3),
        at_most(judgement.epsilon0, 3),
        sottovoce_privacy::units::TrustModel::Oc.named(),
        at_least(judgement.flips.low, 5),
        at_most(judgement.flips.high, 5),
        judgement.flips_promised,
        100.0 * judgement.bin_shows_from
    );
    judgement.faults.iter().fold(text, |mut text, fault| {
        let _ = write!(text, "\n  {}: {}", fault.rule, fault.message);
        text
    })
}

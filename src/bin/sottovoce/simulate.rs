//! `sottovoce simulate`: many devices with invented users, and figures beside the truth.

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sottovoce::{
    command_line,
    simulate::{
        self, Options,
        scenario::{self, Scenario},
    },
};
use sottovoce_program::{Program, parse_moment};
use std::{fs, io::Write, path::PathBuf, sync::Arc};

/// Run many device engines with invented users, and show how close the figures come to the truth.
///
/// Each device runs the real engine: it records, randomizes, shards and seals; a leader and a helper
/// within this process open, verify and add up every report. Users behave as the scenario says, by
/// the seed: what they think is the same each time. The noise is not: it is drawn from the operating
/// system, as on any device, so that estimates differ from run to run.
///
/// Exits with 1 if so few of the 95 % intervals hold the truth as happens once in a million times
/// (of 100, fewer than 82), unless dishonest devices moved the figures; and if verification refuses
/// an honest report or takes a forged one.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    devices: u64,
    /// How many windows.
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    windows: u64,
    /// How people behave; without it, everybody takes part, opens the app in each window, and says
    /// 0.3 of what they think.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Where behaviour is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the first window begins; rounded down to a window.
    #[arg(long, value_name = "MOMENT", default_value = "2027-01-04T00:00:00Z")]
    start: String,
    /// Write everything as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print a scenario for the program to begin with, and do nothing else.
    #[arg(long)]
    example_scenario: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Arc::new(Program::read(&arguments.program)?);
    if arguments.example_scenario {
        return command_line::print(scenario::example(&program));
    }
    let scenario = match &arguments.scenario {
        None => Scenario::parse("the usual scenario", "", &program)?,
        Some(path) => {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).with_context(|| format!("{name} is not read"))?;
            Scenario::parse(&name, &text, &program)?
        }
    };
    let start = parse_moment(&arguments.start).map_err(anyhow::Error::msg)?;
    let start = program.window().start_of(program.window().time_at(start));
    let (devices, windows, seed) = (arguments.devices, arguments.windows, arguments.seed);
    let options = Options { devices, windows, seed, start };
    let json = arguments.json.as_ref().map(|path| {
        fs::File::create(path).with_context(|| format!("{} is not written", path.display()))
    });
    let json = json.transpose()?;

    let style = "devices {bar:40} {pos}/{len} ({per_sec}, {eta} left)";
    let progress = ProgressBar::new(devices).with_style(ProgressStyle::with_template(style)?);
    let outcome = simulate::run(&program, &scenario, options, &|done| progress.inc(done))?;
    progress.finish_and_clear();
    if let Some(mut json) = json {
        writeln!(json, "{}", serde_json::to_string_pretty(&outcome)?)?;
    }
    command_line::print(&outcome)?;
    match outcome.problems.as_slice() {
        [] => Ok(()),
        problems => bail!("{}", problems.join("; ")),
    }
}

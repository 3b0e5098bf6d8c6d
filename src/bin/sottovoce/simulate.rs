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

/// Simulate many devices with invented users, and compare the figures with the truth.
///
/// Each device runs the real engine: it records, randomizes, shards and seals. A leader and a helper
/// in this process open, verify and add up every report. Users behave as the scenario says. Their
/// behaviour is drawn from the seed and can be repeated. The noise comes from the operating system, as on any
/// device, so estimates differ from run to run.
///
/// Exits with 1 if verification refuses an honest report or accepts a forged one, or if so few of the 95 %
/// intervals contain the truth as would happen once in a million runs (of 100, fewer than 82). The intervals
/// are not judged if the scenario has dishonest devices.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// A scenario: how people behave. By default everybody takes part, opens the app in each window, and
    /// says 0.3 of what they think.
    #[arg(value_name = "SCENARIO", conflicts_with = "option")]
    scenario: Option<PathBuf>,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    devices: u64,
    /// How many windows.
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    windows: u64,
    /// The same as SCENARIO.
    #[arg(id = "option", long = "scenario", value_name = "FILE")]
    scenario_option: Option<PathBuf>,
    /// The seed for users' behaviour.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the first window begins; rounded down to the start of a window.
    #[arg(long, value_name = "MOMENT", default_value = "2027-01-04T00:00:00Z")]
    start: String,
    /// Also write everything as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print a commented scenario for this program, and exit.
    #[arg(long)]
    example_scenario: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Arc::new(Program::read(&arguments.program)?);
    if arguments.example_scenario {
        return command_line::print(scenario::example(&program));
    }
    let scenario = match arguments.scenario.as_ref().or(arguments.scenario_option.as_ref()) {
        None => Scenario::parse("the default scenario", "", &program)?,
        Some(path) => {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
            Scenario::parse(&name, &text, &program)?
        }
    };
    let start = parse_moment(&arguments.start).map_err(anyhow::Error::msg)?;
    let start = program.window().start_of(program.window().time_at(start));
    let (devices, windows, seed) = (arguments.devices, arguments.windows, arguments.seed);
    let options = Options { devices, windows, seed, start };
    let json = arguments.json.as_ref().map(|path| {
        fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))
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

//! `sottovoce demo`: the whole way, once, on this machine.

use anyhow::Context;
use sottovoce::{
    command_line,
    demo::{self, Options},
};
use std::{io::Write, path::PathBuf};

/// Run the whole way once, on this machine: real feedback, two real servers, real figures.
///
/// Each judgement of the data is one device. Each device randomizes its answer and seals it to the
/// two servers, which are separate processes with their own keys and databases. What you see at the
/// end is what a collector would see, beside the truth that only a demonstration knows.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Devices, at least 1000: the data are sampled or repeated [default: one for each judgement].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    devices: Option<u32>,
    /// Write the figures as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave databases, configuration and logs in this new folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Reports of one upload request: a device sends one, a relay many.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    reports_per_upload: u16,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Made first: it would be a pity to find out at the end that it cannot be.
    let json = arguments.json.map(|path| {
        let file = std::fs::File::create(&path);
        file.with_context(|| format!("{} cannot be written", path.display()))
            .map(|file| (path, file))
    });
    let json = json.transpose()?;
    let outcome = demo::run(&Options {
        devices: arguments.devices.map(|devices| devices as usize),
        keep: arguments.keep,
        reports_per_upload: arguments.reports_per_upload.into(),
    })?;
    if let Some((path, mut file)) = json {
        writeln!(file, "{}", serde_json::to_string_pretty(&outcome)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    command_line::print(outcome)
}

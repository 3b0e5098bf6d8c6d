//! `sottovoce demo`: the whole system, once or for as long as an app is tried on it.

use anyhow::Context;
use sottovoce::{
    command_line,
    demo::{self, Options},
};
use std::{io::Write, path::PathBuf};

/// Run the whole system once on this machine: real feedback, two real servers, real figures.
///
/// Each judgement in the data is one device. Each device randomizes its answer and seals it to the
/// two servers, which are separate processes with their own keys and databases. The result is
/// what a collector would see, beside the truth, which only a demonstration knows.
///
/// With --serve, the servers stay up for an app that you are writing.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Keep both servers running, with windows of 10 seconds, and print each window when it is collected, until
    /// Ctrl-C.
    #[arg(long, conflicts_with_all = ["devices", "json", "reports_per_upload"])]
    serve: bool,
    /// Number of devices, at least 1000; the data are sampled or repeated [default: one for each judgement].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    devices: Option<u32>,
    /// Also write the figures as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep databases, configuration and logs in this new folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Reports in one upload request: a device sends one, a relay many.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    reports_per_upload: u16,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.serve {
        return demo::serve(arguments.keep.as_deref());
    }
    // Created first, so that a wrong path fails before the work and not after it.
    let json = arguments.json.map(|path| {
        let file = std::fs::File::create(&path);
        file.with_context(|| format!("cannot write {}", path.display())).map(|file| (path, file))
    });
    let json = json.transpose()?;
    let outcome = demo::run(&Options {
        devices: arguments.devices.map(|devices| devices as usize),
        keep: arguments.keep,
        reports_per_upload: arguments.reports_per_upload.into(),
    })?;
    if let Some((path, mut file)) = json {
        writeln!(file, "{}", serde_json::to_string_pretty(&outcome)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    command_line::print(outcome)
}

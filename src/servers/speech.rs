//! What a server says besides its log: where it listens, which tasks are new, and why it cannot start. With
//! `log_format = "json"` each of these is a line of JSON too, and so is a panic.

use crate::command_line;
use sottovoce_aggregator::{
    clock,
    config::{Config, LogFormat},
    serve::{logs, traces::Exporter},
};
use sottovoce_program::format_moment;
use std::{
    fmt::Display,
    panic,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether all lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Logs, begun.
pub(super) struct Speech {
    pub(super) level: logs::LogLevel,
    /// Sends what is left when it is dropped.
    _exporter: Option<Exporter>,
}

/// Begins to log as the configuration of a server that is to start says.
pub(super) fn begin(config: &Config, role: &'static str) -> anyhow::Result<Speech> {
    let traces = config.traces.as_ref().map(|traces| traces.endpoint.as_str());
    let (level, exporter) = logs::start(&config.log, config.log_format, traces, role)?;
    if config.log_format == LogFormat::Json {
        speak_json();
    }
    Ok(Speech { level, _exporter: exporter })
}

/// What is wrong with a configuration is said in the format that it asks for.
pub(super) fn begin_to_refuse(path: &Path, role: &'static str) {
    if Config::log_format(path) == LogFormat::Json
        && logs::start("info", LogFormat::Json, None, role).is_ok()
    {
        speak_json();
    }
}

/// From now on, errors that end the program and panics are lines of the log.
fn speak_json() {
    JSON.store(true, Ordering::Relaxed);
    command_line::report_errors_by(|story| tracing::error!("{story}"));
    panic::set_hook(Box::new(|panicked| {
        tracing::error!(panic = %panicked, "a thread panicked, which is a bug");
    }));
}

/// Says something for people and for whoever started us on port 0, on standard output.
pub(super) fn announce(text: impl Display) -> anyhow::Result<()> {
    if !JSON.load(Ordering::Relaxed) {
        return command_line::print(text);
    }
    let timestamp = format_moment(clock::seconds(clock::now()));
    let (level, message) = ("INFO", text.to_string());
    command_line::print(
        serde_json::json!({ "timestamp": timestamp, "level": level, "message": message }),
    )
}

/// Says what was done, beside the data of a command.
pub(super) fn note(text: impl Display) {
    if JSON.load(Ordering::Relaxed) {
        tracing::info!("{text}");
    } else {
        eprintln!("{text}");
    }
}

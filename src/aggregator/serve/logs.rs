//! Logs, whose level can be changed while the server runs.

use crate::aggregator::config::LogFormat;
use std::io::IsTerminal;
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Changes what is logged.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

/// Text that says nothing about what to log.
#[derive(Debug, Error)]
#[error("log = {0:?} is not a filter, such as \"info\" or \"sottovoce=debug,warn\"")]
pub struct FilterError(String);

impl LogLevel {
    /// Logs what passes `filter` from now on.
    pub fn set(&self, filter: &str) -> Result<(), FilterError> {
        let wrong = || FilterError(filter.to_owned());
        self.0.reload(parse(filter)?).map_err(|_| wrong())
    }
}

/// Begins to log, to standard error.
pub fn start(filter: &str, format: LogFormat) -> Result<LogLevel, FilterError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    Ok(LogLevel(handle))
}

/// Strictly: a misspelt filter would silence what somebody waits for.
fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    let wrong = |_| FilterError(filter.to_owned());
    EnvFilter::builder().parse(filter).map_err(wrong)
}

/// Checks a filter without using it.
pub fn check(filter: &str) -> Result<(), FilterError> {
    parse(filter).map(drop)
}

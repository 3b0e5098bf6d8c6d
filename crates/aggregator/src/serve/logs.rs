//! Logs, whose level can be changed while the server runs.

use super::traces::{self, Exporter, TracesError};
use crate::config::LogFormat;
use std::io::IsTerminal;
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Changes what is logged.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

/// Text that says nothing about what to log.
#[derive(Debug, Error)]
#[error("log = {0:?} is not a filter; use one such as \"info\" or \"sottovoce=debug,warn\"")]
pub struct FilterError(String);

impl LogLevel {
    /// Logs what passes `filter` from now on.
    pub fn set(&self, filter: &str) -> Result<(), FilterError> {
        let wrong = || FilterError(filter.to_owned());
        self.0.reload(parse(filter)?).map_err(|_| wrong())
    }
}

/// Why nothing can be logged or traced.
#[derive(Debug, Error)]
pub enum LogsError {
    /// The filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The receiver of spans.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// Begins to log, to standard error, and to export spans to `traces` if it is there. To be called
/// outside of a runtime; spans are exported as long as the exporter is kept.
pub fn start(
    filter: &str,
    format: LogFormat,
    traces: Option<&str>,
    role: &'static str,
) -> Result<(LogLevel, Option<Exporter>), LogsError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (spans, exporter) =
        traces.map(|endpoint| traces::layer(endpoint, role)).transpose()?.unzip();
    // The filter is the lines' alone: spans have their own.
    let layers: Vec<_> = spans.into_iter().chain([lines.with_filter(filter).boxed()]).collect();
    tracing_subscriber::registry().with(layers).init();
    Ok((LogLevel(handle), exporter))
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

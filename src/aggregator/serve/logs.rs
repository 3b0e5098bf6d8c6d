//! Logs, whose level can be changed while the server runs.

use super::traces::{self, Exporter, TracesError};
use crate::aggregator::config::LogFormat;
use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
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

/// For what may happen as often as strangers like: it is said now and then, with how often it was.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    said: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Said once in so long.
    pub const fn new(every: Duration) -> Self {
        Self { every, said: Mutex::new((None, 0)) }
    }

    /// It happens: gives how often it did since it was last said, if it is to be said now.
    pub fn happens(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, times) = &mut *said;
        *times += 1;
        if at.is_some_and(|at| now.saturating_duration_since(at) < self.every) {
            return None;
        }
        *at = Some(now);
        Some(std::mem::take(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_said_seldom_and_every_time_is_counted() {
        let (seldom, now) = (Seldom::new(Duration::from_secs(5)), Instant::now());
        let after = |seconds| seldom.happens(now + Duration::from_secs(seconds));
        let said: Vec<_> = [0, 0, 1, 4, 5, 6, 30].map(after).into_iter().flatten().collect();
        assert_eq!(said, [1, 4, 2]);
    }
}

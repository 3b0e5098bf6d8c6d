//! What is asked: one TOML file that every party holds.
//!
//! [`file`] is the file as it is written, with the place of every value; [`Program::parse`] turns
//! it into what it means or says what is wrong with it. A program asks [`metric`]s, broken down by
//! [`dimension`]s; an [`answer`] is encoded as the index of a bin ([`encoding`]). [`compile`] turns
//! each metric into DAP tasks, and [`manifest`] writes down what a task promises, so that its hash
//! is bound into every report. [`asking`] and [`profile`] are what the device keeps to by itself.
//!
//! ```
//! use sottovoce_program::{Program, ProgramKind, template::template};
//!
//! let text = template(ProgramKind::Feedback, "my-app")?;
//! let program = Program::parse("program.toml", &text)?;
//! program.certify_budget()?;
//! for task in program.tasks() {
//!     println!("{}: {}", task.name, task.task_id);
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod answer;
pub mod asking;
pub mod budget;
mod calendar;
pub mod compile;
mod device_form;
pub mod dimension;
pub mod encoding;
pub mod explain;
mod file;
pub mod kind;
mod label;
pub mod log;
pub mod manifest;
pub mod metric;
mod moment;
pub mod profile;
pub mod randomizer;
#[cfg(feature = "schema")]
pub mod schema;
pub mod settings;
mod source;
pub mod template;

pub use calendar::{Calendar, NoWeekday, NoWeeks, Weekday};
pub use device_form::FormError;
pub use kind::{score, triage};
pub use moment::{format_duration, format_moment, parse_duration, parse_moment};
pub use source::ProgramError;

use asking::AskingPolicy;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use budget::DeviceBudget;
use compile::{CompileError, CompiledTask};
use explain::Explanation;
use file::File;
use kind::{Form, Written};
use log::LogPolicy;
use metric::Metric;
use profile::ProfilePolicy;
use sottovoce_dap::{
    codec::Decode,
    hpke::HpkeConfig,
    task::{BatchMode, Url},
    time::{Interval, TimePrecision},
};
use sottovoce_privacy::{
    guarantee::Mechanism,
    noise::{AggregatorNoise, Thousandths},
    units::{Delta, Epsilon, Guarantee, Share},
};
use source::{At, Source};
use std::path::Path;

/// A checked program.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    kind: ProgramKind,
    leader: Url,
    helper: Url,
    collector: HpkeConfig,
    window: Calendar,
    grace: u64,
    jitter: u64,
    min_batch_size: u64,
    batch_mode: BatchMode,
    interval: Option<Interval>,
    privacy: Privacy,
    budget: Option<DeviceBudget>,
    log: Option<LogPolicy>,
    asking: AskingPolicy,
    profile: ProfilePolicy,
    tasks: Vec<CompiledTask>,
    for_users: String,
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// Users of an app say how well it serves them.
    Feedback,
    /// Reporters mark what harm they found, by category and severity, and nothing else leaves their
    /// devices.
    RedTeam,
}

impl ProgramKind {
    fn parse(source: Source<'_>, text: Option<&At<String>>) -> Result<Self, ProgramError> {
        match text.map(|text| (text, text.get_ref().as_str())) {
            None | Some((_, "feedback")) => Ok(Self::Feedback),
            Some((_, "red-team")) => Ok(Self::RedTeam),
            Some((text, _)) => Err(source.error(text, "must be \"feedback\" or \"red-team\"")),
        }
    }

    /// A red-team channel carries findings and nothing about who found them; only it does.
    fn check(
        self,
        source: Source<'_>,
        table: &file::MetricTable,
        metric: &Metric,
    ) -> Result<(), ProgramError> {
        let reason = match (self, metric.kind.as_kind().purpose()) {
            (Self::Feedback, Self::Feedback) | (Self::RedTeam, Self::RedTeam) => {
                return self.check_breakdown(source, table, metric);
            }
            (Self::Feedback, Self::RedTeam) => {
                "a metric of kind finding needs a program with kind = \"red-team\""
            }
            (Self::RedTeam, Self::Feedback) => {
                "a program with kind = \"red-team\" can have only metrics of kind finding"
            }
        };
        Err(source.error(&table.kind, reason))
    }

    fn check_breakdown(
        self,
        source: Source<'_>,
        table: &file::MetricTable,
        metric: &Metric,
    ) -> Result<(), ProgramError> {
        let mut dimensions = table.dimensions.iter().zip(&metric.dimensions);
        match dimensions.find(|(_, dimension)| !dimension.is_public()) {
            Some((name, dimension)) if self == Self::RedTeam => {
                let reason = format!(
                    "{:?} is not public; a program with kind = \"red-team\" can have only public dimensions, \
                     because it must reveal nothing about reporters",
                    dimension.name
                );
                Err(source.error(name, reason))
            }
            _ => Ok(()),
        }
    }
}

/// The budget that the program declares.
#[derive(Clone, Copy, Debug)]
pub struct Privacy {
    /// The budget of one report, whoever is dishonest.
    pub epsilon0: Epsilon,
    /// What the program promises of one report in one batch, with one honest aggregator and most
    /// devices honest.
    pub epsilon: Epsilon,
    /// The δ of that promise: for every set of outcomes, its probability under one answer is at most
    /// e^ε times that under another, plus δ.
    pub delta: Delta,
    /// The share of the smallest batch that may be dishonest or missing. Default: 0.2.
    pub reserve: Share,
    /// What each aggregator adds to its share of each batch.
    pub aggregator_noise: Option<AggregatorNoise>,
}

impl Program {
    /// Reads a program from a file.
    pub fn read(path: &Path) -> Result<Self, ProgramError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ProgramError::new(&place, format_args!("cannot be read: {error}")))?;
        Self::parse(&place, &text)
    }

    /// Parses and checks a program; `name` is what errors call the file.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProgramError> {
        let source = Source { name, text };
        let mut program = Self::of(source, &File::parse(source)?, compile::certify)?;
        program.for_users = Explanation::of(&program).for_users();
        Ok(program)
    }

    /// What a file means. `certify` has the guarantees of each metric, in the order of the file.
    fn of(
        source: Source<'_>,
        file: &File,
        mut certify: impl FnMut(&Self, &Mechanism) -> Result<Vec<Guarantee>, CompileError>,
    ) -> Result<Self, ProgramError> {
        let mut program = Self::header(source, file)?;
        let dimensions = dimension::parse_all(source, &file.dimensions)?;
        let mut metrics: Vec<_> = file.metrics.iter().collect();
        if metrics.is_empty() {
            return Err(source.whole("there is no metric; add a table [metrics.NAME]"));
        }
        // Those that are made of others after these.
        let is_made_of_others = |table: &file::MetricTable| {
            Form::of(table.kind.get_ref()).is_some_and(|form| form.is_made_of_others)
        };
        metrics.sort_by_key(|(name, table)| (is_made_of_others(table), name.span().start));
        let mut parsed: Vec<Metric> = Vec::new();
        for (name, table) in &metrics {
            let (tables, dimensions) = (&file.metrics, &dimensions);
            let written = Written { source, table, tables, dimensions, parsed: &parsed };
            let metric = Metric::parse(name, &written)?;
            program.kind.check(source, table, &metric)?;
            parsed.push(metric);
        }
        // Tasks as they stand in the file.
        let mut asked: Vec<_> = metrics.iter().zip(&parsed).collect();
        asked.sort_by_key(|((name, _), _)| name.span().start);
        for ((_, table), metric) in asked {
            let compiled = compile::compile(&program, metric, &mut certify)
                .map_err(|reason| source.error(&table.kind, reason))?;
            for task in compiled {
                // Values may have what stands between them in a task's name.
                if program.task(&task.name).is_some() {
                    let reason = format!(
                        "two tasks would be named {:?}; rename a metric or a value",
                        task.name
                    );
                    return Err(source.error(&table.kind, reason));
                }
                program.tasks.push(task);
            }
        }
        if let Some(table) = &file.budget {
            program.budget = Some(DeviceBudget::parse(source, table, &program)?);
        }
        Ok(program)
    }

    fn header(source: Source<'_>, file: &File) -> Result<Self, ProgramError> {
        let window = window(source, file)?;
        let (leader, helper) = (url(source, &file.leader)?, url(source, &file.helper)?);
        if leader == helper {
            let reason = "is the same as the leader's; the aggregators must be two organisations";
            return Err(source.error(&file.helper, reason));
        }
        let min_batch_size = *file.min_batch_size.get_ref();
        if min_batch_size < 2 {
            return Err(source.error(&file.min_batch_size, "must be at least 2"));
        }
        let grace = match &file.grace {
            None => DEFAULT_GRACE.min(window.seconds()),
            Some(grace) => {
                moment::parse_duration(grace.get_ref()).map_err(|e| source.error(grace, e))?
            }
        };
        Ok(Self {
            name: file::identifier(source, &file.name)?,
            kind: ProgramKind::parse(source, file.kind.as_ref())?,
            leader,
            helper,
            collector: collector(source, &file.collector)?,
            window,
            grace,
            jitter: jitter(source, &file.device, grace)?,
            min_batch_size,
            batch_mode: batch_mode(source, file.batch_mode.as_ref())?,
            interval: interval(source, file, window)?,
            privacy: privacy(source, &file.privacy)?,
            budget: None,
            log: file.log.as_ref().map(|table| LogPolicy::parse(source, table)).transpose()?,
            asking: AskingPolicy::parse(source, &file.asking)?,
            profile: ProfilePolicy::parse(source, &file.profile)?,
            tasks: Vec::new(),
            for_users: String::new(),
        })
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn kind(&self) -> ProgramKind {
        self.kind
    }

    /// The leader's endpoint.
    pub fn leader(&self) -> &Url {
        &self.leader
    }

    /// The helper's endpoint.
    pub fn helper(&self) -> &Url {
        &self.helper
    }

    /// Whom aggregate shares are sealed to.
    pub fn collector(&self) -> &HpkeConfig {
        &self.collector
    }

    /// The reporting period, and where each begins.
    pub fn window(&self) -> Calendar {
        self.window
    }

    /// How long late reports are waited for after a window has closed, in seconds.
    pub fn grace(&self) -> u64 {
        self.grace
    }

    /// Over how long after a window's end devices spread their reports, in seconds; no longer than
    /// the grace.
    pub fn jitter(&self) -> u64 {
        self.jitter
    }

    /// When devices report, in windows; always, if the program does not say.
    pub fn interval(&self) -> Option<Interval> {
        self.interval
    }

    /// The least number of reports in a batch.
    pub fn min_batch_size(&self) -> u64 {
        self.min_batch_size
    }

    /// How reports are gathered into batches.
    pub fn batch_mode(&self) -> BatchMode {
        self.batch_mode
    }

    /// The aggregators' logs, if the program names them.
    pub fn log(&self) -> Option<&LogPolicy> {
        self.log.as_ref()
    }

    /// The declared budget.
    pub fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// When a device asks its user.
    pub fn asking(&self) -> &AskingPolicy {
        &self.asking
    }

    /// How long a device remembers its user.
    pub fn profile(&self) -> ProfilePolicy {
        self.profile
    }

    /// The DAP tasks, metric by metric.
    pub fn tasks(&self) -> &[CompiledTask] {
        &self.tasks
    }

    /// What an app shows before it asks for consent, and whenever the user wants to know.
    pub fn for_users(&self) -> &str {
        &self.for_users
    }

    /// The task of a metric, by the name it has in [`tasks`](Self::tasks).
    pub fn task(&self, name: &str) -> Option<&CompiledTask> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

/// Late reports are waited for no longer than this, or a window, unless the program says so.
const DEFAULT_GRACE: u64 = 6 * 3600;

fn window(source: Source<'_>, file: &File) -> Result<Calendar, ProgramError> {
    let text = &file.window;
    let seconds = moment::parse_duration(text.get_ref()).map_err(|e| source.error(text, e))?;
    let window = TimePrecision::from_seconds(seconds)
        .ok_or_else(|| source.error(text, "must be at least 1 second"))?;
    let Some(day) = &file.week_begins else { return Ok(window.into()) };
    let begins = day.get_ref().parse::<Weekday>().map_err(|e| source.error(day, e))?;
    Calendar::weeks(window, begins).map_err(|e| source.error(day, e))
}

/// Half of the grace unless the program says otherwise: the rest is for retries.
fn jitter(source: Source<'_>, device: &file::DeviceTable, grace: u64) -> Result<u64, ProgramError> {
    let Some(text) = &device.jitter else { return Ok(grace / 2) };
    let jitter = moment::parse_duration(text.get_ref()).map_err(|e| source.error(text, e))?;
    if jitter <= grace {
        return Ok(jitter);
    }
    let reason =
        format!("must not be longer than the grace of {grace} seconds, or reports come too late");
    Err(source.error(text, reason))
}

fn url(source: Source<'_>, text: &At<String>) -> Result<Url, ProgramError> {
    let host =
        ["https://", "http://"].iter().find_map(|scheme| text.get_ref().strip_prefix(scheme));
    let is_http = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
    let url = Url::new(text.get_ref()).filter(|_| is_http && !text.get_ref().contains(['?', '#']));
    url.ok_or_else(|| {
        source.error(text, "must be an https:// URL (http:// for tests) without query or fragment")
    })
}

fn collector(source: Source<'_>, text: &At<String>) -> Result<HpkeConfig, ProgramError> {
    let bytes = URL_SAFE_NO_PAD.decode(text.get_ref()).ok();
    let config = bytes.and_then(|bytes| HpkeConfig::from_bytes(&bytes).ok()).ok_or_else(|| {
        source.error(text, "must be the public HPKE configuration that `sottovoce keygen` prints")
    })?;
    config.suite.check().map_err(|error| source.error(text, error))?;
    Ok(config)
}

fn batch_mode(source: Source<'_>, text: Option<&At<String>>) -> Result<BatchMode, ProgramError> {
    match text {
        None => Ok(BatchMode::TimeInterval),
        Some(text) => match text.get_ref().as_str() {
            "time-interval" => Ok(BatchMode::TimeInterval),
            "leader-selected" => Ok(BatchMode::LeaderSelected),
            _ => Err(source.error(text, "must be \"time-interval\" or \"leader-selected\"")),
        },
    }
}

fn interval(
    source: Source<'_>,
    file: &File,
    window: Calendar,
) -> Result<Option<Interval>, ProgramError> {
    let (starts, ends) = match (&file.starts, &file.ends) {
        (None, None) => return Ok(None),
        (Some(starts), Some(ends)) => (starts, ends),
        (Some(one), None) | (None, Some(one)) => {
            return Err(source.error(one, "needs the other of `starts` and `ends` too"));
        }
    };
    let aligned = |text: &At<String>| {
        let seconds = moment::parse_moment(text.get_ref()).map_err(|e| source.error(text, e))?;
        if window.is_start(seconds) {
            return Ok(window.time_at(seconds));
        }
        Err(source
            .error(text, format!("must be the start of a window; {}", window.starts_near(seconds))))
    };
    let (start, end) = (aligned(starts)?, aligned(ends)?);
    let interval = end.0.checked_sub(start.0).and_then(|len| Interval::new(start, len).ok());
    interval.map(Some).ok_or_else(|| source.error(ends, "must be later than `starts`"))
}

fn privacy(source: Source<'_>, table: &file::PrivacyTable) -> Result<Privacy, ProgramError> {
    fn number<T, E: std::fmt::Display>(
        source: Source<'_>,
        value: Option<&At<f64>>,
        default: f64,
        new: impl Fn(f64) -> Result<T, E>,
    ) -> Result<T, ProgramError> {
        let parsed = new(value.map_or(default, |value| *value.get_ref()));
        parsed.map_err(|error| match value {
            Some(value) => source.error(value, error),
            None => source.whole(error),
        })
    }
    let privacy = Privacy {
        epsilon0: number(source, table.epsilon0.as_ref(), 4.0, Epsilon::new)?,
        epsilon: number(source, table.epsilon.as_ref(), 1.0, Epsilon::new)?,
        delta: number(source, table.delta.as_ref(), 1e-6, Delta::new)?,
        reserve: number(source, table.reserve.as_ref(), 0.2, Share::new)?,
        aggregator_noise: table.aggregator_noise.as_ref().map(|t| noise(source, t)).transpose()?,
    };
    if privacy.delta == Delta::ZERO {
        let reason = "delta must be above 0 for amplification; 1e-6 is usual";
        return Err(table
            .delta
            .as_ref()
            .map_or_else(|| source.whole(reason), |delta| source.error(delta, reason)));
    }
    Ok(privacy)
}

fn noise(
    source: Source<'_>,
    table: &At<file::NoiseTable>,
) -> Result<AggregatorNoise, ProgramError> {
    let file::NoiseTable { kind, scale, sigma } = table.get_ref();
    let parameter = |name: &str, given: &Option<At<f64>>, other: &Option<At<f64>>| {
        if let Some(other) = other {
            let reason = format!("{} noise has the parameter `{name}` only", kind.get_ref());
            return Err(source.error(other, reason));
        }
        let given = given.as_ref().ok_or_else(|| {
            source.error(kind, format!("{} noise needs `{name}`, in counts", kind.get_ref()))
        })?;
        Thousandths::new(*given.get_ref()).map_err(|error| source.error(given, error))
    };
    match kind.get_ref().as_str() {
        "discrete-laplace" => {
            Ok(AggregatorNoise::DiscreteLaplace { scale: parameter("scale", scale, sigma)? })
        }
        "discrete-gaussian" => {
            Ok(AggregatorNoise::DiscreteGaussian { sigma: parameter("sigma", sigma, scale)? })
        }
        _ => Err(source.error(kind, "must be \"discrete-gaussian\" or \"discrete-laplace\"")),
    }
}

#[cfg(test)]
mod tests;

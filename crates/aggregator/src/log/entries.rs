//! What this aggregator writes in its log, made from what it holds.

use crate::{
    clock,
    config::Config,
    store::{LogEntry, Timestamp},
    task::Task,
};
use sottovoce_dap::{
    aggregate::Checksum,
    collect::BatchSelector,
    hpke::{HpkeCiphertext, HpkeConfig},
    problem::{ProblemDocument, ProblemType},
    time::Interval,
};
use sottovoce_log::entry::{
    Entry, EntryTooLong, Event, FULL_AND_OVER, KeyChange, RELEASES_SETTING, Refused, Release,
    Repaired, ShareDigest, TaskTaken, windows_setting,
};

/// For the database.
pub fn stored(entry: &Entry) -> Result<LogEntry, EntryTooLong> {
    Ok(LogEntry { key: entry.key().0, bytes: entry.to_log()?.into() })
}

fn at(now: Timestamp, event: Event) -> Result<LogEntry, EntryTooLong> {
    stored(&Entry { time: clock::seconds(now), event })
}

/// A task was added.
pub fn task(task: &Task, now: Timestamp) -> Result<LogEntry, EntryTooLong> {
    let taken = TaskTaken {
        task: task.id,
        configuration: task.configuration.clone(),
        collector: task.collector_hpke_config.clone(),
        noise: task.noise,
        claims: task.claims.clone(),
        manifest: task.manifest.clone(),
    };
    at(now, Event::Task(Box::new(taken)))
}

/// A batch, as an aggregator adds it up.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Which it is.
    pub selector: BatchSelector,
    /// Reports in it.
    pub report_count: u64,
    /// Over their IDs.
    pub checksum: Checksum,
    /// The smallest interval with all of their times.
    pub interval: Interval,
}

/// Our share of a batch is about to be handed over.
pub fn release(
    task: &Task,
    batch: &Batch,
    share: &HpkeCiphertext,
    now: Timestamp,
) -> Result<LogEntry, EntryTooLong> {
    let release = Release {
        task: task.id,
        batch: batch.selector,
        report_count: batch.report_count,
        checksum: batch.checksum,
        interval: batch.interval,
        noise: task.noise,
        charged: task.claims.clone(),
        share: ShareDigest::of(share),
    };
    at(now, Event::Release(release))
}

/// A batch was asked for and is not handed over.
pub fn refused(
    task: &Task,
    batch: Option<BatchSelector>,
    problem: &ProblemDocument,
    now: Timestamp,
) -> Result<LogEntry, EntryTooLong> {
    let token = problem.kind().map_or("other", ProblemType::token);
    let (problem, detail) = (token.to_owned(), problem.detail.as_str().to_owned());
    let refused = Refused { task: task.id, batch, problem, detail };
    at(now, Event::Refused(refused))
}

/// More batches were asked for and refused than are listed one by one.
pub fn more_refused(task: &Task, now: Timestamp) -> Result<LogEntry, EntryTooLong> {
    let detail = "further requests within the hour were refused and are not listed one by one";
    let (problem, detail) = ("other".to_owned(), detail.to_owned());
    at(now, Event::Refused(Refused { task: task.id, batch: None, problem, detail }))
}

/// What we alone held of a batch is dropped.
pub fn repaired(repaired: Repaired, now: Timestamp) -> Result<LogEntry, EntryTooLong> {
    at(now, Event::Repaired(repaired))
}

/// A key that devices seal to came or went.
pub fn hpke_key(
    change: KeyChange,
    config: HpkeConfig,
    now: Timestamp,
) -> Result<LogEntry, EntryTooLong> {
    at(now, Event::HpkeKey(change, config))
}

/// A server of this role starts, with these settings.
pub fn start(role: &str, config: &Config, now: Timestamp) -> Result<[LogEntry; 2], EntryTooLong> {
    let software = format!("sottovoce-{role} {}", env!("CARGO_PKG_VERSION"));
    Ok([at(now, Event::Started(software))?, at(now, Event::Settings(settings(config)))?])
}

/// What a plain DAP task's batches may be of has changed: that they may be of windows that are not full
/// is a weaker promise.
pub fn windows(task: &Task, now: Timestamp) -> Result<LogEntry, EntryTooLong> {
    let setting = (windows_setting(&task.id), task.terms.windows.word().to_owned());
    at(now, Event::Settings(vec![setting]))
}

/// What guarantees depend on, beside tasks.
fn settings(config: &Config) -> Vec<(String, String)> {
    let days = |duration: std::time::Duration| (duration.as_secs() / 86_400).to_string();
    let witnesses =
        config.public_log.witnesses.iter().map(|witness| witness.key.name().to_string());
    let settings = [
        ("plain_http", config.plain_http.to_string()),
        ("peer_certificate", config.tls.as_ref().is_some_and(|t| t.peer_ca.is_some()).to_string()),
        ("retention.report_days", days(config.retention.reports)),
        ("hpke.rotate_days", days(config.hpke.rotate_after)),
        ("hpke.keep_days", days(config.hpke.keep)),
        (RELEASES_SETTING, FULL_AND_OVER.to_owned()),
        ("public_log.witnesses", witnesses.collect::<Vec<_>>().join(" ")),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

//! An empirical audit of a client: whether it really adds the noise that its manifest promises.
//!
//! The probe plays both aggregators with keys of its own, has the client report chosen [`inputs`] many
//! times, opens the reports ([`reader`]) and counts ([`tally`]). [`judge()`] says what the counts
//! prove: a lower bound on ε by the intervals of Clopper and Pearson ([`statistics`]), and whether flips,
//! over all and of each bin (`rates`), independence (`dependence`) and retries are as promised. The trust
//! model is OC: what whoever opens both shares learns of one device. A lower bound on ε proves that a
//! client hides too little, never that it hides enough; that rests on the manifest's exact integers, with
//! which the flips are compared.

pub mod client;
mod dependence;
pub mod executable;
pub mod fault;
pub mod inputs;
pub mod judge;
pub mod pairs;
mod rates;
pub mod reader;
pub mod seen;
pub mod share;
pub mod statistics;
pub mod stream;
pub mod tally;

use client::{Client, ClientError};
use inputs::Input;
use judge::{Judgement, judge};
use reader::{ReadError, TestAggregators};
use serde::Serialize;
use sottovoce_privacy::guarantee::Mechanism;
use sottovoce_program::compile::CompiledTask;
use std::{
    thread,
    time::{Duration, Instant},
};
use tally::Tally;
use thiserror::Error;

/// How long to probe.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The probability with which the outcome holds.
    pub confidence: f64,
    /// How near the bound must come to the promise, relative to it.
    pub precision: f64,
    /// Reports at most.
    pub reports: u64,
    /// Time at most.
    pub time: Duration,
}

/// What a probe comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The task's name.
    pub task: String,
    /// Reports that were opened.
    pub reports: u64,
    /// How long it took.
    pub seconds: f64,
    /// The probability with which all of this holds.
    pub confidence: f64,
    /// What was proved.
    pub judgement: Judgement,
    /// Whether the client keeps what its manifest promises, as far as asked.
    pub verdict: Verdict,
}

/// What is to be thought of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does as promised, as precisely as was asked.
    Certified,
    /// It does not.
    Faulty,
    /// The limits were reached before either was proved.
    Undecided,
}

/// A probe that cannot go on.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The client fails.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Its report cannot be opened.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The metric has too few answers that the probe can make.
    #[error(
        "the task {0} cannot be probed: the probe cannot make two different answers to its metric"
    )]
    Inputs(String),
}

/// Probes a client until the verdict is clear or a limit is reached. `progress` is told of each look.
pub fn probe(
    task: &CompiledTask,
    aggregators: &TestAggregators,
    client: &mut dyn Client,
    limits: Limits,
    progress: &mut dyn FnMut(u64, &Judgement),
) -> Result<Outcome, ProbeError> {
    let inputs = inputs::of(task);
    if inputs.len() < 2 {
        return Err(ProbeError::Inputs(task.name.clone()));
    }
    let mechanism: &Mechanism = &task.randomizer().mechanism;
    let (began, mut tally) = (Instant::now(), Tally::new(mechanism, &inputs));
    let mut look = 0_u32;
    loop {
        look += 1;
        if look > 1 {
            client.restart()?;
        }
        // Each look at twice as many reports, and with its own part of the error: they sum to all of it.
        let wanted = (FIRST_LOOK << (look - 1).min(40)).min(limits.reports);
        round(aggregators, client, &inputs, &mut tally, wanted, began + limits.time)?;
        let alpha = (1.0 - limits.confidence) / f64::from(look * (look + 1));
        let judgement = judge(mechanism, &inputs, &tally, alpha);
        progress(tally.reports, &judgement);
        let over = tally.reports >= limits.reports || began.elapsed() >= limits.time;
        let verdict = if judgement.faults.is_empty() {
            if judgement.certifies(limits.precision) && tally.redrawn.trials > 0 {
                Verdict::Certified
            } else if over {
                Verdict::Undecided
            } else {
                continue;
            }
        } else {
            Verdict::Faulty
        };
        return Ok(Outcome {
            task: task.name.clone(),
            reports: tally.reports,
            seconds: began.elapsed().as_secs_f64(),
            confidence: limits.confidence,
            judgement,
            verdict,
        });
    }
}

/// Reports before the first look.
const FIRST_LOOK: u64 = 4096;
/// Reports that are made before they are opened, at most.
const AT_ONCE: u64 = 2048;
/// Bytes of reports that are made before they are opened, about.
const BYTES_AT_ONCE: usize = 64 << 20;
/// Of as many reports one is retried.
const RETRIED: u64 = 64;

/// Has the client report until there are `wanted` reports, and retry some, or until the deadline. Inputs take
/// turns, in pairs of two: what follows a report is of the same input half of the time, so that a draw that is
/// used again shows.
fn round(
    aggregators: &TestAggregators,
    client: &mut dyn Client,
    inputs: &[Input],
    tally: &mut Tally,
    wanted: u64,
    deadline: Instant,
) -> Result<(), ProbeError> {
    let before = tally.reports;
    // Few at first: it is not known yet how long they are.
    let mut at_once = RETRIED;
    while tally.reports < wanted && Instant::now() < deadline {
        let count = at_once.min(wanted - tally.reports);
        let first = tally.reports;
        let turn = |at: u64| usize::try_from((first + at) >> 1).unwrap_or(0) % inputs.len();
        let turns: Vec<usize> = (0..count).map(turn).collect();
        let answers: Vec<_> = turns.iter().map(|turn| &inputs[*turn].answer).collect();
        let reports = client.reports(&answers, deadline)?;
        for (turn, opened) in turns.iter().zip(open_all(aggregators, &reports)?) {
            tally.report(*turn, inputs, &opened);
        }
        let fit = BYTES_AT_ONCE / reports.first().map_or(1, Vec::len).max(1);
        at_once = u64::try_from(fit).unwrap_or(AT_ONCE).clamp(RETRIED, AT_ONCE);
    }
    // After the reports, which so begin alike whenever the client was started.
    let retries = ((tally.reports - before) / RETRIED).max(RETRIED);
    for input in inputs.iter().cycle().take(usize::try_from(retries).unwrap_or(usize::MAX)) {
        if Instant::now() >= deadline {
            break;
        }
        let Some([first, again]) = client.retried(&input.answer, deadline)? else { break };
        tally.retried(&aggregators.open(&first)?, &aggregators.open(&again)?);
    }
    Ok(())
}

/// Opens reports on all cores, in their order.
fn open_all(
    aggregators: &TestAggregators,
    reports: &[Vec<u8>],
) -> Result<Vec<reader::Opened>, ReadError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let part = reports.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let open = |reports: &[Vec<u8>]| -> Result<Vec<_>, ReadError> {
            reports.iter().map(|report| aggregators.open(report)).collect()
        };
        let parts: Vec<_> =
            reports.chunks(part).map(|reports| scope.spawn(move || open(reports))).collect();
        let mut all = Vec::with_capacity(reports.len());
        for part in parts {
            match part.join() {
                Ok(opened) => all.extend(opened?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

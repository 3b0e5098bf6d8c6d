//! Those who never answer: what the joint of an explicit and an implicit metric says of them.

use super::Batch;
use crate::{
    estimate::{
        EstimateError,
        confidence::Confidence,
        nonresponse::{Cell, Correction, Joint},
    },
    program::{
        encoding::Meaning,
        metric::{Metric, MetricKind},
    },
};

/// Whether an explicit outcome, of so many, says yes.
type IsYes = fn(usize, usize) -> bool;

/// The share of yes among all devices, corrected for those who did not answer; nothing if the
/// metric is no joint with a thumb or a rating first.
pub(super) fn correction(batch: &Batch<'_>) -> Option<Result<Correction, EstimateError>> {
    let is_yes = explicit(&batch.task.metric)?;
    let [firsts, seconds] = batch.task.encoding().sides()?;
    // A joint's outcomes are numbered through both sides, from nothing of both, which is no answer.
    let cell = |pair: usize| {
        let (first, stratum) = (pair / seconds.len(), pair % seconds.len());
        match first.checked_sub(1) {
            None => Cell::Silent(stratum),
            Some(outcome) if is_yes(outcome, firsts.len() - 1) => Cell::Yes(stratum),
            Some(_) => Cell::No(stratum),
        }
    };
    let of = |meaning| match meaning {
        Meaning::NoAnswer => cell(0),
        Meaning::Answer { outcome, .. } => cell(outcome + 1),
    };
    let cells = batch.task.encoding().meanings().into_iter().map(of).collect();
    let joint = Joint::new(batch.counts.clone(), cells, seconds);
    Some(joint.and_then(|joint| joint.correct(Confidence::USUAL)))
}

/// In words what the share is of.
pub(super) fn of_what(metric: &Metric) -> Option<String> {
    let MetricKind::Joint([first, _]) = &metric.kind else { return None };
    Some(match first.kind {
        MetricKind::Thumbs => format!("share of up to {}", first.metric),
        _ => format!("share of the better half of {}", first.metric),
    })
}

fn explicit(metric: &Metric) -> Option<IsYes> {
    let MetricKind::Joint([first, _]) = &metric.kind else { return None };
    match first.kind {
        MetricKind::Thumbs => Some(|outcome, _| outcome == 0),
        MetricKind::Rating(_) => Some(|outcome, levels| 2 * outcome >= levels),
        _ => None,
    }
}

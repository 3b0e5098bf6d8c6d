//! Those who never answer: what the joint of an explicit and an implicit metric says of them.

use super::Batch;
use crate::{
    EstimateError,
    confidence::Confidence,
    nonresponse::{Cell, Correction, Joint},
};
use sottovoce_program::{
    encoding::Meaning,
    metric::{Metric, MetricKind},
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
        MetricKind::Rating(ref levels) if levels.len() > 2 => {
            format!("share of the two best levels of {}", first.metric)
        }
        MetricKind::Rating(ref levels) => {
            let best = levels.last().map_or("", String::as_str);
            format!("share of {best} to {}", first.metric)
        }
        _ => format!("share of up to {}", first.metric),
    })
}

fn explicit(metric: &Metric) -> Option<IsYes> {
    let MetricKind::Joint([first, _]) = &metric.kind else { return None };
    match first.kind {
        MetricKind::Thumbs => Some(|outcome, _| outcome == 0),
        // The same two levels whose share among answers is told of a rating by itself.
        MetricKind::Rating(_) => {
            Some(|outcome, levels| outcome + if levels > 2 { 2 } else { 1 } >= levels)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_program::metric::Part;

    fn joined(kind: MetricKind) -> Metric {
        let part = |metric: &str, kind| Part {
            metric: metric.to_owned(),
            signal: None,
            kind,
            question: "?".to_owned(),
        };
        let sides = [part("quality", kind), part("turns", MetricKind::Count(vec![0, 1]))];
        Metric {
            name: "both".to_owned(),
            question: "?".to_owned(),
            kind: MetricKind::Joint(sides.map(Box::new)),
            dimensions: Vec::new(),
            epsilon0: None,
            allow_many_bins: false,
            randomizer: None,
        }
    }

    #[test]
    fn only_what_has_an_obvious_yes_is_corrected() {
        let names = |count: usize| (1..=count).map(|level| format!("level {level}")).collect();
        let yes = |kind, outcomes: usize| {
            let is_yes = explicit(&joined(kind))?;
            Some((0..outcomes).filter(|outcome| is_yes(*outcome, outcomes)).collect::<Vec<_>>())
        };
        assert_eq!(yes(MetricKind::Preference(names(2)), 3), None);
        assert_eq!(yes(MetricKind::Count(vec![0, 1]), 2), None);
        assert_eq!(yes(MetricKind::Thumbs, 2), Some(vec![0]));
        assert_eq!(yes(MetricKind::Rating(names(2)), 2), Some(vec![1]));
        for count in [3, 5, 10] {
            let best = Some(vec![count - 2, count - 1]);
            assert_eq!(yes(MetricKind::Rating(names(count)), count), best);
        }
    }

    #[test]
    fn what_is_corrected_is_said_in_words() {
        let levels = |names: &[&str]| {
            MetricKind::Rating(names.iter().map(|name| (*name).to_owned()).collect())
        };
        let said = |kind| of_what(&joined(kind)).unwrap();
        assert_eq!(said(MetricKind::Thumbs), "share of up to quality");
        assert_eq!(said(levels(&["bad", "good"])), "share of good to quality");
        let three = said(levels(&["bad", "fine", "good"]));
        assert_eq!(three, "share of the two best levels of quality");
    }
}

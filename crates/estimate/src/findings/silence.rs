//! Those who never answer: what the joint of an explicit and an implicit metric says of them.

use super::Batch;
use crate::{
    EstimateError,
    confidence::Confidence,
    nonresponse::{Cell, Correction, Joint},
};
use sottovoce_program::{
    encoding::Meaning,
    kind::{Derived, Part, Yes},
    metric::Metric,
};

/// The share of yes among all devices, corrected for those who did not answer; nothing if the
/// metric is no joint with a thumb or a rating first.
pub(super) fn correction(batch: &Batch<'_>) -> Option<Result<Correction, EstimateError>> {
    let (_, Yes { outcomes: is_yes, .. }) = explicit(&batch.task.metric)?;
    let [_, seconds] = batch.task.encoding().sides()?;
    // A joint's outcomes are numbered through both sides, from nothing of both, which is no answer.
    let cell = |pair: usize| {
        let (first, stratum) = (pair / seconds.len(), pair % seconds.len());
        match first.checked_sub(1) {
            None => Cell::Silent(stratum),
            Some(outcome) if is_yes[outcome] => Cell::Yes(stratum),
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
    let (first, yes) = explicit(metric)?;
    Some(format!("{} {}", yes.share, first.metric))
}

/// The explicit side of a joint, with its outcomes that are a yes.
fn explicit(metric: &Metric) -> Option<(&Part, Yes)> {
    let first = match metric.kind.as_kind().derived()? {
        Derived::Joint(joint) => &joint.parts[0],
        Derived::Score(_) => return None,
    };
    Some((first, first.kind.as_kind().readings().yes?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_program::kind::{Count, Joint, MetricKind, Preference, Rating, Thumbs};

    fn joined(kind: impl Into<MetricKind>) -> Metric {
        let part = |metric: &str, kind| Part {
            metric: metric.to_owned(),
            signal: None,
            kind,
            question: "?".to_owned(),
        };
        let turns = part("turns", Count { buckets: vec![0, 1] }.into());
        let parts = [part("quality", kind.into()), turns].map(Box::new);
        Metric {
            name: "both".to_owned(),
            question: "?".to_owned(),
            kind: Joint { parts }.into(),
            dimensions: Vec::new(),
            epsilon0: None,
            allow_many_bins: false,
            randomizer: None,
        }
    }

    fn rating(count: usize) -> Rating {
        Rating { levels: (1..=count).map(|level| format!("level {level}")).collect() }
    }

    #[test]
    fn only_what_has_an_obvious_yes_is_corrected() {
        fn yes(kind: impl Into<MetricKind>) -> Option<Vec<usize>> {
            let metric = joined(kind);
            let (_, yes) = explicit(&metric)?;
            let outcomes = yes.outcomes.into_iter().enumerate();
            Some(outcomes.filter_map(|(outcome, is_yes)| is_yes.then_some(outcome)).collect())
        }
        assert_eq!(yes(Preference { candidates: rating(2).levels }), None);
        assert_eq!(yes(Count { buckets: vec![0, 1] }), None);
        assert_eq!(yes(Thumbs), Some(vec![0]));
        assert_eq!(yes(rating(2)), Some(vec![1]));
        for count in [3, 5, 10] {
            assert_eq!(yes(rating(count)), Some(vec![count - 2, count - 1]));
        }
    }

    #[test]
    fn what_is_corrected_is_said_in_words() {
        let said = |metric: &Metric| of_what(metric).unwrap();
        assert_eq!(said(&joined(Thumbs)), "share of up to quality");
        assert_eq!(said(&joined(rating(2))), "share of level 2 to quality");
        assert_eq!(said(&joined(rating(3))), "share of the two best levels of quality");
    }
}

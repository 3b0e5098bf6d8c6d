//! The ground truth of a simulation: what devices had to report, and what users thought, by bin.
//!
//! Counts are whole numbers of [`ONE`]ths of a device, since a device that could have reported
//! either of several answers counts in parts. They add up to the same in any order.

use super::scenario::Asked;
use sottovoce_program::{
    answer::{Answer, Given},
    compile::CompiledTask,
    encoding::Encoded,
    kind::Derived,
};
use std::collections::BTreeMap;

/// A window of a task: the task's index in the program, and the window.
pub(super) type Key = (usize, u64);

/// A device, in parts: the least number that has all of 1 to 12 as divisors, squared, so that a
/// choice among responses and then among aspects is exact.
pub(super) const ONE: u64 = 27_720 * 27_720;

/// What was so in one window of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Of honest devices whose reports were taken: what there was to report.
    pub contributed: Tally,
    /// Of everybody who opened the app: what they thought, silent ones and those who take no part
    /// included.
    pub everybody: Tally,
}

/// Devices by bin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In [`ONE`]ths.
    bins: Vec<u64>,
    /// How many devices there are.
    pub devices: u64,
    /// How many of them are counted in parts.
    pub divided: u64,
}

/// What one device has for a task: answers, each as likely as the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    bins: Vec<u64>,
    is_divided: bool,
}

impl Tally {
    /// The share of devices in each bin; nothing without devices.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn shares(&self) -> Option<Vec<f64>> {
        let all = (self.devices as f64) * ONE as f64;
        (self.devices > 0).then(|| self.bins.iter().map(|bin| *bin as f64 / all).collect())
    }

    pub(super) fn count(&mut self, ballot: &Ballot) {
        self.add(&ballot.bins);
        self.devices += 1;
        self.divided += u64::from(ballot.is_divided);
    }

    fn add(&mut self, bins: &[u64]) {
        self.bins.resize(self.bins.len().max(bins.len()), 0);
        for (sum, more) in self.bins.iter_mut().zip(bins) {
            *sum += more;
        }
    }
}

impl Truth {
    pub(super) fn merge(&mut self, other: &Self) {
        for (into, from) in
            [(&mut self.contributed, &other.contributed), (&mut self.everybody, &other.everybody)]
        {
            into.add(&from.bins);
            into.devices += from.devices;
            into.divided += from.divided;
        }
    }
}

impl Ballot {
    /// Of these answers; of *no answer* if there are none.
    pub(super) fn of(task: &CompiledTask, answers: &[Answer]) -> Self {
        let mut ballot = Self { bins: vec![0; task.encoding().bins() as usize], is_divided: false };
        let nothing = [Answer::none()];
        let answers = if answers.is_empty() { &nothing } else { answers };
        let each = ONE / answers.len() as u64;
        for answer in answers {
            match task.encoding().encode(answer) {
                Ok(Encoded::One(bin)) => ballot.bins[bin.index()] += each,
                Ok(Encoded::OneOf(some)) => {
                    ballot.is_divided |= some.len() > 1;
                    for bin in &some {
                        ballot.bins[bin.index()] += each / some.len() as u64;
                    }
                }
                Ok(Encoded::Bits(bits)) => {
                    let set = ballot.bins.iter_mut().zip(bits).filter(|(_, bit)| *bit);
                    set.for_each(|(sum, _)| *sum += each);
                }
                Err(_) => ballot.bins[0] += each,
            }
        }
        // Rounding may leave a few parts out of ONE.
        let slack = answers.len() as u64;
        ballot.is_divided |= ballot.bins.iter().any(|bin| (slack..ONE - slack).contains(bin));
        ballot
    }
}

/// What is said to a metric about a response, when this was said to the others; `score` gives the
/// value of a metric that is worked out from signals.
pub(super) fn said_to(
    metrics: &[Asked],
    index: usize,
    said: &BTreeMap<usize, Given>,
    score: &dyn Fn(&str) -> Option<f64>,
) -> Option<Given> {
    let at = |name: &str| metrics.iter().position(|asked| asked.metric.name == *name);
    match metrics[index].metric.kind.as_kind().derived() {
        Some(Derived::Joint(joint)) => {
            let side = |name: &str| said_to(metrics, at(name)?, said, score).map(Box::new);
            let [first, second] = joint.parts.each_ref().map(|part| side(&part.metric));
            (first.is_some() || second.is_some()).then_some(Given::Joint { first, second })
        }
        Some(Derived::Score(source)) => {
            said.get(&at(&source.of)?)?;
            score(&metrics[index].metric.name).map(Given::Score)
        }
        None => said.get(&index).cloned(),
    }
}

//! What the engine does for its user alone: when to ask, what they like, how their behaviour reads.
//! Nothing here is drawn or sent, but for a score or a category that the program asks for, and those
//! go the way of every answer.

use super::{
    super::{
        pending::{Item, Pending},
        personal::{
            asking::{Decision, Moment},
            baseline::satisfied,
            profile::{Leaning, Traits},
            score::{Score, score},
            triage::{Sorted, Triage},
        },
    },
    ChangeStep, Device, DeviceError,
    comment::Comment,
    tasks_of,
};
use sottovoce_program::{
    Program,
    answer::{Given, Outcome},
    kind::{Derived, MetricKind},
    metric::Metric,
    score::ScoreSource,
};
use std::collections::{BTreeMap, BTreeSet};

impl Device {
    /// Whether to ask the user now, about which response, and why. A decision to ask counts as
    /// asked, so that an app that crashes does not ask twice.
    pub fn decide(&mut self, moment: &Moment, now: u64) -> Result<Decision, DeviceError> {
        self.consented()?;
        self.change(now, |step| {
            let (policy, rng) = (step.program.asking(), &mut step.rng);
            Ok(step.state.personal.asking.decide(policy, moment, now, |bound| rng.below(bound)))
        })
    }

    /// The last question that was decided on was not shown: it does not count.
    pub fn not_shown(&mut self, now: u64) -> Result<(), DeviceError> {
        self.change(now, |step| {
            step.state.personal.asking.not_shown();
            Ok(())
        })
    }

    /// What the user leans to, from the surest: for the app to adapt to.
    pub fn leanings(&self, now: u64) -> Vec<Leaning> {
        self.state.personal.profile.leanings(self.program.profile(), now)
    }

    /// The user compared two responses whose traits the app knows.
    pub fn preferred(
        &mut self,
        left: &Traits,
        right: &Traits,
        outcome: Outcome,
        now: u64,
    ) -> Result<(), DeviceError> {
        self.consented()?;
        self.change(now, |step| {
            let policy = step.program.profile();
            step.state.personal.profile.preferred(policy, left, right, outcome, now);
            Ok(())
        })
    }

    /// The user sets a leaning by hand, from -1 to 1, or with `None` has it forgotten.
    pub fn set_leaning(
        &mut self,
        aspect: &str,
        value: Option<f64>,
        now: u64,
    ) -> Result<(), DeviceError> {
        self.consented()?;
        self.change(now, |step| {
            let (policy, profile) = (step.program.profile(), &mut step.state.personal.profile);
            match value {
                Some(value) => profile.set(policy, aspect, value, now),
                None => profile.forget(aspect),
            }
            Ok(())
        })
    }

    /// The score so far of a response, for the app: what a `score` metric with weights says of the
    /// signals that were observed. Nothing if the metric has no weights.
    pub fn score(
        &self,
        metric: &str,
        response: &str,
        now: u64,
    ) -> Result<Option<Score>, DeviceError> {
        let metric = &tasks_of(&self.program, metric)?[0].metric;
        let source = match metric.kind.as_kind().derived() {
            Some(Derived::Score(source)) => source,
            Some(Derived::Joint(_)) | None => return Ok(None),
        };
        let mark = self.state.place(response).response;
        let items = self.state.pending.get(&source.of).map(Pending::items);
        let item = items.unwrap_or_default().iter().find(|item| item.response == mark);
        let observed = item.map(observed).unwrap_or_default();
        let baseline = &self.state.personal.baseline;
        Ok(Some(score(self.program.profile(), source, baseline, &observed, now)))
    }

    /// Sorts a comment by the rules of a `triage` metric, and by what the app's own classifier found if there is
    /// one, and records the category. The text is read here and kept nowhere.
    pub fn triage(&mut self, comment: &Comment, now: u64) -> Result<Option<Sorted>, DeviceError> {
        self.consented()?;
        let kind = &tasks_of(&self.program, comment.metric())?[0].metric.kind;
        let rules = Triage::of(kind).map_err(DeviceError::Triage)?;
        let sorted = match comment.guess() {
            Some(guess) => rules.sort_with(comment.text(), guess),
            None => rules.sort(comment.text()),
        };
        if let Some(sorted) = &sorted {
            self.record(comment.event(sorted), now)?;
        }
        Ok(sorted)
    }

    pub(super) fn consented(&self) -> Result<(), DeviceError> {
        if self.state.consent.is_given() { Ok(()) } else { Err(DeviceError::NoConsent) }
    }
}

impl ChangeStep<'_> {
    /// Learns what windows that are over say of the user's habits: once from each response, however long its
    /// answer waits.
    pub(super) fn learn_habits(&mut self, now: u64) {
        let (policy, program, current) = (self.program.profile(), self.program, self.current(now));
        let pending = self.state.pending.iter_mut();
        let new: BTreeMap<String, Vec<Item>> =
            pending.map(|(metric, pending)| (metric.clone(), pending.learn(current))).collect();
        let items = |name: &str| new.get(name).map_or(&[][..], Vec::as_slice);
        let answers: Vec<_> = metrics(program)
            .flat_map(|explicit| {
                items(&explicit.name).iter().filter_map(move |item| {
                    Some((item.response, satisfied(&explicit.kind, &item.given)?))
                })
            })
            .collect();
        let baseline = &mut self.state.personal.baseline;
        for metric in metrics(program) {
            let (name, Some(declared)) = (&metric.name, metric.kind.as_kind().signals()) else {
                continue;
            };
            for item in items(name) {
                let observed = observed(item);
                baseline.observe(policy, name, declared, &observed, now);
                for (_, satisfied) in answers.iter().filter(|(of, _)| *of == item.response) {
                    baseline.explain(policy, name, declared, &observed, *satisfied, now);
                }
            }
        }
    }

    /// Learns from an answer that is the first about its response.
    pub(super) fn learn_taste(&mut self, kind: &MetricKind, given: &Given, now: u64) {
        let policy = self.program.profile();
        self.state.personal.profile.hear(policy, kind, given, now);
    }
}

/// The score of a response, by its signals.
pub(super) fn scored(
    state: &super::State,
    program: &Program,
    source: &ScoreSource,
    item: &Item,
    now: u64,
) -> Given {
    let baseline = &state.personal.baseline;
    Given::Score(score(program.profile(), source, baseline, &observed(item), now).value)
}

fn observed(item: &Item) -> BTreeSet<String> {
    item.given.signals().cloned().unwrap_or_default()
}

/// Each metric of a program once.
fn metrics(program: &Program) -> impl Iterator<Item = &Metric> {
    let tasks = program.tasks();
    tasks.iter().enumerate().filter_map(|(index, task)| {
        let is_first = tasks[..index].iter().all(|other| other.metric.name != task.metric.name);
        is_first.then_some(&task.metric)
    })
}

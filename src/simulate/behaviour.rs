//! What one simulated user thinks, says and does, drawn from a seed.
//!
//! Each device has a generator of its own, by the seed and its number, which nothing but
//! behaviour draws from: what engines, servers and mishaps do leaves it as it is.

use super::scenario::{Asked, Lie, Scenario};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use sottovoce_program::{
    answer::Given,
    dimension::{Dimension, Visibility},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a generator is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Behaviour = 0,
    Mishaps = 1,
}

/// The generator of a device for a purpose.
pub(super) fn generator(seed: u64, device: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(device * 2 + purpose as u64);
    rng
}

/// Someone with a device.
#[derive(Debug)]
pub struct Person<'a> {
    /// Values of public dimensions.
    pub assigned: Vec<(String, String)>,
    /// Values of private dimensions, but for those that devices choose.
    pub values: BTreeMap<String, String>,
    /// Whether they take part.
    pub consents: bool,
    /// Whether they lie.
    pub honesty: Honesty<'a>,
    scenario: &'a Scenario,
    /// How often a response satisfies them, before shifts.
    satisfied: f64,
    presence: Presence,
    rng: ChaCha8Rng,
}

/// How honest a device is.
#[derive(Clone, Copy, Debug)]
pub enum Honesty<'a> {
    /// Its user says what they think.
    Honest,
    /// Its user says the same in each window.
    Answers(&'a Lie),
    /// It sends one vote without noise.
    Bare(&'a Lie),
    /// It sends what no proof holds for.
    Forged(&'a Lie),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    NotYet,
    Here,
    Gone,
}

/// The app was opened in a window.
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// When, from 0, the first moment, to 1, the last that is early enough.
    pub moment: f64,
    /// The responses of the model that were seen.
    pub responses: Vec<Seen>,
}

/// A response of the model, as a user saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What its user thinks of it, by metric: said or not. Metrics that devices work out are not
    /// among them.
    pub thoughts: BTreeMap<usize, Thought>,
}

/// What a user thinks of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Thought {
    /// What they would say.
    pub given: Given,
    /// What they do about it.
    pub voice: Voice,
}

/// What a user does about a thought.
#[derive(Clone, Debug, PartialEq)]
pub enum Voice {
    /// Keeps it to themselves.
    Silent,
    /// Says it; perhaps after something else, perhaps only to take it back.
    Said {
        /// What they said before, if they changed their mind.
        first: Option<Given>,
        /// Whether they take it back.
        withdrawn: bool,
    },
}

impl<'a> Person<'a> {
    /// Draws the user of a device.
    pub fn draw(scenario: &'a Scenario, dimensions: &[&Dimension], seed: u64, device: u64) -> Self {
        let mut rng = generator(seed, device, Purpose::Behaviour);
        let consents = rng.random::<f64>() < scenario.consent;
        let honesty = Honesty::draw(scenario, &mut rng);
        let assign = |(dimension, weights): &(Dimension, Vec<f64>)| {
            let value = dimension.values[pick(weights, &mut rng)].clone();
            (dimension.name.clone(), value)
        };
        let assigned: Vec<_> = scenario.arms.iter().map(assign).collect();
        let shares: Vec<_> = scenario.segments.iter().map(|segment| segment.share).collect();
        let segment = &scenario.segments[pick(&shares, &mut rng)];
        let mut values = segment.values.clone();
        for dimension in dimensions.iter().filter(|d| d.visibility == Visibility::Private) {
            let value = &dimension.values[rng.random_range(0..dimension.values.len())];
            values.entry(dimension.name.clone()).or_insert_with(|| value.clone());
        }
        let has = |(name, value, _): &&(String, String, f64)| {
            assigned.iter().any(|(other, assigned)| other == name && assigned == value)
        };
        let effect: f64 = scenario.effects.iter().filter(has).map(|(.., by)| by).sum();
        let satisfied = segment.satisfied.unwrap_or(scenario.satisfied) + effect;
        let is_here = rng.random::<f64>() < scenario.present;
        let presence = if is_here { Presence::Here } else { Presence::NotYet };
        Self { assigned, values, consents, honesty, scenario, satisfied, presence, rng }
    }

    /// Draws what happens in the next window, the first of which is 0; nothing if the app is not
    /// opened. In the last one nobody says anything: it is there for what is still to be sent.
    pub fn next_window(&mut self, window: u64, is_last: bool) -> Option<Visit> {
        let scenario = self.scenario;
        let moves = self.rng.random::<f64>();
        self.presence = match self.presence {
            Presence::NotYet if window > 0 && moves < scenario.join => Presence::Here,
            Presence::Here if window > 0 && moves < scenario.leave => Presence::Gone,
            same => same,
        };
        let is_offline = self.rng.random::<f64>() < scenario.offline;
        let moment = self.rng.random::<f64>();
        if is_offline || self.presence != Presence::Here {
            return None;
        }
        let responses = if is_last { 0 } else { scenario.responses };
        let shift: f64 =
            scenario.shifts.iter().filter(|(from, _)| *from <= window).map(|(_, by)| by).sum();
        let satisfied = (self.satisfied + shift).clamp(0.0, 1.0);
        let responses = (0..responses).map(|_| self.see(satisfied)).collect();
        Some(Visit { moment, responses })
    }

    /// Whether the user left, so that nothing more happens.
    pub fn is_gone(&self) -> bool {
        self.presence == Presence::Gone
    }

    fn see(&mut self, satisfied: f64) -> Seen {
        let is_satisfied = self.rng.random::<f64>() < satisfied;
        let mut seen = Seen::default();
        for (index, asked) in self.scenario.metrics.iter().enumerate() {
            if !asked.is_derived
                && let Some(thought) = self.think(asked, is_satisfied)
            {
                seen.thoughts.insert(index, thought);
            }
        }
        seen
    }

    fn think(&mut self, asked: &Asked, is_satisfied: bool) -> Option<Thought> {
        let saying = &asked.sayings[usize::from(is_satisfied)];
        let kind = asked.metric.kind.as_kind();
        let rng = &mut self.rng;
        if let Some(names) = kind.signals() {
            let seen = names.iter().zip(&saying.weights).filter(|(_, p)| chance(**p, rng));
            let seen: BTreeSet<_> = seen.map(|(name, _)| name.clone()).collect();
            let withdrawn = chance(self.scenario.withdrawn, rng);
            // An app records what happens, and not that nothing did.
            let is_silent = seen.is_empty();
            let voice =
                if is_silent { Voice::Silent } else { Voice::Said { first: None, withdrawn } };
            return Some(Thought { given: Given::Signals(seen), voice });
        }
        let outcome = pick(&saying.weights, rng);
        let speaks = chance(saying.rates[outcome], rng);
        let other = pick(&asked.sayings[usize::from(!is_satisfied)].weights, rng);
        let opponent = rng.random_range(0..u32::MAX) as usize;
        let changed = chance(self.scenario.changed, rng);
        let withdrawn = chance(self.scenario.withdrawn, rng);
        let first = changed.then(|| kind.given(other, opponent)).flatten();
        let voice = if speaks { Voice::Said { first, withdrawn } } else { Voice::Silent };
        Some(Thought { given: kind.given(outcome, opponent)?, voice })
    }
}

impl<'a> Honesty<'a> {
    fn draw(scenario: &'a Scenario, rng: &mut ChaCha8Rng) -> Self {
        let drawn = rng.random::<f64>();
        let dishonest = &scenario.dishonest;
        let Some(lie) = &dishonest.lie else { return Self::Honest };
        let (answer, bare, forged) = (dishonest.answer, dishonest.bare, dishonest.forged);
        match drawn {
            drawn if drawn < answer => Self::Answers(lie),
            drawn if drawn < answer + bare => Self::Bare(lie),
            drawn if drawn < answer + bare + forged => Self::Forged(lie),
            _ => Self::Honest,
        }
    }

    /// Whether its user says what they think.
    pub fn is_honest(self) -> bool {
        matches!(self, Self::Honest)
    }
}

fn chance(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    rng.random::<f64>() < probability
}

/// An index, by weight; the last if all weights are 0.
fn pick(weights: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index;
        }
        left -= weight;
    }
    weights.len().saturating_sub(1)
}

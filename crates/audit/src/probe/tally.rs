//! What was counted of a client's reports: numbers only, as many as the task has bins, however many reports
//! there are.

use super::{
    inputs::{Input, flip_probability},
    pairs::Pairs,
    reader::Opened,
    seen::Seen,
    share::Share,
    stream::Stream,
};
use sottovoce_privacy::guarantee::Mechanism;
use std::ops::Range;

/// Counts, over any number of reports.
#[derive(Debug)]
pub struct Tally {
    /// For each input, what came out.
    pub inputs: Vec<PerInput>,
    /// Reports.
    pub reports: u64,
    /// Bits that were flipped, of all.
    pub flips: Share,
    /// Reports that say something else than the input.
    pub lies: Share,
    /// Bits that were flipped in one report.
    pub pairs: Pairs,
    /// Events of which each is as probable in each report.
    pub events: Vec<Event>,
    /// Values that must never come twice and did.
    pub repeated: u64,
    /// Retries whose draw was another one.
    pub redrawn: Share,
    /// Retries that have another ID.
    pub renewed: Share,
    /// Retries under the same ID that are other shares of the answer.
    pub resharded: Share,
    seen: Seen,
    differing: Vec<Vec<Vec<usize>>>,
}

/// What was counted of one input.
#[derive(Clone, Debug)]
pub struct PerInput {
    /// Reports.
    pub reports: u64,
    /// Bits that were flipped.
    pub flips: Share,
    /// Of each bit, in how many reports it was on.
    pub on: Vec<u64>,
    /// For each input: reports that are like this one wherever the two differ.
    pub itself: Vec<u64>,
    /// For each input: reports that are like that one wherever the two differ.
    pub like: Vec<u64>,
}

/// What happens in each report with the same probability, whatever the input is.
#[derive(Debug)]
pub struct Event {
    /// Of these bits at least one is flipped, or none.
    pub bits: Range<usize>,
    /// Whether it is that one of them is.
    pub flipped: bool,
    /// How probable that is.
    pub probability: f64,
    /// Whether it happened.
    pub stream: Stream,
}

/// Values that are remembered: a hundred megabytes at most.
const REMEMBERED: usize = 3 << 20;
/// Events that are looked at.
const MOST_EVENTS: usize = 8;

impl Tally {
    /// Nothing yet.
    pub fn new(mechanism: &Mechanism, inputs: &[Input]) -> Self {
        let bins = inputs.first().map_or(0, |input| input.bits.len());
        let none = PerInput {
            reports: 0,
            flips: Share::default(),
            on: vec![0; bins],
            itself: vec![0; inputs.len()],
            like: vec![0; inputs.len()],
        };
        let differing = |one: &Input| inputs.iter().map(|other| differences(one, other)).collect();
        Self {
            inputs: vec![none; inputs.len()],
            reports: 0,
            flips: Share::default(),
            lies: Share::default(),
            pairs: Pairs::new(bins),
            events: events(mechanism, bins),
            repeated: 0,
            redrawn: Share::default(),
            renewed: Share::default(),
            resharded: Share::default(),
            seen: Seen::new(REMEMBERED),
            differing: inputs.iter().map(differing).collect(),
        }
    }

    /// Counts a report of the input with this index.
    pub fn report(&mut self, index: usize, inputs: &[Input], opened: &Opened) {
        let input = &inputs[index];
        self.reports += 1;
        let flipped: Vec<usize> =
            (0..input.bits.len()).filter(|bit| opened.bits[*bit] != input.bits[*bit]).collect();
        self.lies.count(!flipped.is_empty());
        self.pairs.count(&flipped);
        for event in &mut self.events {
            let any = flipped.iter().any(|bit| event.bits.contains(bit));
            event.stream.push(any == event.flipped);
        }
        let flips = Share { hits: flipped.len() as u64, trials: input.bits.len() as u64 };
        self.flips = self.flips.and(flips);
        let counts = &mut self.inputs[index];
        counts.reports += 1;
        counts.flips = counts.flips.and(flips);
        for (on, bit) in counts.on.iter_mut().zip(&opened.bits) {
            *on += u64::from(*bit);
        }
        for other in (0..inputs.len()).filter(|other| *other != index) {
            let differing = &self.differing[index][other];
            let like =
                |one: &Input| differing.iter().all(|bit| opened.bits[*bit] == one.bits[*bit]);
            counts.itself[other] += u64::from(like(input));
            counts.like[other] += u64::from(like(&inputs[other]));
        }
        self.fresh(opened);
    }

    fn fresh(&mut self, opened: &Opened) {
        for (kind, value) in opened.fresh.iter().enumerate() {
            self.repeated += u64::from(self.seen.again(kind, value));
        }
    }

    /// Counts a report and its retry: the same draw, in the same shares, under the same ID, as the aggregators may
    /// have it already whatever they said.
    pub fn retried(&mut self, first: &Opened, again: &Opened) {
        self.redrawn.count(first.bits != again.bits);
        self.fresh(first);
        let renewed = first.id() != again.id();
        self.renewed.count(renewed);
        self.resharded.count(!renewed && first.shares() != again.shares());
        // The encapsulated keys are the same only if all bytes are.
        if first.fresh != again.fresh {
            self.fresh_keys(again);
        }
    }

    fn fresh_keys(&mut self, opened: &Opened) {
        for (kind, value) in opened.keys() {
            self.repeated += u64::from(self.seen.again(kind, value));
        }
    }

    /// How often an input came out as `one` wherever that differs from `other`; the input is either.
    pub fn told(&self, input: usize, one: usize, other: usize) -> Share {
        let counts = &self.inputs[input];
        let hits = if input == one { counts.itself[other] } else { counts.like[one] };
        Share { hits, trials: counts.reports }
    }

    /// The part of what must never come twice that is remembered.
    pub fn remembered(&self) -> f64 {
        self.seen.remembered()
    }
}

fn differences(one: &Input, other: &Input) -> Vec<usize> {
    (0..one.bits.len()).filter(|bit| one.bits[*bit] != other.bits[*bit]).collect()
}

/// What tells most of a draw that is used again: events that are about as probable as not, or less.
fn events(mechanism: &Mechanism, bins: usize) -> Vec<Event> {
    let flip = flip_probability(mechanism);
    let event = |bits: Range<usize>, flipped: f64| {
        let (flipped, probability) =
            if flipped <= 0.5 { (true, flipped) } else { (false, 1.0 - flipped) };
        Event { bits, flipped, probability, stream: Stream::default() }
    };
    match mechanism {
        // Whether it is a lie: which, depends on the input.
        Mechanism::Krr(_) => vec![event(0..bins, flip)],
        Mechanism::Bits(_) | Mechanism::Signals(_) => {
            let any =
                |bits: usize| 1.0 - (1.0 - flip).powi(i32::try_from(bits).unwrap_or(i32::MAX));
            let together = (1..=bins).take_while(|bits| any(*bits) <= 0.5).last().unwrap_or(1);
            let groups = (0..bins).step_by(together).take(MOST_EVENTS);
            groups
                .map(|first| first..bins.min(first + together))
                .map(|bits| event(bits.clone(), any(bits.len())))
                .collect()
        }
    }
}

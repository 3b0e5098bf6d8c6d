//! What was counted of a client's reports.

use super::{client::Resent, inputs::Input, reader::Opened};
use std::collections::{BTreeMap, HashSet};

/// Counts, over any number of reports.
#[derive(Debug)]
pub struct Tally {
    /// For each input, how often each bit was on; and how often exactly the input came out.
    pub inputs: Vec<PerInput>,
    /// Of each vector that came out, for each input: how often.
    pub outputs: Vec<BTreeMap<Vec<bool>, u64>>,
    /// Reports.
    pub reports: u64,
    /// Bits that were turned over, of all.
    pub flips: Share,
    /// Reports that say something else than the input.
    pub lies: Share,
    /// Lies that follow right after a lie, of those that could; over pairs that share no report.
    pub lies_after_lies: Share,
    /// Values that must never come twice and did.
    pub repeated: u64,
    /// Retries whose draw was another one.
    pub redrawn: Share,
    /// Retries after a lost response that have another ID.
    pub renewed: Share,
    seen: HashSet<(usize, u64)>,
    half: Option<bool>,
}

/// How often something happened, of how many times that it could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Times that it happened.
    pub hits: u64,
    /// Times that it could have.
    pub trials: u64,
}

impl Share {
    fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.trials += 1;
    }
}

/// What was counted of one input.
#[derive(Clone, Debug, Default)]
pub struct PerInput {
    /// Reports.
    pub reports: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(inputs: &[Input]) -> Self {
        Self {
            inputs: vec![PerInput::default(); inputs.len()],
            outputs: vec![BTreeMap::new(); inputs.len()],
            reports: 0,
            flips: Share::default(),
            lies: Share::default(),
            lies_after_lies: Share::default(),
            repeated: 0,
            redrawn: Share::default(),
            renewed: Share::default(),
            seen: HashSet::new(),
            half: None,
        }
    }

    /// Counts a report of the input with this index.
    pub fn report(&mut self, index: usize, input: &Input, opened: &Opened) {
        self.reports += 1;
        self.inputs[index].reports += 1;
        let lie = opened.bits != input.bits;
        self.lies.count(lie);
        for (out, bit) in opened.bits.iter().zip(&input.bits) {
            self.flips.count(out != bit);
        }
        // Pairs of neighbours that share no report are independent of each other.
        match self.half.take() {
            None => self.half = Some(lie),
            Some(true) => self.lies_after_lies.count(lie),
            Some(false) => {}
        }
        *self.outputs[index].entry(opened.bits.clone()).or_insert(0) += 1;
        self.fresh(&opened.fresh);
    }

    fn fresh(&mut self, values: &[u64]) {
        for (kind, value) in values.iter().enumerate() {
            self.repeated += u64::from(!self.seen.insert((kind, *value)));
        }
    }

    /// Counts a report and its retry: the same draw, and the same ID if it may be counted already.
    pub fn retried(&mut self, first: &Opened, again: &Opened, why: Resent) {
        self.redrawn.count(first.bits != again.bits);
        if why == Resent::Lost {
            self.renewed.count(first.id() != again.id());
        }
    }

    /// How often an input came out as vectors of a kind.
    pub fn outcomes(&self, index: usize, event: impl Fn(&[bool]) -> bool) -> Share {
        let hits = self.outputs[index].iter().filter(|(bits, _)| event(bits)).map(|(_, n)| n).sum();
        Share { hits, trials: self.inputs[index].reports }
    }
}

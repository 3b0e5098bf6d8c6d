//! Whether each bin by itself comes out as often as the manifest says: bins that come too seldom must not hide
//! behind others that come too often.

use super::{
    fault::Fault,
    inputs::{Input, flip_probability},
    share::Share,
    statistics::surprising,
    tally::Tally,
};
use sottovoce_privacy::guarantee::Mechanism;

/// How probable it is that a bin's bit is on in a report, by whether it is in the input.
fn on_probability(mechanism: &Mechanism, truth: bool) -> f64 {
    match (mechanism, truth) {
        (Mechanism::Krr(kary), true) => kary.truth_probability(),
        (Mechanism::Krr(kary), false) => kary.lie_probability(),
        (Mechanism::Bits(bits) | Mechanism::Signals(bits), true) => bits.truth_probability(),
        (Mechanism::Bits(bits) | Mechanism::Signals(bits), false) => bits.flip_probability(),
    }
}

/// By how much, of what is promised, one bin must be off that it is as likely as not to have shown: that which
/// was asked least, where the answer is another.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
pub(super) fn shows_from(
    mechanism: &Mechanism,
    inputs: &[Input],
    tally: &Tally,
    alpha: f64,
) -> f64 {
    let bins = 0..inputs.first().map_or(0, |input| input.bits.len());
    let rates = Rates { mechanism, inputs, tally, alpha: alpha / statements(inputs) };
    let asked = bins.map(|bin| rates.alike(bin, false).trials).filter(|trials| *trials > 0).min();
    let (trials, promised) = (asked.unwrap_or(0), on_probability(mechanism, false));
    let hits = |off: f64| ((trials as f64 * promised * (1.0 + off)).round() as u64).min(trials);
    let (mut hidden, mut shown) = (0.0, 1.0 / promised - 1.0);
    for _ in 0..40 {
        let off = f64::midpoint(hidden, shown);
        let shows = surprising(hits(off), trials, promised, rates.alpha);
        if shows { shown = off } else { hidden = off }
    }
    shown
}

/// How many rates are looked at.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
fn statements(inputs: &[Input]) -> f64 {
    let bins = inputs.first().map_or(0, |input| input.bits.len());
    (2 * bins + inputs.len() * (bins + 1)).max(1) as f64
}

/// Looks at each bin over all inputs in which it is on, over all in which it is off, and in each input; and at
/// all bits of each input. The first that is wrong is told.
pub(super) fn uneven(
    mechanism: &Mechanism,
    inputs: &[Input],
    tally: &Tally,
    alpha: f64,
) -> Option<Fault> {
    let bins = inputs.first().map_or(0, |input| input.bits.len());
    let rates = Rates { mechanism, inputs, tally, alpha: alpha / statements(inputs) };
    let mut alike = (0..bins).flat_map(|bin| [(bin, false), (bin, true)]);
    let mut each = (0..inputs.len()).flat_map(|input| (0..bins).map(move |bin| (input, bin)));
    alike
        .find_map(|(bin, truth)| rates.of_bin(bin, truth))
        .or_else(|| (0..inputs.len()).find_map(|input| rates.of_input(input)))
        .or_else(|| each.find_map(|(input, bin)| rates.of_bin_in(input, bin)))
}

struct Rates<'a> {
    mechanism: &'a Mechanism,
    inputs: &'a [Input],
    tally: &'a Tally,
    alpha: f64,
}

impl Rates<'_> {
    fn of_bin(&self, bin: usize, truth: bool) -> Option<Fault> {
        let said = if truth { "in the answer" } else { "not in the answer" };
        self.compared(self.alike(bin, truth), truth, || {
            format!("bin {bin}, where it is {said}, is set")
        })
    }

    fn of_bin_in(&self, input: usize, bin: usize) -> Option<Fault> {
        let truth = self.inputs[input].bits[bin];
        let what = || format!("in reports of answer {input}, bin {bin} is set");
        self.compared(self.on(input, bin), truth, what)
    }

    /// Of a choice, the bin that is on says all.
    fn of_input(&self, input: usize) -> Option<Fault> {
        let share = self.tally.inputs[input].flips;
        let bitwise = !matches!(self.mechanism, Mechanism::Krr(_));
        let what = || format!("in reports of answer {input}, bits are flipped");
        bitwise.then(|| self.told(share, flip_probability(self.mechanism), what)).flatten()
    }

    fn alike(&self, bin: usize, truth: bool) -> Share {
        let with = (0..self.inputs.len()).filter(|input| self.inputs[*input].bits[bin] == truth);
        with.map(|input| self.on(input, bin)).fold(Share::default(), Share::and)
    }

    fn on(&self, input: usize, bin: usize) -> Share {
        let counts = &self.tally.inputs[input];
        Share { hits: counts.on[bin], trials: counts.reports }
    }

    fn compared(&self, share: Share, truth: bool, what: impl Fn() -> String) -> Option<Fault> {
        self.told(share, on_probability(self.mechanism, truth), what)
    }

    fn told(&self, share: Share, promised: f64, what: impl Fn() -> String) -> Option<Fault> {
        surprising(share.hits, share.trials, promised, self.alpha).then(|| Fault {
            rule: match self.mechanism {
                Mechanism::Krr(_) => "lies-uneven",
                Mechanism::Bits(_) | Mechanism::Signals(_) => "flips-uneven",
            },
            message: format!(
                "{} {} times in {}, a rate of {:.6}; the manifest promises {promised:.6}",
                what(),
                share.hits,
                share.trials,
                share.rate()
            ),
        })
    }
}

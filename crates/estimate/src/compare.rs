//! Differences between arms, and what the data lets anyone say of them.
//!
//! `z = (A - B)/√(V_A + V_B)`, where the variances know the randomizer and the aggregators' noise.
//! Several comparisons at once are corrected by Holm's procedure (1979): the chance of even one
//! false "is higher" stays at α, however the comparisons depend on each other, and arms that share
//! a control always do. (Benjamini and Hochberg would find more, at the price of a known share of
//! false ones; but each verdict here is read alone, by someone who acts on it.)
//!
//! Each interval has the level at which Holm's procedure decided on its comparison, so that verdict
//! and interval never contradict each other.

use super::{
    confidence::Confidence,
    error::{EstimateError, at_least, within},
    figure::Figure,
    interval::Interval,
    normal,
    number::Real,
    planning::{Test, VarianceLaw},
    shown::{number, percent, points},
};
use serde::Serialize;
use std::fmt;

/// One side of a comparison: a figure, whose it is and from how many devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    label: String,
    value: f64,
    variance: f64,
    law: VarianceLaw,
    counted: Counted,
}

impl Arm {
    /// A figure about the population, from a batch of so many reports, at least 1.
    pub fn new(
        label: impl Into<String>,
        figure: &Figure,
        reports: u64,
    ) -> Result<Self, EstimateError> {
        within("reports", reports.real(), 1.0, f64::MAX, "an arm has at least one report")?;
        let why = "a figure is a finite number";
        let value = within("value", figure.value, -1e300, 1e300, why)?;
        let why = "a standard error is at least 0 and finite";
        let error = within("standard_error", figure.standard_error, 0.0, 1e150, why)?;
        let variance = error * error;
        let law = VarianceLaw::observed(variance, figure.aggregators_variance, reports);
        Ok(Self { label: label.into(), value, variance, law, counted: Counted::Devices })
    }

    /// The same, from a batch with up to so many reports of a device.
    #[must_use]
    pub fn with_repeats(self, repeats: u64) -> Self {
        Self { counted: Counted::of(repeats), ..self }
    }

    /// Whose figure it is.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The figure.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Its variance.
    pub fn variance(&self) -> f64 {
        self.variance
    }
}

/// In what figures are measured, for words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Shares of 1; differences are percentage points.
    Rate,
    /// Points of a scale.
    Score,
    /// Strengths: natural logarithms of the odds to win.
    LogOdds,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Devices, each with one report.
    Devices,
    /// Reports of devices that may have several: one in each of several windows.
    DeviceWindows,
}

impl Counted {
    /// What a number of reports is, with up to so many of one device.
    pub fn of(repeats: u64) -> Self {
        if repeats > 1 { Self::DeviceWindows } else { Self::Devices }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Devices => "devices",
            Self::DeviceWindows => "device-windows",
        })
    }
}

/// Of what a number of devices is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Devices {
    /// Each of the two arms.
    PerArm,
    /// All of them, in the proportions of the data.
    InAll,
}

/// What is asked of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// How sure to be.
    pub test: Test,
    /// The smallest difference that would matter, above 0: what "enough devices" is about.
    pub worth: f64,
    /// In what it is measured.
    pub unit: Unit,
}

/// What the data says of the first arm against the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The first has the higher figure.
    FirstHigher,
    /// The second has the higher figure.
    SecondHigher,
    /// The data supports neither.
    CannotTell,
}

/// The difference of two arms. Its words claim no more than the data supports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// First minus second.
    pub difference: f64,
    /// Standard deviation of the difference.
    pub standard_error: f64,
    /// The differences that the data does not contradict, at the level of the verdict.
    #[serde(flatten)]
    pub interval: Interval,
    /// The difference in standard deviations.
    pub z: f64,
    /// How likely so large a difference is between equal arms, in this comparison alone.
    pub p: f64,
    /// The same in any of the comparisons, by Holm's procedure.
    pub adjusted_p: f64,
    /// How many comparisons were made together.
    pub comparisons: usize,
    /// The first arm.
    pub first: String,
    /// The second arm.
    pub second: String,
    /// What may be said.
    pub verdict: Verdict,
    /// The difference that would matter.
    pub worth: f64,
    /// Devices that would show it, with the power asked for and this many comparisons.
    pub devices: u64,
    /// Which devices those are.
    pub devices_of: Devices,
    /// Whether they are devices, or reports of devices that have several.
    pub counted: Counted,
    /// In what the difference is measured.
    pub unit: Unit,
}

/// A difference that is to be tested.
pub(super) struct Difference {
    pub(super) first: String,
    pub(super) second: String,
    /// First minus second.
    pub(super) value: f64,
    /// Its variance.
    pub(super) variance: f64,
    /// How the variance falls with more devices.
    pub(super) law: VarianceLaw,
    /// Of what the law is.
    pub(super) of: Devices,
    pub(super) counted: Counted,
}

/// Compares pairs of arms, all together.
pub fn compare(
    pairs: &[(&Arm, &Arm)],
    question: Question,
) -> Result<Vec<Comparison>, EstimateError> {
    decide(pairs.iter().map(|(first, second)| Difference::of_arms(first, second)), question)
}

/// Tests differences, all together.
pub(super) fn decide(
    differences: impl ExactSizeIterator<Item = Difference>,
    question: Question,
) -> Result<Vec<Comparison>, EstimateError> {
    let number = at_least(1, "comparisons", differences.len())?;
    let compared = differences.map(|difference| difference.compared(question, number));
    let mut comparisons = compared.collect::<Result<Vec<_>, _>>()?;
    holm(&mut comparisons, question.test.confidence);
    Ok(comparisons)
}

/// Each two of the arms.
pub fn all_pairs(arms: &[Arm]) -> Vec<(&Arm, &Arm)> {
    let others = |i: usize| arms.iter().skip(i + 1);
    arms.iter().enumerate().flat_map(|(i, arm)| others(i).map(move |other| (arm, other))).collect()
}

/// Each of the others against a control.
pub fn against<'a>(control: &'a Arm, others: &'a [Arm]) -> Vec<(&'a Arm, &'a Arm)> {
    others.iter().map(|arm| (arm, control)).collect()
}

impl Difference {
    fn of_arms(first: &Arm, second: &Arm) -> Self {
        Self {
            first: first.label.clone(),
            second: second.label.clone(),
            value: first.value - second.value,
            variance: first.variance + second.variance,
            law: first.law.plus(&second.law),
            of: Devices::PerArm,
            counted: if first.counted == second.counted {
                first.counted
            } else {
                Counted::DeviceWindows
            },
        }
    }

    fn compared(self, question: Question, comparisons: usize) -> Result<Comparison, EstimateError> {
        let Question { test, worth, unit } = question;
        let standard_error = self.variance.sqrt();
        let z = if self.value == 0.0 { 0.0 } else { self.value / standard_error };
        let p = normal::two_sided_tail(z);
        let corrected = Test { confidence: test.confidence.each_of(comparisons), ..test };
        Ok(Comparison {
            difference: self.value,
            standard_error,
            interval: Interval::around(self.value, 0.0),
            z,
            p,
            adjusted_p: p,
            comparisons,
            first: self.first,
            second: self.second,
            verdict: Verdict::CannotTell,
            worth,
            devices: self.law.devices_for_difference(worth, corrected)?,
            devices_of: self.of,
            counted: self.counted,
            unit,
        })
    }
}

impl Comparison {
    fn decide(&mut self, is_supported: bool, level: Confidence) {
        self.interval = Interval::around(self.difference, level.z() * self.standard_error);
        self.verdict = match (is_supported, self.difference > 0.0) {
            (false, _) => Verdict::CannotTell,
            (true, true) => Verdict::FirstHigher,
            (true, false) => Verdict::SecondHigher,
        };
    }
}

/// Holm's procedure: the smallest p at α/m, the next at α/(m-1), until one is too large.
fn holm(comparisons: &mut [Comparison], confidence: Confidence) {
    let mut order: Vec<usize> = (0..comparisons.len()).collect();
    order.sort_by(|i, j| comparisons[*i].p.total_cmp(&comparisons[*j].p));
    let (mut adjusted, mut stopped_at) = (0.0_f64, None);
    for (rank, index) in order.into_iter().enumerate() {
        let comparison = &mut comparisons[index];
        let left = comparison.comparisons - rank;
        adjusted = adjusted.max((comparison.p * left.real()).min(1.0));
        comparison.adjusted_p = adjusted;
        let level = confidence.each_of(stopped_at.unwrap_or(left));
        let is_supported = stopped_at.is_none() && comparison.p <= level.alpha();
        if !is_supported {
            stopped_at = stopped_at.or(Some(left));
        }
        comparison.decide(is_supported, level);
    }
}

impl Unit {
    /// A difference in words: percentage points, points or log-odds.
    pub fn difference(self, value: f64) -> String {
        match self {
            Self::Rate => points(value),
            Self::Score => number(value, 2),
            Self::LogOdds => format!("{} log-odds", number(value, 2)),
        }
    }

    /// A value in words: a percentage, points or log-odds.
    pub fn value(self, value: f64) -> String {
        match self {
            Self::Rate => percent(value),
            Self::Score | Self::LogOdds => number(value, 2),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second, .. } = self;
        let difference = self.unit.difference(self.difference.abs());
        let margin = self.unit.difference(self.interval.half_width());
        match self.verdict {
            Verdict::FirstHigher => write!(f, "{first} is higher than {second}: ")?,
            Verdict::SecondHigher => write!(f, "{second} is higher than {first}: ")?,
            Verdict::CannotTell => write!(f, "the data cannot tell {first} from {second}: ")?,
        }
        write!(f, "difference {difference} ± {margin}")?;
        if self.comparisons > 1 {
            write!(f, ", corrected for {} comparisons", self.comparisons)?;
        }
        if self.verdict == Verdict::CannotTell {
            let worth = self.unit.difference(self.worth);
            let of = match self.devices_of {
                Devices::PerArm => "per arm",
                Devices::InAll => "in all",
            };
            let (devices, counted) = (self.devices, self.counted);
            write!(f, "; {devices} {counted} {of} would show a difference of {worth}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Method;
    use proptest::prelude::*;

    const QUESTION: Question = Question { test: Test::USUAL, worth: 0.02, unit: Unit::Rate };

    fn figure(value: f64, standard_error: f64) -> Figure {
        let interval = Interval::around(value, 2.0 * standard_error);
        let method = Method::Sum;
        Figure { value, standard_error, interval, method, aggregators_variance: 0.0 }
    }

    fn arm(label: &str, value: f64, standard_error: f64) -> Arm {
        Arm::new(label, &figure(value, standard_error), 3000).unwrap()
    }

    #[test]
    fn what_the_data_does_not_support_is_refused_in_words() {
        let (a, b) = (arm("A", 0.51, 0.01), arm("B", 0.50, 0.01));
        let comparison = &compare(&[(&a, &b)], QUESTION).unwrap()[0];
        assert_eq!(comparison.verdict, Verdict::CannotTell);
        assert_eq!(
            comparison.to_string(),
            "the data cannot tell A from B: difference 1.0 pp ± 2.8 pp; 11774 devices per arm \
             would show a difference of 2.0 pp"
        );
    }

    #[test]
    fn what_it_supports_is_said_whichever_comes_first() {
        let (a, b) = (arm("A", 0.56, 0.01), arm("B", 0.50, 0.01));
        for (first, second, verdict) in
            [(&a, &b, Verdict::FirstHigher), (&b, &a, Verdict::SecondHigher)]
        {
            let comparison = &compare(&[(first, second)], QUESTION).unwrap()[0];
            assert_eq!(comparison.verdict, verdict);
            let words = comparison.to_string();
            assert_eq!(words, "A is higher than B: difference 6.0 pp ± 2.8 pp");
        }
    }

    #[test]
    fn more_comparisons_need_more() {
        let arms: Vec<Arm> = [("A", 0.531), ("B", 0.50), ("C", 0.50), ("D", 0.50)]
            .map(|(label, value)| arm(label, value, 0.01))
            .into();
        let alone = &compare(&[(&arms[0], &arms[1])], QUESTION).unwrap()[0];
        assert_eq!(alone.verdict, Verdict::FirstHigher);
        let together = compare(&all_pairs(&arms), QUESTION).unwrap();
        assert_eq!(together.len(), 6);
        assert!(together.iter().all(|comparison| comparison.verdict == Verdict::CannotTell));
        assert!(together[0].to_string().contains("corrected for 6 comparisons"));
        assert!(together[0].devices > alone.devices);
    }

    #[test]
    fn holm_steps_down() {
        let control = arm("control", 0.5, 0.01);
        // p = 0.0047, 0.0136 and 0.48: the second is above α/3 and below α/2.
        let others = [arm("X", 0.54, 0.01), arm("Y", 0.535, 0.01), arm("Z", 0.51, 0.01)];
        let comparisons = compare(&against(&control, &others), QUESTION).unwrap();
        let verdicts: Vec<_> = comparisons.iter().map(|comparison| comparison.verdict).collect();
        assert_eq!(verdicts, [Verdict::FirstHigher, Verdict::FirstHigher, Verdict::CannotTell]);
        let [x, y, z] = [0, 1, 2].map(|i: usize| comparisons[i].clone());
        assert!((x.adjusted_p - 3.0 * x.p).abs() < 1e-15);
        assert!((y.adjusted_p - 2.0 * y.p).abs() < 1e-15);
        assert!((z.adjusted_p - z.p).abs() < 1e-15);
    }

    #[test]
    fn nothing_to_compare_is_refused() {
        assert!(compare(&[], QUESTION).is_err());
        let (a, b) = (arm("A", 0.5, 0.01), arm("B", 0.5, 0.01));
        assert!(compare(&[(&a, &b)], Question { worth: 0.0, ..QUESTION }).is_err());
        assert!(Arm::new("A", &figure(f64::NAN, 0.1), 3000).is_err());
        assert!(Arm::new("A", &figure(0.1, f64::NAN), 3000).is_err());
        assert!(Arm::new("A", &figure(0.1, 0.1), 0).is_err());
    }

    #[test]
    fn machines_get_numbers_first_and_the_verdict_as_a_word() {
        let (a, b) = (arm("A", 0.51, 0.01), arm("B", 0.50, 0.01));
        let comparison = &compare(&[(&a, &b)], QUESTION).unwrap()[0];
        let json = serde_json::to_value(comparison).unwrap();
        assert!((json["difference"].as_f64().unwrap() - 0.01).abs() < 1e-12);
        assert!(json["low"].as_f64().unwrap() < 0.0 && json["high"].as_f64().unwrap() > 0.0);
        assert_eq!(json["verdict"], "cannot-tell");
        assert_eq!(json["devices_of"], "per-arm");
    }

    proptest! {
        #[test]
        fn verdict_and_interval_never_contradict(
            values in prop::collection::vec(0.4..0.6_f64, 2..6)
        ) {
            let arms: Vec<Arm> =
                values.iter().map(|value| arm("arm", *value, 0.02)).collect();
            for comparison in compare(&all_pairs(&arms), QUESTION).unwrap() {
                let excludes_zero = !comparison.interval.contains(0.0);
                prop_assert_eq!(comparison.verdict != Verdict::CannotTell, excludes_zero);
                prop_assert_eq!(comparison.adjusted_p <= 0.05, excludes_zero);
            }
        }
    }
}

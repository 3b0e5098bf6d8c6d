//! Whether something changed: over a series of windows, whose variances are known.
//!
//! Two questions. While windows come in, [`Cusum`] raises an alarm when they have drifted from a
//! reference: `S_t = max(0, S_{t-1} + z_t - ½)`, both ways, alarm at 5 (Page 1954; half a standard
//! deviation of slack finds shifts of one fastest). Without a change, a false alarm comes once in
//! about 465 windows if the reference is exact; a reference as uncertain as a window makes the z
//! go together, and alarms more frequent. Looking back, [`change_point`] asks for the one split of
//! the series that explains it best (the generalised likelihood ratio, Hinkley 1970), with the
//! chance of a false alarm over all splits held below α by Bonferroni.

use super::{
    compare::Unit,
    confidence::Confidence,
    error::{EstimateError, at_least, within},
    figure::Figure,
    interval::Interval,
    normal,
    number::Real,
};
use serde::Serialize;
use std::fmt;

/// One window's figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    label: String,
    value: f64,
    variance: f64,
}

impl Window {
    /// A figure with its standard error, above 0.
    pub fn new(
        label: impl Into<String>,
        value: f64,
        standard_error: f64,
    ) -> Result<Self, EstimateError> {
        let value = within("value", value, -1e100, 1e100, "a figure is a finite number")?;
        let why = "a window's figure is uncertain, and its standard error finite";
        let error = within("standard_error", standard_error, 1e-100, 1e100, why)?;
        Ok(Self { label: label.into(), value, variance: error * error })
    }

    /// That of a figure.
    pub fn of(label: impl Into<String>, figure: &Figure) -> Result<Self, EstimateError> {
        Self::new(label, figure.value, figure.standard_error)
    }
}

/// The drift of windows from a reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cusum {
    reference: Window,
    steps: Vec<Step>,
    alarm: Option<Alarm>,
}

/// One window of a [`Cusum`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The window.
    pub label: String,
    /// `(value - reference)/√(V + V_ref)`.
    pub z: f64,
    /// Drift upward so far.
    pub up: f64,
    /// Drift downward so far.
    pub down: f64,
}

/// The first alarm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// The window that raised it.
    pub at: String,
    /// The first window of the drift that raised it: when the change probably began.
    pub since: String,
    /// Which way.
    pub direction: Direction,
}

/// Which way something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Higher than before.
    Up,
    /// Lower than before.
    Down,
}

/// How much drift a window is forgiven, in standard deviations.
const SLACK: f64 = 0.5;
/// The drift that raises an alarm.
const ALARM: f64 = 5.0;

impl Cusum {
    /// Compares windows to a reference that is none of them.
    pub fn new(reference: Window) -> Self {
        Self { reference, steps: Vec::new(), alarm: None }
    }

    /// Adds the next window. Says whether it raises the first alarm.
    pub fn push(&mut self, window: &Window) -> Option<&Alarm> {
        let (up, down) = self.steps.last().map_or((0.0, 0.0), |step| (step.up, step.down));
        let deviation = (window.variance + self.reference.variance).sqrt();
        let z = (window.value - self.reference.value) / deviation;
        let up = (up + z - SLACK).max(0.0);
        let down = (down - z - SLACK).max(0.0);
        self.steps.push(Step { label: window.label.clone(), z, up, down });
        if self.alarm.is_some() || up.max(down) < ALARM {
            return None;
        }
        let direction = if up >= ALARM { Direction::Up } else { Direction::Down };
        let since = self.began(direction);
        self.alarm = Some(Alarm { at: window.label.clone(), since, direction });
        self.alarm.as_ref()
    }

    /// All windows so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The first alarm, if there was one.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// The window after the one that last stood at no drift.
    fn began(&self, direction: Direction) -> String {
        let drift = |step: &&Step| match direction {
            Direction::Up => step.up > 0.0,
            Direction::Down => step.down > 0.0,
        };
        let drifting = self.steps.iter().rev().take_while(drift).last();
        drifting.map(|step| step.label.clone()).unwrap_or_default()
    }
}

/// The one split of a series that explains it best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangePoint {
    /// The mean after the split less the mean before.
    pub difference: f64,
    /// Its standard deviation.
    pub standard_error: f64,
    /// The differences that the data does not contradict, at all splits at once.
    #[serde(flatten)]
    pub interval: Interval,
    /// How likely a split as good as this is anywhere in a series without a change, at most.
    pub adjusted_p: f64,
    /// The last window before the split.
    pub before: String,
    /// The first window after it.
    pub after: String,
    /// Which way it changed, if the data supports that it did.
    pub verdict: Option<Direction>,
    /// How many windows there are.
    pub windows: usize,
}

/// Looks back over a series of two windows or more for a change of its level.
pub fn change_point(
    windows: &[Window],
    confidence: Confidence,
) -> Result<ChangePoint, EstimateError> {
    let splits = at_least(2, "windows", windows.len())? - 1;
    let level = confidence.each_of(splits);
    let split = |at: usize| {
        let ((before, precision_before), (after, precision_after)) =
            (mean(&windows[..at]), mean(&windows[at..]));
        let variance = 1.0 / precision_before + 1.0 / precision_after;
        (at, after - before, variance.sqrt())
    };
    let strength = |(_, difference, error): &(usize, f64, f64)| difference.abs() / error;
    let best = (1..=splits).map(split).max_by(|a, b| strength(a).total_cmp(&strength(b)));
    let (at, difference, standard_error) =
        best.ok_or(EstimateError::TooFew { what: "windows", given: 0, least: 2 })?;
    let p = normal::two_sided_tail(difference / standard_error);
    let is_supported = p <= level.alpha();
    let direction = if difference > 0.0 { Direction::Up } else { Direction::Down };
    Ok(ChangePoint {
        difference,
        standard_error,
        interval: Interval::around(difference, level.z() * standard_error),
        adjusted_p: (p * splits.real()).min(1.0),
        before: windows[at - 1].label.clone(),
        after: windows[at].label.clone(),
        verdict: is_supported.then_some(direction),
        windows: windows.len(),
    })
}

/// The mean with the smallest variance, and its precision.
fn mean(windows: &[Window]) -> (f64, f64) {
    let precision: f64 = windows.iter().map(|window| 1.0 / window.variance).sum();
    let sum: f64 = windows.iter().map(|window| window.value / window.variance).sum();
    (sum / precision, precision)
}

impl ChangePoint {
    /// What may be said, in words.
    pub fn words(&self, unit: Unit) -> String {
        let difference = unit.difference(self.difference.abs());
        let margin = unit.difference(self.interval.half_width());
        let Self { before, after, windows, .. } = self;
        match self.verdict {
            Some(direction) => {
                format!("{direction} by {difference} ± {margin} from {before} to {after}")
            }
            None => format!(
                "the data shows no change over {windows} windows: the largest, from {before} to \
                 {after}, is {difference} ± {margin}"
            ),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "higher",
            Self::Down => "lower",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(values: &[f64]) -> Vec<Window> {
        let window =
            |(i, value): (usize, &f64)| Window::new(format!("w{i}"), *value, 0.01).unwrap();
        values.iter().enumerate().map(window).collect()
    }

    fn exact() -> Window {
        Window::new("reference", 0.5, 1e-9).unwrap()
    }

    #[test]
    fn a_drift_raises_an_alarm_that_says_since_when() {
        for (shift, direction) in [(0.016, Direction::Up), (-0.016, Direction::Down)] {
            let mut values = vec![0.5, 0.503, 0.497, 0.5];
            values.extend([0.5 + shift; 5]);
            let mut cusum = Cusum::new(exact());
            let alarms: Vec<bool> =
                windows(&values).iter().map(|window| cusum.push(window).is_some()).collect();
            // z = 1.6 a window: a drift of 1.1 each, the alarm with the fifth.
            assert_eq!(alarms.iter().position(|alarm| *alarm), Some(8));
            let expected = Alarm { at: "w8".to_owned(), since: "w4".to_owned(), direction };
            assert_eq!(cusum.alarm(), Some(&expected));
            assert_eq!(cusum.steps().len(), 9);
        }
    }

    #[test]
    fn an_uncertain_reference_is_reckoned_with() {
        let mut cusum = Cusum::new(Window::new("reference", 0.5, 0.03).unwrap());
        cusum.push(&Window::new("w", 0.6, 0.04).unwrap());
        assert!((cusum.steps()[0].z - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let values = [0.50, 0.51, 0.49, 0.50, 0.55, 0.56, 0.54];
        let change = change_point(&windows(&values), Confidence::USUAL).unwrap();
        assert_eq!((change.before.as_str(), change.after.as_str()), ("w3", "w4"));
        assert_eq!(change.verdict, Some(Direction::Up));
        assert!((change.difference - 0.05).abs() < 1e-12);
        assert!(change.words(Unit::Rate).starts_with("higher by 5.0 pp ± "));
    }

    #[test]
    fn a_change_that_the_data_does_not_support_is_refused_in_words() {
        // 2.3 standard deviations at the best of five splits: no change.
        let values = [0.50, 0.50, 0.50, 0.519, 0.519, 0.519];
        let change = change_point(&windows(&values), Confidence::USUAL).unwrap();
        assert_eq!(change.verdict, None);
        assert!(change.adjusted_p > 0.05 && change.interval.contains(0.0));
        let words = change.words(Unit::Rate);
        assert!(words.starts_with("the data shows no change over 6 windows"), "{words}");
    }

    #[test]
    fn what_is_no_series_is_refused() {
        assert!(change_point(&windows(&[0.5]), Confidence::USUAL).is_err());
        assert!(change_point(&[], Confidence::USUAL).is_err());
        for (value, error) in [(f64::NAN, 0.1), (0.5, f64::NAN), (0.5, 0.0), (0.5, f64::INFINITY)] {
            assert!(Window::new("w", value, error).is_err());
        }
    }
}

//! Whether something changed: over a series of windows, whose variances are known.
//!
//! Two questions. While windows come in, [`Cusum`] raises an alarm when they have drifted from those
//! before: `S_t = max(0, S_{t-1} + z_t - ½)`, both ways, alarm at 5.25 (Page 1954; half a standard
//! deviation of slack finds shifts of one fastest). `z_t` is the distance of a window from the mean of
//! all before it, with the error of both (recursive residuals; Brown, Durbin and Evans 1975). Without a
//! change these are independent and standard normal, however few windows there were before, so that a
//! false alarm comes on average at most once in [`WINDOWS_TO_FALSE_ALARM`] windows. After a change the mean follows
//! slowly, so a change is best found that has some windows before it.
//!
//! Looking back, [`change_point`] asks for the one split of the series that explains it best (the
//! generalised likelihood ratio, Hinkley 1970), with the chance of a false alarm over all splits held
//! below α by Bonferroni.
//!
//! Windows are weighted by their reports, with what one report contributes to the variance averaged
//! over all windows: the estimate of a window's own variance goes with its figure, and weights that do
//! would pull the mean to one side. Devices that report in several windows make these go together. If
//! each two windows share about as many, what is common cancels and there are fewer false alarms than
//! said; if neighbours share more than others do, a drift of those devices is a drift here.

use super::{
    compare::Unit,
    confidence::Confidence,
    error::{EstimateError, at_least, within},
    figure::Figure,
    interval::Interval,
    normal,
    number::Real,
    planning::VarianceLaw,
};
use serde::Serialize;
use std::fmt;

/// One window's figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    label: String,
    value: f64,
    law: VarianceLaw,
    reports: u64,
}

impl Window {
    /// A figure with its standard error, above 0, from so many reports, at least 1.
    pub fn new(
        label: impl Into<String>,
        value: f64,
        standard_error: f64,
        reports: u64,
    ) -> Result<Self, EstimateError> {
        Self::with_law(label, value, standard_error, 0.0, reports)
    }

    /// That of a figure from so many reports.
    pub fn of(
        label: impl Into<String>,
        figure: &Figure,
        reports: u64,
    ) -> Result<Self, EstimateError> {
        let Figure { value, standard_error, aggregators_variance, .. } = *figure;
        Self::with_law(label, value, standard_error, aggregators_variance, reports)
    }

    fn with_law(
        label: impl Into<String>,
        value: f64,
        standard_error: f64,
        aggregators_variance: f64,
        reports: u64,
    ) -> Result<Self, EstimateError> {
        let value = within("value", value, -1e100, 1e100, "a figure is a finite number")?;
        let why = "the standard error of a window's figure is above 0 and finite";
        let error = within("standard_error", standard_error, 1e-100, 1e100, why)?;
        within("reports", reports.real(), 1.0, f64::MAX, "a window has at least one report")?;
        let law = VarianceLaw::observed(error * error, aggregators_variance, reports);
        Ok(Self { label: label.into(), value, law, reports })
    }

    /// Of the windows' figures, whose variances follow one law.
    fn precision(&self, law: &VarianceLaw) -> f64 {
        1.0 / law.at(self.reports)
    }
}

/// The law of variance that all windows have if nothing changed: its mean over reports.
fn common_law<'a>(windows: impl Iterator<Item = &'a Window>) -> VarianceLaw {
    let sums = windows.fold([0.0; 3], |[first, second, reports], window| {
        let n = window.reports.real();
        [first + n * window.law.first, second + n * window.law.second, reports + n]
    });
    let [first, second, reports] = sums;
    VarianceLaw { first: first / reports, second: second / reports }
}

/// The mean with the smallest variance, and its precision.
fn mean(windows: &[Window], law: &VarianceLaw) -> (f64, f64) {
    let precision: f64 = windows.iter().map(|window| window.precision(law)).sum();
    let sum: f64 = windows.iter().map(|window| window.value * window.precision(law)).sum();
    (sum / precision, precision)
}

/// After so many windows, or more, a false alarm comes, on average, if nothing changes.
pub const WINDOWS_TO_FALSE_ALARM: f64 = 465.0;

/// How likely there is a false alarm in a series of so many windows without a change, at most. The first
/// can raise none.
pub fn false_alarm_probability(windows: usize) -> f64 {
    1.0 - (1.0 - 1.0 / WINDOWS_TO_FALSE_ALARM).powf((windows.max(1) - 1).real())
}

/// The drift of windows from those before them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cusum {
    windows: Vec<Window>,
    steps: Vec<Step>,
    alarm: Option<Alarm>,
}

/// One window of a [`Cusum`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The window.
    pub label: String,
    /// Its distance from the mean of the windows before it, in standard deviations of the two.
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
/// The drift that raises an alarm. At 5 a false alarm would come once in 465 windows if figures were
/// normal; the rest is for those that are not quite: with heavy-tailed noise, or near a bound.
const ALARM: f64 = 5.25;

impl Cusum {
    /// No window yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next window. Says whether it raises the first alarm.
    pub fn push(&mut self, window: Window) -> Option<&Alarm> {
        let z = self.deviations(&window);
        let label = window.label.clone();
        self.windows.push(window);
        let z = z?;
        let (up, down) = self.steps.last().map_or((0.0, 0.0), |step| (step.up, step.down));
        let up = (up + z - SLACK).max(0.0);
        let down = (down - z - SLACK).max(0.0);
        self.steps.push(Step { label: label.clone(), z, up, down });
        if self.alarm.is_some() || up.max(down) < ALARM {
            return None;
        }
        let direction = if up >= ALARM { Direction::Up } else { Direction::Down };
        let since = self.began(direction);
        self.alarm = Some(Alarm { at: label, since, direction });
        self.alarm.as_ref()
    }

    /// How far a window is from those before it; nothing for the first.
    fn deviations(&self, window: &Window) -> Option<f64> {
        if self.windows.is_empty() {
            return None;
        }
        let law = common_law(self.windows.iter().chain([window]));
        let (mean, precision) = mean(&self.windows, &law);
        let variance = 1.0 / window.precision(&law) + 1.0 / precision;
        Some((window.value - mean) / variance.sqrt())
    }

    /// All windows but the first.
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
    let law = common_law(windows.iter());
    let split = |at: usize| {
        let ((before, precision_before), (after, precision_after)) =
            (mean(&windows[..at], &law), mean(&windows[at..], &law));
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
            |(i, value): (usize, &f64)| Window::new(format!("w{i}"), *value, 0.01, 3000).unwrap();
        values.iter().enumerate().map(window).collect()
    }

    #[test]
    fn a_drift_raises_an_alarm_that_says_since_when() {
        for (shift, direction) in [(0.02, Direction::Up), (-0.02, Direction::Down)] {
            // So many windows before the change that their mean is all but exact.
            let mut values = vec![0.5; 200];
            values.extend([0.5 + shift; 5]);
            let mut cusum = Cusum::new();
            let alarms: Vec<bool> =
                windows(&values).into_iter().map(|window| cusum.push(window).is_some()).collect();
            // z = 2 a window: a drift of 1.5 each, a little less as the mean follows; the alarm with
            // the fourth.
            assert_eq!(alarms.iter().position(|alarm| *alarm), Some(203));
            let (at, since) = ("w203".to_owned(), "w200".to_owned());
            assert_eq!(cusum.alarm(), Some(&Alarm { at, since, direction }));
            assert_eq!(cusum.steps().len(), 204);
        }
    }

    #[test]
    fn a_window_stands_beside_the_mean_of_those_before_it_with_the_error_of_both() {
        let mut cusum = Cusum::new();
        for window in windows(&[0.50, 0.52, 0.54]) {
            cusum.push(window);
        }
        let z: Vec<f64> = cusum.steps().iter().map(|step| step.z).collect();
        assert!((z[0] - 0.02 / (2e-4_f64).sqrt()).abs() < 1e-9, "{z:?}");
        assert!((z[1] - 0.03 / (1.5e-4_f64).sqrt()).abs() < 1e-9, "{z:?}");
    }

    #[test]
    fn windows_weigh_as_much_as_their_reports_and_not_as_their_figures() {
        let window = |value: f64, reports: u64| {
            let error = (value * (1.0 - value) / reports.real()).sqrt();
            Window::new("w", value, error, reports).unwrap()
        };
        let series = [window(0.98, 1000), window(0.99, 1000), window(0.97, 2000)];
        let (mean, precision) = mean(&series, &common_law(series.iter()));
        assert!((mean - 0.9775).abs() < 1e-12, "{mean}");
        let variance = (0.98 * 0.02 + 0.99 * 0.01 + 2.0 * 0.97 * 0.03) / 4.0 / 4000.0;
        assert!((1.0 / precision / variance - 1.0).abs() < 1e-9);
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
            assert!(Window::new("w", value, error, 3000).is_err());
        }
        assert!(Window::new("w", 0.5, 0.1, 0).is_err());
    }
}

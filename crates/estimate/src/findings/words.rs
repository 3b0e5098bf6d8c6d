//! Findings for people.

use super::{
    BatchFindings, ChangeFindings, Findings, MetricFindings, NamedFigure, StrengthFindings,
};
use crate::{
    change::WINDOWS_TO_FALSE_ALARM,
    compare::Counted,
    interval::Interval,
    shown::{number, percent, points},
};
use std::fmt;

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.metrics.iter().try_for_each(|metric| writeln!(f, "{metric}"))
    }
}

impl fmt::Display for MetricFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.metric)?;
        self.batches.iter().try_for_each(|batch| batch.fmt(f))?;
        for arms in &self.arms {
            writeln!(f, "  arms in the window from {}, compared by {}", arms.start, arms.measure)?;
            arms.comparisons.iter().try_for_each(|words| writeln!(f, "    {words}"))?;
            arms.left_out.iter().try_for_each(|words| writeln!(f, "    {words}"))?;
        }
        self.strengths.iter().try_for_each(|strengths| strengths.fmt(f))?;
        self.changes.iter().try_for_each(|change| change.fmt(f))?;
        for reason in &self.refused {
            writeln!(f, "  no figure: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BatchFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, start, end, .. } = self;
        let batch = self.batch.as_ref().map_or(String::new(), |batch| format!(", batch {batch}"));
        let reports = reports(self.reports, self.reports_of_one_device);
        writeln!(f, "  {task} from {start} to {end}{batch}, {reports}")?;
        self.figures.iter().try_for_each(|figure| writeln!(f, "    {figure}"))?;
        if let Some(disparity) = &self.disparity {
            writeln!(f, "    segments: {disparity}")?;
        }
        self.held_out.iter().try_for_each(|held_out| writeln!(f, "    {held_out}"))?;
        if let (Some(what), Some(correction)) = (&self.corrected, &self.correction) {
            writeln!(f, "    {what} among all devices: {correction}")?;
        }
        if let Some(shift) = self.shift_by_one_percent_dishonest {
            let points = points(shift);
            writeln!(
                f,
                "    if 1 % of the devices are dishonest, they can have moved a rate by up to {points}"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for NamedFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval { low, high } = self.figure.interval;
        let [value, low, high] =
            [self.figure.shown(), low, high].map(|value| self.unit.value(value));
        write!(f, "{}: {value} ({low} – {high})", self.name)
    }
}

impl fmt::Display for StrengthFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = match self.reports_of_one_device {
            1 => String::new(),
            most => format!("; one device counts up to {most} times"),
        };
        writeln!(f, "  strengths of {} (Bradley–Terry, log-odds{several})", self.task)?;
        for one in &self.strengths.candidates {
            let Interval { low, high } = one.interval;
            let [strength, low, high] = [one.strength, low, high].map(|value| number(value, 2));
            let preferred = number(one.preferred * 100.0, 0);
            writeln!(
                f,
                "    {}: {strength} ({low} – {high}), preferred to an average one in \
                 {preferred} % of decided comparisons",
                one.candidate
            )?;
        }
        self.comparisons.iter().try_for_each(|words| writeln!(f, "    {words}"))
    }
}

impl fmt::Display for ChangeFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {} of {} over time", self.measure, self.task)?;
        writeln!(f, "    {}", self.change.words(self.unit))?;
        match &self.alarm {
            Some(alarm) => write!(
                f,
                "    drift (CUSUM): {} since {}, alarm at {}",
                alarm.direction, alarm.since, alarm.at
            )?,
            None => write!(f, "    no drift detected (CUSUM)")?,
        }
        let (once_in, chance) = (WINDOWS_TO_FALSE_ALARM, percent(self.false_alarm_probability));
        let windows = self.change.windows;
        writeln!(
            f,
            " (false alarms: on average at most one in {once_in} windows; in these {windows} windows with a \
             probability of at most {chance})"
        )?;
        self.left_out.iter().try_for_each(|words| writeln!(f, "    {words}"))
    }
}

/// So many reports in words: of devices, or of devices in several windows.
pub fn reports(reports: u64, of_one_device: u64) -> String {
    match Counted::of(of_one_device) {
        Counted::Devices => format!("{reports} reports"),
        Counted::DeviceWindows => {
            format!("{reports} device-windows (one device counts up to {of_one_device} times)")
        }
    }
}

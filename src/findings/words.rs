//! Findings for people.

use super::{
    BatchFindings, ChangeFindings, Findings, MetricFindings, NamedFigure, StrengthFindings,
};
use crate::estimate::compare::Unit;
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
            writeln!(f, "  arms from {}, by {}", arms.start, arms.measure)?;
            arms.comparisons.iter().try_for_each(|words| writeln!(f, "    {words}"))?;
        }
        self.strengths.iter().try_for_each(|strengths| strengths.fmt(f))?;
        self.changes.iter().try_for_each(|change| change.fmt(f))?;
        for reason in &self.refused {
            writeln!(f, "  not answered: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BatchFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, start, end, reports, .. } = self;
        writeln!(f, "  {task} from {start} to {end}, {reports} reports")?;
        self.figures.iter().try_for_each(|figure| writeln!(f, "    {figure}"))?;
        if let Some(disparity) = &self.disparity {
            writeln!(f, "    segments: {disparity}")?;
        }
        self.held_out.iter().try_for_each(|held_out| writeln!(f, "    {held_out}"))?;
        if let (Some(what), Some(correction)) = (&self.corrected, &self.correction) {
            writeln!(f, "    {what} among all devices: {correction}")?;
        }
        if let Some(shift) = self.shift_by_one_percent_dishonest {
            let points = shift * 100.0;
            writeln!(
                f,
                "    dishonest devices, 1 in 100, could have moved a rate by up to {points:.1} pp"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for NamedFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: f64| match self.unit {
            Unit::Rate => format!("{:.1} %", value * 100.0),
            Unit::Score | Unit::LogOdds => format!("{value:.2}"),
        };
        let (low, high) = (self.figure.interval.low, self.figure.interval.high);
        write!(f, "{}: {} ({} – {})", self.name, show(self.figure.value), show(low), show(high))
    }
}

impl fmt::Display for StrengthFindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  strengths of {} (Bradley–Terry, log-odds)", self.task)?;
        for one in &self.strengths.candidates {
            let (low, high) = (one.interval.low, one.interval.high);
            let preferred = one.preferred * 100.0;
            writeln!(
                f,
                "    {}: {:.2} ({low:.2} – {high:.2}), preferred to an average one in \
                 {preferred:.0} % of decided comparisons",
                one.candidate, one.strength
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
            Some(alarm) => writeln!(
                f,
                "    drift from the first window: {} since {}, noticed at {}",
                alarm.direction, alarm.since, alarm.at
            ),
            None => writeln!(f, "    no drift from the first window was noticed"),
        }
    }
}

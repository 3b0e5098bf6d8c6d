//! Releases for people.

use super::release::Release;
use sottovoce_estimate::{
    compare::Counted,
    findings,
    shown::{number, percent},
};
use sottovoce_privacy::units::Guarantee;
use sottovoce_program::{budget::PeriodCost, format_moment};
use std::fmt::{self, Write};

/// A release as a table for the terminal, with what it is a part of: a period of the program's budget.
pub fn table(release: &Release, cost: Option<&PeriodCost>) -> String {
    let (start, end) = (format_moment(release.period.0), format_moment(release.period.1));
    let repeats = release.counts.repeats();
    let reports = findings::reports(release.reports, repeats);
    let mut out = format!("{} · {reports} · {start} to {end}\n", release.name);
    let counted = match Counted::of(repeats) {
        Counted::Devices => "estimate",
        Counted::DeviceWindows => "device-windows",
    };
    let row = |label: &str, cells: [String; 4]| {
        let [estimate, interval, rate, population] = cells;
        format!("{label}\t{estimate}\t{interval}\t{rate}\t{population}")
    };
    let mut rows = vec![row(
        "answer",
        [counted, "95 % interval", "rate", "95 % in the population"].map(str::to_owned),
    )];
    for bin in &release.bins {
        let estimate = &bin.estimate;
        rows.push(row(
            &bin.label,
            [
                number(estimate.shown(), 0),
                format!("{} – {}", number(estimate.low, 0), number(estimate.high, 0)),
                percent(estimate.shown_rate()),
                format!("{} – {}", percent(estimate.rate_low), percent(estimate.rate_high)),
            ],
        ));
    }
    out.push_str(&columns(&rows));
    out.push_str(&match cost {
        Some(cost) => period(cost),
        None => "  the program has no privacy budget: the privacy loss of one device over time is unlimited\n"
            .to_owned(),
    });
    out.push_str("  one report in this batch:\n");
    out.push_str(&privacy(&release.privacy));
    if let Some(Ok(proofs)) = &release.proofs {
        for logged in [&proofs.leader, &proofs.helper] {
            let _ = writeln!(out, "  logged as entry {} of {}", logged.index, logged.log);
        }
    }
    out
}

/// What one device risks over a period, in one line per trust model under a heading.
pub fn period(cost: &PeriodCost) -> String {
    format!("  one device {}:\n{}", cost.in_words(), privacy(&cost.guarantees))
}

/// What the figures cost, in one line per trust model.
pub fn privacy(guarantees: &[Guarantee]) -> String {
    guarantees.iter().fold(String::new(), |mut out, guarantee| {
        let Guarantee { trust, epsilon, delta, pointwise, .. } = guarantee;
        let epsilon = epsilon.shown(3);
        let delta = match delta.get() {
            0.0 => String::new(),
            _ => format!(", δ = {}; pointwise ε = {}", delta.shown(2), pointwise.shown(3)),
        };
        let _ = writeln!(out, "    {:<45}  ε = {epsilon}{delta}", trust.named());
        out
    })
}

/// Rows of cells separated by tabs, aligned: the first column to the left, the others to the right.
pub fn columns(rows: &[String]) -> String {
    let cells: Vec<Vec<&str>> = rows.iter().map(|row| row.split('\t').collect()).collect();
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut out = String::new();
    for row in &cells {
        out.push_str("  ");
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            let _: fmt::Result = match column {
                0 => write!(out, "{cell:<width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    out
}

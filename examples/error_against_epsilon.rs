//! What privacy costs in accuracy, as a chart: the standard error of a bin against the central ε.
//!
//! ```sh
//! cargo run --release --example error_against_epsilon -- --reports 10000 --bins 5 --csv error.csv
//! ```
//!
//! Two randomizers of this library stand beside the two noises that a curator would add who sees
//! every answer. For each ε, each gets the least noise that is proved to keep it. A replaced answer
//! moves two counts by one each, so noise that is added to counts has to hide a change of 2 in all.
//!
//! Errors are of the noise alone, in counts, averaged over the bins: for k-ary response the error
//! of one bin depends on how many devices are in it, but the average does not.

use anyhow::Context;
use clap::Parser;
use rayon::prelude::*;
use sottovoce::command_line;
use sottovoce_privacy::{
    composition::discrete_gaussian,
    guarantee::{GuaranteeError, MechanismKind, largest_epsilon0, usable_delta},
    noise::{AggregatorNoise, Thousandths},
    units::{Delta, Epsilon},
};
use sottovoce_program::randomizer::variance_per_report;
use std::{fmt::Write, fs, path::PathBuf, process::ExitCode};

/// Plot the standard error of a bin against the central ε.
#[derive(Parser)]
struct Arguments {
    /// Honest reports in the batch, 2 to 1000000; the more, the longer it takes.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    reports: u64,
    /// Bins, with "no answer".
    #[arg(long, value_name = "K", default_value_t = 5)]
    bins: u32,
    /// The δ of ε: a summand, for sets of outcomes.
    #[arg(long, value_name = "D", default_value_t = 1e-6, allow_negative_numbers = true)]
    delta: f64,
    /// Write the figures to this file too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// The central ε of the chart: preferred numbers, ten to each tenfold, evenly apart on its scale.
const EPSILONS: [f64; 17] =
    [0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0];
/// Those that are written below it.
const LABELLED_EPSILONS: [f64; 6] = [0.1, 0.2, 0.5, 1.0, 2.0, 4.0];
/// The errors that are written beside it, if they are on it.
const LABELLED_ERRORS: [f64; 9] = [200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5];

/// What is compared; the letters are those of the chart.
const SERIES: [(char, &str, &str); 4] = [
    ('K', "krr", "k-ary randomized response on the device, by the privacy blanket"),
    ('B', "bits", "bitwise randomized response on the device, by the scan over the others"),
    ('G', "gaussian", "discrete Gaussian noise by a curator who sees all answers"),
    ('L', "laplace", "discrete Laplace noise by such a curator (δ = 0)"),
];

/// The least noise that keeps one ε.
struct Row {
    epsilon: f64,
    /// What one report loses to whoever sees it, for k-ary and for bitwise response.
    local: [f64; 2],
    /// The standard error of each of [`SERIES`], in counts.
    errors: [f64; 4],
}

fn main() -> ExitCode {
    command_line::exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let delta = usable_delta(arguments.delta)?;
    let rows = EPSILONS.into_par_iter().map(|epsilon| row(arguments, epsilon, delta));
    let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(path) = &arguments.csv {
        let cannot = || format!("{} cannot be written", path.display());
        fs::write(path, csv(&rows)).with_context(cannot)?;
    }
    let Arguments { reports, bins, .. } = arguments;
    let head = format!("{reports} honest reports, {bins} bins, δ = {delta:e}", delta = delta.get());
    command_line::print(format_args!("{head}\n\n{}\n{}", chart(&rows), legend(&rows, *reports)))
}

fn row(arguments: &Arguments, epsilon: f64, delta: Delta) -> anyhow::Result<Row> {
    let Arguments { reports, bins, .. } = *arguments;
    let target = Epsilon::new(epsilon)?;
    let randomized = |kind| -> anyhow::Result<[f64; 2]> {
        let mechanism = largest_epsilon0(kind, bins, reports, target, delta)?;
        let variance = variance_per_report(&mechanism) * float(reports);
        Ok([mechanism.local_epsilon().get(), variance.sqrt()])
    };
    let [krr_local, krr] = randomized(MechanismKind::Krr)?;
    let [bits_local, bits] = randomized(MechanismKind::Bits)?;
    let errors = [krr, bits, gaussian(target, delta)?, laplace(target)];
    Ok(Row { epsilon, local: [krr_local, bits_local], errors })
}

/// The counts that a replaced answer moves, by one each.
const MOVED: u32 = 2;

/// The smallest σ, in thousandths, that keeps ε on the counts that an answer moves.
fn gaussian(target: Epsilon, delta: Delta) -> anyhow::Result<f64> {
    let keeps = |sigma: Thousandths| -> Result<bool, GuaranteeError> {
        let loss = discrete_gaussian(sigma.counts(), MOVED, delta.get())?;
        Ok(loss.epsilon(delta.get()).is_some_and(|epsilon| epsilon <= target.get()))
    };
    let (mut low, mut high) = (Thousandths::LEAST.thousandths(), Thousandths::MOST.thousandths());
    while high - low > 1 {
        let middle = low.midpoint(high);
        let sigma = Thousandths::from_thousandths(middle).context("σ is out of range")?;
        if keeps(sigma)? { high = middle } else { low = middle }
    }
    let sigma = Thousandths::from_thousandths(high).context("σ is out of range")?;
    Ok(AggregatorNoise::DiscreteGaussian { sigma }.variance().sqrt())
}

/// Of scale b = 2/ε: the variance is `2 e^(-1/b) / (1 - e^(-1/b))²`.
fn laplace(target: Epsilon) -> f64 {
    let ratio = (-target.get() / f64::from(MOVED)).exp();
    (2.0 * ratio).sqrt() / (1.0 - ratio)
}

/// Columns between two rows: one for each series, so that none hides another.
const STEP: usize = SERIES.len();
const HEIGHT: usize = 26;
const WIDTH: usize = (EPSILONS.len() - 1) * STEP + 1;

/// Both scales are logarithmic. A series has every fourth column, on straight lines between rows.
fn chart(rows: &[Row]) -> String {
    let errors = || rows.iter().flat_map(|row| row.errors);
    let lowest = errors().fold(f64::INFINITY, f64::min).ln();
    let highest = errors().fold(0.0, f64::max).ln();
    let line = |error: f64| line_of((highest - error.ln()) / (highest - lowest));
    let mut cells = vec![vec![' '; WIDTH]; HEIGHT];
    for (series, (letter, ..)) in SERIES.iter().enumerate() {
        for column in (series..WIDTH).step_by(STEP) {
            if let Some(line) = line(error_at(rows, series, column)) {
                cells[line][column] = *letter;
            }
        }
    }
    let mut out = String::from("error of a bin, in counts\n");
    for (i, cells) in cells.iter().enumerate() {
        let label = LABELLED_ERRORS.iter().find(|error| line(**error) == Some(i));
        let label = label.map_or(String::new(), f64::to_string);
        let _ = writeln!(out, "{label:>5} |{}", cells.iter().collect::<String>().trim_end());
    }
    let _ = writeln!(out, "{:5} +{}", "", "-".repeat(WIDTH));
    let _ = writeln!(out, "{:5}  {}  central ε", "", labels());
    out
}

/// The error in a column, on the straight line between the rows to its left and right.
fn error_at(rows: &[Row], series: usize, column: usize) -> f64 {
    let error = |row: usize| rows[row.min(rows.len() - 1)].errors[series].ln();
    let (left, right) = (error(column / STEP), error(column / STEP + 1));
    (left + (right - left) * number(column % STEP) / number(STEP)).exp()
}

/// The line, from above, that is so far down; none outside of the chart.
fn line_of(part: f64) -> Option<usize> {
    let last = number(HEIGHT - 1);
    (0..HEIGHT).find(|line| (part * last - number(*line)).abs() <= 0.5)
}

#[expect(clippy::cast_precision_loss, reason = "a line or a column")]
fn number(index: usize) -> f64 {
    index as f64
}

#[expect(clippy::cast_precision_loss, reason = "at most a million")]
fn float(reports: u64) -> f64 {
    reports as f64
}

fn labels() -> String {
    let mut out = String::new();
    for epsilon in EPSILONS {
        let labelled = LABELLED_EPSILONS.contains(&epsilon);
        let label = if labelled { epsilon.to_string() } else { String::new() };
        let _ = write!(out, "{label:<STEP$}");
    }
    out
}

fn legend(rows: &[Row], reports: u64) -> String {
    let mut out = String::from("at central ε = 1:\n");
    if let Some(row) = rows.iter().find(|row| row.epsilon >= 1.0) {
        for (i, (letter, _, words)) in SERIES.iter().enumerate() {
            let local = row.local.get(i);
            let local =
                local.map_or(String::new(), |e| format!(", a report by itself ε0 = {e:.2}"));
            let _ = writeln!(out, "  {letter}  ± {:>6.2}  {words}{local}", row.errors[i]);
        }
    }
    let sampling = (float(reports) / 4.0).sqrt();
    let _ =
        write!(out, "     ± {sampling:>6.2}  for asking only these devices, at a rate of one half");
    out
}

fn csv(rows: &[Row]) -> String {
    let names = SERIES.map(|(_, name, _)| format!("{name}_error")).join(",");
    let mut out = format!("epsilon,{names},krr_epsilon0,bits_epsilon0\n");
    for Row { epsilon, local, errors } in rows {
        let fields = errors.iter().chain(local).map(|field| format!("{field:.6}"));
        let _ = writeln!(out, "{epsilon},{}", fields.collect::<Vec<_>>().join(","));
    }
    out
}

//! `sottovoce plan`: what a device risks over a period, and how precise the figures will be.

use sottovoce::command_line;
use sottovoce_collector::present;
use sottovoce_estimate::plan::{
    MetricPlan, Plan,
    proposal::{Alternative, Proposal, Wanted},
};
use sottovoce_program::{Program, format_duration, parse_duration};
use std::{fmt::Write, path::PathBuf};

/// Show what a device risks over a period, and how precise the figures will be.
///
/// Shows the privacy loss of one device over a budget period with all metrics, then whether batches fill, and
/// for each metric the randomizer and why, the expected error of a rate, the smallest detectable
/// difference between two arms, and the guarantee of one report. Errors are for a rate of one half, where they
/// are largest.
///
/// With --precision it proposes settings: the smallest number of windows per period in which each device
/// reports, with the window's length, epsilon0 and min_batch_size, such that every window's figures have that
/// precision and the privacy loss over a period stays within budget.central (epsilon = 1 if there is none).
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// Number of devices that take part [default: as many as fill the program's batches].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    devices: Option<u64>,
    /// Propose settings with which the 95 % interval of a rate is at most this wide on either side in each window,
    /// such as 2pp (percentage points).
    #[arg(long, value_name = "POINTS", requires = "devices")]
    precision: Option<String>,
    /// Only propose windows of this length, such as "1 day".
    #[arg(long, value_name = "LENGTH", requires = "precision")]
    window: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Program::read(&arguments.program)?;
    let (Some(precision), Some(devices)) = (&arguments.precision, arguments.devices) else {
        let plan = Plan::new(&program, arguments.devices)?;
        return print(arguments.json, &plan, text);
    };
    let window = arguments.window.as_deref().map(parse_duration).transpose();
    let window = window.map_err(anyhow::Error::msg)?;
    let wanted = Wanted { devices, precision: precision.parse()?, window };
    let progress = indicatif::ProgressBar::new_spinner();
    let proposal = Proposal::find(&program, wanted, |window| {
        progress.set_message(format!("trying windows of {}", format_duration(window)));
        progress.tick();
    });
    progress.finish_and_clear();
    print(arguments.json, &proposal?, proposed)
}

fn print<T: serde::Serialize>(
    json: bool,
    it: &T,
    words: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    command_line::print(if json { serde_json::to_string_pretty(it)? } else { words(it) })
}

fn text(plan: &Plan) -> String {
    let Plan { program, devices, period, .. } = plan;
    let mut out = format!("{program} · {devices} devices\n\nWhat is risked by\n");
    out.push_str(&present::period(period));
    out.push('\n');
    fills(&mut out, plan);
    for metric in &plan.metrics {
        describe(&mut out, metric);
    }
    out.push_str("All metrics in one window\n");
    out.push_str(&present::privacy(&plan.window_budget));
    if plan.period.limited {
        let _ = writeln!(out, "All metrics in a year, in {} windows", plan.windows_per_year);
        out.push_str(&present::privacy(&plan.year_budget));
    }
    out
}

fn fills(out: &mut String, plan: &Plan) {
    let Plan { min_batch_size, all_batches, devices_needed, period, .. } = plan;
    let length = format_duration(period.seconds);
    let chance = downwards(*all_batches);
    let _ = writeln!(
        out,
        "Batches of at least {min_batch_size} in windows of {}{}: all of {length} fill with a probability of at \
         least\n{chance}. {devices_needed} devices make that 99 %.\n",
        format_duration(plan.window_seconds),
        plan.week_begins.map_or_else(String::new, |day| format!(", from {day}s on")),
    );
}

fn describe(out: &mut String, metric: &MetricPlan) {
    let MetricPlan { name, bins, randomizer, why, reports, .. } = metric;
    let _ = writeln!(out, "{name}\n  {bins} bins, randomizer {randomizer}: {why}");
    let _ = writeln!(
        out,
        "  {reports} reports a window are expected; a batch fills with a probability of {}",
        downwards(metric.fill.one_batch)
    );
    let _ = writeln!(
        out,
        "  a rate of one half: ± {:.2} pp (± {:.2} pp without noise)",
        points(metric.half_width),
        points(metric.half_width_without_noise),
    );
    let _ = writeln!(
        out,
        "  two arms of {reports} reports each: a difference of {:.2} pp shows (95 % confidence, 80 % power)",
        points(metric.detectable_difference),
    );
    let _ = writeln!(out, "  {} bytes a report; one report in one batch:", metric.bytes_per_report);
    out.push_str(&present::privacy(&metric.guarantees));
    out.push('\n');
}

fn proposed(proposal: &Proposal) -> String {
    let (epsilon, delta) = (proposal.promise.0, proposal.promise.1.shown(2));
    let mut out = format!(
        "{} · {} devices, {} in each window, at most ε = {} at δ = {delta} in {}\n\nWhat is then risked by\n",
        proposal.program,
        proposal.devices,
        proposal.precision,
        epsilon,
        format_duration(proposal.period.seconds),
    );
    out.push_str(&present::period(&proposal.period));
    let _ = writeln!(
        out,
        "\nAll batches of {} hold at least {} reports with a probability of at least {}.\n",
        format_duration(proposal.period.seconds),
        proposal.min_batch_size,
        downwards(proposal.all_batches)
    );
    let mut rows = vec!["metric\tepsilon0\treports a batch\ta rate of one half".to_owned()];
    rows.extend(proposal.metrics.iter().map(|metric| {
        let (name, reports) = (&metric.name, metric.reports);
        format!("{name}\t{}\t{reports}\t± {:.2} pp", metric.epsilon0, points(metric.half_width))
    }));
    out.push_str(&present::columns(&rows));
    let _ = writeln!(out, "\nIn the program:\n\n{}", proposal.toml);
    if !proposal.others.is_empty() {
        out.push_str("Other windows:\n");
        out.push_str(&present::columns(&others(&proposal.others)));
    }
    out
}

fn others(others: &[Alternative]) -> Vec<String> {
    let head =
        "window\twindows of a device\tmin_batch_size\tε if both collude\tε with most devices honest".to_owned();
    let row = |other: &Alternative| {
        let (window, all) = (format_duration(other.window_seconds), other.of_windows);
        match &other.found {
            None => format!("{window}\tnone of {all} will do\t–\t–\t–"),
            Some(found) => format!(
                "{window}\t{} of {all}\t{}\t{}\t{}",
                found.windows,
                found.min_batch_size,
                found.local.shown(3),
                found.central.shown(3)
            ),
        }
    };
    std::iter::once(head).chain(others.iter().map(row)).collect()
}

fn points(share: f64) -> f64 {
    share * 100.0
}

/// A probability as a percentage, never more than it is.
fn downwards(probability: f64) -> String {
    format!("{:.2} %", (probability * 1e4 + 1e-9).floor() / 1e2)
}

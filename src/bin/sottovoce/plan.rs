//! `sottovoce plan`: what a program will say, how surely, and at what price in privacy.

use sottovoce::{
    collector::present,
    command_line,
    plan::{MetricPlan, Plan},
    program::Program,
};
use std::{fmt::Write, path::PathBuf};

/// Show what a program will say, how surely, and at what price in privacy.
///
/// For each metric: its randomizer and why, the guarantees, the expected error of a rate, and the
/// smallest difference between two arms that shows. For the whole: what a device spends in a window
/// and in a year. Errors are for a rate of one half, the least certain.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// Devices that report in each window [default: the program's min_batch_size].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    devices: Option<u64>,
    /// Find the smallest epsilon0 and batch with which each metric's 95 % interval is this narrow on
    /// either side, such as 2pp; and how long the program's own take.
    #[arg(long, value_name = "POINTS")]
    precision: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Program::read(&arguments.program)?;
    let devices = arguments.devices.unwrap_or(program.min_batch_size());
    let plan = match &arguments.precision {
        Some(precision) => Plan::with_precision(&program, devices, precision.parse()?)?,
        None => Plan::new(&program, devices)?,
    };
    if arguments.json {
        return command_line::print(serde_json::to_string_pretty(&plan)?);
    }
    command_line::print(text(&plan))
}

fn text(plan: &Plan) -> String {
    let Plan { program, devices, min_batch_size, .. } = plan;
    let mut out =
        format!("{program} · {devices} devices a window, batches of at least {min_batch_size}\n\n");
    for metric in &plan.metrics {
        describe(&mut out, metric, *devices);
    }
    let _ = write!(out, "A device that reports to every metric spends\n  in a window\n");
    out.push_str(&present::privacy(&plan.window_budget));
    let _ = writeln!(out, "  in a year of {} windows", plan.windows_per_year);
    out.push_str(&present::privacy(&plan.year_budget));
    out
}

fn describe(out: &mut String, metric: &MetricPlan, devices: u64) {
    let MetricPlan { name, bins, randomizer, why, .. } = metric;
    let _ = writeln!(out, "{name}\n  {bins} bins, randomizer {randomizer}: {why}");
    let points = |share: f64| share * 100.0;
    let _ = writeln!(
        out,
        "  a rate of one half: ± {:.2} pp from {devices} devices (± {:.2} pp without noise)",
        points(metric.half_width),
        points(metric.half_width_without_noise),
    );
    let _ = writeln!(
        out,
        "  two arms of {devices} devices each: a difference of {:.2} pp shows (95 % confidence, \
         80 % power)",
        points(metric.detectable_difference),
    );
    let _ = writeln!(out, "  {} bytes a report", metric.bytes_per_report);
    out.push_str(&present::privacy(&metric.guarantees));
    if let Some(reached) = &metric.precision {
        let wanted = points(reached.wanted.half_width());
        let _ = writeln!(
            out,
            "  ± {wanted:.2} pp with the program as it is: {} devices, {} windows ({:.1} days)",
            reached.devices, reached.windows, reached.days,
        );
        let _ = writeln!(
            out,
            "  ± {wanted:.2} pp from {devices} devices: epsilon0 = {} is enough, with \
             min_batch_size = {}",
            present::bound(reached.epsilon0),
            reached.min_batch_size,
        );
        if reached.min_batch_size > devices {
            let windows = reached.min_batch_size.div_ceil(devices);
            let _ = writeln!(
                out,
                "  so large a batch takes {windows} windows of {devices} devices, collected as one"
            );
        }
        out.push_str(&present::privacy(&reached.guarantees));
    }
    out.push('\n');
}

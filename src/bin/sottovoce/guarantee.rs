//! `sottovoce guarantee`: how private a report is, per trust model.

use anyhow::bail;
use sottovoce::privacy::{
    guarantee::{
        Mechanism, MechanismKind, NEIGHBOURS, Release, largest_epsilon0, smallest_batch,
        usable_delta, usable_epsilon,
    },
    randomizer::RandomizerError,
    units::{Epsilon, Guarantee},
};

/// Show how private a report is, per trust model; or what a wanted privacy needs.
///
/// Give two of --epsilon0, --reports and --epsilon, and the third is worked out: the ε that only
/// one honest aggregator and honest devices (OAMC) guarantee, the largest ε0 that meets a wanted ε,
/// or the smallest batch that does. Each ε is a proved upper bound.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What devices do: krr (k-ary randomized response on one choice), bits (bitwise, on one choice
    /// as a vector with one bit on) or signals (bitwise, on independent yes/no signals).
    #[arg(long, value_parser = kind, value_name = "krr|bits|signals")]
    randomizer: MechanismKind,
    /// The number of bins or bits, with "no answer".
    #[arg(long, value_name = "K")]
    bins: u32,
    /// The budget of a report with krr; of each bit that changes with bits and signals, where a
    /// whole report spends twice as much (bits) or K times as much (signals), shown under OC.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    epsilon0: Option<f64>,
    /// Honest reports in the batch, the target's included.
    #[arg(long, value_name = "N")]
    reports: Option<u64>,
    /// The ε wanted under OAMC.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    epsilon: Option<f64>,
    /// The probability that ε may not hold, under OAMC.
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    delta: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let delta = usable_delta(arguments.delta)?;
    let Arguments { randomizer: kind, bins, .. } = *arguments;
    let mechanism = |epsilon0: f64| {
        let usable = Epsilon::new(epsilon0).map_err(|_| RandomizerError::Epsilon(epsilon0))?;
        Mechanism::new(kind, bins, usable)
    };
    let (mechanism, honest) = match (arguments.epsilon0, arguments.reports, arguments.epsilon) {
        (Some(epsilon0), Some(reports), None) => (mechanism(epsilon0)?, reports),
        (None, Some(reports), Some(target)) => {
            let target = usable_epsilon(target)?;
            (largest_epsilon0(kind, bins, reports, target, delta)?, reports)
        }
        (Some(epsilon0), None, Some(target)) => {
            let mechanism = mechanism(epsilon0)?;
            let reports = smallest_batch(&mechanism, usable_epsilon(target)?, delta)?;
            (mechanism, reports)
        }
        _ => bail!("give two of --epsilon0, --reports and --epsilon; the third is worked out"),
    };
    let release = Release { mechanism, noise: None, honest };
    let guarantees = release.guarantees(delta)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json(&release, &guarantees))?);
    } else {
        print!("{}", text(&release, &guarantees));
    }
    Ok(())
}

fn kind(name: &str) -> Result<MechanismKind, String> {
    let known = [MechanismKind::Krr, MechanismKind::Bits, MechanismKind::Signals];
    let found = known.into_iter().find(|kind| kind.to_string() == name);
    found.ok_or_else(|| "must be krr, bits or signals".to_owned())
}

fn json(release: &Release, guarantees: &[Guarantee]) -> serde_json::Value {
    serde_json::json!({
        "guarantees": guarantees,
        "randomizer": release.mechanism.kind(),
        "bins": release.mechanism.bins(),
        "epsilon0": release.mechanism.epsilon0(),
        "reports": release.honest,
        "neighbours": NEIGHBOURS,
    })
}

fn text(release: &Release, guarantees: &[Guarantee]) -> String {
    let mechanism = &release.mechanism;
    let (kind, bins, honest) = (mechanism.kind(), mechanism.bins(), release.honest);
    // The budget is rounded to the nearest, bounds up.
    let head = format!(
        "{kind} over {bins} bins, epsilon0 = {:.6}, {honest} honest reports\n",
        mechanism.epsilon0().get()
    );
    let lines = guarantees.iter().map(|Guarantee { trust, epsilon, delta, theorem }| {
        let epsilon = (epsilon.get() * 1e5 - 1e-6).ceil() / 1e5;
        let delta = Some(delta.get()).filter(|delta| *delta > 0.0);
        let delta = delta.map_or(String::new(), |delta| format!(", δ = {delta:e}"));
        let words = trust.in_words();
        format!("  {trust:<4}  ε = {epsilon:.5}{delta}\n        {words}\n        by: {theorem}\n")
    });
    let tail = format!("  between neighbours by {NEIGHBOURS}\n");
    std::iter::once(head).chain(lines).chain([tail]).collect()
}

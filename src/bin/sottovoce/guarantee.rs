//! `sottovoce guarantee`: the privacy of one report, per trust model.

use anyhow::bail;
use sottovoce_privacy::{
    guarantee::{
        Mechanism, MechanismKind, NEIGHBOURS, Release, largest_epsilon0, smallest_batch,
        usable_delta, usable_epsilon,
    },
    randomizer::RandomizerError,
    units::{Delta, Epsilon, Guarantee},
    words::{self, Subject},
};
use std::fmt::Write as _;

/// Compute the privacy of one report per trust model, or what a target ε needs.
///
/// Give two of --epsilon0, --reports and --epsilon; the third is computed: the ε with one honest aggregator and
/// most devices, the largest ε0 that meets the target ε, or the smallest batch that does. Each ε is
/// a proved upper bound.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The randomizer: krr (k-ary randomized response on one choice), bits (bitwise, on one choice as a one-hot
    /// vector) or signals (bitwise, on independent yes/no signals).
    #[arg(long, value_parser = kind, value_name = "krr|bits|signals")]
    randomizer: MechanismKind,
    /// Number of bins or bits, including "no answer".
    #[arg(long, value_name = "K")]
    bins: u32,
    /// The ε of the randomizer: of a report with krr, of one bit with bits and signals. A whole report then spends
    /// twice as much (bits) or K times as much (signals), shown for colluding aggregators.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    epsilon0: Option<f64>,
    /// Honest reports in the batch, including the one to protect.
    #[arg(long, value_name = "N")]
    reports: Option<u64>,
    /// The target ε with one honest aggregator and most devices.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    epsilon: Option<f64>,
    /// The δ of that ε: for every set of outcomes, its probability under one answer is at most
    /// e^ε times that under any other, plus δ. The privacy loss exceeds the pointwise figure with a probability of at
    /// most δ.
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
        _ => bail!("give two of --epsilon0, --reports and --epsilon; the third is computed"),
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
        "guarantees": guarantees.iter().map(in_full).collect::<Vec<_>>(),
        "randomizer": release.mechanism.kind(),
        "bins": release.mechanism.bins(),
        "epsilon0": release.mechanism.epsilon0(),
        "reports": release.honest,
        "neighbours": NEIGHBOURS,
    })
}

/// A guarantee with what it means.
fn in_full(guarantee: &Guarantee) -> serde_json::Value {
    serde_json::json!({
        "trust": guarantee.trust,
        "who": guarantee.trust.in_words(),
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
        "pointwise": guarantee.pointwise,
        "theorem": guarantee.theorem,
        "meaning": words::exactly(guarantee, Subject::Answer),
        "pointwise_meaning": words::pointwise_exactly(guarantee, Subject::Answer),
    })
}

fn text(release: &Release, guarantees: &[Guarantee]) -> String {
    let mechanism = &release.mechanism;
    let (kind, bins, honest) = (mechanism.kind(), mechanism.bins(), release.honest);
    let head = format!(
        "{kind} over {bins} bins, epsilon0 = {}, {honest} honest reports\n",
        mechanism.epsilon0().shown(6)
    );
    let tail = format!("  between neighbours by {NEIGHBOURS}\n");
    std::iter::once(head).chain(guarantees.iter().map(line)).chain([tail]).collect()
}

fn line(guarantee: &Guarantee) -> String {
    let Guarantee { trust, epsilon, delta, pointwise, theorem } = guarantee;
    let meaning = words::exactly(guarantee, Subject::Answer);
    let mut line = format!("  {}\n    ε = {}", trust.named(), epsilon.shown(5));
    if *delta == Delta::ZERO {
        let _ = writeln!(line, "\n    {meaning}");
    } else {
        let outcome = words::pointwise_exactly(guarantee, Subject::Answer);
        let _ = writeln!(
            line,
            ", δ = {}; pointwise ε = {}\n    {meaning}\n    pointwise: {outcome}",
            delta.shown(3),
            pointwise.shown(5)
        );
    }
    let _ = writeln!(line, "    by: {theorem}");
    line
}

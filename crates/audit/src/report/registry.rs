//! An entry for the Differential Privacy Deployments Registry, by its schema of deployments (tier 3),
//! as a draft for people to complete.
//!
//! Strings are written as JSON, which YAML reads.

use super::dates::date;
use crate::verify::Outcome;
use sottovoce_privacy::{
    guarantee::NEIGHBOURS,
    units::{Guarantee, TrustModel},
};
use sottovoce_program::{Program, explain::Explanation};
use std::fmt::Write;

/// The entry, in YAML.
pub fn entry(program: &Program, explanation: &Explanation, outcome: &Outcome) -> String {
    // The start of a period may be before there was anything to publish.
    let released = outcome.released.get(program.name());
    let published = released.map_or_else(
        || "REPLACE: nothing was released yet".to_owned(),
        |releases| date(releases.first),
    );
    let period = explanation.period.as_ref();
    let strongest =
        period.and_then(|p| p.under(TrustModel::Oamc)).or_else(|| strongest(explanation));
    let unit = period.map_or_else(
        || "one report of one device in one batch".to_owned(),
        |period| format!("one device, {}", period.in_words()),
    );
    let text = |words: &str| serde_json::Value::from(words).to_string();
    let mechanisms: Vec<_> = explanation.questions.iter().map(|q| q.randomized.clone()).collect();
    let mut yaml = String::new();
    let mut line = |indent: usize, key: &str, value: &str| {
        let _ = writeln!(yaml, "{}{key}: {value}", "  ".repeat(indent));
    };
    line(0, "url_slug", &text(program.name()));
    line(0, "status", "\"Draft\"");
    line(0, "tier", "3");
    yaml.push_str("deployment:\n  basic:\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(yaml, "    {key}: {value}");
    };
    line("name", text(program.name()));
    line("data_curators", format!("[{}]", text("REPLACE: who publishes the figures")));
    line("description", text(explanation.purpose));
    line("intended_use", text("Satisfaction with an LLM app"));
    line("data_product_type", text("Summary statistics"));
    line("data_product_region", text("REPLACE"));
    line("publication_date", text(&published));
    yaml.push_str("  dp_variant:\n");
    let approximate = strongest.is_some_and(|guarantee| guarantee.delta.get() > 0.0);
    let mut line = |key: &str, value: String| {
        let _ = writeln!(yaml, "    {key}: {value}");
    };
    line("variant_name", text(if approximate { "Approximate DP" } else { "Pure DP" }));
    line("data_domain", text("one report of each device, for each metric and window"));
    line(
        "unprotected_quantities",
        text("the number of reports in a batch; values of public dimensions"),
    );
    yaml.push_str("  privacy_loss:\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(yaml, "    {key}: {value}");
    };
    line("privacy_unit", text(&unit));
    line("privacy_unit_details", text(NEIGHBOURS));
    if let Some(guarantee) = strongest {
        let (epsilon, delta) = (guarantee.epsilon.shown(4), guarantee.delta.shown(3));
        line("privacy_parameters", format!("{{epsilon: {epsilon}, delta: {delta}}}"));
    }
    line("privacy_parameters_details", text(&explanation.at_worst.join(" ")));
    yaml.push_str("  deployment_model:\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(yaml, "    {key}: {value}");
    };
    line("model_name", text("Local"));
    line(
        "model_name_details",
        text(
            "randomized on each device, then summed over secret shares by two aggregators that do not collude; a \
         sum reveals far less of one answer than its report does",
        ),
    );
    line(
        "actors",
        text(&format!(
            "devices; the leader {}; the helper {}; the collector; auditors, who read both aggregators' public logs",
            program.leader(),
            program.helper()
        )),
    );
    line("release_type", text("Many releases"));
    line("data_source_type", text("Dynamic"));
    line("access_type", text("Non-interactive"));
    yaml.push_str("  accounting:\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(yaml, "    {key}: {value}");
    };
    line("post_processing", text("counts are debiased; intervals include all noise"));
    line(
        "composition",
        text(
            "pure bounds by their sum, others by privacy-loss distributions, over the windows of each period",
        ),
    );
    yaml.push_str("  implementation:\n");
    let _ = writeln!(yaml, "    mechanisms: {}", text(&mechanisms.join("; ")));
    yaml
}

/// The largest ε of any metric with one honest aggregator and most devices.
fn strongest(explanation: &Explanation) -> Option<&Guarantee> {
    let all = explanation.questions.iter().flat_map(|question| &question.guarantees);
    all.filter(|guarantee| guarantee.trust == TrustModel::Oamc)
        .max_by(|one, other| one.epsilon.get().total_cmp(&other.epsilon.get()))
}

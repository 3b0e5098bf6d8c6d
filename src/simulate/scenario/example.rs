//! A scenario for a program to begin with: commented, with every metric's outcomes.

use super::{Asked, Scenario, dimensions, is_derived};
use sottovoce_program::{
    Program,
    compile::CompiledTask,
    dimension::{Dimension, Visibility},
};
use std::fmt::Write;

/// A scenario for a program to begin with.
pub fn example(program: &Program) -> String {
    let mut text = include_str!("example.toml").to_owned();
    text.push_str(&people(program));
    text.push_str(&arms(program));
    text.push_str(LATER);
    let usual = Scenario::parse("the default scenario", "", program);
    for asked in usual.iter().flat_map(|scenario| &scenario.metrics) {
        text.push_str(&says(asked, program));
    }
    text.push_str(&liars(program));
    text
}

const LATER: &str = "
# Changes of satisfaction, each from a window on; the first window is 0.
# [[shifts]]
# from = 3
# satisfied = -0.1
";

fn people(program: &Program) -> String {
    let is_private = |d: &&Dimension| d.visibility == Visibility::Private;
    let mut text = "\n# Groups of people, each with its own satisfaction.".to_owned();
    let private: Vec<_> = dimensions(program).filter(is_private).collect();
    if private.is_empty() {
        text.push_str("\n# [[segments]]\n# share = 0.3\n# satisfied = 0.6\n");
        return text;
    }
    text.push_str(" Values of private dimensions that are\n# not named are equally likely.\n");
    let (first, count) = (private[0], private[0].values.len());
    for (index, value) in first.values.iter().enumerate() {
        let satisfied = if index + 1 == count { 0.75 } else { 0.6 };
        let name = key(&first.name);
        let value = key(value);
        let _ = write!(
            text,
            "[[segments]]\nshare = 1.0\nsatisfied = {satisfied}\nvalues = {{ {name} = {value} }}\n"
        );
    }
    text
}

fn arms(program: &Program) -> String {
    let (mut shares, mut effects) = (String::new(), String::new());
    for dimension in dimensions(program).filter(|dimension| dimension.is_public()) {
        let name = key(&dimension.name);
        let each = dimension.values.iter().map(|value| format!("{} = 1.0", key(value)));
        let _ = writeln!(shares, "{name} = {{ {} }}", each.collect::<Vec<_>>().join(", "));
        let last = key(dimension.values.last().map_or("", String::as_str));
        let _ = writeln!(effects, "{name} = {{ {last} = 0.05 }}");
    }
    if shares.is_empty() {
        return shares;
    }
    format!(
        "\n# The share of devices with each value of a public dimension, and each value's effect on\n\
         # satisfaction.\n[arms]\n{shares}[effects]\n{effects}"
    )
}

fn says(asked: &Asked, program: &Program) -> String {
    let name = &asked.metric.name;
    if asked.is_derived {
        return format!("\n# {name} is derived by the device.\n");
    }
    let task = &program.tasks()[asked.tasks[0]];
    let outcomes = task.encoding().outcomes();
    let is_signals = task.encoding().is_vector();
    let mut text = if is_signals {
        "\n# The probability of each signal, after a response that satisfied and after one that did not.\n"
    } else {
        "\n# `says` has the weight of each outcome, `rate` how often people answer; `rates` has a rate for each\n\
         # outcome.\n"
    }
    .to_owned();
    for (mood, saying, rate) in
        [("satisfied", &asked.sayings[1], 0.2), ("unsatisfied", &asked.sayings[0], 0.4)]
    {
        let pairs = outcomes.iter().zip(&saying.weights);
        let pairs: Vec<_> = pairs.map(|(label, w)| format!("{} = {w:.2}", key(label))).collect();
        let _ = writeln!(text, "[metrics.{name}.{mood}]");
        if !is_signals {
            let _ = writeln!(text, "rate = {rate}");
        }
        let _ = writeln!(text, "says = {{ {} }}", pairs.join(", "));
    }
    text
}

/// Liars of a metric that users answer, and that is not broken down by what devices choose.
fn liars(program: &Program) -> String {
    let is_said = |task: &&CompiledTask| {
        let chosen = task.metric.dimensions.iter().any(|d| d.chosen(&[0; 32]).is_some());
        !is_derived(&task.metric) && !chosen
    };
    let Some(task) = program.tasks().iter().find(is_said) else { return String::new() };
    let (metric, labels) = (&task.metric.name, task.labels());
    let bin = key(labels.get(1).map_or("", String::as_str));
    format!(
        "\n# Dishonest devices: the same answer through the engine in every window (answer), a report of one \
         bin\n# without noise (bare), or a report of several votes, which verification must refuse (forged).\n# [dishonest]\n\
         # answer = 0.01\n# bare = 0.01\n# forged = 0.01\n# metric = \"{metric}\"\n# bin = {bin}\n"
    )
}

/// A key or string of TOML.
fn key(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

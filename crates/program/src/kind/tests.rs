use super::*;
use crate::{
    Program,
    tests::{asking, red_team},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a metric of each kind may look like; the red-team ones first.
const EXAMPLES: [(&str, &str); NAMES.len()] = [
    (
        "finding",
        "categories = [\"bias\", \"leak\"]\nseverities = [\"mild\", \"grave\", \"deadly\"]",
    ),
    ("thumbs", ""),
    ("rating", "stars = 4"),
    ("ratings", "aspects = [\"tone\", \"speed\"]\nlevels = [\"bad\", \"fine\", \"good\"]"),
    ("preference", "candidates = [\"a\", \"b\", \"c\", \"d\"]"),
    ("signals", "signals = [\"copied\", \"left\"]"),
    ("count", "max = 3"),
    ("score", "buckets = [0, 0.5]\nof = \"m-signals\"\nweights = { copied = 1 }"),
    (
        "triage",
        "categories = [\"bug\", \"idea\"]\nrules = [{ category = \"bug\", words = [\"crash\"] }]",
    ),
    ("joint", "joins = [\"m-thumbs\", \"m-signals.copied\"]"),
];

/// The metrics of the first, and those of the others.
pub(crate) fn metrics() -> [String; 2] {
    let (finding, others) = EXAMPLES.split_at(1);
    [finding, others].map(|examples| {
        let metric = |(kind, keys): &(&str, &str)| {
            format!("[metrics.m-{kind}]\nquestion = \"?\"\nkind = \"{kind}\"\n{keys}\n")
        };
        examples.iter().map(metric).collect()
    })
}

fn programs() -> [Program; 2] {
    let [finding, others] = metrics();
    [red_team(&finding).unwrap(), asking(&others).unwrap()]
}

#[test]
fn each_kind_has_an_example_here() {
    let examples: BTreeSet<_> = EXAMPLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(examples, NAMES.into_iter().collect());
}

#[test]
fn each_kind_counts_names_and_takes_its_own_outcomes() {
    let programs = programs();
    let tasks: Vec<_> = programs.iter().flat_map(Program::tasks).collect();
    assert_eq!(tasks.len(), NAMES.len());
    for task in tasks {
        let (name, kind) = (task.metric.kind.name(), task.metric.kind.as_kind());
        let labels = kind.outcomes();
        assert_eq!(labels.len(), kind.outcome_count(), "{name}");
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "{name}");
        for (outcome, label) in labels.iter().enumerate() {
            let Some(given) = kind.given(outcome, 0) else {
                assert!(kind.derived().is_some(), "{name}: nobody can give {label}");
                continue;
            };
            match kind.encode(&given).unwrap() {
                Said::Nothing => panic!("{name}: {given:?} says nothing"),
                Said::One(found) => assert_eq!(found, outcome, "{name}: {given:?}"),
                Said::OneOf(some) | Said::Exactly(some) => {
                    assert!(some.contains(&outcome), "{name}: {given:?} is {some:?}");
                }
            }
        }
        assert_eq!(kind.given(labels.len() + 99, 0), None, "{name}");
    }
}

#[test]
fn each_kind_takes_its_own_samples_and_no_others_answers() {
    let programs = programs();
    let mut takers: BTreeMap<String, usize> = BTreeMap::new();
    let tasks = || programs.iter().flat_map(Program::tasks);
    for one in tasks() {
        let samples = one.metric.kind.as_kind().samples();
        assert!(samples.len() > 1, "{}: an auditor has nothing to compare", one.name);
        for sample in samples {
            for other in tasks() {
                let is_own = one.name == other.name;
                let taken = other.metric.kind.as_kind().encode(&sample);
                assert_eq!(taken.is_ok(), is_own, "{}: {sample:?} to {}", one.name, other.name);
                *takers.entry(one.name.clone()).or_default() += usize::from(is_own);
            }
        }
    }
    assert_eq!(takers.len(), NAMES.len());
}

#[test]
fn each_kinds_readings_are_of_its_own_outcomes() {
    for program in programs() {
        for task in program.tasks() {
            let kind = task.metric.kind.as_kind();
            let Readings { main, others, yes } = kind.readings();
            for reading in main.into_iter().chain(others) {
                let count = match &reading {
                    Reading::Share { of, .. } => of.len(),
                    Reading::Mean { scores, .. } => scores.len(),
                };
                assert_eq!(count, kind.outcome_count(), "{}: {reading:?}", task.name);
            }
            let yes = yes.map(|yes| yes.outcomes.len());
            assert!(yes.is_none_or(|count| count == kind.outcome_count()), "{}", task.name);
        }
    }
}

#[test]
fn a_key_of_kinds_is_one_of_a_kind_and_the_other_way_round() {
    let text = "kind = \"thumbs\"";
    let table: crate::file::MetricTable = toml::from_str(text).unwrap();
    let known: BTreeSet<_> = table.keys_of_kinds().into_iter().map(|(key, _)| key).collect();
    let claimed: BTreeSet<_> = forms().iter().flat_map(|form| form.keys).copied().collect();
    assert_eq!(known, claimed);
}

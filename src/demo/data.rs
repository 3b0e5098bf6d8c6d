//! The feedback: `data/` in the repository, with its sources and licences beside it.

use anyhow::Context;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Deserialize;
use sottovoce_program::{
    answer::{Answer, Given, Outcome, Thumb},
    compile::CompiledTask,
    encoding::Encoded,
};
use std::collections::HashMap;

const VERDICTS: &str = include_str!("../../data/dices_safety.csv");
const MODELS: &str = include_str!("../../data/llmfao_models.csv");
const PREFERENCES: &str = include_str!("../../data/llmfao_preferences.csv");

/// A metric and what each of its devices answers.
#[derive(Debug)]
pub struct Asked {
    /// The metric's name in the program.
    pub name: &'static str,
    /// One for each device.
    pub answers: Vec<Answer>,
}

impl Asked {
    /// How many devices gave each answer, in the order of the bins: what nobody else ever sees.
    pub fn truth(&self, task: &CompiledTask) -> anyhow::Result<Vec<u64>> {
        let mut truth = vec![0; task.labels().len()];
        for answer in &self.answers {
            match task.encoding().encode(answer)? {
                Encoded::One(bin) => truth[bin.index()] += 1,
                _ => anyhow::bail!("the demo's metrics have one bin per answer"),
            }
        }
        Ok(truth)
    }
}

#[derive(Clone, Deserialize)]
struct Verdict {
    turns: u32,
    verdict: String,
}

/// Two models by their numbers, and which was better.
#[derive(Clone, Deserialize)]
struct Judgement {
    left: u32,
    right: u32,
    winner: Outcome,
}

/// A judgement between groups of models.
#[derive(Clone)]
struct Preference {
    left: &'static str,
    right: &'static str,
    outcome: Outcome,
}

/// The feedback of `devices` devices: the data sampled or repeated, in the same proportion and
/// the same way each time. A device that judged a conversation reports to both metrics on safety.
pub fn load(devices: Option<usize>) -> anyhow::Result<Vec<Asked>> {
    let verdicts: Vec<Verdict> = parse(VERDICTS)?;
    let preferences = preferences()?;
    let all = verdicts.len() + preferences.len();
    let devices = devices.unwrap_or(all);
    let verdict_devices = devices * verdicts.len() / all;
    let verdicts = resize(verdicts, verdict_devices);
    let preferences = resize(preferences, devices - verdict_devices);
    Ok(vec![
        Asked { name: "answer_safety", answers: verdicts.iter().map(safety).collect() },
        Asked { name: "safe_by_turns", answers: verdicts.iter().map(by_turns).collect() },
        Asked { name: "better_model", answers: preferences.iter().map(better).collect() },
    ])
}

fn preferences() -> anyhow::Result<Vec<Preference>> {
    let models: HashMap<u32, String> = parse::<(u32, String)>(MODELS)?.into_iter().collect();
    let group_of = |number: u32| {
        let name = models.get(&number).with_context(|| format!("no model has the number {number}"));
        name.map(|name| group(name))
    };
    let judgements = parse::<Judgement>(PREFERENCES)?.into_iter();
    let preferences = judgements.map(|Judgement { left, right, winner }| {
        Ok(Preference { left: group_of(left)?, right: group_of(right)?, outcome: winner })
    });
    preferences.collect()
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> anyhow::Result<Vec<T>> {
    let rows: Result<_, _> = csv::Reader::from_reader(text.as_bytes()).into_deserialize().collect();
    rows.context("the demo's data")
}

fn resize<T: Clone>(mut rows: Vec<T>, len: usize) -> Vec<T> {
    const SEED: u64 = 1;
    rows.shuffle(&mut StdRng::seed_from_u64(SEED));
    rows.iter().cycle().take(len).cloned().collect()
}

fn safety(row: &Verdict) -> Answer {
    Answer::given(Given::Rating(row.verdict.clone()))
}

/// Whoever is unsure does not call it safe.
fn by_turns(row: &Verdict) -> Answer {
    let thumb = if row.verdict == "Safe" { Thumb::Up } else { Thumb::Down };
    let turns = match row.turns {
        1 => "1",
        2 => "2",
        3 => "3",
        _ => "4 or more",
    };
    Answer::given(Given::Thumbs(thumb)).with_segment("turns", turns)
}

/// A judgement between two models of one group says nothing about the groups: *no answer*.
fn better(&Preference { left, right, outcome }: &Preference) -> Answer {
    if left == right {
        return Answer::none();
    }
    Answer::given(Given::Preference { left: left.to_owned(), right: right.to_owned(), outcome })
}

fn group(model: &str) -> &'static str {
    match model {
        "Weaver 12k" => "Weaver 12k",
        name if name.starts_with("Luminous") => "Luminous",
        _ => "another model",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_judgements_are_there_and_any_number_of_devices_can_be_had() {
        let devices = |metrics: &[Asked]| metrics[0].answers.len() + metrics[2].answers.len();
        let all = load(None).unwrap();
        assert_eq!(devices(&all), 9840 + 8931);
        let compared = all[2].answers.iter().filter(|answer| answer.given.is_some());
        assert_eq!(compared.count(), 4453, "of the groups that the demo compares");
        for count in [1000, 50_000] {
            assert_eq!(devices(&load(Some(count)).unwrap()), count);
        }
    }
}

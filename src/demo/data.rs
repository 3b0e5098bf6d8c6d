//! The feedback: `data/` in the repository, with its sources and licences beside it.

use anyhow::Context;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Deserialize;
use sottovoce_program::{
    answer::{Answer, Given, Outcome, Thumb},
    compile::CompiledTask,
    encoding::Encoded,
};

const VERDICTS: &str = include_str!("../../data/dices_safety.csv");
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

#[derive(Clone, Deserialize)]
struct Preference {
    left: String,
    right: String,
    winner: String,
}

/// The feedback of `devices` devices: the data sampled or repeated, in the same proportion and
/// the same way each time. A device that judged a conversation reports to both metrics on safety.
pub fn load(devices: Option<usize>) -> anyhow::Result<Vec<Asked>> {
    let verdicts: Vec<Verdict> = parse(VERDICTS)?;
    let preferences: Vec<Preference> = parse(PREFERENCES)?;
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
fn better(row: &Preference) -> Answer {
    let (left, right) = (group(&row.left), group(&row.right));
    if left == right {
        return Answer::none();
    }
    let outcome = match row.winner.as_str() {
        "left" => Outcome::Left,
        "right" => Outcome::Right,
        _ => Outcome::Tie,
    };
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
        assert_eq!(devices(&load(None).unwrap()), 9840 + 8931);
        for count in [1000, 50_000] {
            assert_eq!(devices(&load(Some(count)).unwrap()), count);
        }
    }
}

//! Answers of invented users, for whoever sends them to real servers: what a scenario's people say first in a window.

use super::{
    behaviour::{Person, Voice},
    device::private,
    scenario::{Scenario, dimensions},
    truth::said_to,
};
use sottovoce_program::{Program, answer::Answer};
use std::collections::BTreeMap;

/// A program's invented users.
pub struct Crowd<'a> {
    program: &'a Program,
    scenario: &'a Scenario,
    seed: u64,
}

impl<'a> Crowd<'a> {
    /// Users who behave as the scenario says, drawn from a seed.
    pub fn new(program: &'a Program, scenario: &'a Scenario, seed: u64) -> Self {
        Self { program, scenario, seed }
    }

    /// What the user of a device reports in a window: an answer for each metric, perhaps none, and the task that it
    /// goes to, by its index in the program. A metric has no task for a user whom it does not ask.
    pub fn answers(&self, device: u64) -> Vec<(usize, Answer)> {
        let dimensions: Vec<_> = dimensions(self.program).collect();
        let mut person = Person::draw(self.scenario, &dimensions, self.seed, device);
        let visit = person.next_window(0, false).unwrap_or_default();
        let said = |thought: &super::behaviour::Thought| {
            matches!(thought.voice, Voice::Said { withdrawn: false, .. })
        };
        let metrics = &self.scenario.metrics;
        let responses: Vec<BTreeMap<_, _>> = visit
            .responses
            .iter()
            .map(|seen| {
                let thoughts = seen.thoughts.iter().filter(|(_, thought)| said(thought));
                thoughts.map(|(index, thought)| (*index, thought.given.clone())).collect()
            })
            .collect();
        let answer = |(index, asked): (usize, &super::scenario::Asked)| {
            let task = self.task_of(&person, &asked.tasks)?;
            let given = responses.iter().find_map(|said| said_to(metrics, index, said, &|_| None));
            let mut answer = Answer { given, segments: private(&person, &asked.metric) };
            // What devices choose for themselves, each by a secret of its own.
            let secret = secret_of(self.seed, device);
            for dimension in &asked.metric.dimensions {
                if let Some(value) = dimension.chosen(&secret) {
                    answer = answer.with_segment(&dimension.name, value);
                }
            }
            Some((task, answer))
        };
        metrics.iter().enumerate().filter_map(answer).collect()
    }

    fn task_of(&self, person: &Person<'_>, tasks: &[usize]) -> Option<usize> {
        let is_theirs = |index: &usize| {
            let public = &self.program.tasks()[*index].public;
            public.iter().all(|value| person.assigned.contains(value))
        };
        tasks.iter().copied().find(is_theirs)
    }
}

fn secret_of(seed: u64, device: u64) -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&seed.to_be_bytes());
    secret[8..16].copy_from_slice(&device.to_be_bytes());
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_program::encoding::Encoded;

    #[test]
    fn everybody_reports_to_each_metric_once_and_most_say_nothing_to_some() {
        let text = include_str!("../../examples/support-assistant.toml");
        let program = Program::parse("support-assistant.toml", text).unwrap();
        let scenario = Scenario::parse("default", "", &program).unwrap();
        let crowd = Crowd::new(&program, &scenario, 7);
        let (mut given, mut tasks) = (0, vec![0; program.tasks().len()]);
        for device in 0..300 {
            let answers = crowd.answers(device);
            assert_eq!(answers.len(), scenario.metrics.len());
            for (task, answer) in answers {
                let encoded = program.tasks()[task].encoding().encode(&answer);
                assert!(
                    matches!(encoded, Ok(Encoded::One(_) | Encoded::OneOf(_) | Encoded::Bits(_))),
                    "{answer:?}"
                );
                given += usize::from(answer.given.is_some());
                tasks[task] += 1;
            }
        }
        assert!(tasks.iter().all(|reports| *reports > 20), "{tasks:?}");
        assert!((100..300 * scenario.metrics.len()).contains(&given), "{given}");
        assert_eq!(crowd.answers(5), crowd.answers(5));
    }
}

//! What the client under test is asked to report: answers whose randomized reports can be told apart.

use sottovoce_privacy::guarantee::Mechanism;
use sottovoce_program::{
    answer::Answer, compile::CompiledTask, dimension::Visibility, encoding::Encoded,
};

/// An answer and what it is before randomization: a bit for each bin.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What is answered.
    pub answer: Answer,
    /// What an honest client randomizes.
    pub bits: Vec<bool>,
}

/// At most so many answers are compared: each pair takes its share of the confidence.
const MOST: usize = 6;

/// Answers of different encodings, *no answer* among them; fewer than two if the metric's cannot be
/// made here.
pub fn of(task: &CompiledTask) -> Vec<Input> {
    let bins = task.encoding().bins() as usize;
    let mut inputs: Vec<Input> = Vec::new();
    for answer in answers(task) {
        let bits = match task.encoding().encode(&answer) {
            Ok(Encoded::One(bin)) => one_hot(bins, bin.index()),
            Ok(Encoded::OneOf(of)) if of.len() == 1 => one_hot(bins, of[0].index()),
            Ok(Encoded::Bits(bits)) => bits,
            _ => continue,
        };
        if inputs.len() < MOST && inputs.iter().all(|input| input.bits != bits) {
            inputs.push(Input { answer, bits });
        }
    }
    inputs
}

fn one_hot(bins: usize, on: usize) -> Vec<bool> {
    (0..bins).map(|bin| bin == on).collect()
}

/// How probable it is that a bit of the vector is flipped; and for a choice, that it is another.
pub fn flip_probability(mechanism: &Mechanism) -> f64 {
    match mechanism {
        Mechanism::Krr(kary) => 1.0 - kary.truth_probability(),
        Mechanism::Bits(bits) | Mechanism::Signals(bits) => bits.flip_probability(),
    }
}

fn answers(task: &CompiledTask) -> Vec<Answer> {
    let mut answers = vec![Answer::none()];
    for given in task.metric.kind.as_kind().samples() {
        let mut answer = Answer::given(given);
        for dimension in task.metric.dimensions.iter().filter(|d| !d.is_public()) {
            let value = match &dimension.visibility {
                Visibility::HeldOut(_) => dimension.values.last(),
                _ => dimension.values.first(),
            };
            if let Some(value) = value {
                answer = answer.with_segment(&dimension.name, value);
            }
        }
        answers.push(answer);
    }
    answers
}

//! What a guarantee means, in words that are true.
//!
//! (ε, δ) does *not* say that the privacy loss stays below ε with a probability of 1 - δ: at
//! δ = 10^-6 it is above ε with a probability that is often tens of times as large. What it says is
//! about sets of outcomes, with δ as a summand ([`exactly`], [`plainly`]). Whoever wants a sentence
//! about single outcomes needs another figure, [`Guarantee::pointwise`], which is a little larger
//! ([`pointwise_exactly`], [`pointwise_plainly`]).

use super::{
    shown::at_most,
    units::{Delta, Epsilon, Guarantee},
};

/// What the guarantee is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One answer, in one batch.
    Answer,
    /// All answers of one device in a period.
    Period,
}

impl Subject {
    fn one(self) -> &'static str {
        match self {
            Self::Answer => "one answer",
            Self::Period => "one device's answers of the period",
        }
    }

    fn any_other(self) -> &'static str {
        match self {
            Self::Answer => "any other",
            Self::Period => "any others of the same device",
        }
    }
}

/// What ε and δ mean together, for people who know the terms.
pub fn exactly(guarantee: &Guarantee, subject: Subject) -> String {
    let (one, other) = (subject.one(), subject.any_other());
    format!(
        "for every set of outcomes, its probability under {one} is at most e^{} times that under \
         {other}{}",
        guarantee.epsilon.shown(3),
        if_any(guarantee.delta, |delta| format!(", plus {}", delta.shown(2)))
    )
}

/// The same for people who do not.
pub fn plainly(guarantee: &Guarantee, subject: Subject) -> String {
    promise_plainly(guarantee.epsilon, guarantee.delta, subject)
}

/// The same of a limit that a program declares.
pub fn promise_plainly(epsilon: Epsilon, delta: Delta, subject: Subject) -> String {
    let summand = if_any(delta, |delta| format!(", plus {}", delta.one_in()));
    format!(
        "for any conclusion that somebody draws from what they see, its probability after {} is at most {} times \
         its probability after {}{summand}",
        subject.one(),
        factor(epsilon),
        subject.any_other(),
    )
}

/// What the pointwise figure means, for people who know the terms.
pub fn pointwise_exactly(guarantee: &Guarantee, subject: Subject) -> String {
    let (one, other) = (subject.one(), subject.any_other());
    let but = if_any(guarantee.delta, |delta| {
        format!(", except with a probability of at most {} under {one}", delta.shown(2))
    });
    format!(
        "the observed outcome is at most e^{} times as likely under {one} as under {other}{but}",
        guarantee.pointwise.shown(3),
    )
}

/// The same for people who do not.
pub fn pointwise_plainly(guarantee: &Guarantee, subject: Subject) -> String {
    let (given, other) = match subject {
        Subject::Answer => ("the answer that was given", "any one other answer"),
        Subject::Period => ("the answers that were given", "any one other set of answers"),
    };
    let but = if_any(guarantee.delta, |delta| {
        format!("; the probability that it reveals more is at most {}", delta.one_in())
    });
    format!(
        "what is seen raises the odds of {given} against {other} by a factor of at most {}{but}",
        factor(guarantee.pointwise)
    )
}

/// e^ε as a number, rounded up; as a power where the number is no help to anybody.
pub fn factor(epsilon: Epsilon) -> String {
    const MANY: f64 = 1e6;
    let factor = epsilon.get().exp();
    if factor <= MANY { at_most(factor, 1).to_string() } else { format!("e^{}", epsilon.shown(1)) }
}

fn if_any(delta: Delta, words: impl FnOnce(Delta) -> String) -> String {
    if delta == Delta::ZERO { String::new() } else { words(delta) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::TrustModel;

    fn guarantee(delta: f64) -> Guarantee {
        Guarantee {
            trust: TrustModel::Oamc,
            epsilon: Epsilon::new(0.933_231).unwrap(),
            delta: Delta::new(delta).unwrap(),
            pointwise: Epsilon::new(1.1).unwrap(),
            theorem: "",
        }
    }

    #[test]
    fn delta_is_a_summand_and_only_the_pointwise_figure_fails_with_a_probability() {
        let some = guarantee(1e-6);
        assert_eq!(
            exactly(&some, Subject::Answer),
            "for every set of outcomes, its probability under one answer is at most e^0.934 times \
             that under any other, plus 1e-6"
        );
        let plain = plainly(&some, Subject::Period);
        assert!(plain.contains("at most 2.6 times") && plain.ends_with(", plus 1 in 1000000"));
        let exact = pointwise_exactly(&some, Subject::Period);
        assert!(exact.contains("e^1.100") && exact.contains("a probability of at most 1e-6"));
        // e^1.1 = 3.004.
        assert_eq!(
            pointwise_plainly(&some, Subject::Answer),
            "what is seen raises the odds of the answer that was given against any one other answer by a factor of \
             at most 3.1; the probability that it reveals more is at most 1 in 1000000"
        );
    }

    #[test]
    fn factors_are_never_below_and_very_large_ones_are_powers() {
        for (epsilon, words) in
            [(0.0, "1.0"), (4.0, "54.6"), (16.02, "e^16.1"), (4392.0, "e^4392.0")]
        {
            assert_eq!(factor(Epsilon::new(epsilon).unwrap()), words);
        }
    }

    #[test]
    fn a_pure_bound_has_no_exception() {
        let pure = guarantee(0.0);
        for words in [
            exactly(&pure, Subject::Answer),
            plainly(&pure, Subject::Answer),
            pointwise_exactly(&pure, Subject::Answer),
            pointwise_plainly(&pure, Subject::Answer),
        ] {
            for exception in ["plus", "except", "probability that it"] {
                assert!(!words.contains(exception), "{words}");
            }
        }
    }
}

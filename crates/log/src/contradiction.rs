//! Two checkpoints that one log has signed and that cannot both be true, and those of which that is only likely.
//!
//! A signature says that the log has signed, not when, nor that it sent the checkpoint here: whoever has seen a checkpoint
//! can send it on, with a bad proof. So signatures alone prove that a log forked in two cases: two roots for one size, and
//! a larger tree that a consistency proof shows to begin with another root than the smaller one's. All else has to be
//! explained by the log's operator, or decided by the log's entries.

use super::{
    checkpoint::Checkpoint,
    tree::{Hash, proven_beginning, verify_consistency},
};
use std::fmt;

/// What is wrong with a checkpoint, beside another one of the same log that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contradiction {
    /// Two roots for one number of entries. The two signatures prove it.
    TwoRoots,
    /// The larger tree does not begin with the smaller one. The two signatures and the proof prove it.
    OtherBeginning,
    /// Fewer entries than before. The log was rolled back, or somebody has sent an old checkpoint again.
    Shorter,
    /// More entries than before, and a proof that does not hold. The log was forked, or somebody has sent its
    /// checkpoint with a bad proof.
    BadProof,
}

impl Contradiction {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::TwoRoots, Self::OtherBeginning, Self::Shorter, Self::BadProof];

    /// What contradicts `kept` in `sent`, which came with a consistency proof from `kept`'s size. Both have to be signed
    /// by the same log, which is not looked at here.
    pub fn between(kept: &Checkpoint, sent: &Checkpoint, proof: &[Hash]) -> Option<Self> {
        let (kept, sent) = ((kept.size, &kept.root), (sent.size, &sent.root));
        if sent.0 == kept.0 {
            return (sent.1 != kept.1).then_some(Self::TwoRoots);
        }
        if sent.0 < kept.0 {
            return Some(Self::Shorter);
        }
        match proven_beginning(kept.0, sent, proof) {
            Some(beginning) => (beginning != *kept.1).then_some(Self::OtherBeginning),
            None => verify_consistency(kept, sent, proof).is_err().then_some(Self::BadProof),
        }
    }

    /// Whether it proves to anybody that the log was forked.
    pub fn is_proof(self) -> bool {
        matches!(self, Self::TwoRoots | Self::OtherBeginning)
    }

    /// Whether the consistency proof is part of what shows it.
    pub fn needs_proof(self) -> bool {
        matches!(self, Self::OtherBeginning | Self::BadProof)
    }

    /// Its name for machines, which does not change.
    pub fn token(self) -> &'static str {
        match self {
            Self::TwoRoots => "two_roots",
            Self::OtherBeginning => "other_beginning",
            Self::Shorter => "shorter",
            Self::BadProof => "bad_proof",
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoRoots => "the log was forked: it has signed two roots for the same number of entries",
            Self::OtherBeginning => {
                "the log was forked: it has signed a larger tree that does not begin with the smaller one"
            }
            Self::Shorter => {
                "the log was rolled back, or somebody has sent an old checkpoint of it again: it has fewer entries \
                 than before"
            }
            Self::BadProof => {
                "the log was forked, or somebody has sent its checkpoint with a bad proof: it is not shown to begin \
                 with what was cosigned"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Frontier, Nodes, TreeError, consistency_proof};

    struct Plain(Vec<Hash>);

    impl Nodes for Plain {
        type Error = TreeError;

        fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
            let start = usize::try_from(index << level).unwrap();
            Ok(frontier(&self.0[start..start + (1 << level)]).root())
        }
    }

    fn frontier(leaves: &[Hash]) -> Frontier {
        let mut frontier = Frontier::new();
        for leaf in leaves {
            frontier.push(*leaf, |_, _, _| {});
        }
        frontier
    }

    fn leaves(word: &str, count: usize) -> Vec<Hash> {
        (0..count).map(|i| Hash::leaf(format!("{word} {i}").as_bytes())).collect()
    }

    /// What a log of `new` entries of one word is to one of `old` entries of another.
    fn between(old: (&str, usize), new: (&str, usize)) -> Option<Contradiction> {
        let kept = Checkpoint::new("a", &frontier(&leaves(old.0, old.1)));
        let sent = Checkpoint::new("a", &frontier(&leaves(new.0, new.1)));
        let from = old.1.min(new.1) as u64;
        let proof = consistency_proof(&mut Plain(leaves(new.0, new.1)), from, new.1 as u64);
        Contradiction::between(&kept, &sent, &proof.unwrap())
    }

    #[test]
    fn a_log_that_only_grows_contradicts_nothing() {
        for (old, new) in [(0, 0), (0, 5), (1, 1), (1, 2), (4, 7), (5, 5), (5, 9), (6, 8)] {
            assert_eq!(between(("true", old), ("true", new)), None, "{old} {new}");
        }
    }

    #[test]
    fn what_is_proved_is_told_from_what_may_have_another_reason() {
        for (old, new, expected) in [
            (5, 5, Contradiction::TwoRoots),
            (5, 9, Contradiction::OtherBeginning),
            (7, 8, Contradiction::OtherBeginning),
            (5, 3, Contradiction::Shorter),
            (5, 0, Contradiction::Shorter),
            // The proof leaves the root of so many entries out.
            (4, 9, Contradiction::BadProof),
        ] {
            assert_eq!(between(("true", old), ("other", new)), Some(expected), "{old} {new}");
        }
        assert_eq!(between(("true", 5), ("true", 3)), Some(Contradiction::Shorter));
    }

    #[test]
    fn a_bad_proof_of_a_true_checkpoint_proves_nothing() {
        let checkpoint = |count| Checkpoint::new("a", &frontier(&leaves("true", count)));
        for proof in [vec![], vec![Hash::leaf(b"bad")], vec![Hash::leaf(b"bad"); 4]] {
            let found = Contradiction::between(&checkpoint(5), &checkpoint(9), &proof);
            assert_eq!(found, Some(Contradiction::BadProof));
        }
        assert!(!Contradiction::BadProof.is_proof() && !Contradiction::Shorter.is_proof());
    }
}

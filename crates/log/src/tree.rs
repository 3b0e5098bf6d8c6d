//! The Merkle tree of RFC 6962 §2.1, hashed with SHA-256: roots, proofs, and what checks them.
//!
//! A *node* of level `l` and index `n` is the hash over the `2^l` entries from `n · 2^l` on; only
//! whole nodes are ever asked for, since they never change again. [`Frontier`] is what is needed
//! to go on: the roots of the largest whole subtrees from the left.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::fmt;
use thiserror::Error;

/// A hash of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The root of the tree without entries: the hash of the empty string.
    pub fn of_nothing() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Of an entry.
    pub fn leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
    }

    /// Of two nodes side by side.
    pub fn node(left: &Self, right: &Self) -> Self {
        let hash = Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0);
        Self(hash.finalize().into())
    }

    /// From standard Base 64, as checkpoints and proofs write it; strictly one spelling each.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A proof that does not hold, or a question about entries that are not there.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TreeError {
    /// There is no such entry in a tree of this size.
    #[error("there is no entry {index} in a tree of {size} entries")]
    NoEntry {
        /// The entry's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// A tree cannot have been larger before.
    #[error("no consistency proof from {old} entries to {new}: a log is append-only")]
    Shrunk {
        /// Its size before.
        old: u64,
        /// Its size now.
        new: u64,
    },
    /// The proof has hashes too many or too few.
    #[error("the proof has {found} hashes and needs {needed}")]
    Length {
        /// Hashes in the proof.
        found: usize,
        /// Hashes that a proof between these sizes has.
        needed: usize,
    },
    /// The proof leads to another root.
    #[error("the proof's root is not the checkpoint's: the entry is not in the log")]
    Root,
    /// The trees differ in what they should share.
    #[error("the newer tree is not consistent with the older one: the log was rewritten or forked")]
    Inconsistent,
}

/// The right edge of a tree: the roots of its largest whole subtrees, from the left. Enough to add
/// entries and to know the root, in at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// Of the tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a tree of so many entries; `None` unless there is one hash for each bit of `size`, and
    /// room for more.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let fits = i64::try_from(size).is_ok() && hashes.len() == size.count_ones() as usize;
        fits.then_some(Self { size, hashes })
    }

    /// Adds an entry by its hash. `completed` is told each node that becomes whole: level, index.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u32, u64, Hash)) {
        completed(0, self.size, leaf);
        let mut hash = leaf;
        for level in 1..=self.size.trailing_ones() {
            let left = self.hashes.pop().unwrap_or(hash);
            hash = Hash::node(&left, &hash);
            completed(level, self.size >> level, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The subtrees' roots.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut hashes = self.hashes.iter().rev();
        let Some(last) = hashes.next() else { return Hash::of_nothing() };
        hashes.fold(*last, |right, left| Hash::node(left, &right))
    }
}

/// Whole nodes of a tree, wherever they are kept.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error: From<TreeError>;

    /// The node of a level and index.
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the first `size` entries.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(Hash::of_nothing()) } else { range(nodes, 0, size) }
}

/// The proof that entry `index` is in the tree of `size` entries (RFC 6962 §2.1.1): the siblings
/// on its way to the root, from the bottom.
pub fn inclusion_proof<N: Nodes>(
    nodes: &mut N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, N::Error> {
    if index >= size {
        return Err(TreeError::NoEntry { index, size }.into());
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new` entries begins with that of `old` (RFC 6962 §2.1.2). Empty if
/// `old` is 0 or `new`.
pub fn consistency_proof<N: Nodes>(
    nodes: &mut N,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, N::Error> {
    if old > new {
        return Err(TreeError::Shrunk { old, new }.into());
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut proof = Vec::new();
    // Until the older tree ends where a subtree of the newer one does.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    if start > 0 {
        proof.push(range(nodes, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks an inclusion proof against a root that is known to be the log's (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), TreeError> {
    if index >= size {
        return Err(TreeError::NoEntry { index, size });
    }
    let needed = inclusion_length(index, size);
    if proof.len() != needed {
        return Err(TreeError::Length { found: proof.len(), needed });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if node & 1 == 1 || node == last {
            hash = Hash::node(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if hash == *root { Ok(()) } else { Err(TreeError::Root) }
}

/// Checks a consistency proof between two roots (RFC 9162 §2.1.4.2).
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), TreeError> {
    if old > new {
        return Err(TreeError::Shrunk { old, new });
    }
    let needed = consistency_length(old, new);
    if proof.len() != needed {
        return Err(TreeError::Length { found: proof.len(), needed });
    }
    if old == new {
        return if old_root == new_root { Ok(()) } else { Err(TreeError::Inconsistent) };
    }
    if old == 0 {
        return if *old_root == Hash::of_nothing() { Ok(()) } else { Err(TreeError::Inconsistent) };
    }
    if roots_of(proof, (old, old_root), new) == (*old_root, *new_root) {
        Ok(())
    } else {
        Err(TreeError::Inconsistent)
    }
}

/// The root that a tree's first `old` entries have, as a consistency proof from `old` to `new` entries shows it to
/// whoever believes the tree's root: another root of so many entries is of another log. `None` if the proof does not
/// lead to `new_root`, or if it shows no root: of `old` entries that are a power of two, it leaves the root out.
pub fn proven_beginning(old: u64, (new, new_root): (u64, &Hash), proof: &[Hash]) -> Option<Hash> {
    if old == 0
        || old >= new
        || old.is_power_of_two()
        || proof.len() != consistency_length(old, new)
    {
        return None;
    }
    let (from_old, from_new) = roots_of(proof, (old, &Hash::of_nothing()), new);
    (from_new == *new_root).then_some(from_old)
}

/// The roots of `old` and of `new` entries that a consistency proof of the right length leads to, where `old` is above 0
/// and below `new`.
fn roots_of(proof: &[Hash], (old, old_root): (u64, &Hash), new: u64) -> (Hash, Hash) {
    // A whole subtree's root begins its own proof, and is therefore left out of it.
    let (first, rest) =
        if old.is_power_of_two() { (*old_root, proof) } else { (proof[0], &proof[1..]) };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut from_old, mut from_new) = (first, first);
    for hash in rest {
        if node & 1 == 1 || node == last {
            from_old = Hash::node(hash, &from_old);
            from_new = Hash::node(hash, &from_new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            from_new = Hash::node(&from_new, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    (from_old, from_new)
}

/// The hash over entries `start` to `end`, where `start` is a multiple of the largest power of two
/// that is not above their number.
fn range<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let count = end - start;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return nodes.node(level, start >> level);
    }
    let middle = start + split(count);
    let left = range(nodes, start, middle)?;
    Ok(Hash::node(&left, &range(nodes, middle, end)?))
}

/// The largest power of two below `count`, which is 2 or more.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

fn inclusion_length(index: u64, size: u64) -> usize {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    (inner + index.checked_shr(inner).unwrap_or(0).count_ones()) as usize
}

fn consistency_length(old: u64, new: u64) -> usize {
    if old == 0 || old == new {
        return 0;
    }
    // From the node that the older tree ends with: its siblings, and itself unless it is the root.
    let shift = old.trailing_zeros();
    let (node, last) = ((old - 1) >> shift, (new - 1) >> shift);
    inclusion_length(node, last + 1) + usize::from(!old.is_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Plain(Vec<Hash>);

    impl Nodes for Plain {
        type Error = TreeError;

        fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
            let start = usize::try_from(index << level).unwrap();
            Ok(definition(&self.0[start..start + (1 << level)]))
        }
    }

    /// RFC 6962 §2.1, word for word.
    fn definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_nothing(),
            [leaf] => *leaf,
            _ => {
                let middle = usize::try_from(split(leaves.len() as u64)).unwrap();
                Hash::node(&definition(&leaves[..middle]), &definition(&leaves[middle..]))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|i| Hash::leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        let hex = |hash: Hash| hash.0.iter().fold(String::new(), |s, b| format!("{s}{b:02x}"));
        assert_eq!(
            hex(Hash::of_nothing()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        // The known tree of Certificate Transparency's reference implementation.
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::new();
        for entry in entries {
            frontier.push(Hash::leaf(entry), |_, _, _| {});
        }
        assert_eq!(
            hex(frontier.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn a_frontier_has_the_root_and_the_nodes_of_the_definition() {
        let all = leaves(300);
        let mut frontier = Frontier::new();
        for (i, leaf) in all.iter().enumerate() {
            assert_eq!(frontier.root(), definition(&all[..i]));
            let mut nodes = Vec::new();
            frontier.push(*leaf, |level, index, hash| nodes.push((level, index, hash)));
            for (level, index, hash) in nodes {
                assert_eq!(Plain(all.clone()).node(level, index).unwrap(), hash);
            }
            let again = Frontier::from_parts(frontier.size(), frontier.hashes().to_vec()).unwrap();
            assert_eq!(again, frontier);
        }
        assert_eq!(Frontier::from_parts(3, vec![all[0]]), None);
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_other() {
        let all = leaves(40);
        let mut nodes = Plain(all.clone());
        for size in 1..=40 {
            let root = root(&mut nodes, size).unwrap();
            for index in 0..size {
                let proof = inclusion_proof(&mut nodes, index, size).unwrap();
                let leaf = &all[usize::try_from(index).unwrap()];
                verify_inclusion(leaf, index, size, &proof, &root).unwrap();
                for other in (0..size).filter(|other| *other != index) {
                    verify_inclusion(leaf, other, size, &proof, &root).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn every_consistency_proof_of_small_trees_holds_and_no_other() {
        let mut nodes = Plain(leaves(40));
        for new in 0..=40 {
            let new_root = root(&mut nodes, new).unwrap();
            for old in 0..=new {
                let old_root = root(&mut nodes, old).unwrap();
                let proof = consistency_proof(&mut nodes, old, new).unwrap();
                verify_consistency((old, &old_root), (new, &new_root), &proof).unwrap();
                let wrong = Hash::leaf(b"wrong");
                let forked = verify_consistency((old, &wrong), (new, &new_root), &proof);
                assert_eq!(forked, Err(TreeError::Inconsistent), "{old} {new}");
                if old > 0 && old < new {
                    let other = verify_consistency((old, &old_root), (new, &wrong), &proof);
                    assert_eq!(other, Err(TreeError::Inconsistent), "{old} {new}");
                }
            }
        }
        let (small, large) = (Hash::leaf(b"a"), Hash::leaf(b"b"));
        assert_eq!(
            verify_consistency((2, &large), (1, &small), &[]),
            Err(TreeError::Shrunk { old: 2, new: 1 })
        );
    }

    #[test]
    fn a_proof_shows_the_beginning_of_the_tree_that_it_leads_to() {
        let mut nodes = Plain(leaves(40));
        for new in 2..40 {
            let new_root = root(&mut nodes, new).unwrap();
            for old in 1..new {
                let proof = consistency_proof(&mut nodes, old, new).unwrap();
                let shown = proven_beginning(old, (new, &new_root), &proof);
                let expected = root(&mut nodes, old).unwrap();
                assert_eq!(shown, (!old.is_power_of_two()).then_some(expected), "{old} {new}");
                let wrong = Hash::leaf(b"wrong");
                assert_eq!(proven_beginning(old, (new, &wrong), &proof), None, "{old} {new}");
                for at in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[at] = wrong;
                    assert_eq!(proven_beginning(old, (new, &new_root), &changed), None);
                }
                assert_eq!(proven_beginning(old, (new, &new_root), &proof[1..]), None);
            }
        }
        assert_eq!(proven_beginning(0, (0, &Hash::of_nothing()), &[]), None);
        assert_eq!(proven_beginning(3, (2, &Hash::of_nothing()), &[]), None);
    }

    proptest! {
        #[test]
        fn no_changed_proof_holds(size in 2u64..200, at: u64, place: usize, bit in 0u8..8, cut: bool) {
            let all = leaves(size);
            let mut nodes = Plain(all.clone());
            let (index, root) = (at % size, root(&mut nodes, size).unwrap());
            let mut proof = inclusion_proof(&mut nodes, index, size).unwrap();
            if cut {
                proof.pop();
            } else {
                let place = place % (proof.len() * 32);
                proof[place / 32].0[place % 32] ^= 1 << bit;
            }
            let leaf = &all[usize::try_from(index).unwrap()];
            prop_assert!(verify_inclusion(leaf, index, size, &proof, &root).is_err());
        }

        #[test]
        fn any_numbers_are_answered(index: u64, size: u64, old: u64, count in 0usize..70) {
            let proof = vec![Hash::of_nothing(); count];
            let hash = Hash::leaf(b"");
            prop_assert!(verify_inclusion(&hash, index, size, &proof, &Hash([1; 32])).is_err());
            let consistent = verify_consistency((old, &hash), (size, &Hash([1; 32])), &proof);
            prop_assert!(consistent.is_err());
        }
    }
}

use super::*;
use crate::{
    checkpoint::{Checkpoint, Signer, TestKey},
    entry::Event,
    note::KeyKind,
    tree::{Frontier, Nodes, inclusion_proof},
};
use sottovoce_dap::codec::Encode;
use std::collections::BTreeMap;

const ORIGIN: &str = "helper.example/log";

fn key() -> TestKey {
    TestKey::new(ORIGIN, KeyKind::Log, 1)
}

fn trust() -> Trust {
    Trust::new(vec![key().verifier_key().clone()], Vec::new(), 0).unwrap()
}

struct Whole(BTreeMap<(u32, u64), Hash>);

impl Nodes for Whole {
    type Error = TreeError;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
        Ok(self.0[&(level, index)])
    }
}

/// A proof of the sixth of eleven entries.
fn proof() -> Proof {
    let entry = |i| Entry { time: i, event: Event::Started(format!("software {i}")) }.to_bytes();
    let (mut tree, mut nodes) = (Frontier::new(), BTreeMap::new());
    for i in 0..11 {
        tree.push(Hash::leaf(&entry(i)), |level, index, hash| {
            nodes.insert((level, index), hash);
        });
    }
    let hashes = inclusion_proof(&mut Whole(nodes), 5, 11).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, &tree).sign(&[&key()]);
    Proof { entry: entry(5), index: 5, hashes, checkpoint }
}

#[test]
fn a_proof_is_read_and_believed_far_from_its_log() {
    let text = proof().to_string();
    let read = Proof::parse(text.as_bytes()).unwrap();
    assert_eq!(read, proof());
    let proved = read.verify(&trust()).unwrap();
    assert_eq!(proved.entry.event, Event::Started("software 5".into()));
    assert_eq!((proved.index, proved.checkpoint.checkpoint().size), (5, 11));
}

#[test]
fn no_changed_byte_of_a_proof_is_believed() {
    let bytes = proof().to_string().into_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let believed = Proof::parse(&changed).and_then(|proof| proof.verify(&trust()));
        assert!(believed.is_err(), "byte {at}");
        let cut = Proof::parse(&bytes[..at]).and_then(|proof| proof.verify(&trust()));
        assert!(cut.is_err(), "cut at {at}");
    }
}

#[test]
fn each_part_that_is_changed_is_named() {
    let believed = |change: &dyn Fn(&mut Proof)| {
        let mut proof = proof();
        change(&mut proof);
        proof.verify(&trust()).unwrap_err()
    };
    let entry = believed(&|proof| proof.entry[3] ^= 1);
    assert_eq!(entry, ProofError::Tree { index: 5, source: TreeError::Root });
    let index = believed(&|proof| proof.index = 11);
    let source = TreeError::NoEntry { index: 11, size: 11 };
    assert_eq!(index, ProofError::Tree { index: 11, source });
    let shorter = believed(&|proof| proof.hashes.truncate(3));
    let source = TreeError::Length { found: 3, needed: 4 };
    assert_eq!(shorter, ProofError::Tree { index: 5, source });
    let reordered = believed(&|proof| proof.hashes.swap(0, 1));
    assert_eq!(reordered, ProofError::Tree { index: 5, source: TreeError::Root });
    let other = TestKey::new(ORIGIN, KeyKind::Log, 2);
    let forged = believed(&|proof| {
        let text = Checkpoint::parse(proof.checkpoint.text()).unwrap();
        proof.checkpoint = text.sign(&[&other]);
    });
    assert!(matches!(forged, ProofError::Checkpoint(_)), "{forged}");
}

//! Our logs as an implementation that others wrote reads them, and theirs as we do.

use super::{
    checkpoint::{Checkpoint, Signer, Trust, cosign, cosigners},
    note::{KeyKind, Note},
    tiles::{Content, Edge, Files, Place, TileError, TileName, TileNodes, narrowed},
    tree::{self, Hash, TreeError},
};
use crate::checkpoint::TestKey;
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use ring::signature::{ED25519, UnparsedPublicKey};
use signed_note::{StandardSigner, StandardVerifier, Verifier, VerifierList};
use std::{cell::RefCell, collections::BTreeMap};
use tlog_tiles::{Error as TheirError, HashReader, Tile, TileHashReader, TileReader};
use tlog_tiles::{
    check_record, check_tree, prove_record, prove_tree, record_hash, stored_hashes, tree_hash,
};

const ORIGIN: &str = "leader.example/log";
const SIZES: [u64; 9] = [1, 2, 255, 256, 257, 1000, 65_535, 65_536, 70_000];

/// A log as files, whoever made them.
#[derive(Default)]
struct Log {
    files: BTreeMap<Place, Vec<u8>>,
}

impl Log {
    /// Made by us, with a checkpoint's tree of each size.
    fn ours(size: u64) -> (Self, Checkpoint) {
        let (mut log, mut edge) = (Self::default(), Edge::default());
        for index in 0..size {
            edge.push(&entry(index)).unwrap();
            if index % 256 == 255 {
                log.files.extend(edge.take_changed());
            }
        }
        log.files.extend(edge.take_changed());
        (log, Checkpoint::new(ORIGIN, edge.frontier()))
    }
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn key() -> TestKey {
    TestKey::new(ORIGIN, KeyKind::Log, 1)
}

fn trust(witnesses: &[&TestKey], quorum: usize) -> Trust {
    let witnesses = witnesses.iter().map(|key| key.verifier_key().clone()).collect();
    Trust::new(vec![key().verifier_key().clone()], witnesses, quorum).unwrap()
}

impl Files for Log {
    type Error = FileError;

    fn file(&mut self, name: &TileName) -> Result<Vec<u8>, FileError> {
        let kept = self.files.get(&name.place()).ok_or(FileError::Missing)?;
        narrowed(name, kept).ok_or(FileError::Missing)
    }
}

#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("missing")]
    Missing,
    #[error(transparent)]
    Tile(#[from] TileError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Their paths name the tiles' height too, which logs that are served leave out.
fn our_name(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

impl TileReader for Log {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, TheirError> {
        let read = |tile: &Tile| {
            let name: TileName = our_name(tile).parse().map_err(|_| TheirError::InvalidTile)?;
            let kept = self.files.get(&name.place()).ok_or(TheirError::InvalidTile)?;
            narrowed(&name, kept).ok_or(TheirError::InvalidTile)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

/// The bundle with an entry, taken apart as the specification says: 16 bits of length, then bytes.
fn entry_in_bundle(log: &mut Log, index: u64, size: u64) -> Vec<u8> {
    let place = Place { content: Content::Entries, index: index / 256 };
    let bundle = log.file(&TileName::of(place, size).unwrap()).unwrap();
    let mut rest = &bundle[..];
    for _ in 0..index % 256 {
        let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        rest = &rest[2 + len..];
    }
    rest[2..2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]))].to_vec()
}

/// Some places in a log of `size` entries.
fn some(size: u64) -> impl Iterator<Item = u64> {
    let all = [0, 1, 254, 255, 256, 257, 999, 65_535, 65_536, size / 2, size - 1];
    all.into_iter().filter(move |index| *index < size)
}

#[test]
fn tiles_and_proofs_of_ours_are_believed_by_an_independent_reader() {
    for size in SIZES {
        let (mut log, checkpoint) = Log::ours(size);
        let root = theirs(checkpoint.root);
        let mut proofs = Vec::new();
        let reader = TileHashReader::new(size, root, &log);
        assert_eq!(tree_hash(size, &reader).unwrap(), root);
        for index in some(size) {
            proofs.push((index, prove_record(size, index, &reader).unwrap()));
        }
        for (index, proof) in proofs {
            let hash = record_hash(&entry_in_bundle(&mut log, index, size));
            assert_eq!(hash, record_hash(&entry(index)));
            check_record(&proof, size, root, index, hash).unwrap();
            let mut nodes = TileNodes::new(&mut log, size);
            let own = tree::inclusion_proof(&mut nodes, index, size).unwrap();
            assert_eq!(own, ours(&proof), "{index} in {size}");
        }
    }
}

#[test]
fn consistency_is_proved_to_an_independent_reader_and_by_it() {
    let size = 70_000;
    let (mut log, checkpoint) = Log::ours(size);
    for old in some(size).skip(1).chain([size]) {
        let (_, older) = Log::ours(old);
        let reader = TileHashReader::new(size, theirs(checkpoint.root), &log);
        let proof = prove_tree(size, old, &reader).unwrap();
        let mut nodes = TileNodes::new(&mut log, size);
        let own = tree::consistency_proof(&mut nodes, old, size).unwrap();
        let their_own = own.iter().copied().map(theirs).collect();
        check_tree(&their_own, size, theirs(checkpoint.root), old, theirs(older.root)).unwrap();
        let (from, to) = ((old, &older.root), (size, &checkpoint.root));
        tree::verify_consistency(from, to, &ours(&proof)).unwrap();
        assert_eq!(own, ours(&proof), "{old}");
    }
}

#[test]
fn a_changed_tile_of_ours_is_found_by_an_independent_reader() {
    let (size, entries) = (1000, |place: &Place| place.content == Content::Entries);
    let (mut log, checkpoint) = Log::ours(size);
    let root = theirs(checkpoint.root);
    let tiles = log.files.keys().copied().filter(|place| !entries(place)).collect::<Vec<_>>();
    for place in tiles {
        // The second hash: the proof of the first entry below the tile takes its neighbour.
        log.files.get_mut(&place).unwrap()[40] ^= 1;
        let index = place.index * 256;
        let reader = TileHashReader::new(size, root, &log);
        let believed = prove_record(size, index, &reader)
            .and_then(|proof| check_record(&proof, size, root, index, record_hash(&entry(index))));
        let found =
            matches!(believed, Err(TheirError::InconsistentTile | TheirError::InvalidProof));
        assert!(found, "{place:?}: {believed:?}");
        log.files.get_mut(&place).unwrap()[40] ^= 1;
    }
}

/// A witness's key as their notes want it. The signature is checked by a third implementation.
struct Witness {
    name: String,
    key: [u8; 32],
}

impl Verifier for Witness {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        signed_note::key_id(&self.name, &[&[0x04][..], &self.key].concat())
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let (time, signature) = signature.split_first_chunk().unwrap();
        let header = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time));
        let message = [header.as_bytes(), text].concat();
        UnparsedPublicKey::new(&ED25519, self.key).verify(&message, signature).is_ok()
    }
}

#[test]
fn a_cosigned_checkpoint_of_ours_is_believed_by_an_independent_reader() {
    let witness = TestKey::new("witness.example/w1", KeyKind::Witness, 2);
    for size in [1, 1000] {
        let (_, checkpoint) = Log::ours(size);
        let mut note = checkpoint.sign(&[&key()]);
        note.add([cosign(&note, 1_700_000_000, &witness)]);
        let note = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
        let public = witness.verifier_key();
        let known: Vec<Box<dyn Verifier>> = vec![
            Box::new(StandardVerifier::new(&key().verifier_key().to_string()).unwrap()),
            Box::new(Witness { name: public.name().to_string(), key: *public.public_key() }),
        ];
        let (verified, unverified) = note.verify(&VerifierList::new(known)).unwrap();
        assert_eq!((verified.len(), unverified.len()), (2, 0));
        let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!((read.origin(), read.size()), (ORIGIN, size));
        assert_eq!(*read.hash(), theirs(checkpoint.root));
    }
}

/// The hashes of a log of theirs, in their order.
#[derive(Default)]
struct Stored(RefCell<Vec<tlog_tiles::Hash>>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, TheirError> {
        let stored = self.0.borrow();
        let read = |index: &u64| stored.get(usize::try_from(*index).unwrap()).copied();
        indexes.iter().map(read).collect::<Option<_>>().ok_or(TheirError::IndexesNotInTree)
    }
}

/// A log made by them: its tiles under the names that we know, its hashes and its checkpoint.
fn log_of_theirs(size: u64) -> (Log, Stored, Vec<u8>) {
    let stored = Stored::default();
    for index in 0..size {
        let hashes = stored_hashes(index, &entry(index), &stored).unwrap();
        stored.0.borrow_mut().extend(hashes);
    }
    let mut log = Log::default();
    for tile in Tile::new_tiles(8, 0, size) {
        let name: TileName = our_name(&tile).parse().unwrap();
        log.files.insert(name.place(), tile.read_data(&stored).unwrap());
    }
    let root = tree_hash(size, &stored).unwrap();
    let text = tlog_tiles::Checkpoint::new(ORIGIN, size, root, "an extension\n").unwrap();
    let mut note = signed_note::Note::new(&text.to_bytes(), &[]).unwrap();
    note.add_sigs(&[&their_signer()]).unwrap();
    (log, stored, note.to_bytes())
}

/// The key of [`key`], as they write secrets.
fn their_signer() -> StandardSigner {
    let public = [&[0x01][..], key().verifier_key().public_key()].concat();
    let id = signed_note::key_id(ORIGIN, &public);
    let secret = STANDARD.encode([&[0x01][..], &[1; 32]].concat());
    StandardSigner::new(&format!("PRIVATE+KEY+{ORIGIN}+{id:08x}+{secret}")).unwrap()
}

#[test]
fn a_log_of_theirs_is_believed_by_us() {
    for size in [1, 255, 256, 257, 1000, 66_000] {
        let (mut log, stored, note) = log_of_theirs(size);
        let opened = trust(&[], 0).open(&note).unwrap();
        let Checkpoint { root, .. } = *opened.checkpoint();
        assert_eq!(opened.checkpoint().size, size);
        let mut nodes = TileNodes::new(&mut log, size);
        assert_eq!(tree::root(&mut nodes, size).unwrap(), root);
        for index in some(size) {
            let proof = ours(&prove_record(size, index, &stored).unwrap());
            tree::verify_inclusion(&Hash::leaf(&entry(index)), index, size, &proof, &root).unwrap();
            let old = index + 1;
            let old_root = Hash(tree_hash(old, &stored).unwrap().0);
            let proof = ours(&prove_tree(size, old, &stored).unwrap());
            tree::verify_consistency((old, &old_root), (size, &root), &proof).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_of_theirs_is_cosigned_by_us() {
    let (_, _, bytes) = log_of_theirs(300);
    let witness = TestKey::new("witness.example", KeyKind::Witness, 2);
    let mut note = Note::parse(&bytes).unwrap();
    note.add([cosign(&note, 1_700_000_000, &witness)]);
    let opened = trust(&[&witness], 1).open(note.to_string().as_bytes()).unwrap();
    assert_eq!(opened.witnessed(), [("witness.example".to_owned(), 1_700_000_000)]);
    assert_eq!(cosigners(&note, &[]).unwrap(), []);
}

proptest! {
    #[test]
    fn files_have_the_names_that_they_give_them(level in 0u8..8, index in 0u64..1 << 50, width in 1u32..=256) {
        let tile = Tile::new(8, level, index, width, false);
        let name: TileName = our_name(&tile).parse().unwrap();
        prop_assert_eq!(name.width(), u64::from(width));
        prop_assert_eq!(name.place(), Place { content: Content::Hashes(level), index });
        prop_assert_eq!(name.to_string(), our_name(&tile));
    }
}

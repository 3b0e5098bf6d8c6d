//! Sizes, names and files as a liar would choose them: each is answered, without a panic and without
//! memory for what is only claimed.

use super::{
    checkpoint::{Checkpoint, parse_size},
    proof::Proof,
    tiles::{
        Content, Edge, Files, Place, TileError, TileName, TileNodes, entries, hashes, narrowed,
    },
    tree::{self, Frontier, Hash, TreeError},
};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

/// Numbers at the ends of what can be said, and at the ends of tiles.
fn size() -> impl Strategy<Value = u64> {
    let power = (0u32..64, 0u64..3).prop_map(|(bits, off)| (1u64 << bits).wrapping_sub(1) + off);
    prop_oneof![
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(i64::MAX as u64),
        power,
        0u64..1000,
        any::<u64>()
    ]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![Just(Content::Entries), (0u8..=u8::MAX).prop_map(Content::Hashes)]
}

/// A log that answers each question with the same bytes, of the right length or not.
struct Liar {
    fits: bool,
    asked: usize,
}

impl Files for Liar {
    type Error = LiarError;

    fn file(&mut self, name: &TileName) -> Result<Vec<u8>, LiarError> {
        self.asked += 1;
        let len = usize::try_from(name.width()).unwrap() * Hash::LEN;
        Ok(vec![7; if self.fits { len } else { len + 1 }])
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum LiarError {
    #[error(transparent)]
    Tile(#[from] TileError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

proptest! {
    #[test]
    fn any_size_has_few_files_at_its_edge_with_names_that_are_read_again(size in size()) {
        let places = Edge::places(size);
        prop_assert!(places.len() <= 9);
        for place in places {
            let name = TileName::of(place, size).unwrap();
            prop_assert!(name.width() < 256);
            prop_assert_eq!(name.to_string().parse::<TileName>(), Ok(name));
        }
    }

    #[test]
    fn any_place_is_a_file_of_a_log_or_is_not(content in content(), index in size(), size in size()) {
        if let Some(name) = TileName::of(Place { content, index }, size) {
            prop_assert!(index <= size / 256 && (1..=256).contains(&name.width()));
        }
    }

    #[test]
    fn any_bytes_are_a_file_or_are_not(
        content in content(), index in size(), size in size(), bytes in vec(any::<u8>(), 0..700),
    ) {
        let place = Place { content, index };
        if let Some(name) = TileName::of(place, size) {
            let _ = (hashes(&name, &bytes).is_ok(), entries(&name, &bytes).is_ok());
            let short = narrowed(&name, &bytes);
            prop_assert!(short.is_none_or(|short| bytes.starts_with(&short)));
        }
        let files = Edge::places(size).into_iter().map(|place| (place, bytes.clone()));
        let edge = Edge::new(size, files.collect());
        prop_assert!(edge.is_err() || size < 256, "{} bytes are not {size} entries", bytes.len());
        let empty = Edge::new(size, BTreeMap::new());
        prop_assert!(empty.is_err() || Edge::places(size).is_empty());
    }

    #[test]
    fn a_lying_log_is_asked_little_and_proves_nothing(
        fits: bool, size in size(), old in size(), index in size(),
    ) {
        let mut liar = Liar { fits, asked: 0 };
        let mut nodes = TileNodes::new(&mut liar, size);
        let root = tree::root(&mut nodes, size);
        prop_assert!(root.is_ok() == (fits || size == 0));
        let honest = Hash::leaf(b"entry");
        if let (Ok(root), Ok(proof)) = (root, tree::inclusion_proof(&mut nodes, index, size)) {
            let proved = tree::verify_inclusion(&honest, index, size, &proof, &root);
            prop_assert!(proved.is_err());
        }
        if let Ok(proof) = tree::consistency_proof(&mut nodes, old, size) {
            prop_assert!(proof.len() <= 65, "one for each level, and where the older tree ends");
        }
        prop_assert!(liar.asked <= 9 * 3, "{} files", liar.asked);
    }

    #[test]
    fn no_tree_is_too_large_to_grow(size in size(), count in 0usize..70) {
        let parts = vec![Hash([1; 32]); count];
        if let Some(mut frontier) = Frontier::from_parts(size, parts) {
            frontier.push(Hash::leaf(b"next"), |_, _, _| {});
            prop_assert_eq!(frontier.size(), size + 1);
            prop_assert_ne!(frontier.root(), Hash::of_nothing());
        }
    }

    #[test]
    fn texts_with_any_numbers_are_answered(number in size(), count in 0usize..70) {
        let hash = Hash([1; 32]);
        let read = Checkpoint::parse(&format!("log.example\n{number}\n{hash}\n"));
        prop_assert_eq!(read.is_ok(), i64::try_from(number).is_ok());
        prop_assert_eq!(parse_size(&number.to_string()).is_some(), i64::try_from(number).is_ok());
        let hashes = format!("{hash}\n").repeat(count);
        let proof = format!(
            "c2sp.org/tlog-proof@v1\nextra AAAA\nindex {number}\n{hashes}\nlog.example\n{number}\n{hash}\n\n— log.example AAAAAAAA\n"
        );
        let proof = Proof::parse(proof.as_bytes());
        prop_assert_eq!(proof.is_ok(), i64::try_from(number).is_ok() && count <= 64);
    }

    #[test]
    fn any_bytes_after_a_proofs_first_line_are_answered(bytes in vec(any::<u8>(), 0..300)) {
        let proof = [b"c2sp.org/tlog-proof@v1\nextra AAAA\n", &bytes[..]].concat();
        prop_assert!(Proof::parse(&proof).is_err());
    }
}

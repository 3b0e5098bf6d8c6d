//! Names, tiles and edges.

use super::{super::tree, *};
use proptest::prelude::*;

/// A log that keeps its files in memory, as a database would.
#[derive(Default)]
struct Kept {
    files: BTreeMap<Place, Vec<u8>>,
}

impl Files for Kept {
    type Error = TestError;

    fn file(&mut self, name: &TileName) -> Result<Vec<u8>, TestError> {
        let kept = self.files.get(&name.place()).ok_or(TestError::Missing)?;
        narrowed(name, kept).ok_or(TestError::Missing)
    }
}

#[derive(Debug, Error)]
enum TestError {
    #[error("missing")]
    Missing,
    #[error(transparent)]
    Tile(#[from] TileError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// Adds entries in rounds of the given lengths, going on from the files alone each time.
fn grown(rounds: &[u64]) -> (Kept, Frontier) {
    let (mut kept, mut size, mut frontier) = (Kept::default(), 0, Frontier::new());
    for count in rounds {
        let open = Edge::places(size).into_iter();
        let files = open.map(|place| (place, kept.files[&place].clone())).collect();
        let mut edge = Edge::new(size, files).unwrap();
        assert_eq!(edge.frontier(), &frontier);
        for _ in 0..*count {
            assert_eq!(edge.push(&entry(size)).unwrap(), size);
            size += 1;
        }
        kept.files.extend(edge.take_changed());
        frontier = edge.frontier().clone();
    }
    (kept, frontier)
}

#[test]
fn names_are_those_of_the_specification() {
    let name = |text: &str| text.parse::<TileName>();
    for text in ["tile/0/000", "tile/7/x001/x234/067", "tile/entries/255", "tile/1/x001/000.p/255"]
    {
        assert_eq!(name(text).unwrap().to_string(), text);
    }
    assert_eq!(TileName::full(Content::Hashes(3), 1_234_067).to_string(), "tile/3/x001/x234/067");
    for text in [
        "tile/8/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/+1/000",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "checkpoint",
        "",
    ] {
        assert_eq!(name(text), Err(NameError), "{text}");
    }
}

#[test]
fn widths_are_those_of_the_specifications_example() {
    let names =
        |size| Edge::places(size).into_iter().map(move |place| TileName::of(place, size).unwrap());
    let names: Vec<_> = names(70_000).map(|name| name.to_string()).collect();
    assert_eq!(
        names,
        ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"]
    );
    let place = Place { content: Content::Hashes(0), index: 1 };
    assert_eq!(TileName::of(place, 256), None);
}

#[test]
fn a_log_goes_on_from_its_files_and_proves_all_of_them() {
    let (mut kept, frontier) = grown(&[1, 255, 1, 0, 300, 511]);
    let size = frontier.size();
    let mut nodes = TileNodes::new(&mut kept, size);
    assert_eq!(tree::root(&mut nodes, size).unwrap(), frontier.root());
    for index in [0, 1, 255, 256, 511, 512, 1023, size - 1] {
        let proof = tree::inclusion_proof(&mut nodes, index, size).unwrap();
        let leaf = Hash::leaf(&entry(index));
        tree::verify_inclusion(&leaf, index, size, &proof, &frontier.root()).unwrap();
    }
    for old in [1, 255, 256, 257, 557, 1000] {
        let proof = tree::consistency_proof(&mut nodes, old, size).unwrap();
        let old_root = tree::root(&mut nodes, old).unwrap();
        let (old, new) = ((old, &old_root), (size, &frontier.root()));
        tree::verify_consistency(old, new, &proof).unwrap();
    }
}

#[test]
fn bundles_hold_what_was_added() {
    let (mut kept, frontier) = grown(&[200, 200]);
    for (index, width) in [(0, 256), (1, 144)] {
        let place = Place { content: Content::Entries, index };
        let name = TileName::of(place, frontier.size()).unwrap();
        assert_eq!(name.width(), width);
        let bytes = kept.file(&name).unwrap();
        let found = entries(&name, &bytes).unwrap();
        assert_eq!(found[7], entry(index * WIDTH + 7));
    }
}

#[test]
fn files_that_are_cut_or_longer_are_refused() {
    let (kept, _) = grown(&[3]);
    for (place, file) in &kept.files {
        let name = TileName::of(*place, 3).unwrap();
        for changed in [&file[..file.len() - 1], &[file.as_slice(), &[0]].concat()[..]] {
            let refused = match place.content {
                Content::Hashes(_) => hashes(&name, changed).is_err(),
                Content::Entries => entries(&name, changed).is_err(),
            };
            assert!(refused, "{name}");
            let mut files = kept.files.clone();
            files.insert(*place, changed.to_vec());
            assert!(Edge::new(3, files).is_err(), "{name}");
        }
    }
    assert!(Edge::new(3, BTreeMap::new()).is_err());
    let long = vec![0; MAX_ENTRY + 1];
    assert_eq!(Edge::default().push(&long), Err(TooLong { len: MAX_ENTRY + 1 }));
}

proptest! {
    #[test]
    fn any_text_is_a_name_or_is_not(text in "(tile/)?[0-9a-z/.x]{0,24}") {
        if let Ok(name) = text.parse::<TileName>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn a_narrower_file_is_what_an_earlier_tree_had(size in 1u64..600, more in 0u64..300) {
        let (mut early, _) = grown(&[size]);
        let (mut late, _) = grown(&[size, more]);
        for place in Edge::places(size) {
            let name = TileName::of(place, size).unwrap();
            prop_assert_eq!(early.file(&name).unwrap(), late.file(&name).unwrap());
        }
    }
}

//! The corpus once more, without a fuzzer: each file, cut short anywhere, and changed.

use std::{fs, path::Path};

/// Those that begin with a database or an engine each time: fewer places are cut and changed.
const SLOW: [&str; 5] = ["database", "from_c", "helper", "leader", "requests"];

#[test]
fn nothing_in_the_corpus_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in sottovoce_fuzz::TARGETS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        let places = if SLOW.contains(&name) { 16 } else { 512 };
        for file in files {
            replay(target, &fs::read(file.expect(name).path()).expect(name), places);
        }
    }
}

/// A file as it is, and then at no more than so many places, which lie as far apart.
fn replay(target: fn(&[u8]), data: &[u8], places: usize) {
    target(data);
    let apart = data.len().min(512).div_ceil(places).max(1);
    for at in (0..data.len().min(512)).step_by(apart) {
        target(&data[..at]);
        for value in [0, 1, 0x7f, 0xff, data[at] ^ 1] {
            let mut changed = data.to_vec();
            changed[at] = value;
            target(&changed);
        }
    }
}

//! The corpus once more, without a fuzzer: each file, cut short anywhere, and changed.

use std::{fs, path::Path};

#[test]
fn nothing_in_the_corpus_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in sottovoce_fuzz::TARGETS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            replay(target, &fs::read(file.expect(name).path()).expect(name));
        }
    }
}

fn replay(target: fn(&[u8]), data: &[u8]) {
    target(data);
    for at in 0..data.len().min(512) {
        target(&data[..at]);
        for value in [0, 1, 0x7f, 0xff, data[at] ^ 1] {
            let mut changed = data.to_vec();
            changed[at] = value;
            target(&changed);
        }
    }
}

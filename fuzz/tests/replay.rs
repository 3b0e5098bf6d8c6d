//! The corpus once more, without a fuzzer: each file, cut short anywhere, and changed.

use std::{fs, path::Path};

/// At how many places of a file it is cut and changed: fewer where each time begins with a database, an
/// engine or a task.
fn places(target: &str) -> usize {
    match target {
        "database" | "device" | "from_c" | "helper" | "leader" | "requests" => 16,
        "configurations" | "task_files" => 64,
        _ => 512,
    }
}

#[test]
fn nothing_in_the_corpus_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in sottovoce_fuzz::TARGETS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            replay(target, &fs::read(file.expect(name).path()).expect(name), places(name));
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

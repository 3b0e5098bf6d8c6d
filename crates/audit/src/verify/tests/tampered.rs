//! Files of a log that somebody altered, or keys that are not its own.

use super::{super::state::State, stage::*};
use sottovoce_dap::role::Role;
use sottovoce_log::{
    checkpoint::{Signer, TestKey},
    entry::{Event, KeyChange},
    note::KeyKind,
};
use std::{collections::BTreeMap, fs};

#[test]
fn whatever_byte_of_whatever_file_is_altered_it_shows() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let files = files(&stage.leader.folder);
    assert!(files.len() >= 3);
    for (path, bytes) in &files {
        let step = (bytes.len() / 25).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            for altered in [changed.as_slice(), &bytes[..at]] {
                fs::write(path, altered).unwrap();
                stage.state = State::default();
                let outcome = stage.verify();
                let held = outcome.as_ref().is_ok_and(|outcome| outcome.holds);
                assert!(!held, "byte {at} of {}", path.display());
            }
        }
        fs::write(path, bytes).unwrap();
    }
    stage.holds();
}

#[test]
fn an_entry_a_tile_and_a_root_that_were_altered_are_told_apart() {
    let mut stage = Stage::new();
    stage.release(20);
    let good = files(&stage.leader.folder);
    let alter = |wanted: &str| {
        let (path, bytes) =
            good.iter().find(|(p, _)| p.to_str().unwrap().contains(wanted)).unwrap();
        let mut changed = bytes.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        fs::write(path, changed).unwrap();
    };
    alter("tile/0/");
    assert!(stage.violated("log").contains("a tile was altered"));
    put(&stage.leader.folder, &good);
    alter("tile/entries/");
    assert!(stage.violated("log").contains("a tile was altered"), "the tile tells of the entry");
    put(&stage.leader.folder, &good);
    fs::remove_dir_all(stage.leader.folder.join("tile")).unwrap();
    let error = stage.verify().unwrap_err().to_string();
    assert!(error.contains("the log is incomplete"), "{error}");
}

#[test]
fn a_log_that_was_rolled_back_or_forked_since_the_last_audit_is_told() {
    let mut stage = Stage::new();
    let early = files(&stage.leader.folder);
    stage.release(20);
    stage.holds();
    let late = files(&stage.leader.folder);
    put(&stage.leader.folder, &early);
    assert!(stage.violated("log").contains("rolled back"));
    // The same length, and other entries.
    let mut other = Log::new(Role::Leader, stage.leader.folder.clone(), 1);
    for index in 0..stage.leader.edge.frontier().size() {
        other.add(index, Event::Started("another".to_owned()));
    }
    fs::remove_dir_all(&other.folder).unwrap();
    other.write();
    assert!(stage.violated("log").contains("rewritten or forked"));
    other.add(99, Event::Started("and longer".to_owned()));
    other.write();
    assert!(stage.violated("log").contains("does not continue the one of the last audit"));
    put(&stage.leader.folder, &late);
    stage.holds();
}

#[test]
fn a_log_of_another_name_or_key_is_told() {
    let mut stage = Stage::new();
    let own = files(&stage.leader.folder);
    put(&stage.leader.folder, &BTreeMap::new());
    fs::create_dir_all(&stage.leader.folder).unwrap();
    for (path, bytes) in files(&stage.helper.folder) {
        let path = stage.leader.folder.join(path.strip_prefix(&stage.helper.folder).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    assert!(stage.violated("log").contains("is of the log helper.example/log"));
    put(&stage.leader.folder, &own);
    stage.leader.key = TestKey::new("leader.example/log", KeyKind::Log, 9);
    assert!(stage.violated("log").contains("is not signed by leader.example/log"));
}

#[test]
fn a_rotated_key_is_believed_because_the_log_said_so_under_the_old_one() {
    let mut stage = Stage::new();
    let next = TestKey::new("leader.example/log", KeyKind::Log, 7);
    let added = Event::LogKey(KeyChange::Added, next.verifier_key().clone());
    stage.leader.add(stage.now - DAY, added);
    stage.leader.write_signed(&[&next]);
    stage.holds();
    // From now on only the new key signs; the auditor still names the old one.
    let trusted = std::mem::replace(&mut stage.leader.key, next);
    stage.leader.add(stage.now, Event::LogKey(KeyChange::Retired, trusted.verifier_key().clone()));
    stage.leader.write();
    stage.leader.key = trusted;
    stage.holds();
    stage.state = State::default();
    assert!(!stage.verify().unwrap().holds, "who saw nothing of it has to name the new key");
}

#[test]
fn who_goes_on_with_a_key_that_the_log_retired_is_told() {
    let mut stage = Stage::new();
    let next = TestKey::new("leader.example/log", KeyKind::Log, 7);
    let old = stage.leader.key.verifier_key().clone();
    let added = Event::LogKey(KeyChange::Added, next.verifier_key().clone());
    stage.leader.add(stage.now - DAY, added);
    stage.leader.add(stage.now - DAY, Event::LogKey(KeyChange::Retired, old));
    stage.leader.write_signed(&[&next]);
    stage.holds();
    stage.leader.write();
    assert!(stage.violated("retired-key").contains("an old key"));
}

#[test]
fn what_stands_in_a_checkpoints_place_and_is_none_proves_nothing() {
    let mut stage = Stage::new();
    let checkpoint = stage.leader.folder.join("checkpoint");
    let text = fs::read_to_string(&checkpoint).unwrap();
    for instead in ["<html>502 Bad Gateway</html>\n", "", &text[..text.len() - 5]] {
        fs::write(&checkpoint, instead).unwrap();
        let error = stage.verify().unwrap_err().to_string();
        assert!(error.contains("could not be verified"), "{error}");
    }
    fs::remove_file(&checkpoint).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&checkpoint).status().unwrap().success());
    let error = stage.verify().unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

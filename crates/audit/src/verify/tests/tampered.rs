//! Files of a log that somebody altered, or keys that are not its own.

use super::{super::state::State, stage::*};
use sottovoce_dap::role::Role;
use sottovoce_log::{
    checkpoint::{Signer, TestKey, Trust},
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
    assert!(stage.violated("log").contains("rewritten or forked"));
    put(&stage.leader.folder, &late);
    stage.holds();
}

#[test]
fn history_that_was_altered_or_deleted_since_the_last_audit_shows_though_nothing_is_new() {
    let mut stage = Stage::new();
    stage.release(20);
    let first = stage.holds();
    let again = stage.holds();
    let read = &again.logs[0];
    assert_eq!((first.logs[0].reread, read.new, read.reread), (0, 0, read.size));
    let files = files(&stage.leader.folder);
    let tiles = files.iter().filter(|(path, _)| path.to_str().unwrap().contains("/tile/"));
    for (path, bytes) in tiles {
        for at in (0..bytes.len()).step_by((bytes.len() / 20).max(1)) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(path, changed).unwrap();
            let held = stage.verify().is_ok_and(|outcome| outcome.holds);
            assert!(!held, "byte {at} of {}", path.display());
        }
        fs::remove_file(path).unwrap();
        assert!(stage.verify().is_err(), "{} is gone", path.display());
        fs::write(path, bytes).unwrap();
    }
    stage.holds();
}

#[test]
fn a_long_history_is_read_again_in_turns_and_altered_entries_show_in_theirs() {
    let mut stage = Stage::new();
    for index in 0..3 * 256 {
        stage.leader.add(index, Event::Started("again".to_owned()));
    }
    stage.leader.write();
    stage.bounds.reread = 256;
    stage.holds();
    // The first bundle and its tile, both changed so that they fit each other.
    let mut other = Log::new(Role::Leader, stage.leader.folder.with_extension("other"), 1);
    for index in 0..256 {
        other.add(index, Event::Started("another".to_owned()));
    }
    other.write();
    let altered = ["tile/entries/000", "tile/0/000"];
    let place = |log: &Log, name: &str| log.folder.join(name);
    let kept = altered.map(|name| fs::read(place(&stage.leader, name)).unwrap());
    for name in altered {
        fs::copy(place(&other, name), place(&stage.leader, name)).unwrap();
    }
    assert!(stage.violated("log").contains("inclusion proof"));
    for (name, bytes) in altered.iter().zip(&kept) {
        fs::write(place(&stage.leader, name), bytes).unwrap();
    }
    // One entry alone, in the second bundle: it shows in its turn.
    let second = place(&stage.leader, "tile/entries/001");
    let mut bytes = fs::read(&second).unwrap();
    bytes[20] ^= 1;
    fs::write(&second, bytes).unwrap();
    let verdicts: Vec<_> = (0..3).map(|_| stage.verify().is_ok_and(|it| it.holds)).collect();
    assert_eq!(verdicts, [true, false, false]);
}

#[test]
fn a_log_that_was_forked_or_rolled_back_is_told_also_if_witnesses_are_missing() {
    let mut stage = Stage::new();
    let early = files(&stage.leader.folder);
    stage.release(20);
    stage.holds();
    let witness = TestKey::new("witness.example", KeyKind::Witness, 9);
    let unwitnessed = |stage: &mut Stage| {
        let mut logs = [stage.leader.audited(), stage.helper.audited()];
        for log in &mut logs {
            let (keys, witness) = (log.trust.keys().to_vec(), witness.verifier_key().clone());
            log.trust = Trust::new(keys, vec![witness], 1).unwrap();
        }
        let programs = [stage.program.clone()];
        stage.verify_of(&logs, &programs, false)
    };
    assert!(unwitnessed(&mut stage).unwrap_err().to_string().contains("witnesses"));
    put(&stage.leader.folder, &early);
    assert!(violation(&unwitnessed(&mut stage).unwrap(), "log").contains("rolled back"));
    let mut other = Log::new(Role::Leader, stage.leader.folder.clone(), 1);
    for index in 0..stage.leader.edge.frontier().size() {
        other.add(index, Event::Started("another".to_owned()));
    }
    fs::remove_dir_all(&other.folder).unwrap();
    other.write();
    assert!(violation(&unwitnessed(&mut stage).unwrap(), "log").contains("rewritten or forked"));
    other.add(99, Event::Started("and longer".to_owned()));
    other.write();
    let outcome = unwitnessed(&mut stage).unwrap();
    assert!(violation(&outcome, "log").contains("rewritten or forked"));
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

use super::*;
use sottovoce_log::{
    checkpoint::{Checkpoint, TestKey},
    note::{KeyKind, KeyName},
    tree::{Frontier, Hash},
};
use std::thread;
use tempfile::TempDir;

const ORIGIN: &str = "leader.example/log";
const NOW: u64 = 1_700_000_000;

fn log() -> TestKey {
    TestKey::new(ORIGIN, KeyKind::Log, 1)
}

fn key(folder: &TempDir) -> WitnessKey {
    let path = folder.path().join("witness.key");
    if !path.exists() {
        WitnessKey::create(&KeyName::new("witness.example").unwrap(), &path).unwrap();
    }
    WitnessKey::read(&path).unwrap()
}

fn open(folder: &TempDir) -> Result<Records, RecordsError> {
    let logs = [ORIGIN, "helper.example/log"]
        .map(|name| TestKey::new(name, KeyKind::Log, 1).verifier_key().clone())
        .map(|key| Trust::new(vec![key], vec![], 0).unwrap());
    let records = folder.path().join("records");
    if !folder.path().join("witness.key").exists() {
        Records::create(&records).unwrap();
    }
    Records::open(&records, key(folder), logs.to_vec())
}

fn note(entries: &[&str]) -> Note {
    let mut frontier = Frontier::new();
    for entry in entries {
        frontier.push(Hash::leaf(entry.as_bytes()), |_, _, _| {});
    }
    Checkpoint::new(ORIGIN, &frontier).sign(&[&log()])
}

/// From nothing to these entries, or from the first to two.
fn request(entries: &[&str], old: u64) -> Vec<u8> {
    let proof = if old == 1 { vec![Hash::leaf(entries[1].as_bytes())] } else { vec![] };
    Request::new(old, proof, note(entries)).unwrap().to_string().into_bytes()
}

fn status(result: Result<SignatureLine, NotCosigned>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(NotCosigned::Refused(refusal)) => refusal.status(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_was_cosigned_is_remembered_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    let hash = origin_hash(ORIGIN);
    assert_eq!(records.newest(&hash), None);
    let line = records.add_checkpoint(&request(&["a"], 0), NOW).unwrap();
    let newest = records.newest(&hash).unwrap();
    assert!(newest.ends_with(&line.to_string()), "{newest}");
    drop(records);
    let records = open(&folder).unwrap();
    assert_eq!(records.newest(&hash), Some(newest));
    assert_eq!(records.newest(&origin_hash("helper.example/log")), None);
    assert_eq!(status(records.add_checkpoint(&request(&["b"], 0), NOW)), 409);
    assert_eq!(status(records.add_checkpoint(&request(&["a", "b"], 1), NOW)), 200);
}

#[test]
fn a_refused_request_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&request(&["a"], 0), NOW).unwrap();
    let before = records.newest(&origin_hash(ORIGIN));
    for (body, expected) in [
        (b"nonsense".to_vec(), 400),
        (request(&["a", "b"], 0), 409),
        (Request::new(1, vec![], note(&["b"])).unwrap().to_string().into_bytes(), 422),
        (Request::new(1, vec![Hash([1; 32])], note(&["a", "b"])).unwrap().to_string().into(), 422),
    ] {
        assert_eq!(status(records.add_checkpoint(&body, NOW)), expected);
        assert_eq!(records.newest(&origin_hash(ORIGIN)), before);
    }
}

#[test]
fn a_fork_is_kept_as_evidence_that_anybody_can_check() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&request(&["a"], 0), NOW).unwrap();
    let forked = |entry| Request::new(1, vec![], note(&[entry])).unwrap().to_string().into_bytes();
    for entry in ["b", "c"] {
        assert_eq!(status(records.add_checkpoint(&forked(entry), NOW)), 422);
    }
    let path = folder.path().join("records").join(origin_hash(ORIGIN));
    let read = |end| fs::read(path.with_extension(end)).unwrap();
    let trust = Trust::new(vec![log().verifier_key().clone()], vec![], 0).unwrap();
    let [kept, sent] = ["fork-kept", "fork-sent"].map(|end| trust.open(&read(end)).unwrap());
    assert_eq!(kept.checkpoint().size, sent.checkpoint().size);
    assert_eq!(sent.note().text(), note(&["b"]).text(), "the first is kept");
    assert_ne!(kept.checkpoint().root, sent.checkpoint().root);
}

#[test]
fn what_cannot_be_kept_is_not_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&request(&["a"], 0), NOW).unwrap();
    let before = records.newest(&origin_hash(ORIGIN));
    // A folder where the partial file should be.
    let path =
        folder.path().join("records").join(format!("{}.checkpoint.new", origin_hash(ORIGIN)));
    fs::create_dir(&path).unwrap();
    let refused = records.add_checkpoint(&request(&["a", "b"], 1), NOW).unwrap_err();
    assert!(matches!(refused, NotCosigned::NotKept { .. }), "{refused}");
    assert_eq!(records.newest(&origin_hash(ORIGIN)), before);
    fs::remove_dir(&path).unwrap();
    assert_eq!(status(records.add_checkpoint(&request(&["a", "b"], 1), NOW)), 200);
}

#[test]
fn a_half_written_record_is_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&request(&["a"], 0), NOW).unwrap();
    let newest = records.newest(&origin_hash(ORIGIN));
    drop(records);
    let path =
        folder.path().join("records").join(format!("{}.checkpoint.new", origin_hash(ORIGIN)));
    fs::write(path, "leader.exa").unwrap();
    assert_eq!(open(&folder).unwrap().newest(&origin_hash(ORIGIN)), newest);
}

#[test]
fn damaged_records_stop_the_witness_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&request(&["a"], 0), NOW).unwrap();
    drop(records);
    let path = folder.path().join("records").join(format!("{}.checkpoint", origin_hash(ORIGIN)));
    let good = fs::read_to_string(&path).unwrap();
    for changed in
        [good.replacen("\n1\n", "\n2\n", 1), good[..good.len() - 9].into(), String::new()]
    {
        fs::write(&path, changed).unwrap();
        let error = open(&folder).unwrap_err();
        assert!(matches!(error, RecordsError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(".checkpoint"), "{error}");
    }
    // Another witness's key has not cosigned it.
    fs::write(&path, good).unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("witness.key"), {
        key(&other);
        fs::read(other.path().join("witness.key")).unwrap()
    })
    .unwrap();
    assert!(matches!(open(&folder), Err(RecordsError::Damaged { .. })));
}

#[test]
fn a_witness_without_its_records_does_not_begin_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).unwrap());
    let records = folder.path().join("records");
    assert!(matches!(Records::create(&records), Err(RecordsError::Folder { .. })));
    fs::remove_file(records.join(LOCK)).unwrap();
    assert!(matches!(open(&folder), Err(RecordsError::Missing(_))));
    fs::remove_dir(&records).unwrap();
    assert!(matches!(open(&folder), Err(RecordsError::Missing(_))));
}

#[test]
fn two_witnesses_never_share_records() {
    let folder = tempfile::tempdir().unwrap();
    let _records = open(&folder).unwrap();
    assert!(matches!(open(&folder), Err(RecordsError::InUse(_))));
}

#[test]
fn of_many_forks_at_once_one_is_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    let names: Vec<_> = (0..16).map(|i| format!("entry {i}")).collect();
    let statuses: Vec<_> = thread::scope(|scope| {
        let ask = |name| {
            let body = request(&[name], 0);
            let records = &records;
            scope.spawn(move || status(records.add_checkpoint(&body, NOW)))
        };
        let asked: Vec<_> = names.iter().map(|name| ask(name)).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
}

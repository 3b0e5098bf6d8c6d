use super::*;
use crate::witness::evidence::Evidence;
use sottovoce_log::{
    checkpoint::{Checkpoint, TestKey},
    note::{KeyKind, KeyName, Note},
    tree::{Frontier, Hash, Nodes, TreeError, consistency_proof},
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

/// Of this number of entries of one word, with a proof from `old`, which are all of the same word.
fn grown(word: &str, (old, new): (u64, u64)) -> Vec<u8> {
    struct Plain(Vec<Hash>);
    impl Nodes for Plain {
        type Error = TreeError;

        fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
            let start = usize::try_from(index << level).unwrap();
            let mut frontier = Frontier::new();
            let leaves = &self.0[start..start + (1 << level)];
            for leaf in leaves {
                frontier.push(*leaf, |_, _, _| {});
            }
            Ok(frontier.root())
        }
    }
    let names: Vec<_> = (0..new).map(|i| format!("{word} {i}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let leaves = names.iter().map(|name| Hash::leaf(name.as_bytes())).collect();
    let proof = consistency_proof(&mut Plain(leaves), old, new).unwrap();
    Request::new(old, proof, note(&names)).unwrap().to_string().into_bytes()
}

fn evidence(records: &Records) -> Vec<Evidence> {
    let read = |kept: &Kept| {
        let (hash, name) = kept.path[1..].split_once("/evidence/").unwrap();
        serde_json::from_slice(&records.evidence_of(hash, name).unwrap()).unwrap()
    };
    records.evidence().iter().map(read).collect()
}

fn series(records: &Records, reason: &str) -> String {
    let text = records.prometheus();
    let of = format!("{{log=\"{ORIGIN}\",reason=\"{reason}\"}} ");
    text.lines().find_map(|line| Some(line.split_once(&of)?.1.to_owned())).unwrap()
}

#[test]
fn what_contradicts_is_kept_as_evidence_that_anybody_can_check() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    let trust = Trust::new(vec![log().verifier_key().clone()], vec![], 0).unwrap();
    assert_eq!(status(records.add_checkpoint(&grown("true", (0, 5)), NOW)), 200);
    for (body, expected, reason) in [
        (grown("other", (5, 5)), 422, "fork"),
        (grown("other", (5, 9)), 422, "fork"),
        // Also where the log did not know what was cosigned last.
        (grown("another", (0, 5)), 409, "fork"),
        (grown("true", (0, 3)), 409, "rollback"),
        (
            Request::new(5, vec![], note(&["a"; 9])).unwrap().to_string().into_bytes(),
            422,
            "bad_proof",
        ),
        (grown("true", (0, 7)), 409, "old_size"),
    ] {
        let before: u64 = series(&records, reason).parse().unwrap();
        assert_eq!(status(records.add_checkpoint(&body, NOW)), expected, "{reason}");
        assert_eq!(series(&records, reason), (before + 1).to_string(), "{reason}");
    }
    let kept = evidence(&records);
    let found: Vec<_> = kept.iter().map(|one| one.check(&trust).unwrap()).collect();
    let expected = [
        Contradiction::TwoRoots,
        Contradiction::OtherBeginning,
        Contradiction::TwoRoots,
        Contradiction::Shorter,
        Contradiction::BadProof,
    ];
    assert_eq!(found, expected);
    assert!(kept.iter().zip(found).all(|(one, found)| one.proven == found.is_proof()));
    let stranger = TestKey::new(ORIGIN, KeyKind::Log, 7).verifier_key().clone();
    let stranger = Trust::new(vec![stranger], vec![], 0).unwrap();
    assert!(kept.iter().all(|one| one.check(&stranger).is_err()), "by the log's key only");
    drop(records);
    let mut again = evidence(&open(&folder).unwrap());
    again.sort_by_key(|one| kept.iter().position(|other| one == other));
    assert_eq!(again, kept, "the next process has it too");
}

#[test]
fn evidence_is_bounded_and_what_proves_nothing_does_not_displace_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&grown("true", (0, 40)), NOW).unwrap();
    for size in 1..30 {
        for _ in 0..2 {
            assert_eq!(status(records.add_checkpoint(&grown("true", (0, size)), NOW)), 409);
        }
        let forked = grown(&format!("fork {size}"), (40, 41));
        assert_eq!(status(records.add_checkpoint(&forked, NOW)), 422);
    }
    let count = |proven| records.evidence().iter().filter(|one| one.proven == proven).count();
    assert_eq!((count(true), count(false)), (16, 16));
    // A day later, one more: in the place of the oldest.
    let old: Vec<_> = evidence(&records);
    records.add_checkpoint(&grown("true", (0, 30)), NOW + 86_400).unwrap_err();
    records.add_checkpoint(&grown("fork", (40, 42)), NOW + 86_400).unwrap_err();
    assert_eq!((count(true), count(false)), (16, 16));
    let new = evidence(&records);
    assert_eq!(new.iter().filter(|one| !old.contains(one)).count(), 1);
}

#[test]
fn signatures_of_strangers_and_files_of_others_are_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder).unwrap();
    records.add_checkpoint(&grown("true", (0, 5)), NOW).unwrap();
    let request = String::from_utf8(grown("other", (5, 5))).unwrap();
    let stranger = "\u{2014} stranger.example AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let signed = format!("{request}{stranger}");
    assert_eq!(status(records.add_checkpoint(signed.as_bytes(), NOW)), 422);
    assert!(!evidence(&records)[0].sent.contains("stranger"));
    drop(records);
    let hash = origin_hash(ORIGIN);
    let path = folder.path().join("records").join(format!("{hash}.evidence-00.json"));
    fs::write(&path, "{}").unwrap();
    let records = open(&folder).unwrap();
    assert_eq!(records.evidence().len(), 1);
    for (hash, name) in [(&hash[..], "00"), (&hash, "../x"), ("x", "y")] {
        assert_eq!(records.evidence_of(hash, name), None);
    }
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

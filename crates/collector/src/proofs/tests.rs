use super::*;
use sottovoce_dap::{
    aggregate::Checksum,
    codec::{Encode, Opaque},
    hpke::HpkeConfigId,
    time::Time,
};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer, TestKey},
    entry::Entry,
    note::KeyKind,
    tree::{Frontier, Hash},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const ORIGIN: &str = "leader.example/log";

fn share(byte: u8) -> HpkeCiphertext {
    HpkeCiphertext {
        config_id: HpkeConfigId(1),
        enc: Opaque::try_from(vec![byte; 32]).unwrap(),
        payload: Opaque::try_from(vec![byte; 40]).unwrap(),
    }
}

fn interval(start: u64, duration: u64) -> Interval {
    Interval::new(Time(start), duration).unwrap()
}

fn response() -> CollectionJobResp {
    CollectionJobResp {
        report_count: 3000,
        interval: interval(101, 2),
        leader_encrypted_agg_share: share(1),
        helper_encrypted_agg_share: share(2),
    }
}

fn release() -> Release {
    Release {
        task: TaskId::new([3; 32]),
        batch: BatchSelector::TimeInterval(interval(100, 4).into()),
        report_count: 3000,
        checksum: Checksum::new([4; 32]),
        interval: interval(101, 2),
        noise: None,
        charged: Vec::new(),
        share: ShareDigest::of(&share(1)),
    }
}

fn key(seed: u8) -> TestKey {
    TestKey::new(ORIGIN, KeyKind::Log, seed)
}

/// The proof of the only entry of a log.
fn proof(event: Event, key: &TestKey) -> Vec<u8> {
    let entry = Entry { time: 1, event }.to_bytes();
    let mut tree = Frontier::new();
    tree.push(Hash::leaf(&entry), |_, _, _| {});
    let checkpoint = Checkpoint::new(ORIGIN, &tree).sign(&[key]);
    Proof { entry, index: 0, hashes: Vec::new(), checkpoint }.to_string().into_bytes()
}

fn checked(event: Event, key: &TestKey) -> Result<Logged, UnprovedError> {
    let trust = Trust::new(vec![self::key(1).verifier_key().clone()], Vec::new(), 0).unwrap();
    let (endpoint, share) = (Url::new("https://leader.example/").unwrap(), share(1));
    let asked = Asked { role: Role::Leader, endpoint: &endpoint, trust: &trust, share: &share };
    let query = Query::TimeInterval(interval(100, 4).into());
    let response = response();
    let expected = Expected { task: TaskId::new([3; 32]), query, response: &response };
    asked.check(&proof(event, key), expected).map(|(logged, _)| logged)
}

#[test]
fn a_proof_of_the_very_share_is_taken() {
    let logged = checked(Event::Release(release()), &key(1)).unwrap();
    assert_eq!((logged.log.as_str(), logged.index), (ORIGIN, 0));
}

/// What differs, and how it comes to.
type Change = (&'static str, fn(&mut Release));

#[test]
fn a_proof_of_anything_else_is_refused_by_what_differs() {
    let changes: [Change; 6] = [
        ("share", |release| release.share = ShareDigest([0; 32])),
        ("task", |release| release.task = TaskId::new([9; 32])),
        ("number of reports", |release| release.report_count += 1),
        ("interval", |release| release.interval = interval(101, 1)),
        ("batch", |release| release.batch = BatchSelector::TimeInterval(interval(99, 5).into())),
        ("batch", |release| release.batch = BatchSelector::TimeInterval(interval(102, 1).into())),
    ];
    for (what, change) in changes {
        let mut release = release();
        change(&mut release);
        let error = checked(Event::Release(release), &key(1)).unwrap_err();
        assert!(matches!(error, UnprovedError::Other { what: found, .. } if found == what));
        assert!(!error.may_pass());
    }
    let error = checked(Event::Started("x".into()), &key(1)).unwrap_err();
    assert!(matches!(error, UnprovedError::Other { what: "kind", .. }), "{error}");
}

#[test]
fn a_proof_by_strangers_is_refused() {
    let error = checked(Event::Release(release()), &key(2)).unwrap_err();
    assert!(matches!(error, UnprovedError::Proof { .. }) && !error.may_pass(), "{error}");
}

#[test]
fn logs_that_contradict_each_other_are_told_by_what_they_differ_in() {
    let other = Release { share: ShareDigest([8; 32]), ..release() };
    agree(&release(), &other).unwrap();
    let other = Release { checksum: Checksum::new([5; 32]), ..release() };
    let error = agree(&release(), &other).unwrap_err();
    assert!(matches!(error, UnprovedError::Disagree("checksum")), "{error}");
}

/// Answers each connection with the next of these, and counts.
async fn serve(listener: TcpListener, answers: Vec<Vec<u8>>) {
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Asks a log that gives these answers, one after the other; and how long it took.
async fn asked(answers: Vec<Vec<u8>>, patience: u64) -> (Result<Logged, UnprovedError>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Url::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let trust = Trust::new(vec![key(1).verifier_key().clone()], Vec::new(), 0).unwrap();
    let share = share(1);
    let asked = Asked { role: Role::Leader, endpoint: &endpoint, trust: &trust, share: &share };
    let (query, response) = (Query::TimeInterval(interval(100, 4).into()), response());
    let expected = Expected { task: TaskId::new([3; 32]), query, response: &response };
    let http = HttpClient::new(Duration::from_secs(5)).unwrap();
    let server = tokio::spawn(serve(listener, answers));
    let started = Instant::now();
    let outcome = asked.wait(&http, expected, started + Duration::from_secs(patience)).await;
    server.abort();
    (outcome.map(|(logged, _)| logged), started.elapsed())
}

#[tokio::test]
async fn a_log_that_asks_for_patience_gets_it_and_is_asked_again() {
    let throttled = answer("429 Too Many Requests", "retry-after: 1\r\n", b"");
    let proof = answer("200 OK", "", &proof(Event::Release(release()), &key(1)));
    let (outcome, waited) = asked(vec![throttled.clone(), proof], 30).await;
    outcome.unwrap();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    let later = answer("503 Service Unavailable", "retry-after: 60\r\n", b"");
    let (outcome, waited) = asked(vec![later], 30).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, UnprovedError::Status { status: 503, .. }), "{error}");
    assert!(waited < Duration::from_secs(10), "no longer than there is patience for: {waited:?}");
    let (outcome, _) = asked(vec![answer("403 Forbidden", "", b"")], 30).await;
    assert!(!outcome.unwrap_err().may_pass(), "a refusal is one");
}

#[test]
fn what_is_not_proved_says_so_for_each_log_in_words_and_json() {
    let reason = |words: &str| Some(words.to_owned());
    let unproved =
        Unproved { leader: reason("one"), helper: reason("other"), ..Unproved::default() };
    assert_eq!(unproved.to_string(), "one; other");
    assert_eq!(
        serde_json::to_string(&Unproved { helper: None, ..unproved }).unwrap(),
        r#"{"leader":"one"}"#
    );
}

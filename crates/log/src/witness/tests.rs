use super::{
    super::{
        note::KeyKind,
        tree::{Frontier, Nodes, consistency_proof},
    },
    *,
};
use crate::checkpoint::TestKey;
use proptest::prelude::*;

const ORIGIN: &str = "leader.example/log";
const NOW: u64 = 1_700_000_000;

/// The specification's example of a request.
const EXAMPLE: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

/// A log of `entries`, as its own nodes.
struct Tree(Vec<Hash>);

impl Nodes for Tree {
    type Error = TreeError;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
        let start = usize::try_from(index << level).unwrap();
        Ok(frontier(&self.0[start..start + (1 << level)]).root())
    }
}

fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf, |_, _, _| {});
    }
    frontier
}

fn tree(size: u64, word: &str) -> Tree {
    Tree((0..size).map(|i| Hash::leaf(format!("{word} {i}").as_bytes())).collect())
}

fn log() -> TestKey {
    TestKey::new(ORIGIN, KeyKind::Log, 1)
}

fn witness() -> TestKey {
    TestKey::new("witness.example", KeyKind::Witness, 2)
}

fn trust() -> Trust {
    Trust::new(vec![log().verifier_key().clone()], vec![], 0).unwrap()
}

fn checkpoint(size: u64, word: &str) -> Checkpoint {
    Checkpoint::new(ORIGIN, &frontier(&tree(size, word).0))
}

fn request(old: u64, new: u64) -> Request {
    let proof = consistency_proof(&mut tree(new, "entry"), old, new).unwrap();
    Request::new(old, proof, checkpoint(new, "entry").sign(&[&log()])).unwrap()
}

fn consider(request: &Request, recorded: Option<&Checkpoint>) -> Result<Cosigned, Refusal> {
    request.consider(&trust(), recorded, NOW, &witness())
}

#[test]
fn the_specifications_request_is_read_and_written() {
    let request = Request::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
    assert_eq!(request.checkpoint().size, 20_852_163);
    assert_eq!(request.to_string(), EXAMPLE);
    let unknown = request.log(&[trust()]).unwrap_err();
    assert_eq!(unknown.status(), 404, "{unknown}");
}

#[test]
fn a_log_that_only_grows_is_cosigned_each_time() {
    let mut recorded = None;
    let mut old = 0;
    for new in [0, 1, 2, 2, 7, 8, 300] {
        let request = request(old, new);
        assert_eq!(Request::parse(request.to_string().as_bytes()).unwrap(), request);
        let cosigned = consider(&request, recorded.as_ref()).unwrap();
        assert_eq!(cosigned.checkpoint(), request.checkpoint());
        let key = witness().verifier_key().clone();
        let seen = cosigners(cosigned.note(), std::slice::from_ref(&key)).unwrap();
        assert_eq!(seen, [(&key, NOW)]);
        cosigned.note().signed_by(trust().keys()).unwrap();
        (old, recorded) = (new, Some(cosigned.checkpoint().clone()));
    }
}

#[test]
fn a_proof_from_elsewhere_is_told_where_to_begin() {
    let refusal = consider(&request(3, 9), Some(&checkpoint(5, "entry"))).unwrap_err();
    assert_eq!((refusal.status(), refusal.body()), (409, (SIZE_MEDIA_TYPE, "5\n".into())));
    let never = consider(&request(3, 9), None).unwrap_err();
    assert_eq!((never.status(), never.body().1), (409, "0\n".into()));
    // Even a log that is behind, or one that is there already.
    let behind = consider(&request(0, 4), Some(&checkpoint(5, "entry"))).unwrap_err();
    assert_eq!(behind, Refusal::Conflict { recorded: 5, old: 0 });
}

#[test]
fn a_log_that_forked_is_never_cosigned() {
    let other = checkpoint(5, "other");
    let forked = consider(&request(5, 5), Some(&other)).unwrap_err();
    assert_eq!((forked.status(), &forked), (422, &Refusal::Forked(5)));
    let rewritten = consider(&request(5, 9), Some(&other)).unwrap_err();
    assert_eq!(rewritten, Refusal::Inconsistent(TreeError::Inconsistent));
    assert_eq!(rewritten.status(), 422);
    let note = Checkpoint { root: Hash([7; 32]), ..checkpoint(0, "") }.sign(&[&log()]);
    let empty = consider(&Request::new(0, vec![], note).unwrap(), None).unwrap_err();
    assert_eq!((empty.status(), empty), (422, Refusal::Root));
}

#[test]
fn a_proof_too_long_or_too_short_is_no_proof() {
    let recorded = checkpoint(5, "entry");
    let mut long = request(5, 9);
    long.proof.push(Hash([0; 32]));
    let mut short = request(5, 9);
    short.proof.pop();
    let mut first = request(0, 9);
    first.proof.push(Hash([0; 32]));
    let mut same = request(5, 5);
    same.proof.push(Hash([0; 32]));
    for (request, recorded) in
        [(long, Some(&recorded)), (short, Some(&recorded)), (first, None), (same, Some(&recorded))]
    {
        let refusal = consider(&request, recorded).unwrap_err();
        assert!(matches!(refusal, Refusal::Inconsistent(TreeError::Length { .. })), "{refusal}");
        assert_eq!(refusal.status(), 422);
    }
}

#[test]
fn only_what_the_log_signed_is_cosigned() {
    let stranger = TestKey::new(ORIGIN, KeyKind::Log, 9);
    let unsigned = checkpoint(3, "entry").sign(&[&stranger]);
    let refusal = consider(&Request::new(0, vec![], unsigned).unwrap(), None).unwrap_err();
    assert_eq!(refusal.status(), 403, "{refusal}");
    // A wrong signature beside a right one spoils the note; a stranger's does not.
    let mut both = checkpoint(3, "entry").sign(&[&stranger, &log()]);
    let mut spoiled = both.clone();
    let mut line = log().verifier_key().line(&[1; 64]);
    line.signature[5] ^= 1;
    spoiled.add([line]);
    let refusal = consider(&Request::new(0, vec![], spoiled).unwrap(), None).unwrap_err();
    assert_eq!(
        (refusal.status(), refusal),
        (403, Refusal::Signature(NoteError::Wrong(ORIGIN.into())))
    );
    both.add([TestKey::new("else.example", KeyKind::Witness, 4).verifier_key().line(&[9; 72])]);
    let cosigned = consider(&Request::new(0, vec![], both).unwrap(), None).unwrap();
    assert_eq!(cosigned.note().signatures().len(), 2, "only the log's and the witness's are kept");
}

#[test]
fn what_was_kept_is_known_by_the_witnesses_own_cosignature() {
    let cosigned = consider(&request(0, 6), None).unwrap();
    let bytes = cosigned.note().to_string().into_bytes();
    let key = witness().verifier_key().clone();
    assert_eq!(Cosigned::parse(&bytes, ORIGIN, &key).unwrap(), cosigned);
    let other = Cosigned::parse(&bytes, "helper.example/log", &key).unwrap_err();
    assert!(matches!(other, CheckpointError::Origin { .. }), "{other}");
    let unknown = TestKey::new("witness.example", KeyKind::Witness, 8);
    let unknown = Cosigned::parse(&bytes, ORIGIN, unknown.verifier_key()).unwrap_err();
    assert!(matches!(unknown, CheckpointError::Quorum { .. }), "{unknown}");
    // Bytes of the log's own signature are the only ones that this does not look at.
    let text = String::from_utf8(bytes.clone()).unwrap();
    let by_log = text.find("— leader").unwrap()..text.find("— witness").unwrap();
    for at in (0..bytes.len()).filter(|at| !by_log.contains(at)) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Cosigned::parse(&changed, ORIGIN, &key).is_err(), "byte {at}");
        assert!(Cosigned::parse(&bytes[..at], ORIGIN, &key).is_err(), "cut at {at}");
    }
}

#[test]
fn a_witness_that_does_not_know_the_time_says_nothing() {
    let refusal = request(0, 1).consider(&trust(), None, 0, &witness()).unwrap_err();
    assert_eq!((refusal.status(), refusal), (503, Refusal::Clock));
}

#[test]
fn requests_that_are_none_are_refused_and_say_why() {
    let good = request(5, 9).to_string();
    for (changed, why) in [
        (good.replacen("old 5", "old 05", 1), "number"),
        (good.replacen("old 5", "old -5", 1), "number"),
        (good.replacen("old 5", "old  5", 1), "number"),
        (good.replacen("old 5", "new 5", 1), "number"),
        (good.replacen("old 5", "old 18446744073709551615", 1), "number"),
        (good.replacen("old 5", "old 9223372036854775808", 1), "number"),
        (good.replacen("old 5", "old 9223372036854775807", 1), "append-only"),
        (good.replacen("old 5", "old 10", 1), "append-only"),
        (good.replacen("old 5\n", "old 5\nAAAA\n", 1), "not a hash"),
        (good.replacen("old 5\n", "old 5\r\n", 1), "number"),
        (
            good.replacen("old 5\n", &format!("old 5\n{}", "A".repeat(43) + "=\n").repeat(64), 1),
            "hash",
        ),
        (good.replacen("\n\n", "\n", 1), "not a hash"),
        (good.trim_end().to_owned(), "not a signed note"),
        ("old 5\n\n".to_owned(), "not a signed note"),
        (String::new(), "empty line"),
    ] {
        let refusal = Request::parse(changed.as_bytes()).unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert!(refusal.to_string().contains(why), "{changed:?}: {refusal}");
    }
    let many = "A".repeat(43) + "=\n";
    let many = good.replacen("old 5\n", &format!("old 5\n{}", many.repeat(61)), 1);
    assert_eq!(
        Request::parse(many.as_bytes()),
        Err(Refusal::Form("it has more hashes than the longest proof"))
    );
    assert_eq!(Request::parse(&vec![b'a'; MAX_REQUEST + 1]), Err(Refusal::TooLong));
    assert_eq!(Request::parse(b"old 1\n\n\xff"), Err(Refusal::Form("it is not UTF-8")));
}

#[test]
fn an_answer_is_only_what_the_witness_says_and_rightly() {
    let request = request(0, 6);
    let key = [witness().verifier_key().clone()];
    let line = consider(&request, None).unwrap().line().clone();
    let answer = |status, body: &str| request.answer(status, body.as_bytes(), &key);
    assert_eq!(answer(200, &line.to_string()), Ok(Answer::Cosigned(vec![line.clone()])));
    assert_eq!(answer(409, "17\n"), Ok(Answer::Conflict(17)));
    let stranger = TestKey::new("stranger.example", KeyKind::Witness, 5);
    let foreign = cosign(&request.note, NOW, &stranger);
    assert_eq!(answer(200, &foreign.to_string()), Err(AnswerError::Strangers));
    let both = format!("{foreign}{line}");
    assert_eq!(answer(200, &both), Ok(Answer::Cosigned(vec![line.clone()])));
    let other = consider(&self::request(0, 7), None).unwrap().line().to_string();
    assert!(matches!(answer(200, &other), Err(AnswerError::Line(NoteError::Wrong(_)))));
    for body in ["", "\n", "17\n", "— a b", "<html>\n"] {
        assert!(answer(200, body).is_err(), "{body:?}");
    }
    for body in ["", "17", "017\n", "18446744073709551615\n", "9 \n"] {
        assert_eq!(answer(409, body), Err(AnswerError::Form(409)), "{body:?}");
    }
    let refused = answer(404, "no\x1b[2J such log\n").unwrap_err().to_string();
    assert_eq!(refused, "the witness refused with status 404: no [2J such log");
    let long = request.answer(200, &vec![b'a'; MAX_ANSWER + 1], &key);
    assert_eq!(long, Err(AnswerError::TooLong(MAX_ANSWER + 1)));
}

#[test]
fn a_logs_path_is_the_hash_of_its_name() {
    assert_eq!(
        origin_hash("abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

/// Bytes that look like a request, with numbers at the ends of what can be written.
fn hostile() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just(0u64),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(1 << 63),
        Just((1 << 63) - 1),
        any::<u64>(),
        0u64..9,
    ];
    let hash = "(([A-Za-z0-9+/]{43}=)|(AAAA)|[A-Za-z0-9+/=]{44})";
    (number.clone(), proptest::collection::vec(hash, 0..70), number, "[a-z./]{1,12}").prop_map(
        |(old, proof, size, name)| {
            let root = Hash([1; 32]);
            format!(
                "old {old}\n{}\n\n{name}\n{size}\n{root}\n\n— {name} AAAAAAAA\n",
                proof.join("\n")
            )
            .replace("\n\n\n", "\n\n")
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Request::parse(&bytes).is_err());
    }

    #[test]
    fn whatever_looks_like_a_request_is_answered(text in hostile()) {
        match Request::parse(text.as_bytes()) {
            Err(refusal) => prop_assert_eq!(refusal.status(), 400),
            Ok(request) => {
                prop_assert_eq!(request.to_string(), text);
                prop_assert!(consider(&request, None).is_err());
            }
        }
    }

    /// The proof with any signature on it: what is left between a witness and numbers of a liar.
    #[test]
    fn any_sizes_and_proofs_signed_by_the_log_are_answered(
        old: u64, new: u64, recorded: u64, same: bool, hashes in 0usize..64,
    ) {
        let point = |size, root| Checkpoint { origin: ORIGIN.into(), size, root: Hash(root) };
        let (new, recorded) = (new >> 1, if same { old } else { recorded });
        let note = point(new, [1; 32]).sign(&[&log()]);
        let Ok(request) = Request::new(old, vec![Hash([3; 32]); hashes], note) else {
            prop_assert!(old > new);
            return Ok(());
        };
        let refusal = consider(&request, Some(&point(recorded, [2; 32]))).unwrap_err();
        prop_assert!(matches!(refusal.status(), 409 | 422), "{}", refusal);
    }

    #[test]
    fn no_changed_request_moves_a_witness_elsewhere(
        old in 1u64..40, more in 1u64..40, at: usize, bit in 0u8..7, cut: bool,
    ) {
        let request = request(old, old + more);
        let mut bytes = request.to_string().into_bytes();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        if let Ok(changed) = Request::parse(&bytes) {
            let refused = changed.log(&[trust()]).and_then(|log| {
                changed.consider(log, Some(&checkpoint(old, "entry")), NOW, &witness())
            });
            prop_assert!(refused.is_err(), "byte {at}");
        }
    }

    #[test]
    fn any_response_is_answered(status in 100u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let key = [witness().verifier_key().clone()];
        let answer = request(0, 3).answer(status, &body, &key);
        prop_assert!(!matches!(answer, Ok(Answer::Cosigned(_))));
    }
}

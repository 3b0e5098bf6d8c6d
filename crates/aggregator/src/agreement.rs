//! Whether both aggregators hold the same task: asked before any real report, by either side.
//!
//! Not the draft's: a resource of ours beside a task's own. Both sides prove to each other that they
//! hold the verify key, by an HMAC under a key derived from it. The asker seals a challenge to the
//! answerer's HPKE key as a device would, and the answerer proves that it could open it. What is told
//! beyond that is digests of what the parties agreed on, and the time.

use super::{http::Failure, keyring::Keys, store::Timestamp, task::Task};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sottovoce_dap::{
    agreement::{Disagreement, Held},
    codec::{Decode, Encode},
    hpke::{HpkeCiphertext, HpkeConfig, HpkeError, native},
    problem::ProblemType,
    role::Role,
};

/// A question to the other aggregator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who asks: `leader` or `helper`.
    asker: String,
    /// The challenge, sealed to the answerer: an encoded `HpkeCiphertext`.
    sealed: String,
    /// That the asker holds the verify key.
    proof: String,
}

/// What the answerer holds of the task, proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it holds.
    #[serde(flatten)]
    pub held: Held,
    /// That it holds the verify key and could open the challenge.
    proof: String,
}

/// The challenge that was asked with, to check the answer by.
pub struct Challenge([u8; 32]);

impl Question {
    /// Asks the other aggregator, by the HPKE configuration that it publishes.
    pub fn new(
        task: &Task,
        asker: Role,
        answerer: &HpkeConfig,
    ) -> Result<(Self, Challenge), HpkeError> {
        let mut challenge = Challenge([0; 32]);
        SysRng.try_fill_bytes(&mut challenge.0).map_err(|_| HpkeError::Seal)?;
        let sealed = native::seal(answerer, INFO, task.id.as_bytes(), &challenge.0)?.to_bytes();
        let proof = prove(task, "question", &[name(asker).as_bytes(), sealed.as_slice()]);
        let (sealed, proof) = (URL_SAFE_NO_PAD.encode(sealed), URL_SAFE_NO_PAD.encode(proof));
        Ok((Self { asker: name(asker).to_owned(), sealed, proof }, challenge))
    }
}

/// Answers as `role`.
pub fn answer(
    task: &Task,
    role: Role,
    keys: &Keys,
    body: &[u8],
    now: Timestamp,
) -> Result<Answer, Failure> {
    let refuse =
        |detail: &str| Failure::problem(ProblemType::InvalidMessage, Some(&task.id), detail);
    let question: Question =
        serde_json::from_slice(body).map_err(|_| refuse("the request does not decode"))?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let sealed = bytes(&question.sealed);
    if question.asker == name(role) {
        return Err(refuse("the request is from this aggregator itself; check the endpoints"));
    }
    // First of all: a stranger learns nothing.
    if !is_proof(
        task,
        "question",
        &[question.asker.as_bytes(), sealed.as_slice()],
        &bytes(&question.proof),
    ) {
        return Err(Failure::Unauthorized);
    }
    let sealed = HpkeCiphertext::from_bytes(&sealed)
        .map_err(|_| refuse("the encrypted challenge does not decode"))?;
    let challenge = keys
        .opener(sealed.config_id)
        .and_then(|opener| opener.open(&sealed, INFO, task.id.as_bytes()).ok())
        .ok_or_else(|| refuse("the challenge is not encrypted to one of our HPKE keys"))?;
    let mut answer = Answer { held: held(task, now), proof: String::new() };
    answer.proof = URL_SAFE_NO_PAD.encode(answer.prove(task, role, &challenge));
    Ok(answer)
}

/// What we hold of a task.
pub fn held(task: &Task, now: Timestamp) -> Held {
    Held::new(&task.configuration, &task.collector_hpke_config, task.noise, now.0)
}

impl Answer {
    /// All that speaks against what `answerer` holds; nothing if both agree.
    pub fn check(
        &self,
        task: &Task,
        answerer: Role,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Vec<Disagreement> {
        let proof = URL_SAFE_NO_PAD.decode(&self.proof).unwrap_or_default();
        let parts = self.parts(answerer, &challenge.0);
        if !is_proof(task, "answer", &parts, &proof) {
            return vec![Disagreement::Proof];
        }
        held(task, now).compare(&self.held)
    }

    fn prove(&self, task: &Task, role: Role, challenge: &[u8]) -> Vec<u8> {
        let parts = self.parts(role, challenge);
        prove(task, "answer", &parts)
    }

    fn parts(&self, role: Role, challenge: &[u8]) -> Vec<Vec<u8>> {
        let mut parts = vec![name(role).as_bytes().to_vec(), challenge.to_vec()];
        parts.extend(self.held.parts());
        parts
    }
}

/// Bytes of the longest question.
pub const LONGEST: usize = 4096;

const INFO: &[u8] = b"sottovoce agreement word";

pub(super) fn name(role: Role) -> &'static str {
    match role {
        Role::Helper => "helper",
        _ => "leader",
    }
}

/// An HMAC under a key of its own purpose, over parts that cannot be shifted into one another.
pub(super) fn prove(task: &Task, purpose: &str, parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    hmac::sign(&key(task), &message(purpose, parts)).as_ref().to_vec()
}

/// Checks a proof in constant time.
pub(super) fn is_proof(
    task: &Task,
    purpose: &str,
    parts: &[impl AsRef<[u8]>],
    proof: &[u8],
) -> bool {
    hmac::verify(&key(task), &message(purpose, parts), proof).is_ok()
}

fn key(task: &Task) -> hmac::Key {
    let verify_key = hmac::Key::new(hmac::HMAC_SHA256, task.verification().key.secret_bytes());
    let label = [b"sottovoce agreement".as_slice(), task.id.as_bytes()].concat();
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&verify_key, &label).as_ref())
}

fn message(purpose: &str, parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut message = purpose.as_bytes().to_vec();
    for part in parts {
        message.extend_from_slice(&(part.as_ref().len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_ref());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keyring::Keyring,
        store::{sealed::DatabaseKeys, sqlite::SqliteStore},
    };
    use sottovoce_dap::{
        hpke::{HpkeConfigId, Suite},
        task::{BatchMode, TaskConfiguration, Url, VdafConfig},
        time::TimePrecision,
        vdaf::VerifyKey,
    };

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn task(role: Role, key: u8, batch: u64) -> Task {
        let configuration = TaskConfiguration {
            task_info: vec![1].try_into().unwrap(),
            leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
            helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
            time_precision: TimePrecision::from_seconds(3600).unwrap(),
            min_batch_size: batch,
            batch_mode: BatchMode::TimeInterval,
            vdaf: VdafConfig::Prio3Count,
            task_interval: None,
        };
        let id = task_id();
        let mut collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        collector.public_key = vec![9; 32].try_into().unwrap();
        Task::new(role, id, configuration, collector, None, VerifyKey::new([key; 32])).unwrap()
    }

    fn task_id() -> sottovoce_dap::ids::TaskId {
        sottovoce_dap::ids::TaskId::new([3; 32])
    }

    fn keyring() -> Keyring {
        let store = SqliteStore::in_memory().unwrap();
        let keys = DatabaseKeys::random().unwrap();
        Keyring::load(&store, &keys, NOW).unwrap()
    }

    fn ask(leader: &Task, helper: &Task, now: Timestamp) -> Result<Vec<Disagreement>, Failure> {
        let keys = keyring().keys();
        let config = keys.config_list().iter().next().unwrap().clone();
        let (question, challenge) = Question::new(leader, Role::Leader, &config).unwrap();
        let body = serde_json::to_vec(&question).unwrap();
        let answer = answer(helper, Role::Helper, &keys, &body, now)?;
        Ok(answer.check(leader, Role::Helper, &challenge, NOW))
    }

    #[test]
    fn two_that_hold_the_same_agree() {
        let found = ask(&task(Role::Leader, 7, 100), &task(Role::Helper, 7, 100), NOW).unwrap();
        assert_eq!(found, []);
    }

    #[test]
    fn another_verify_key_is_told_nothing() {
        let refused = ask(&task(Role::Leader, 7, 100), &task(Role::Helper, 8, 100), NOW);
        assert!(matches!(refused, Err(Failure::Unauthorized)));
    }

    #[test]
    fn each_difference_is_named() {
        let late = Timestamp(NOW.0 - 60_000);
        let found = ask(&task(Role::Leader, 7, 100), &task(Role::Helper, 7, 101), late).unwrap();
        assert_eq!(
            found,
            [
                Disagreement::Clock { seconds: 60, direction: "behind" },
                Disagreement::Value { what: "task configuration" },
            ]
        );
    }

    #[test]
    fn an_answer_changed_on_its_way_or_to_another_question_is_no_proof() {
        let (leader, helper) = (task(Role::Leader, 7, 100), task(Role::Helper, 7, 100));
        let keys = keyring().keys();
        let config = keys.config_list().iter().next().unwrap().clone();
        let (question, challenge) = Question::new(&leader, Role::Leader, &config).unwrap();
        let (_, other) = Question::new(&leader, Role::Leader, &config).unwrap();
        let body = serde_json::to_vec(&question).unwrap();
        let mut given = answer(&helper, Role::Helper, &keys, &body, NOW).unwrap();
        assert_eq!(given.check(&leader, Role::Helper, &other, NOW), [Disagreement::Proof]);
        assert_eq!(given.check(&leader, Role::Leader, &challenge, NOW), [Disagreement::Proof]);
        given.held.milliseconds += 1;
        assert_eq!(given.check(&leader, Role::Helper, &challenge, NOW), [Disagreement::Proof]);
        // An echo of the question, as from a mirror.
        assert!(answer(&leader, Role::Leader, &keys, &body, NOW).is_err());
    }
}

//! What both aggregators hold of the batches that are not collected: where they differ, which
//! reports it is, and what can be done.
//!
//! Not the draft's: a resource of ours beside a task's own, for the operators' `batches compare`.
//! Whoever asks proves by an HMAC under a key of the verify key's that it is the other aggregator.
//! It is told counts, checksums and report IDs, all of which the protocol told it before.

use super::{
    agreement::{is_proof, name, prove},
    http::Failure,
    store::{BatchSummary, BucketKey, Datastore, ShardName, StoreError, Timestamp},
    task::Task,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sottovoce_dap::{
    ids::{BatchId, ReportId},
    problem::ProblemType,
    role::Role,
    time::Time,
};
use std::collections::{BTreeMap, HashSet};

/// A question to the other aggregator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who asks: `leader` or `helper`.
    asker: String,
    /// When, in milliseconds since the Epoch: an old question is not answered.
    milliseconds: u64,
    /// What is wanted.
    wanted: Wanted,
    /// That the asker holds the verify key.
    proof: String,
}

/// What is wanted of the other aggregator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// All batches that are not collected, and how many reports are on their way.
    Batches,
    /// The IDs of all reports known of around a time, in units of the task's precision; of every
    /// time without one.
    Ids(Option<u64>),
    /// The parts that one batch consists of, one of each job, by the batch's key in base64url.
    Parts(String),
}

/// What one aggregator holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// By the batch's key, in base64url.
    pub batches: BTreeMap<String, Sum>,
    /// Reports that are neither verified nor given up: a leader's.
    pub on_their_way: u64,
    /// Reports that are kept and no longer tried: a leader's.
    pub stuck: u64,
    /// Report IDs end to end in base64url, if they were asked for.
    pub ids: String,
    /// The parts of a batch, if they were asked for, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Sum>,
    /// Whether that batch was collected.
    #[serde(default)]
    pub collected: bool,
    /// Whether a job in flight may add to it.
    #[serde(default)]
    pub busy: bool,
}

/// The reports of a batch, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub reports: u64,
    /// XOR of the SHA-256 of their IDs, in base64url.
    pub checksum: String,
}

/// A batch that both do not hold alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The batch's key, in base64url.
    pub batch: String,
    /// What the leader holds.
    pub leader: Sum,
    /// What the helper holds.
    pub helper: Sum,
}

/// Which reports explain a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// Known to the leader, and never aggregated by the helper.
    pub leader_only: Vec<ReportId>,
    /// Aggregated by the helper, and unknown to the leader.
    pub helper_only: Vec<ReportId>,
    /// Known to both, and counted by one: the one report that explains the checksums.
    pub counted_once: Option<ReportId>,
}

/// Why two batches differ, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The leader has yet to aggregate reports.
    OnTheirWay(u64),
    /// The leader has given up on reports.
    Stuck(u64),
    /// The leader has forgotten reports that the helper counts.
    LeaderForgot,
    /// The helper has forgotten reports that the leader counts.
    HelperForgot,
    /// One of them rejected what the other counts.
    Verdicts,
}

impl Question {
    /// Asks as `asker`.
    pub fn new(task: &Task, asker: Role, wanted: Wanted, now: Timestamp) -> Self {
        let proof = String::new();
        let mut question =
            Self { asker: name(asker).to_owned(), milliseconds: now.0, wanted, proof };
        question.proof = URL_SAFE_NO_PAD.encode(prove(task, PURPOSE, &question.parts()));
        question
    }

    fn parts(&self) -> [Vec<u8>; 3] {
        let wanted = match &self.wanted {
            Wanted::Batches => vec![0],
            Wanted::Ids(None) => vec![1],
            Wanted::Ids(Some(time)) => [&[2], &time.to_be_bytes()[..]].concat(),
            Wanted::Parts(batch) => [&[3], batch.as_bytes()].concat(),
        };
        [self.asker.as_bytes().to_vec(), self.milliseconds.to_be_bytes().to_vec(), wanted]
    }
}

const PURPOSE: &str = "comparison";

/// Answers as `role`.
pub fn answer(
    task: &Task,
    role: Role,
    store: &dyn Datastore,
    body: &[u8],
    now: Timestamp,
) -> Result<Held, Failure> {
    let refuse =
        |detail: &str| Failure::problem(ProblemType::InvalidMessage, Some(&task.id), detail);
    let question: Question =
        serde_json::from_slice(body).map_err(|_| refuse("the request does not decode"))?;
    let proof = URL_SAFE_NO_PAD.decode(&question.proof).unwrap_or_default();
    // First of all: a stranger learns nothing.
    if question.asker == name(role) || !is_proof(task, PURPOSE, &question.parts(), &proof) {
        return Err(Failure::Unauthorized);
    }
    if question.milliseconds.abs_diff(now.0) > FRESH_MILLISECONDS {
        return Err(refuse(
            "the request has expired, or the clocks differ; `doctor` tells by how much",
        ));
    }
    held(task, store, &question.wanted).map_err(Failure::from)?.ok_or_else(|| refuse(TOO_MANY))
}

/// Bytes of the longest question.
pub const LONGEST: usize = 1024;

const FRESH_MILLISECONDS: u64 = 300_000;

/// More IDs than are compared.
pub const TOO_MANY: &str =
    "there are more than 3,000,000 reports around this batch, the maximum for a comparison";

/// What we hold ourselves; nothing if it is [too much](TOO_MANY).
pub fn held(
    task: &Task,
    store: &dyn Datastore,
    wanted: &Wanted,
) -> Result<Option<Held>, StoreError> {
    match wanted {
        Wanted::Batches => batches(task, store).map(Some),
        Wanted::Ids(time) => {
            let ids = store.report_ids(&task.id, time.map(Time), MOST_IDS)?;
            let encode =
                |ids: Vec<u8>| Held { ids: URL_SAFE_NO_PAD.encode(ids), ..Held::default() };
            Ok(ids.map(encode))
        }
        Wanted::Parts(batch) => parts(task, store, batch).map(Some),
    }
}

fn parts(task: &Task, store: &dyn Datastore, batch: &str) -> Result<Held, StoreError> {
    let Some(bucket) = bucket_key(batch) else { return Ok(Held::default()) };
    let holding = store.holding(&task.id, &bucket)?;
    let part = |name: &ShardName| Sum {
        reports: name.reports,
        checksum: URL_SAFE_NO_PAD.encode(name.checksum),
    };
    Ok(Held {
        parts: holding.shards.iter().map(part).collect(),
        collected: holding.collected,
        busy: holding.busy,
        ..Held::default()
    })
}

/// The bucket of a batch's key in base64url: of a time, or of a batch ID.
pub fn bucket_key(batch: &str) -> Option<BucketKey> {
    let bytes = URL_SAFE_NO_PAD.decode(batch).ok()?;
    if let Ok(time) = <[u8; 8]>::try_from(bytes.as_slice()) {
        return Some(BucketKey::time(Time(u64::from_be_bytes(time))));
    }
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(|id| BucketKey::batch(&BatchId::new(id)))
}

fn batches(task: &Task, store: &dyn Datastore) -> Result<Held, StoreError> {
    let counts = store.counts(&task.id)?;
    let sum = |batch: BatchSummary| {
        let checksum = URL_SAFE_NO_PAD.encode(batch.checksum);
        (URL_SAFE_NO_PAD.encode(batch.key.as_bytes()), Sum { reports: batch.reports, checksum })
    };
    Ok(Held {
        batches: store.batches(&task.id)?.into_iter().map(sum).collect(),
        on_their_way: counts.waiting_reports + counts.in_flight_reports,
        stuck: counts.stuck_reports,
        ..Held::default()
    })
}

const MOST_IDS: u64 = 3_000_000;

/// The batches that differ. One that is on one side only is empty on the other.
pub fn differences(leader: &Held, helper: &Held) -> Vec<Difference> {
    let nothing = Sum { reports: 0, checksum: URL_SAFE_NO_PAD.encode([0; 32]) };
    let batches: std::collections::BTreeSet<_> =
        leader.batches.keys().chain(helper.batches.keys()).collect();
    batches
        .into_iter()
        .map(|batch| {
            let of = |held: &Held| held.batches.get(batch).unwrap_or(&nothing).clone();
            Difference { batch: batch.clone(), leader: of(leader), helper: of(helper) }
        })
        .filter(|difference| difference.leader != difference.helper)
        .collect()
}

impl Difference {
    /// Finds the reports, by the IDs that both know of around the batch.
    pub fn explain(&self, leader: &Held, helper: &Held) -> Differing {
        let [leader, helper] = [leader, helper].map(Held::report_ids);
        let mut only = [(&leader, &helper), (&helper, &leader)]
            .map(|(these, those)| these.difference(those).copied().collect::<Vec<_>>());
        for ids in &mut only {
            ids.sort_unstable_by_key(|id| *id.as_bytes());
        }
        let [leader_only, helper_only] = only;
        let [ours, theirs] = [&self.leader, &self.helper].map(Sum::checksum);
        let difference: Vec<u8> = ours.iter().zip(&theirs).map(|(a, b)| a ^ b).collect();
        let explains = |id: &&ReportId| Sha256::digest(id.as_bytes())[..] == difference[..];
        let counted_once = leader.intersection(&helper).find(explains).copied();
        Differing { leader_only, helper_only, counted_once }
    }

    /// Why they differ. `leader` is what it holds altogether.
    pub fn cause(&self, differing: &Differing, leader: &Held) -> Cause {
        if !differing.helper_only.is_empty() {
            Cause::LeaderForgot
        } else if leader.on_their_way > 0 {
            Cause::OnTheirWay(leader.on_their_way)
        } else if leader.stuck > 0 {
            Cause::Stuck(leader.stuck)
        } else if self.helper.reports < self.leader.reports && !differing.leader_only.is_empty() {
            Cause::HelperForgot
        } else {
            Cause::Verdicts
        }
    }
}

impl Cause {
    /// Whether it passes by itself.
    pub fn passes(self) -> bool {
        matches!(self, Self::OnTheirWay(_))
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OnTheirWay(reports) => write!(
                f,
                "{reports} reports are in the leader's aggregation jobs; compare again when these have ended"
            ),
            Self::Stuck(reports) => write!(
                f,
                "the leader has {reports} stuck reports; fix the reason why the helper refuses them (see the \
                 leader's log), then run `sottovoce-leader reports retry-stuck`"
            ),
            Self::LeaderForgot => f.write_str(
                "the leader's database lacks reports that the helper has: it may be an older backup. If a newer \
                 backup exists, restore it. Otherwise run `batches repair` on both sides, which drops the reports \
                 that only one side has",
            ),
            Self::HelperForgot => f.write_str(
                "the helper's database lacks reports that the leader has: it may be an older backup. If a newer \
                 backup exists, restore it. Otherwise run `batches repair` on both sides, which drops the reports \
                 that only one side has",
            ),
            Self::Verdicts => f.write_str(
                "one side rejected reports that the other has counted, which correct servers never do; install the \
                 same version on both, then run `batches repair` on both sides, which drops the reports that only one \
                 side has",
            ),
        }
    }
}

impl Held {
    fn report_ids(&self) -> HashSet<ReportId> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.ids).unwrap_or_default();
        bytes.as_chunks::<16>().0.iter().map(|id| ReportId::new(*id)).collect()
    }
}

impl Sum {
    fn checksum(&self) -> Vec<u8> {
        let mut bytes = URL_SAFE_NO_PAD.decode(&self.checksum).unwrap_or_default();
        bytes.resize(32, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ReportId {
        ReportId::new([number; 16])
    }

    /// Holds batch `b` of the counted ones, and knows the others too.
    fn held(counted: &[u8], known: &[u8]) -> Held {
        let mut checksum = [0; 32];
        for number in counted {
            let digest = Sha256::digest(id(*number).as_bytes());
            checksum.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
        }
        let checksum = URL_SAFE_NO_PAD.encode(checksum);
        let sum = Sum { reports: counted.len() as u64, checksum };
        let ids: Vec<u8> = known.iter().flat_map(|number| *id(*number).as_bytes()).collect();
        Held {
            batches: [("b".to_owned(), sum)].into(),
            ids: URL_SAFE_NO_PAD.encode(ids),
            ..Held::default()
        }
    }

    fn check(leader: &Held, helper: &Held, cause: Cause, differing: &Differing) {
        let found = differences(leader, helper);
        assert_eq!(found.len(), 1);
        let explained = found[0].explain(leader, helper);
        assert_eq!(explained, *differing);
        assert_eq!(found[0].cause(&explained, leader), cause);
    }

    #[test]
    fn the_same_batches_do_not_differ() {
        assert_eq!(differences(&held(&[1, 2], &[1, 2, 3]), &held(&[2, 1], &[1, 2])), []);
    }

    #[test]
    fn each_cause_is_told_with_the_reports_that_show_it() {
        let all = [1, 2, 3, 4];
        let (full, nothing) = (held(&all, &all), Differing::default());
        let three = held(&[1, 2, 4], &[1, 2, 4]);
        let only = Differing { helper_only: vec![id(3)], ..nothing.clone() };
        check(&three, &full, Cause::LeaderForgot, &only);
        let only = Differing { leader_only: vec![id(3)], ..nothing.clone() };
        check(&full, &three, Cause::HelperForgot, &only);
        let mut late = held(&[1, 2, 4], &all);
        late.on_their_way = 1;
        let once = Differing { counted_once: Some(id(3)), ..nothing };
        check(&late, &full, Cause::OnTheirWay(1), &once);
        late.on_their_way = 0;
        check(&late, &full, Cause::Verdicts, &once);
        late.stuck = 1;
        check(&late, &full, Cause::Stuck(1), &once);
    }
}

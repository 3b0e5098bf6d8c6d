//! A leader and a helper within the process: they open, verify and add up what engines send.
//!
//! They answer as servers do: a report is taken once, and not before its time or after its batch
//! is over. Since one device after the other lives through all windows, report IDs are remembered
//! as long as a device lives: nobody else sends the same.

use crate::simulate::{counts::Counts, truth::Key};
use anyhow::{Context, ensure};
use sottovoce_dap::{
    codec::{Decode, Encode},
    exchange::{Method, Request, Response},
    extension::UncheckedExtensions,
    hpke::{HpkeCiphertext, HpkeConfigId, HpkeError, HpkeKeypair, Suite, native},
    hpke_config_list::HpkeConfigList,
    ids::{ReportId, TaskId},
    media_type::MediaType,
    role::Role,
    task::VdafConfig,
    time::Time,
    upload::{
        AadPrefix, InputShareAad, PlaintextInputShare, Report, ReportError, ReportMetadata,
        ReportUploadStatus, UploadErrors, UploadRequest, input_share_info, vdaf_context,
    },
    vdaf::{
        Vdaf, VerifyKey,
        merge::Merger,
        shard::Measurement,
        unshard::AggregateResult,
        verify::{OpenReport, Verification},
    },
};
use sottovoce_privacy::{
    noise::AggregatorNoise,
    rng::{DeviceRng, SimulationRng},
};
use sottovoce_program::{Calendar, Program};
use std::collections::{BTreeMap, HashSet};

/// Both aggregators: their keys and tasks.
pub struct Aggregators {
    leader: Party,
    helper: Party,
    leader_endpoint: String,
    window: Calendar,
    grace: u64,
    tasks: Vec<Task>,
}

struct Party {
    keypair: HpkeKeypair,
    opener: native::Opener,
    info: Vec<u8>,
    keys: Response,
}

struct Task {
    id: TaskId,
    config: VdafConfig,
    bins: usize,
    vdaf: Vdaf,
    context: Vec<u8>,
    aad: AadPrefix,
    verify_key: VerifyKey,
    noise: Option<AggregatorNoise>,
}

/// What one worker has received and not yet verified, and its sums.
#[derive(Default)]
pub struct Inbox {
    known: HashSet<ReportId>,
    /// Taken from the device that lives.
    taken: Vec<Key>,
    waiting: BTreeMap<Key, Vec<Report>>,
    waits: usize,
    sums: BTreeMap<Key, Bucket>,
    counts: Counts,
}

/// One window of a task.
struct Bucket {
    leader: Box<dyn Merger>,
    helper: Box<dyn Merger>,
    reports: u64,
}

/// A bucket as it is handed on: both sums, and how many reports are in them.
pub(super) type Sums = BTreeMap<Key, (Vec<u8>, Vec<u8>, u64)>;

/// Reports that are verified at once.
const BATCH: usize = 256;
/// Seconds that a device's clock may be ahead.
const CLOCK_SKEW: u64 = 300;

impl Inbox {
    /// A device is done: gives what was taken from it, and forgets its report IDs.
    pub(super) fn device_is_done(&mut self) -> Vec<Key> {
        self.known.clear();
        std::mem::take(&mut self.taken)
    }
}

impl Aggregators {
    /// Fresh keys for a program's tasks.
    pub fn new(program: &Program) -> anyhow::Result<Self> {
        let task = |task: &sottovoce_program::compile::CompiledTask| {
            Ok(Task {
                id: task.task_id,
                config: task.configuration.vdaf,
                bins: task.encoding().bins() as usize,
                vdaf: Vdaf::new(&task.configuration.vdaf)?,
                context: vdaf_context(&task.task_id),
                aad: InputShareAad::prefix(&task.task_id, &task.configuration),
                verify_key: VerifyKey::new(DeviceRng::new()?.bytes()),
                noise: task.noise(),
            })
        };
        Ok(Self {
            leader: Party::new(Role::Leader)?,
            helper: Party::new(Role::Helper)?,
            leader_endpoint: program.leader().to_string(),
            window: program.window(),
            grace: program.grace(),
            tasks: program.tasks().iter().map(task).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Answers a request of an engine that came at `now`, in seconds since the Epoch.
    pub(super) fn answer(
        &self,
        inbox: &mut Inbox,
        request: &Request,
        now: u64,
    ) -> anyhow::Result<Response> {
        if request.method == Method::Get {
            let is_leader = request.url.starts_with(&self.leader_endpoint);
            return Ok(if is_leader { &self.leader } else { &self.helper }.keys.clone());
        }
        let task = request.url.split('/').rev().nth(1).and_then(|id| id.parse::<TaskId>().ok());
        let index = self.tasks.iter().position(|known| Some(known.id) == task);
        let index = index.with_context(|| format!("{} is no task's", request.url))?;
        let mut errors = UploadErrors::default();
        for report in UploadRequest::from_bytes(&request.body)?.reports {
            let id = report.report_metadata.report_id;
            if let Err(error) = self.take(inbox, index, report, now) {
                errors.status.push(ReportUploadStatus { id, error });
            }
        }
        if inbox.waits >= BATCH {
            self.verify(inbox)?;
        }
        Ok(Response {
            status: 200,
            content_type: Some(MediaType::UploadErrors.to_string()),
            body: errors.to_bytes(),
            ..Response::default()
        })
    }

    fn take(
        &self,
        inbox: &mut Inbox,
        task: usize,
        report: Report,
        now: u64,
    ) -> Result<(), ReportError> {
        let ReportMetadata { report_id, time, .. } = report.report_metadata;
        if inbox.known.contains(&report_id) {
            inbox.counts.replayed += 1;
            return Err(ReportError::ReportReplayed);
        }
        if time > self.window.time_at(now + CLOCK_SKEW) {
            return Err(ReportError::ReportTooEarly);
        }
        if now > self.window.start_of(Time(time.0.saturating_add(1))).saturating_add(self.grace) {
            inbox.counts.late += 1;
            return Err(ReportError::BatchCollected);
        }
        inbox.known.insert(report_id);
        inbox.taken.push((task, time.0));
        inbox.put((task, time.0), report);
        Ok(())
    }

    /// A report without noise of one bin, as somebody makes it who does not run the engine: with a
    /// proof that holds, or of more votes than one.
    pub(super) fn deliver_foreign(
        &self,
        inbox: &mut Inbox,
        task: usize,
        window: u64,
        bin: usize,
        forged: bool,
    ) -> anyhow::Result<()> {
        let known = &self.tasks[task];
        let report_id = ReportId::random()?;
        let sharded = known.vdaf.shard(&known.context, &known.vote(bin), &report_id)?;
        let report_metadata = ReportMetadata {
            report_id,
            time: Time(window),
            public_extensions: UncheckedExtensions::default(),
        };
        let mut aad = Vec::new();
        known.aad.with(&report_metadata, &sharded.public_share, &mut aad);
        let mut leader_share = sharded.leader_input_share.to_vec();
        if forged {
            stuff(&mut leader_share, bin)?;
        }
        let report = Report {
            leader_encrypted_input_share: self.leader.seal(&leader_share, &aad)?,
            helper_encrypted_input_share: self.helper.seal(&sharded.helper_input_share, &aad)?,
            report_metadata,
            public_share: sharded.public_share.try_into()?,
        };
        inbox.put((task, window), report);
        Ok(())
    }

    /// Verifies all that waits, on both sides, and adds it up.
    fn verify(&self, inbox: &mut Inbox) -> anyhow::Result<()> {
        inbox.waits = 0;
        for (key, reports) in std::mem::take(&mut inbox.waiting) {
            let task = &self.tasks[key.0];
            let opened = [&self.leader, &self.helper]
                .map(|party| reports.iter().map(|report| party.open(task, report)).collect());
            let [leader, helper]: [Vec<Result<_, HpkeError>>; 2] = opened;
            let pairs: Vec<_> = reports.iter().zip(leader.iter().zip(&helper)).collect();
            let whole = pairs.iter().filter_map(|(report, (leader, helper))| {
                Some((*report, leader.as_ref().ok()?, helper.as_ref().ok()?))
            });
            let whole: Vec<_> = whole.collect();
            inbox.counts.refused += (reports.len() - whole.len()) as u64;
            let bucket = inbox.sums.entry(key).or_insert_with(|| Bucket::new(&task.vdaf));
            let refused = bucket.verify(task, &whole)?;
            inbox.counts.refused += refused;
            inbox.counts.accepted += whole.len() as u64 - refused;
        }
        Ok(())
    }

    /// All sums of a worker.
    pub(super) fn finish(&self, mut inbox: Inbox, counts: &mut Counts) -> anyhow::Result<Sums> {
        self.verify(&mut inbox)?;
        counts.add(inbox.counts);
        let sums = inbox.sums.into_iter().map(|(key, bucket)| {
            (key, (bucket.leader.finish(), bucket.helper.finish(), bucket.reports))
        });
        Ok(sums.collect())
    }

    /// Adds the sums of another worker.
    pub(super) fn merge(&self, into: &mut Sums, other: Sums) -> anyhow::Result<()> {
        for (key, (leader, helper, reports)) in other {
            let vdaf = &self.tasks[key.0].vdaf;
            match into.get_mut(&key) {
                None => drop(into.insert(key, (leader, helper, reports))),
                Some(sums) => {
                    sums.0 = vdaf.merge([sums.0.as_slice(), &leader])?;
                    sums.1 = vdaf.merge([sums.1.as_slice(), &helper])?;
                    sums.2 += reports;
                }
            }
        }
        Ok(())
    }

    /// What the collector sees of a window: both sums, each with its aggregator's noise.
    pub(super) fn release(
        &self,
        task: usize,
        (leader, helper, reports): &(Vec<u8>, Vec<u8>, u64),
    ) -> anyhow::Result<AggregateResult> {
        let task = &self.tasks[task];
        let noisy = |share: &Vec<u8>| -> anyhow::Result<Vec<u8>> {
            let Some(noise) = task.noise else { return Ok(share.clone()) };
            let seed = u64::from_le_bytes(DeviceRng::new()?.bytes());
            let mut rng = SimulationRng::from_seed(seed);
            Ok(task.vdaf.offset(share, &mut || noise.simulate(1, &mut rng))?)
        };
        Ok(task.vdaf.unshard(&noisy(leader)?, &noisy(helper)?, *reports)?)
    }
}

impl Inbox {
    fn put(&mut self, key: Key, report: Report) {
        self.waiting.entry(key).or_default().push(report);
        self.waits += 1;
    }
}

impl Task {
    /// One vote for a bin, as the task's VDAF takes it.
    fn vote(&self, bin: usize) -> Measurement {
        let is_it = |other: usize| other == bin;
        match self.config {
            VdafConfig::Prio3MultihotCountVec { .. } => {
                Measurement::Bits((0..self.bins).map(is_it).collect())
            }
            VdafConfig::Prio3SumVec { .. } => {
                Measurement::Vector((0..self.bins).map(|other| is_it(other).into()).collect())
            }
            _ => Measurement::Bin(bin),
        }
    }
}

/// Adds a thousand votes for a bin to a leader's share, which begins with an element for each bin.
fn stuff(share: &mut [u8], bin: usize) -> anyhow::Result<()> {
    const ELEMENT: usize = size_of::<u128>();
    const VOTES: u128 = 1000;
    let place = bin * ELEMENT..(bin + 1) * ELEMENT;
    let element = share.get_mut(place).context("a share has an element for each bin")?;
    let value = u128::from_le_bytes(element.try_into()?);
    // Away from the field's prime, which is a little less than 2^128: it stays an element.
    let stuffed = if value > u128::MAX / 2 { value - VOTES } else { value + VOTES };
    element.copy_from_slice(&stuffed.to_le_bytes());
    Ok(())
}

impl Party {
    fn seal(&self, share: &[u8], aad: &[u8]) -> anyhow::Result<HpkeCiphertext> {
        let payload = share.to_vec().try_into()?;
        let private_extensions = UncheckedExtensions::default();
        let plaintext = PlaintextInputShare { private_extensions, payload }.to_bytes();
        Ok(native::seal(&self.keypair.config, &self.info, aad, &plaintext)?)
    }

    fn new(role: Role) -> anyhow::Result<Self> {
        let keypair = native::generate(HpkeConfigId(1), Suite::DEFAULT)?;
        let list = HpkeConfigList::new(vec![keypair.config.clone()])?;
        Ok(Self {
            opener: native::Opener::new(&keypair)?,
            info: input_share_info(role),
            keys: Response {
                status: 200,
                content_type: Some(MediaType::HpkeConfigList.to_string()),
                cache_control: Some("max-age=604800".to_owned()),
                body: list.to_bytes(),
                ..Response::default()
            },
            keypair,
        })
    }

    fn open(&self, task: &Task, report: &Report) -> Result<PlaintextInputShare, HpkeError> {
        let mut aad = Vec::new();
        task.aad.with(&report.report_metadata, report.public_share.as_bytes(), &mut aad);
        let is_leader = self.info == input_share_info(Role::Leader);
        let sealed = if is_leader {
            &report.leader_encrypted_input_share
        } else {
            &report.helper_encrypted_input_share
        };
        let plaintext = self.opener.open(sealed, &self.info, &aad)?;
        PlaintextInputShare::from_bytes(&plaintext).map_err(|_| HpkeError::Open)
    }
}

impl Bucket {
    fn new(vdaf: &Vdaf) -> Self {
        Self { leader: vdaf.merger(), helper: vdaf.merger(), reports: 0 }
    }

    /// Gives how many reports are refused.
    fn verify<'a>(
        &mut self,
        task: &Task,
        reports: &[(&'a Report, &'a PlaintextInputShare, &'a PlaintextInputShare)],
    ) -> anyhow::Result<u64> {
        let verification = Verification { key: &task.verify_key, context: &task.context };
        let open = |report: &'a Report, share: &'a PlaintextInputShare| OpenReport {
            report_id: report.report_metadata.report_id,
            public_share: report.public_share.as_bytes(),
            input_share: share.payload.as_bytes(),
        };
        let leaders: Vec<_> =
            reports.iter().map(|(report, share, _)| open(report, share)).collect();
        let (messages, started) = task.vdaf.start_verifying(verification, &leaders);
        let going = reports.iter().zip(&messages).filter_map(|((report, _, share), message)| {
            Some((open(report, share), message.as_ref().ok()?.as_slice(), 0))
        });
        let going: Vec<_> = going.collect();
        let (answers, helper_sums) = task.vdaf.answer(verification, &going, 1);
        let replies: Vec<_> = answers.iter().map(|a| (a.as_deref().ok(), 0)).collect();
        let (verdicts, leader_sums) = started.finish(&task.context, &replies, 1);
        let taken = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        let helped = answers.iter().filter(|answer| answer.is_ok()).count();
        ensure!(
            taken == helped,
            "the aggregators disagree about {} reports",
            helped.abs_diff(taken)
        );
        for (merger, sums) in [(&mut self.leader, leader_sums), (&mut self.helper, helper_sums)] {
            for sum in sums.into_values() {
                merger.add(&sum)?;
            }
        }
        self.reports += taken as u64;
        Ok((reports.len() - taken) as u64)
    }
}

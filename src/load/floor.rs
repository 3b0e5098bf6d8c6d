//! The minimum cost of a report: both aggregators open their shares and verify them.
//!
//! Two HPKE opens and one Prio3 verification on either side, of reports that devices would send,
//! without HTTP, message encoding or storage. On all cores, as in the servers.

use crate::local_servers::Usage;
use anyhow::{Context, ensure};
use rayon::prelude::*;
use sottovoce_aggregator::task::Task;
use sottovoce_dap::{
    codec::{Decode, Encode},
    extension::UncheckedExtensions,
    hpke::{
        HpkeCiphertext, HpkeConfigId, Suite,
        native::{self, Opener},
    },
    ids::ReportId,
    role::Role,
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::{Time, TimePrecision},
    upload::{PlaintextInputShare, ReportMetadata, input_share_info},
    vdaf::{VerifyKey, shard::Measurement, verify::OpenReport},
};
use std::time::{Duration, Instant};

/// The CPU time that opening and verifying one report takes both aggregators together.
pub(super) fn measure(vdaf: VdafConfig) -> anyhow::Result<Duration> {
    let pair = Pair::new(vdaf)?;
    let reports: Vec<Sealed> = (0..REPORTS)
        .into_par_iter()
        .map(|bin| pair.seal(bin % 5))
        .collect::<anyhow::Result<_>>()?;
    let process = std::process::id();
    let (started, cpu, mut verified) = (Instant::now(), Usage::of(process).cpu, 0);
    // Long enough for the system's clock of CPU time, which ticks a hundred times a second.
    while started.elapsed() < LEAST {
        reports.par_chunks(CHUNK).try_for_each(|reports| pair.verify(reports))?;
        verified += REPORTS;
    }
    let cpu = Usage::of(process).cpu.saturating_sub(cpu);
    Ok(cpu.div_f64(f64::from(u32::try_from(verified)?)))
}

const REPORTS: usize = 2048;
/// As many as the servers verify together.
const CHUNK: usize = 64;
const LEAST: Duration = Duration::from_secs(2);

/// One task as both aggregators have it.
struct Pair {
    leader: Task,
    helper: Task,
    openers: [Opener; 2],
    configs: [sottovoce_dap::hpke::HpkeConfig; 2],
}

struct Sealed {
    metadata: ReportMetadata,
    public_share: Vec<u8>,
    shares: [HpkeCiphertext; 2],
}

impl Pair {
    fn new(vdaf: VdafConfig) -> anyhow::Result<Self> {
        let configuration = TaskConfiguration {
            task_info: vec![1].try_into()?,
            leader_aggregator_endpoint: Url::new("https://leader.example/").context("a URL")?,
            helper_aggregator_endpoint: Url::new("https://helper.example/").context("a URL")?,
            time_precision: TimePrecision::from_seconds(3600).context("an hour")?,
            min_batch_size: 2,
            batch_mode: BatchMode::TimeInterval,
            vdaf,
            task_interval: None,
        };
        let collector = native::generate(HpkeConfigId(0), Suite::DEFAULT)?.config;
        let task = |role| {
            let (configuration, collector) = (configuration.clone(), collector.clone());
            let id = configuration.task_id();
            Task::new(role, id, configuration, collector, None, VerifyKey::new([7; 32]))
        };
        let [one, other] = [1, 2].map(|id| native::generate(HpkeConfigId(id), Suite::DEFAULT));
        let keys = [one?, other?];
        Ok(Self {
            leader: task(Role::Leader)?,
            helper: task(Role::Helper)?,
            openers: [Opener::new(&keys[0])?, Opener::new(&keys[1])?],
            configs: keys.map(|key| key.config),
        })
    }

    fn seal(&self, bin: usize) -> anyhow::Result<Sealed> {
        let report_id = ReportId::random()?;
        let task = &self.leader;
        let sharded = task.vdaf.shard(task.vdaf_context(), &Measurement::Bin(bin), &report_id)?;
        let metadata = ReportMetadata {
            report_id,
            time: Time(470_000),
            public_extensions: UncheckedExtensions::default(),
        };
        let mut aad = Vec::new();
        task.aad.with(&metadata, &sharded.public_share, &mut aad);
        let seal = |role, config, share: &[u8]| -> anyhow::Result<HpkeCiphertext> {
            let plaintext = PlaintextInputShare {
                private_extensions: UncheckedExtensions::default(),
                payload: share.to_vec().try_into()?,
            };
            Ok(native::seal(config, &input_share_info(role), &aad, &plaintext.to_bytes())?)
        };
        let [leader, helper] = &self.configs;
        let shares = [
            seal(Role::Leader, leader, &sharded.leader_input_share)?,
            seal(Role::Helper, helper, &sharded.helper_input_share)?,
        ];
        Ok(Sealed { metadata, public_share: sharded.public_share, shares })
    }

    fn open(&self, side: usize, report: &Sealed) -> anyhow::Result<PlaintextInputShare> {
        let task = [&self.leader, &self.helper][side];
        let mut aad = Vec::new();
        task.aad.with(&report.metadata, &report.public_share, &mut aad);
        let opened = self.openers[side].open(&report.shares[side], &task.input_share_info, &aad)?;
        Ok(PlaintextInputShare::from_bytes(&opened)?)
    }

    fn open_all(
        &self,
        side: usize,
        reports: &[Sealed],
    ) -> anyhow::Result<Vec<PlaintextInputShare>> {
        reports.iter().map(|report| self.open(side, report)).collect()
    }

    /// Both sides of the verification, each with the other's messages.
    fn verify(&self, reports: &[Sealed]) -> anyhow::Result<()> {
        let [leaders, helpers] = [self.open_all(0, reports)?, self.open_all(1, reports)?];
        let open: Vec<_> = reports.iter().zip(&leaders).map(opened).collect();
        let (messages, batch) = self.leader.vdaf.start_verifying(self.leader.verification(), &open);
        let messages: Vec<_> = messages.into_iter().collect::<Result<_, _>>()?;
        let asked: Vec<_> = reports
            .iter()
            .zip(&helpers)
            .map(opened)
            .zip(&messages)
            .map(|(report, message)| (report, message.as_slice(), 0))
            .collect();
        let (answers, _) = self.helper.vdaf.answer(self.helper.verification(), &asked, 1);
        let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
        let answers: Vec<_> = answers.iter().map(|answer| (Some(answer.as_slice()), 0)).collect();
        let (verdicts, _) = batch.finish(self.leader.vdaf_context(), &answers, 1);
        ensure!(verdicts.iter().all(Result::is_ok), "a valid report failed verification");
        Ok(())
    }
}

fn opened<'a>((report, share): (&'a Sealed, &'a PlaintextInputShare)) -> OpenReport<'a> {
    OpenReport {
        report_id: report.metadata.report_id,
        public_share: &report.public_share,
        input_share: share.payload.as_bytes(),
    }
}

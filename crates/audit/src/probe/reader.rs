//! Opens a report as both aggregators together could, with keys that were made for the probe: the
//! randomized answer, and whatever must never come twice.

use sottovoce_client::hpke_configs::{CachedConfig, HpkeConfigs};
use sottovoce_dap::{
    codec::{Decode, DecodeError},
    hpke::{
        HpkeCiphertext, HpkeConfigId, HpkeError, Suite,
        native::{Opener, generate},
    },
    hpke_config_list::HpkeConfigList,
    role::Role,
    task::TaskConfiguration,
    upload::{
        AadPrefix, InputShareAad, PlaintextInputShare, Report, ReportMetadata, check_extensions,
        input_share_info, vdaf_context,
    },
    vdaf::{
        UnsupportedVdaf, VERIFY_KEY_SIZE, Vdaf, VerifyKey,
        unshard::{AggregateResult, UnshardError},
        verify::{OpenReport, Sums, Verification, VerifyError},
    },
};
use sottovoce_program::compile::CompiledTask;
use thiserror::Error;

/// A report that cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not a report.
    #[error("the client's report does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// It is sealed to somebody else, or for another task.
    #[error("the {role}'s share does not decrypt: {source}")]
    Open {
        /// Whose share.
        role: Role,
        /// Why not.
        source: HpkeError,
    },
    /// Aggregators reject any, and they are a place to hide an answer in.
    #[error(
        "the report has extensions: the aggregators reject all, since one can carry the answer"
    )]
    Extensions,
    /// The aggregators would reject it.
    #[error("the aggregators would reject the report: {0}")]
    Verify(#[from] VerifyError),
    /// Its shares do not add up.
    #[error(transparent)]
    Unshard(#[from] UnshardError),
    /// It is of another shape.
    #[error("the report has {found} elements, and the task has {bins} bins")]
    Shape {
        /// Elements.
        found: usize,
        /// Bins.
        bins: usize,
    },
}

/// A reader that cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The VDAF of the task.
    #[error(transparent)]
    Vdaf(#[from] UnsupportedVdaf),
    /// The keys of the probe.
    #[error(transparent)]
    Hpke(#[from] HpkeError),
    /// The keys of the probe, as a client takes them.
    #[error("the probe's own keys cannot be used: {0}")]
    Keys(String),
}

/// Both aggregators' halves, in one hand.
pub struct TestAggregators {
    configs: HpkeConfigs,
    leader: Opener,
    helper: Opener,
    vdaf: Vdaf,
    verify_key: VerifyKey,
    context: Vec<u8>,
    aad: AadPrefix,
    bins: usize,
}

/// Bytes of a VDAF's seeds and blinds.
const SEED: usize = 32;

/// What a report says once it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The randomized answer, a bit for each bin.
    pub bits: Vec<bool>,
    /// What honest clients never use twice: the ID, the encapsulated keys, and of the shares the seeds.
    pub fresh: Vec<Vec<u8>>,
}

/// What of a share is for the VDAF, if there is nothing beside it.
pub(super) fn payload(metadata: &ReportMetadata, plaintext: &[u8]) -> Result<Vec<u8>, ReadError> {
    let share = PlaintextInputShare::from_bytes(plaintext)?;
    check_extensions(&metadata.public_extensions, &share.private_extensions)
        .map_err(|_| ReadError::Extensions)?;
    Ok(share.payload.into_bytes())
}

impl Opened {
    /// The report's ID.
    pub fn id(&self) -> &[u8] {
        &self.fresh[0]
    }

    /// What tells one sealing from another: the encapsulated keys, by their places in `fresh`.
    pub fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.fresh.iter().map(Vec::as_slice).enumerate().skip(1).take(2)
    }

    /// What tells one sharing of an answer from another: the seeds of the shares.
    pub fn shares(&self) -> &[Vec<u8>] {
        self.fresh.get(3..).unwrap_or_default()
    }
}

impl TestAggregators {
    /// For a task, with new keys.
    pub fn new(task: &CompiledTask) -> Result<Self, SetupError> {
        let configuration: &TaskConfiguration = &task.configuration;
        let keypairs = [1, 2].map(|id| generate(HpkeConfigId(id), Suite::DEFAULT));
        let [leader, helper] = keypairs;
        let (leader, helper) = (leader?, helper?);
        let cached = |role, config: &sottovoce_dap::hpke::HpkeConfig| {
            let list = HpkeConfigList::new(vec![config.clone()])
                .map_err(|error| SetupError::Keys(error.to_string()))?;
            CachedConfig::choose(role, &list, None, u64::MAX / 2)
                .map_err(|error| SetupError::Keys(error.to_string()))
        };
        let configs = HpkeConfigs {
            leader: cached(Role::Leader, &leader.config)?,
            helper: cached(Role::Helper, &helper.config)?,
        };
        Ok(Self {
            configs,
            leader: Opener::new(&leader)?,
            helper: Opener::new(&helper)?,
            vdaf: Vdaf::new(&configuration.vdaf)?,
            verify_key: VerifyKey::new([7; VERIFY_KEY_SIZE]),
            context: vdaf_context(&task.task_id),
            aad: InputShareAad::prefix(&task.task_id, configuration),
            bins: task.encoding().bins() as usize,
        })
    }

    /// What the client seals to.
    pub fn configs(&self) -> &HpkeConfigs {
        &self.configs
    }

    /// Opens a report, as the aggregators would verify it.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, ReadError> {
        let report = Report::from_bytes(bytes)?;
        let mut aad = Vec::new();
        self.aad.with(&report.report_metadata, report.public_share.as_bytes(), &mut aad);
        let open = |role, opener: &Opener, sealed: &HpkeCiphertext| {
            let plaintext = opener
                .open(sealed, &input_share_info(role), &aad)
                .map_err(|source| ReadError::Open { role, source })?;
            payload(&report.report_metadata, &plaintext)
        };
        let leader = open(Role::Leader, &self.leader, &report.leader_encrypted_input_share)?;
        let helper = open(Role::Helper, &self.helper, &report.helper_encrypted_input_share)?;
        let bits = self.unsharded(&report, &leader, &helper)?;
        let mut fresh = vec![
            report.report_metadata.report_id.as_bytes().to_vec(),
            report.leader_encrypted_input_share.enc.as_bytes().to_vec(),
            report.helper_encrypted_input_share.enc.as_bytes().to_vec(),
            // The leader's blind, where there is one; in any case as random as that.
            leader[leader.len().saturating_sub(SEED)..].to_vec(),
        ];
        // The helper's share is a seed, and perhaps a blind.
        fresh.extend(helper.chunks(SEED).map(<[u8]>::to_vec));
        Ok(Opened { bits, fresh })
    }

    fn unsharded(
        &self,
        report: &Report,
        leader: &[u8],
        helper: &[u8],
    ) -> Result<Vec<bool>, ReadError> {
        let verification = Verification { key: &self.verify_key, context: &self.context };
        let of = |input_share| OpenReport {
            report_id: report.report_metadata.report_id,
            public_share: report.public_share.as_bytes(),
            input_share,
        };
        let (mut messages, waiting) = self.vdaf.start_verifying(verification, &[of(leader)]);
        let message = messages.pop().unwrap_or(Err(VerifyError::Malformed))?;
        let helpers = [(of(helper), message.as_slice(), 0)];
        let (mut answers, helper_sums) = self.vdaf.answer(verification, &helpers, 1);
        let answer = answers.pop().unwrap_or(Err(VerifyError::Malformed))?;
        let (verdicts, leader_sums) = waiting.finish(&self.context, &[(Some(&answer), 0)], 1);
        verdicts.into_iter().collect::<Result<Vec<()>, _>>()?;
        let sum = |mut sums: Sums| {
            let (_, sum) = sums.pop_first().ok_or(ReadError::Verify(VerifyError::Malformed))?;
            Ok::<_, ReadError>(sum)
        };
        let result = self.vdaf.unshard(&sum(leader_sums)?, &sum(helper_sums)?, 1)?;
        let elements = match result {
            AggregateResult::Vector(elements) => elements,
            AggregateResult::Integer(element) => vec![element.into()],
        };
        if elements.len() != self.bins {
            return Err(ReadError::Shape { found: elements.len(), bins: self.bins });
        }
        Ok(elements.iter().map(|element| *element > 0).collect())
    }
}

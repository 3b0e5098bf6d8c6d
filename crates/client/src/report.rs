//! From an answer to a sealed report (§4.4.2.1).

use super::hpke_configs::HpkeConfigs;
use serde::{Deserialize, Serialize};
use sottovoce_dap::{
    codec::{Encode, LengthError},
    extension::UncheckedExtensions,
    hpke::{self, HpkeCiphertext, HpkeConfig, HpkeError},
    ids::{NoRandomness, ReportId, TaskId},
    role::Role,
    time::Time,
    upload::{
        AadPrefix, InputShareAad, PlaintextInputShare, Report, ReportMetadata, input_share_info,
        vdaf_context,
    },
    vdaf::{
        UnsupportedVdaf, Vdaf,
        shard::{Measurement, ShardError, Sharded},
    },
};
use sottovoce_privacy::{
    guarantee::Mechanism,
    randomizer::{Bin, Randomized, RandomizedBits, RandomizerError},
    rng::DeviceRng,
};
use sottovoce_program::{
    answer::Answer,
    compile::CompiledTask,
    encoding::{Encoded, Encoding, EncodingError},
};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Makes the reports of one task on one device.
///
/// It knows the task and not its program, so it makes reports whether or not the task is proved to be in
/// the aggregators' logs. To insist on that, where the program does, is for whoever sends them: the
/// [`engine`](super::engine), `Uploader`, or [`logged::insist`](super::logged::insist).
#[derive(Debug)]
pub struct Reporter {
    task: TaskId,
    vdaf: Vdaf,
    vdaf_context: Vec<u8>,
    aad: AadPrefix,
    window: sottovoce_program::Calendar,
    encoding: Encoding,
    mechanism: Mechanism,
}

/// A report that could not be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The task's VDAF cannot be set up.
    #[error(transparent)]
    Vdaf(#[from] UnsupportedVdaf),
    /// The answer is not one of the metric's.
    #[error(transparent)]
    Answer(#[from] EncodingError),
    /// The bin is not one of the randomizer's.
    #[error(transparent)]
    Randomizer(#[from] RandomizerError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Sharding failed.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] HpkeError),
    /// A share is too long for its field.
    #[error(transparent)]
    TooLong(#[from] LengthError),
}

/// An answer after randomization, in the window that it is reported for: all that is left of it.
///
/// The noise was drawn once, and sharded once, for a report with one ID. Only [`Reporter::draw`] makes one; a
/// device may store it, and then every seal, also one after a restart, is of the same shares under the same
/// ID: whoever gets it twice can count it once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    noisy: Noisy,
    time: u64,
    id: ReportId,
    shares: Sharded,
}

/// What the randomizer gave.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Noisy {
    Bin(Randomized),
    Bits(RandomizedBits),
    Signals(RandomizedBits),
}

/// Says which report it is, and nothing of what is in it.
impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drawn")
            .field("id", &self.id)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl Drawn {
    /// The window that it is reported for.
    pub fn time(&self) -> Time {
        Time(self.time)
    }

    /// The ID of its report.
    pub fn id(&self) -> ReportId {
        self.id
    }

    /// What the randomizer gave, as the first version of the state kept it.
    #[cfg(test)]
    pub(super) fn noisy(&self) -> Noisy {
        self.noisy.clone()
    }

    /// What is sharded. Randomized already, so whoever sees it learns what ε₀ allows.
    pub fn measurement(&self) -> Measurement {
        self.noisy.measurement()
    }
}

impl Noisy {
    fn measurement(&self) -> Measurement {
        match self {
            Self::Bin(randomized) => Measurement::Bin(randomized.bin().index()),
            Self::Bits(randomized) => Measurement::Bits(randomized.bits().to_vec()),
            Self::Signals(randomized) => {
                Measurement::Vector(randomized.bits().iter().map(|bit| (*bit).into()).collect())
            }
        }
    }
}

/// A draw with the report that it was sealed in.
///
/// Sending again means sending the same bytes; only if the leader could not read them
/// ([`Reporter::reseal`]) are the *same shares* sealed afresh, under the same ID.
#[derive(Debug)]
pub struct Prepared {
    drawn: Drawn,
    report: SealedReport,
    resealed: bool,
}

/// A report as it is sent: bytes that nobody but the two aggregators can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedReport {
    id: ReportId,
    bytes: Vec<u8>,
}

impl Prepared {
    /// What to send.
    pub fn report(&self) -> &SealedReport {
        &self.report
    }

    /// Whether it was sealed afresh.
    pub fn is_resealed(&self) -> bool {
        self.resealed
    }
}

impl SealedReport {
    /// The report's ID, which an upload error names.
    pub fn id(&self) -> ReportId {
        self.id
    }

    /// The encoded [`Report`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Reporter {
    /// Makes ready for a task of a program.
    pub fn new(task: &CompiledTask) -> Result<Self, ReportError> {
        Ok(Self {
            task: task.task_id,
            vdaf: Vdaf::new(&task.configuration.vdaf)?,
            vdaf_context: vdaf_context(&task.task_id),
            aad: InputShareAad::prefix(&task.task_id, &task.configuration),
            window: task.window(),
            encoding: task.encoding().clone(),
            mechanism: task.randomizer().mechanism.clone(),
        })
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Randomizes, shards and seals an answer that was given at `now` (seconds since the Epoch;
    /// the report says only in which window): [`draw`](Self::draw) and [`seal`](Self::seal).
    pub fn prepare(
        &self,
        answer: &Answer,
        now: u64,
        configs: &HpkeConfigs,
        rng: &mut DeviceRng,
    ) -> Result<Prepared, ReportError> {
        let drawn = self.draw(answer, self.window.time_at(now), rng)?;
        self.prepare_drawn(drawn, configs)
    }

    /// Seals what was drawn, and keeps the draw beside it: [`seal`](Self::seal).
    pub fn prepare_drawn(
        &self,
        drawn: Drawn,
        configs: &HpkeConfigs,
    ) -> Result<Prepared, ReportError> {
        let report = self.seal(&drawn, configs)?;
        Ok(Prepared { drawn, report, resealed: false })
    }

    /// Randomizes an answer for the window `time`, and shards what comes out, for a report with an ID of its own.
    ///
    /// The answer is spent: to draw it again would tell more of it. A draw of bits that has more of them on
    /// than its proof allows cannot be sharded and is refused ([`ReportError::Shard`]); it is spent too.
    pub fn draw(
        &self,
        answer: &Answer,
        time: Time,
        rng: &mut DeviceRng,
    ) -> Result<Drawn, ReportError> {
        let noisy = match (self.encoding.encode(answer)?, &self.mechanism) {
            (Encoded::Bits(bits), Mechanism::Signals(randomizer)) => {
                Noisy::Signals(randomizer.randomize(&bits, rng)?)
            }
            (Encoded::One(bin), _) => self.randomize(bin, rng)?,
            (Encoded::OneOf(bins), _) => {
                let choices = u32::try_from(bins.len()).unwrap_or(u32::MAX);
                self.randomize(bins[rng.below(choices)], rng)?
            }
            (Encoded::Bits(_), _) => return Err(EncodingError::Kind.into()),
        };
        self.shard(noisy, time)
    }

    /// Shards a draw, once.
    pub(super) fn shard(&self, noisy: Noisy, time: Time) -> Result<Drawn, ReportError> {
        let id = ReportId::random()?;
        let shares = self.vdaf.shard(&self.vdaf_context, &noisy.measurement(), &id)?;
        Ok(Drawn { noisy, time: time.0, id, shares })
    }

    /// Seals the same shares under the same ID to fresh keys, after the leader said `hpke_unknown_config_id` and
    /// so could not read the first report (§4.4.2.2).
    pub fn reseal(
        &self,
        prepared: &mut Prepared,
        configs: &HpkeConfigs,
    ) -> Result<(), ReportError> {
        prepared.report = self.seal(&prepared.drawn, configs)?;
        prepared.resealed = true;
        Ok(())
    }

    /// Seals the shares of a draw, under its ID.
    pub fn seal(&self, drawn: &Drawn, configs: &HpkeConfigs) -> Result<SealedReport, ReportError> {
        let shares = &drawn.shares;
        let metadata = ReportMetadata {
            report_id: drawn.id,
            time: drawn.time(),
            public_extensions: UncheckedExtensions::default(),
        };
        let mut aad = Vec::new();
        self.aad.with(&metadata, &shares.public_share, &mut aad);
        let report = Report {
            leader_encrypted_input_share: seal_share(
                Role::Leader,
                configs.leader.config(),
                &aad,
                &shares.leader_input_share,
            )?,
            helper_encrypted_input_share: seal_share(
                Role::Helper,
                configs.helper.config(),
                &aad,
                &shares.helper_input_share,
            )?,
            report_metadata: metadata,
            public_share: shares.public_share.clone().try_into()?,
        };
        Ok(SealedReport { id: drawn.id, bytes: report.to_bytes() })
    }

    fn randomize(&self, bin: Bin, rng: &mut DeviceRng) -> Result<Noisy, ReportError> {
        match &self.mechanism {
            Mechanism::Krr(randomizer) => Ok(Noisy::Bin(randomizer.randomize(bin, rng)?)),
            Mechanism::Bits(randomizer) => Ok(Noisy::Bits(randomizer.randomize_one_hot(bin, rng)?)),
            Mechanism::Signals(_) => Err(EncodingError::Kind.into()),
        }
    }
}

fn seal_share(
    receiver: Role,
    config: &HpkeConfig,
    aad: &[u8],
    input_share: &[u8],
) -> Result<HpkeCiphertext, ReportError> {
    let plaintext = PlaintextInputShare {
        private_extensions: UncheckedExtensions::default(),
        payload: input_share.to_vec().try_into()?,
    };
    let plaintext = Zeroizing::new(plaintext.to_bytes());
    Ok(hpke::seal(config, &input_share_info(receiver), aad, &plaintext)?)
}

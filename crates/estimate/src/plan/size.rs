//! How many bytes a report has: one is made, of zeros where the seals go.

use sottovoce_dap::{
    codec::{Encode, LengthError},
    extension::UncheckedExtensions,
    hpke::{HpkeCiphertext, HpkeConfigId},
    ids::{NoRandomness, ReportId},
    time::Time,
    upload::{PlaintextInputShare, Report, ReportMetadata, vdaf_context},
    vdaf::{
        UnsupportedVdaf, Vdaf,
        shard::{Measurement, ShardError},
    },
};
use sottovoce_privacy::guarantee::Mechanism;
use sottovoce_program::compile::CompiledTask;
use thiserror::Error;

/// A report that cannot be made.
#[derive(Debug, Error)]
pub enum SizeError {
    /// The VDAF cannot be set up.
    #[error(transparent)]
    Vdaf(#[from] UnsupportedVdaf),
    /// Sharding failed.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A share is too long for its field.
    #[error(transparent)]
    TooLong(#[from] LengthError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Bytes of X25519's encapsulated secret.
const ENCAPSULATED: usize = 32;
/// Bytes that each of the AEADs adds.
const TAG: usize = 16;

/// Bytes of one report of a task.
pub(super) fn report(task: &CompiledTask) -> Result<usize, SizeError> {
    let vdaf = Vdaf::new(&task.configuration.vdaf)?;
    let measurement = match &task.randomizer().mechanism {
        Mechanism::Krr(_) => Measurement::Bin(0),
        Mechanism::Bits(bits) => Measurement::Bits(vec![false; bits.bits() as usize]),
        Mechanism::Signals(bits) => Measurement::Vector(vec![0; bits.bits() as usize]),
    };
    let report_id = ReportId::random()?;
    let sharded = vdaf.shard(&vdaf_context(&task.task_id), &measurement, &report_id)?;
    let report = Report {
        report_metadata: ReportMetadata {
            report_id,
            time: Time(0),
            public_extensions: UncheckedExtensions::default(),
        },
        leader_encrypted_input_share: sealed(&sharded.leader_input_share)?,
        helper_encrypted_input_share: sealed(&sharded.helper_input_share)?,
        public_share: sharded.public_share.try_into()?,
    };
    Ok(report.to_bytes().len())
}

/// As long as a sealed share.
fn sealed(share: &[u8]) -> Result<HpkeCiphertext, LengthError> {
    let plaintext = PlaintextInputShare {
        private_extensions: UncheckedExtensions::default(),
        payload: share.to_vec().try_into()?,
    };
    Ok(HpkeCiphertext {
        config_id: HpkeConfigId(0),
        enc: vec![0; ENCAPSULATED].try_into()?,
        payload: vec![0; plaintext.to_bytes().len() + TAG].try_into()?,
    })
}

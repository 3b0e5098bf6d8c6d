//! What series are told apart by: words that operators choose or that are fixed here, nothing that a client sends.

use prometheus_client::encoding::EncodeLabelSet;
use sottovoce_dap::{ids::TaskId, upload::ReportError};

/// A task.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct OfTask {
    /// Its ID.
    pub(super) task: String,
    /// What its program calls it; empty for a plain DAP task.
    pub(super) name: String,
    /// Its program, if the configuration names that.
    pub(super) program: String,
}

impl OfTask {
    pub(super) fn unnamed(task: &TaskId) -> Self {
        Self { task: task.to_string(), ..Self::default() }
    }
}

/// Declares sets of labels of which each is one word.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $label:ident: $type:ty })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
        pub(super) struct $name {
            pub(super) $label: $type,
        }
    )+ };
}

labels! {
    /// What collections wait for, why a connection ended, or why a handshake was refused.
    OfReason { reason: &'static str }
    /// A witness of the public log.
    OfWitness { witness: String }
    /// The other aggregator: the origin of its endpoint.
    OfPeer { peer: String }
    /// An HTTP status.
    OfStatus { status: u16 }
    /// A resource, by the pattern of its path.
    OfRoute { route: &'static str }
    /// A certificate, by what it is for.
    OfCertificate { certificate: &'static str }
    /// How far an HPKE key is in its life, or whether a connection is in use.
    OfState { state: &'static str }
}

/// A reason that a report was rejected for, and where.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Rejected {
    #[prometheus(flatten)]
    pub(super) of: OfTask,
    pub(super) stage: &'static str,
    pub(super) reason: &'static str,
}

/// A reason that reports were lost for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Lost {
    #[prometheus(flatten)]
    pub(super) of: OfTask,
    pub(super) reason: &'static str,
}

/// How jobs of a task ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Job {
    #[prometheus(flatten)]
    pub(super) of: OfTask,
    pub(super) outcome: &'static str,
}

/// A claim of a task.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Charged {
    #[prometheus(flatten)]
    pub(super) of: OfTask,
    pub(super) trust: String,
}

/// Requests, by their resource and the class of the status.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Answered {
    pub(super) route: &'static str,
    pub(super) code: &'static str,
}

/// The program that runs.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Build {
    pub(super) version: &'static str,
    pub(super) role: &'static str,
}

/// The draft's name of a reason.
pub fn reason(error: ReportError) -> &'static str {
    match error {
        ReportError::BatchCollected => "batch_collected",
        ReportError::ReportReplayed => "report_replayed",
        ReportError::ReportDropped => "report_dropped",
        ReportError::HpkeUnknownConfigId => "hpke_unknown_config_id",
        ReportError::HpkeDecryptError => "hpke_decrypt_error",
        ReportError::VdafVerifyError => "vdaf_verify_error",
        ReportError::InvalidMessage => "invalid_message",
        ReportError::ReportTooEarly => "report_too_early",
        ReportError::UnknownVerificationKeyId => "unknown_verification_key_id",
        ReportError::UnsupportedExtension => "unsupported_extension",
    }
}

/// The draft's name of a stored code; of one that no version here writes, a word that says so.
pub fn reason_of_code(code: u8) -> &'static str {
    let known = usize::from(code).checked_sub(1).and_then(|at| ReportError::ALL.get(at));
    known.map_or("unknown", |error| reason(*error))
}

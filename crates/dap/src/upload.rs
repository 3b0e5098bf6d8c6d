//! The upload interaction (§4.4): what a client sends to the leader.

use super::{
    VERSION,
    codec::{Decode, DecodeError, Encode, Opaque, Reader, U32, encode_vector},
    extension::UncheckedExtensions,
    hpke::HpkeCiphertext,
    ids::{ReportId, TaskId},
    role::Role,
    task::TaskConfiguration,
    time::Time,
};

/// Why one report was not taken or aggregated (§4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the draft gives the names and no more")]
pub enum ReportError {
    BatchCollected = 1,
    ReportReplayed = 2,
    ReportDropped = 3,
    HpkeUnknownConfigId = 4,
    HpkeDecryptError = 5,
    VdafVerifyError = 6,
    InvalidMessage = 7,
    ReportTooEarly = 8,
    UnknownVerificationKeyId = 9,
    UnsupportedExtension = 10,
}

impl ReportError {
    /// All of them, by code point from 1.
    pub const ALL: [Self; 10] = [
        Self::BatchCollected,
        Self::ReportReplayed,
        Self::ReportDropped,
        Self::HpkeUnknownConfigId,
        Self::HpkeDecryptError,
        Self::VdafVerifyError,
        Self::InvalidMessage,
        Self::ReportTooEarly,
        Self::UnknownVerificationKeyId,
        Self::UnsupportedExtension,
    ];
}

impl Encode for ReportError {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Decode for ReportError {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = reader.u8("report error")?;
        let known = usize::from(value).checked_sub(1).and_then(|i| Self::ALL.get(i));
        known.copied().ok_or(DecodeError::Unknown { field: "report error", value: value.into() })
    }
}

/// What everyone sees of a report (§4.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportMetadata {
    /// Random, and the nonce of the VDAF.
    pub report_id: ReportId,
    /// When the report was made.
    pub time: Time,
    /// For both aggregators.
    pub public_extensions: UncheckedExtensions,
}

impl Encode for ReportMetadata {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_id.encode(out);
        self.time.encode(out);
        self.public_extensions.encode(out);
    }
}

impl Decode for ReportMetadata {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            report_id: ReportId::decode(reader)?,
            time: Time::decode(reader)?,
            public_extensions: UncheckedExtensions::decode(reader)?,
        })
    }
}

/// One client's report (§4.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What everyone sees.
    pub report_metadata: ReportMetadata,
    /// The VDAF's public share.
    pub public_share: Opaque<0, U32>,
    /// Sealed to the leader.
    pub leader_encrypted_input_share: HpkeCiphertext,
    /// Sealed to the helper.
    pub helper_encrypted_input_share: HpkeCiphertext,
}

impl Encode for Report {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_metadata.encode(out);
        self.public_share.encode(out);
        self.leader_encrypted_input_share.encode(out);
        self.helper_encrypted_input_share.encode(out);
    }
}

impl Decode for Report {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            report_metadata: ReportMetadata::decode(reader)?,
            public_share: Opaque::decode(reader)?,
            leader_encrypted_input_share: HpkeCiphertext::decode(reader)?,
            helper_encrypted_input_share: HpkeCiphertext::decode(reader)?,
        })
    }
}

/// The body of an upload: reports up to its end (§4.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRequest {
    /// The reports.
    pub reports: Vec<Report>,
}

impl Encode for UploadRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        self.reports.encode(out);
    }
}

impl Decode for UploadRequest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { reports: reader.items()? })
    }
}

/// What became of one report that was not taken (§4.4.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportUploadStatus {
    /// The report.
    pub id: ReportId,
    /// Why it was not taken.
    pub error: ReportError,
}

impl ReportUploadStatus {
    /// Bytes of an encoded one.
    pub const LENGTH: usize = size_of::<ReportId>() + 1;
}

impl Encode for ReportUploadStatus {
    fn encode(&self, out: &mut Vec<u8>) {
        self.id.encode(out);
        self.error.encode(out);
    }
}

impl Decode for ReportUploadStatus {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { id: ReportId::decode(reader)?, error: ReportError::decode(reader)? })
    }
}

/// The reports of an upload that were not taken, in the order of the upload (§4.4.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadErrors {
    /// One for each; none if all were taken.
    pub status: Vec<ReportUploadStatus>,
}

impl Encode for UploadErrors {
    fn encode(&self, out: &mut Vec<u8>) {
        self.status.encode(out);
    }
}

impl Decode for UploadErrors {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { status: reader.items()? })
    }
}

/// What is sealed to one aggregator (§4.4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaintextInputShare {
    /// For this aggregator only.
    pub private_extensions: UncheckedExtensions,
    /// The VDAF's input share.
    pub payload: Opaque<1, U32>,
}

impl Encode for PlaintextInputShare {
    fn encode(&self, out: &mut Vec<u8>) {
        self.private_extensions.encode(out);
        self.payload.encode(out);
    }
}

impl Decode for PlaintextInputShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            private_extensions: UncheckedExtensions::decode(reader)?,
            payload: Opaque::decode(reader)?,
        })
    }
}

/// Checks the extensions of a report, public and private together (§4.5.3.4).
///
/// No report extension is supported, so any at all is one too many; order and repetition need no
/// look of their own, since every way of being wrong has the same answer. At upload the leader tells
/// an unknown extension from a malformed list (§4.4.2.2).
pub fn check_extensions(
    public: &UncheckedExtensions,
    private: &UncheckedExtensions,
) -> Result<(), ReportError> {
    if public.is_empty() && private.is_empty() { Ok(()) } else { Err(ReportError::InvalidMessage) }
}

/// What an input share is sealed under (§4.4.2.1).
#[derive(Debug)]
pub enum InputShareAad {}

/// The part of an [`InputShareAad`] that is the same for all reports of a task.
#[derive(Clone, Debug)]
pub struct AadPrefix(Vec<u8>);

impl InputShareAad {
    /// The task's part: its ID and configuration.
    pub fn prefix(task_id: &TaskId, configuration: &TaskConfiguration) -> AadPrefix {
        let mut prefix = task_id.to_bytes();
        configuration.encode(&mut prefix);
        AadPrefix(prefix)
    }
}

impl AadPrefix {
    /// Writes the whole for one report into `aad`, whose contents it replaces.
    pub fn with(&self, metadata: &ReportMetadata, public_share: &[u8], aad: &mut Vec<u8>) {
        aad.clear();
        aad.extend_from_slice(&self.0);
        metadata.encode(aad);
        encode_vector(aad, U32, |out| out.extend_from_slice(public_share));
    }
}

/// The HPKE info of input shares that are sealed to `receiver` (§4.4.2.1).
pub fn input_share_info(receiver: Role) -> Vec<u8> {
    let mut info = format!("{VERSION} input share").into_bytes();
    info.extend([Role::Client as u8, receiver as u8]);
    info
}

/// The context string of the task's VDAF (§4.4.2.1).
pub fn vdaf_context(task_id: &TaskId) -> Vec<u8> {
    let mut context = VERSION.as_bytes().to_vec();
    context.extend_from_slice(task_id.as_bytes());
    context
}

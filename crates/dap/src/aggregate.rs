//! The aggregation interaction (§4.5): what leader and helper say to each other about reports.

use super::{
    codec::{Decode, DecodeError, Encode, Opaque, Reader, U32},
    extension::{Extension, UncheckedExtensions},
    hpke::HpkeCiphertext,
    ids::{BatchId, ReportId},
    upload::{ReportError, ReportMetadata},
};
use sha2::{Digest, Sha256};

/// The helper's part of a report (§4.5.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportShare {
    /// What everyone sees.
    pub report_metadata: ReportMetadata,
    /// The VDAF's public share.
    pub public_share: Opaque<0, U32>,
    /// Sealed to the helper.
    pub encrypted_input_share: HpkeCiphertext,
}

impl Encode for ReportShare {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_metadata.encode(out);
        self.public_share.encode(out);
        self.encrypted_input_share.encode(out);
    }
}

impl Decode for ReportShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            report_metadata: ReportMetadata::decode(reader)?,
            public_share: Opaque::decode(reader)?,
            encrypted_input_share: HpkeCiphertext::decode(reader)?,
        })
    }
}

/// One report of a job, with the leader's first message (§4.5.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyInit {
    /// The helper's part of the report.
    pub report_share: ReportShare,
    /// The leader's message.
    pub payload: Opaque<1, U32>,
}

impl Encode for VerifyInit {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_share.encode(out);
        self.payload.encode(out);
    }
}

impl Decode for VerifyInit {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { report_share: ReportShare::decode(reader)?, payload: Opaque::decode(reader)? })
    }
}

/// The leader's request for an aggregation job (§4.5.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregationJobInitReq {
    /// Which of the prearranged verify keys.
    pub verification_key_id: u8,
    /// The VDAF's aggregation parameter: empty for Prio3.
    pub agg_param: Opaque<0, U32>,
    /// Extensions of the job.
    pub extensions: UncheckedExtensions,
    /// The reports, to the end of the message.
    pub verify_inits: Vec<VerifyInit>,
}

impl Encode for AggregationJobInitReq {
    fn encode(&self, out: &mut Vec<u8>) {
        self.verification_key_id.encode(out);
        self.agg_param.encode(out);
        self.extensions.encode(out);
        self.verify_inits.encode(out);
    }
}

impl Decode for AggregationJobInitReq {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            verification_key_id: reader.u8("verification key ID")?,
            agg_param: Opaque::decode(reader)?,
            extensions: UncheckedExtensions::decode(reader)?,
            verify_inits: reader.items()?,
        })
    }
}

/// The helper's answer for one report (§4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyResp {
    /// The report.
    pub report_id: ReportId,
    /// The answer.
    pub answer: VerifyAnswer,
}

/// `VerifyRespType` with what goes with it (§4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyAnswer {
    /// The helper's message.
    Continue(Opaque<1, U32>),
    /// Verification is over, without a message.
    Finish,
    /// The report is refused.
    Reject(ReportError),
}

impl Encode for VerifyResp {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_id.encode(out);
        match &self.answer {
            VerifyAnswer::Continue(payload) => {
                out.push(0);
                payload.encode(out);
            }
            VerifyAnswer::Finish => out.push(1),
            VerifyAnswer::Reject(error) => {
                out.push(2);
                error.encode(out);
            }
        }
    }
}

impl Decode for VerifyResp {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let report_id = ReportId::decode(reader)?;
        let answer = match reader.u8("verify response type")? {
            0 => VerifyAnswer::Continue(Opaque::decode(reader)?),
            1 => VerifyAnswer::Finish,
            2 => VerifyAnswer::Reject(ReportError::decode(reader)?),
            value => {
                let field = "verify response type";
                return Err(DecodeError::Unknown { field, value: value.into() });
            }
        };
        Ok(Self { report_id, answer })
    }
}

/// The helper's answer to a job, one for each report and in the same order (§4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregationJobResp {
    /// The answers, to the end of the message.
    pub verify_resps: Vec<VerifyResp>,
}

impl Encode for AggregationJobResp {
    fn encode(&self, out: &mut Vec<u8>) {
        self.verify_resps.encode(out);
    }
}

impl Decode for AggregationJobResp {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { verify_resps: reader.items()? })
    }
}

/// The leader's next message for one report (§4.5.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyContinue {
    /// The report.
    pub report_id: ReportId,
    /// The leader's message.
    pub payload: Opaque<1, U32>,
}

impl Encode for VerifyContinue {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_id.encode(out);
        self.payload.encode(out);
    }
}

impl Decode for VerifyContinue {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { report_id: ReportId::decode(reader)?, payload: Opaque::decode(reader)? })
    }
}

/// The leader's request to go on with a job: never needed for VDAFs of one round (§4.5.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregationJobContinueReq {
    /// The step to go to.
    pub step: u16,
    /// The messages, to the end of the message.
    pub verify_continues: Vec<VerifyContinue>,
}

impl Encode for AggregationJobContinueReq {
    fn encode(&self, out: &mut Vec<u8>) {
        self.step.encode(out);
        self.verify_continues.encode(out);
    }
}

impl Decode for AggregationJobContinueReq {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { step: reader.u16("step")?, verify_continues: reader.items()? })
    }
}

/// The code point of the extension that names a leader-selected batch (§5.2.2).
const LEADER_SELECTED_BATCH_ID: u16 = 1;

/// The extension that says which batch a job belongs to (§5.2.2).
pub fn leader_selected_batch_id(batch_id: BatchId) -> Extension {
    Extension {
        extension_type: LEADER_SELECTED_BATCH_ID,
        extension_data: batch_id.to_bytes().try_into().expect("a batch ID has 32 bytes"),
    }
}

/// Reads the batch ID, if `extension` is the one that names it.
pub fn read_batch_id(extension: &Extension) -> Option<Result<BatchId, DecodeError>> {
    (extension.extension_type == LEADER_SELECTED_BATCH_ID)
        .then(|| BatchId::from_bytes(extension.extension_data.as_bytes()))
}

/// XOR of the SHA-256 of report IDs, in whatever order (§4.5.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Adds a report.
    pub fn add(&mut self, report_id: &ReportId) {
        self.merge(&Self(Sha256::digest(report_id.as_bytes()).into()));
    }

    /// Adds all reports of another checksum.
    pub fn merge(&mut self, other: &Self) {
        for (byte, other) in self.0.iter_mut().zip(other.0) {
            *byte ^= other;
        }
    }
}

impl Encode for Checksum {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Checksum {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array("checksum").map(Self)
    }
}

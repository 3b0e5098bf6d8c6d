//! The collection interaction (§4.6): the collector with the leader, and the leader with the
//! helper.

use super::{
    VERSION,
    aggregate::Checksum,
    codec::{Decode, DecodeError, Encode, Opaque, Reader, U16, U32, encode_vector},
    extension::UncheckedExtensions,
    hpke::HpkeCiphertext,
    ids::{BatchId, TaskId},
    role::Role,
    task::{BatchMode, TaskConfiguration},
    time::Interval,
};

/// An interval as a query names it, well-formed or not.
///
/// A query whose interval is empty or has no end is a valid message that names no batch: the
/// answer to it is `batchInvalid`, not `invalidMessage` (§4.6.1, §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInterval {
    start: u64,
    duration: u64,
}

impl BatchInterval {
    /// The interval, if it is one.
    pub fn interval(self) -> Option<Interval> {
        Interval::new(super::time::Time(self.start), self.duration).ok()
    }
}

impl From<Interval> for BatchInterval {
    fn from(interval: Interval) -> Self {
        Self { start: interval.start().0, duration: interval.duration() }
    }
}

impl Encode for BatchInterval {
    fn encode(&self, out: &mut Vec<u8>) {
        self.start.encode(out);
        self.duration.encode(out);
    }
}

impl Decode for BatchInterval {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { start: reader.u64("start")?, duration: reader.u64("duration")? })
    }
}

/// What the collector asks for (§4.6.1, §5.1.1, §5.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The reports of an interval.
    TimeInterval(BatchInterval),
    /// The next batch that the leader has.
    LeaderSelected,
}

impl Encode for Query {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::TimeInterval(interval) => {
                BatchMode::TimeInterval.encode(out);
                encode_vector(out, U16, |out| interval.encode(out));
            }
            Self::LeaderSelected => {
                BatchMode::LeaderSelected.encode(out);
                encode_vector(out, U16, |_| {});
            }
        }
    }
}

impl Decode for Query {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mode = BatchMode::decode(reader)?;
        let mut config = Reader::new(reader.vector("query configuration", 0, U16)?);
        let query = match mode {
            BatchMode::TimeInterval => Self::TimeInterval(BatchInterval::decode(&mut config)?),
            BatchMode::LeaderSelected => Self::LeaderSelected,
        };
        config.finish()?;
        Ok(query)
    }
}

/// The collector's request (§4.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionJobReq {
    /// Which batch.
    pub query: Query,
    /// The VDAF's aggregation parameter: empty for Prio3.
    pub agg_param: Opaque<0, U32>,
    /// Extensions of the job.
    pub extensions: UncheckedExtensions,
}

impl Encode for CollectionJobReq {
    fn encode(&self, out: &mut Vec<u8>) {
        self.query.encode(out);
        self.agg_param.encode(out);
        self.extensions.encode(out);
    }
}

impl Decode for CollectionJobReq {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            query: Query::decode(reader)?,
            agg_param: Opaque::decode(reader)?,
            extensions: UncheckedExtensions::decode(reader)?,
        })
    }
}

/// A collected batch (§4.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionJobResp {
    /// Reports in the batch.
    pub report_count: u64,
    /// The smallest interval with the times of all of them.
    pub interval: Interval,
    /// Sealed to the collector by the leader.
    pub leader_encrypted_agg_share: HpkeCiphertext,
    /// Sealed to the collector by the helper.
    pub helper_encrypted_agg_share: HpkeCiphertext,
}

impl Encode for CollectionJobResp {
    fn encode(&self, out: &mut Vec<u8>) {
        self.report_count.encode(out);
        self.interval.encode(out);
        self.leader_encrypted_agg_share.encode(out);
        self.helper_encrypted_agg_share.encode(out);
    }
}

impl Decode for CollectionJobResp {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            report_count: reader.u64("report count")?,
            interval: Interval::decode(reader)?,
            leader_encrypted_agg_share: HpkeCiphertext::decode(reader)?,
            helper_encrypted_agg_share: HpkeCiphertext::decode(reader)?,
        })
    }
}

/// The batch that the leader answers a query with (§4.6.4, §5.1.2, §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSelector {
    /// The reports of an interval.
    TimeInterval(BatchInterval),
    /// The reports that the leader put in this batch.
    LeaderSelected(BatchId),
}

impl Encode for BatchSelector {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::TimeInterval(interval) => {
                BatchMode::TimeInterval.encode(out);
                encode_vector(out, U16, |out| interval.encode(out));
            }
            Self::LeaderSelected(batch_id) => {
                BatchMode::LeaderSelected.encode(out);
                encode_vector(out, U16, |out| batch_id.encode(out));
            }
        }
    }
}

impl Decode for BatchSelector {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mode = BatchMode::decode(reader)?;
        let mut config = Reader::new(reader.vector("batch selector configuration", 0, U16)?);
        let selector = match mode {
            BatchMode::TimeInterval => Self::TimeInterval(BatchInterval::decode(&mut config)?),
            BatchMode::LeaderSelected => Self::LeaderSelected(BatchId::decode(&mut config)?),
        };
        config.finish()?;
        Ok(selector)
    }
}

/// The leader's request for the helper's share of a batch (§4.6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateShareReq {
    /// What the collector asked for.
    pub collection_job_req: CollectionJobReq,
    /// The batch.
    pub batch_selector: BatchSelector,
    /// Reports that the leader has in it.
    pub report_count: u64,
    /// Over their IDs.
    pub checksum: Checksum,
}

impl Encode for AggregateShareReq {
    fn encode(&self, out: &mut Vec<u8>) {
        self.collection_job_req.encode(out);
        self.batch_selector.encode(out);
        self.report_count.encode(out);
        self.checksum.encode(out);
    }
}

impl Decode for AggregateShareReq {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            collection_job_req: CollectionJobReq::decode(reader)?,
            batch_selector: BatchSelector::decode(reader)?,
            report_count: reader.u64("report count")?,
            checksum: Checksum::decode(reader)?,
        })
    }
}

/// The helper's share of a batch (§4.6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateShare {
    /// Sealed to the collector.
    pub encrypted_aggregate_share: HpkeCiphertext,
}

impl Encode for AggregateShare {
    fn encode(&self, out: &mut Vec<u8>) {
        self.encrypted_aggregate_share.encode(out);
    }
}

impl Decode for AggregateShare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { encrypted_aggregate_share: HpkeCiphertext::decode(reader)? })
    }
}

/// `AggregateShareAad`: what an aggregate share is sealed under (§4.6.7).
pub fn aggregate_share_aad(
    task_id: &TaskId,
    configuration: &TaskConfiguration,
    request: &CollectionJobReq,
) -> Vec<u8> {
    let mut aad = task_id.to_bytes();
    configuration.encode(&mut aad);
    request.encode(&mut aad);
    aad
}

/// The HPKE info of aggregate shares that `sender` seals (§4.6.7).
pub fn aggregate_share_info(sender: Role) -> Vec<u8> {
    let mut info = format!("{VERSION} aggregate share").into_bytes();
    info.extend([sender as u8, Role::Collector as u8]);
    info
}

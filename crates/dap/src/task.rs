//! What all parties of a task agree on (§4.2) and bind into every seal (§8.6.5).

use super::{
    codec::{Decode, DecodeError, Encode, Opaque, Reader, U8, U16, encode_vector},
    extension::{Extension, UncheckedExtensions},
    ids::TaskId,
    time::{Interval, TimePrecision},
};
use sha2::{Digest, Sha256};

/// A URL as ASCII bytes, never altered (§4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// From text; `None` unless it is ASCII of 1 to 2^16-1 bytes without blanks or controls.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=U16).contains(&text.len());
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Encode for Url {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_vector(out, U16, |out| out.extend_from_slice(self.0.as_bytes()));
    }
}

impl Decode for Url {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = reader.vector("URL", 1, U16)?;
        let url = std::str::from_utf8(bytes).ok().and_then(Self::new);
        url.ok_or(DecodeError::Invalid { field: "URL", reason: "must be printable ASCII" })
    }
}

/// How reports are gathered into batches (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum BatchMode {
    /// By their times (§5.1).
    TimeInterval = 1,
    /// As the leader likes (§5.2).
    LeaderSelected = 2,
}

impl Encode for BatchMode {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Decode for BatchMode {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("batch mode")? {
            1 => Ok(Self::TimeInterval),
            2 => Ok(Self::LeaderSelected),
            value => Err(DecodeError::Unknown { field: "batch mode", value: value.into() }),
        }
    }
}

/// A VDAF with its parameters (the draft's appendix on configuration encodings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VdafConfig {
    /// Counts true measurements.
    Prio3Count,
    /// Adds up integers.
    Prio3Sum {
        /// The largest measurement.
        max_measurement: u64,
    },
    /// Adds up vectors of integers.
    Prio3SumVec {
        /// Elements of a vector.
        length: u32,
        /// The largest element.
        max_measurement: u64,
        /// Elements that the proof checks at a time.
        chunk_length: u32,
    },
    /// Counts measurements in bins.
    Prio3Histogram {
        /// Number of bins.
        length: u32,
        /// Bins that the proof checks at a time.
        chunk_length: u32,
    },
    /// Adds up vectors of bits.
    Prio3MultihotCountVec {
        /// Bits of a vector.
        length: u32,
        /// Bits that the proof checks at a time.
        chunk_length: u32,
        /// The most bits that may be set.
        max_weight: u64,
    },
}

impl VdafConfig {
    /// The name in the VDAF draft.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prio3Count => "Prio3Count",
            Self::Prio3Sum { .. } => "Prio3Sum",
            Self::Prio3SumVec { .. } => "Prio3SumVec",
            Self::Prio3Histogram { .. } => "Prio3Histogram",
            Self::Prio3MultihotCountVec { .. } => "Prio3MultihotCountVec",
        }
    }

    /// `VdafType`: the code point in the VDAF draft (§10 there).
    fn vdaf_type(&self) -> u32 {
        match self {
            Self::Prio3Count => 1,
            Self::Prio3Sum { .. } => 2,
            Self::Prio3SumVec { .. } => 3,
            Self::Prio3Histogram { .. } => 4,
            Self::Prio3MultihotCountVec { .. } => 5,
        }
    }

    fn encode_parameters(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Prio3Count => {}
            Self::Prio3Sum { max_measurement } => max_measurement.encode(out),
            Self::Prio3SumVec { length, max_measurement, chunk_length } => {
                length.encode(out);
                max_measurement.encode(out);
                chunk_length.encode(out);
            }
            Self::Prio3Histogram { length, chunk_length } => {
                length.encode(out);
                chunk_length.encode(out);
            }
            Self::Prio3MultihotCountVec { length, chunk_length, max_weight } => {
                length.encode(out);
                chunk_length.encode(out);
                max_weight.encode(out);
            }
        }
    }

    fn decode_parameters(vdaf_type: u32, mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let config = match vdaf_type {
            1 => Self::Prio3Count,
            2 => Self::Prio3Sum { max_measurement: reader.u64("max_measurement")? },
            3 => Self::Prio3SumVec {
                length: reader.u32("length")?,
                max_measurement: reader.u64("max_measurement")?,
                chunk_length: reader.u32("chunk_length")?,
            },
            4 => Self::Prio3Histogram {
                length: reader.u32("length")?,
                chunk_length: reader.u32("chunk_length")?,
            },
            5 => Self::Prio3MultihotCountVec {
                length: reader.u32("length")?,
                chunk_length: reader.u32("chunk_length")?,
                max_weight: reader.u64("max_weight")?,
            },
            value => {
                return Err(DecodeError::Unknown { field: "VDAF type", value: value.into() });
            }
        };
        reader.finish()?;
        Ok(config)
    }
}

impl Encode for VdafConfig {
    fn encode(&self, out: &mut Vec<u8>) {
        self.vdaf_type().encode(out);
        encode_vector(out, U16, |out| self.encode_parameters(out));
    }
}

impl Decode for VdafConfig {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let vdaf_type = reader.u32("VDAF type")?;
        let parameters = Reader::new(reader.vector("VDAF configuration", 0, U16)?);
        Self::decode_parameters(vdaf_type, parameters)
    }
}

/// `TaskConfiguration` (§4.2), with the one task extension that is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskConfiguration {
    /// Tells apart tasks that are otherwise the same; may be empty.
    pub task_info: Opaque<0, U8>,
    /// Where the leader's resources are.
    pub leader_aggregator_endpoint: Url,
    /// Where the helper's resources are.
    pub helper_aggregator_endpoint: Url,
    /// The unit of all times.
    pub time_precision: TimePrecision,
    /// The least number of reports in a batch.
    pub min_batch_size: u64,
    /// How reports are gathered into batches; neither mode has a `batch_config`.
    pub batch_mode: BatchMode,
    /// What is computed.
    pub vdaf: VdafConfig,
    /// When reports may be made (§4.2.3); always if there is none.
    pub task_interval: Option<Interval>,
}

/// The code point of the task interval extension (§4.2.3).
const TASK_INTERVAL: u16 = 1;

impl TaskConfiguration {
    /// The ID that our tasks get: SHA-256 of the encoding. The draft asks only that an ID be
    /// unique, so a task of others may have another.
    pub fn task_id(&self) -> TaskId {
        TaskId::new(Sha256::digest(self.to_bytes()).into())
    }

    /// The first field in which another configuration differs, if there is one.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("task_info", self.task_info == other.task_info),
            (
                "leader_aggregator_endpoint",
                self.leader_aggregator_endpoint == other.leader_aggregator_endpoint,
            ),
            (
                "helper_aggregator_endpoint",
                self.helper_aggregator_endpoint == other.helper_aggregator_endpoint,
            ),
            ("time_precision", self.time_precision == other.time_precision),
            ("min_batch_size", self.min_batch_size == other.min_batch_size),
            ("batch_mode", self.batch_mode == other.batch_mode),
            ("vdaf", self.vdaf == other.vdaf),
            ("task_interval", self.task_interval == other.task_interval),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }

    fn extensions(&self) -> UncheckedExtensions {
        let extension = self.task_interval.map(|interval| Extension {
            extension_type: TASK_INTERVAL,
            extension_data: interval.to_bytes().try_into().expect("an interval has 16 bytes"),
        });
        let extensions = extension.into_iter().collect();
        UncheckedExtensions::new(extensions).expect("one extension of 16 bytes fits")
    }
}

impl Encode for TaskConfiguration {
    fn encode(&self, out: &mut Vec<u8>) {
        self.task_info.encode(out);
        self.leader_aggregator_endpoint.encode(out);
        self.helper_aggregator_endpoint.encode(out);
        self.time_precision.encode(out);
        self.min_batch_size.encode(out);
        self.batch_mode.encode(out);
        Opaque::<0, U16>::default().encode(out);
        self.vdaf.encode(out);
        self.extensions().encode(out);
    }
}

impl Decode for TaskConfiguration {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let task_info = Opaque::decode(reader)?;
        let leader_aggregator_endpoint = Url::decode(reader)?;
        let helper_aggregator_endpoint = Url::decode(reader)?;
        let time_precision = TimePrecision::decode(reader)?;
        let min_batch_size = reader.u64("minimum batch size")?;
        let batch_mode = BatchMode::decode(reader)?;
        reader.vector("batch configuration", 0, U16).and_then(|config| {
            let reason = "must be empty for this batch mode";
            let invalid = DecodeError::Invalid { field: "batch configuration", reason };
            if config.is_empty() { Ok(()) } else { Err(invalid) }
        })?;
        let vdaf = VdafConfig::decode(reader)?;
        let task_interval = decode_extensions(&UncheckedExtensions::decode(reader)?)?;
        Ok(Self {
            task_info,
            leader_aggregator_endpoint,
            helper_aggregator_endpoint,
            time_precision,
            min_batch_size,
            batch_mode,
            vdaf,
            task_interval,
        })
    }
}

/// Nobody may take part in a task with an extension that they do not know (§4.2.2).
fn decode_extensions(extensions: &UncheckedExtensions) -> Result<Option<Interval>, DecodeError> {
    let mut task_interval = None;
    for extension in extensions.check()? {
        match extension.extension_type {
            TASK_INTERVAL => {
                task_interval = Some(Interval::from_bytes(extension.extension_data.as_bytes())?);
            }
            unknown => {
                let field = "task extension type";
                return Err(DecodeError::Unknown { field, value: unknown.into() });
            }
        }
    }
    Ok(task_interval)
}

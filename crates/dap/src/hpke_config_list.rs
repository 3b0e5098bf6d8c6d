//! The keys that an aggregator publishes (§4.4.1).

use super::{
    codec::{Decode, DecodeError, Encode, Reader, U16, encode_vector},
    hpke::HpkeConfig,
};
use std::collections::HashSet;

/// At least one configuration, in decreasing order of preference, with distinct IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HpkeConfigList(Vec<HpkeConfig>);

impl HpkeConfigList {
    /// Checks that there is a configuration, that IDs are distinct and that the list fits.
    pub fn new(configs: Vec<HpkeConfig>) -> Result<Self, DecodeError> {
        let invalid = |reason| Err(DecodeError::Invalid { field: "HPKE config list", reason });
        let mut ids = HashSet::new();
        if configs.is_empty() {
            return invalid("must not be empty");
        }
        if !configs.iter().all(|config| ids.insert(config.id)) {
            return invalid("must not have an ID twice");
        }
        if configs.iter().map(|config| config.to_bytes().len()).sum::<usize>() > U16 {
            return invalid("must not be longer than 65535 bytes");
        }
        Ok(Self(configs))
    }

    /// The configurations, the most preferred first.
    pub fn iter(&self) -> impl Iterator<Item = &HpkeConfig> {
        self.0.iter()
    }
}

impl Encode for HpkeConfigList {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_vector(out, U16, |out| self.0.encode(out));
    }
}

impl Decode for HpkeConfigList {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const LEAST: usize = 10;
        Self::new(Reader::new(reader.vector("HPKE config list", LEAST, U16)?).items()?)
    }
}

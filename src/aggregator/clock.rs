//! What time it is: read in one place, so that the rest takes it as an argument.

use super::store::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by the system's clock. A clock before 1970 reads as 1970.
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// A moment in whole seconds since the Epoch, as the protocol counts.
pub fn seconds(moment: Timestamp) -> u64 {
    moment.0 / 1000
}

//! The clock. It is read here only; all other code takes the time as an argument.

#[cfg(test)]
pub(super) mod simulated;

use super::store::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, by the system's clock. A clock before 1970 reads as 1970.
pub fn now() -> Timestamp {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Now, by the clock that waits go by: nobody sets it, and timers agree with it.
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A moment in whole seconds since the Epoch, as the protocol counts.
pub fn seconds(moment: Timestamp) -> u64 {
    moment.0 / 1000
}

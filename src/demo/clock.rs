//! The time, and waiting for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the Epoch.
pub(super) fn now() -> u64 {
    since_epoch().as_secs()
}

/// Waits for a moment in seconds since the Epoch.
pub(super) async fn sleep_until(moment: u64) {
    tokio::time::sleep(Duration::from_secs(moment).saturating_sub(since_epoch())).await;
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

//! Counts as numbers to calculate with, and back.

/// A count as floating point: exact up to 2^53, which bounds every batch.
pub(super) trait Real {
    fn real(self) -> f64;
}

impl Real for u64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, the most reports there are")]
    fn real(self) -> f64 {
        self as f64
    }
}

impl Real for i64 {
    #[expect(clippy::cast_precision_loss, reason = "larger counts are refused before they matter")]
    fn real(self) -> f64 {
        self as f64
    }
}

impl Real for usize {
    #[expect(clippy::cast_precision_loss, reason = "a number of bins, windows or comparisons")]
    fn real(self) -> f64 {
        self as f64
    }
}

/// The whole number nearest to `value`; the largest or smallest if it is out of range.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
pub(super) fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// The least whole number of devices at or above `value`, at least 1; saturates.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and >= 1")]
pub(super) fn devices(value: f64) -> u64 {
    value.ceil().max(1.0) as u64
}

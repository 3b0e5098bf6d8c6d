//! A count of trials and hits.

/// How often something happened, of how many times that it could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Times that it happened.
    pub hits: u64,
    /// Times that it could have.
    pub trials: u64,
}

impl Share {
    pub(super) fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.trials += 1;
    }

    /// How often, of one.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn rate(self) -> f64 {
        self.hits as f64 / self.trials.max(1) as f64
    }

    /// Of two, as one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { hits: self.hits + other.hits, trials: self.trials + other.trials }
    }
}

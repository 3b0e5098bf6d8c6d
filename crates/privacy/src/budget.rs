//! What is spent, and what is left: one account that device, planner and auditor share.
//!
//! An account holds how often each kind of release was made in a period, and limits that all of
//! them together must keep: the sum of the randomizers' own bounds (OC), and the composed (ε, δ)
//! under OAMC. A charge that would break either is refused and not booked, whatever it is. Charges
//! are never taken back: a report that was drawn may have been seen.

use super::{
    composition::PrivacyLoss,
    guarantee::{GuaranteeError, Release, sum_of_local},
    shown::{at_least, at_most},
    units::{Delta, Epsilon, TrustModel},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What all charges of a period together must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The sum of the randomizers' own bounds, if it is limited.
    pub local: Option<Epsilon>,
    /// The composed bound under OAMC, if it is limited.
    pub central: Option<(Epsilon, Delta)>,
}

/// The account of one period.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    spent: Vec<(Release, u64)>,
    /// Losses that were worked out already, one for each kind of release.
    losses: Vec<(Release, PrivacyLoss)>,
}

/// A charge that is not booked.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum BudgetError {
    /// Too much.
    #[error(
        "the budget of ε = {limit} would be exceeded, {}: {} spent, {} requested, {} left; wait for the next period, \
         ask less often, or use a smaller epsilon0",
        trust.named(), at_most(*spent, 3), at_most(*asked, 3), at_least(*left, 3)
    )]
    Exceeded {
        /// Which of the limits.
        trust: TrustModel,
        /// The limit, in ε.
        limit: f64,
        /// The ε of all charges so far.
        spent: f64,
        /// The ε of this charge by itself.
        asked: f64,
        /// What is between spent and the limit. Under OAMC losses compose to less than their sum, so
        /// it can also be too little when more than `asked` seems left, and the other way round.
        left: f64,
    },
    /// A release that guarantees nothing.
    #[error(transparent)]
    Guarantee(#[from] GuaranteeError),
}

impl Budget {
    /// An account with nothing on it.
    pub fn new(limits: Limits) -> Self {
        Self::with_spent(limits, Vec::new())
    }

    /// An account that goes on: each kind of release, and how often it was made. Releases have
    /// their *declared* smallest batch: parameters that depended on earlier releases would not
    /// compose.
    pub fn with_spent(limits: Limits, spent: Vec<(Release, u64)>) -> Self {
        Self { limits, spent, losses: Vec::new() }
    }

    /// Books `times` releases of a kind, or says why not; then nothing has changed.
    pub fn charge(&mut self, release: &Release, times: u64) -> Result<(), BudgetError> {
        self.check_local(release, times)?;
        if let Some((limit, delta)) = self.limits.central {
            self.check_central(release, times, limit, delta)?;
        }
        self.spent = self.with(release, times);
        Ok(())
    }

    /// What is booked.
    pub fn spent(&self) -> &[(Release, u64)] {
        &self.spent
    }

    /// What must be kept.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The sum of the randomizers' own bounds so far.
    pub fn spent_local(&self) -> Result<Epsilon, BudgetError> {
        Ok(sum_of_local(&self.spent)?)
    }

    /// The composed ε under OAMC so far, at `delta`.
    pub fn spent_central(&mut self, delta: Delta) -> Result<Epsilon, BudgetError> {
        let spent = self.spent.clone();
        self.central(&spent, delta)
    }

    fn with(&self, release: &Release, times: u64) -> Vec<(Release, u64)> {
        let mut spent = self.spent.clone();
        match spent.iter_mut().find(|(known, _)| known == release) {
            Some((_, count)) => *count += times,
            None => spent.push((release.clone(), times)),
        }
        spent
    }

    fn check_local(&self, release: &Release, times: u64) -> Result<(), BudgetError> {
        let Some(limit) = self.limits.local else { return Ok(()) };
        let (spent, limit) = (self.spent_local()?.get(), limit.get());
        let asked = sum_of_local(&[(release.clone(), times)])?.get();
        let total = (spent + asked) * (1.0 + f64::EPSILON);
        // Bounds are rounded up a little; whole numbers of them should still fit.
        if total <= limit * (1.0 + ROUNDING) {
            return Ok(());
        }
        Err(exceeded(TrustModel::Oc, [limit, spent, asked]))
    }

    fn check_central(
        &mut self,
        release: &Release,
        times: u64,
        limit: Epsilon,
        delta: Delta,
    ) -> Result<(), BudgetError> {
        if self.central(&self.with(release, times), delta)? <= limit {
            return Ok(());
        }
        let spent = self.spent_central(delta)?.get();
        let asked = self.central(&[(release.clone(), times)], delta)?.get();
        Err(exceeded(TrustModel::Oamc, [limit.get(), spent, asked]))
    }

    /// The smaller of the composed ε and of the sum of pure bounds.
    fn central(&mut self, kinds: &[(Release, u64)], delta: Delta) -> Result<Epsilon, BudgetError> {
        let mut total = PrivacyLoss::none();
        for (release, times) in kinds {
            total = total.then(&self.loss(release, delta)?.repeated(*times));
        }
        let sum = sum_of_local(kinds)?;
        let composed = total.epsilon(delta.get()).and_then(|epsilon| Epsilon::new(epsilon).ok());
        Ok(composed.filter(|composed| *composed < sum).unwrap_or(sum))
    }

    fn loss(&mut self, release: &Release, delta: Delta) -> Result<PrivacyLoss, BudgetError> {
        if let Some((_, loss)) = self.losses.iter().find(|(known, _)| known == release) {
            return Ok(loss.clone());
        }
        let loss = release.privacy_loss(TrustModel::Oamc, delta)?;
        self.losses.push((release.clone(), loss.clone()));
        Ok(loss)
    }
}

/// More than the rounding of a sum of bounds, and far less than anybody's privacy.
const ROUNDING: f64 = 1e-9;

fn exceeded(trust: TrustModel, [limit, spent, asked]: [f64; 3]) -> BudgetError {
    BudgetError::Exceeded { trust, limit, spent, asked, left: (limit - spent).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guarantee::{Mechanism, MechanismKind};

    fn release(epsilon0: f64) -> Release {
        let epsilon0 = Epsilon::new(epsilon0).unwrap();
        let mechanism = Mechanism::new(MechanismKind::Krr, 4, epsilon0).unwrap();
        Release { mechanism, noise: None, honest: 100 }
    }

    fn limits(local: f64, central: Option<(f64, f64)>) -> Limits {
        let central = central.map(|(e, d)| (Epsilon::new(e).unwrap(), Delta::new(d).unwrap()));
        Limits { local: Some(Epsilon::new(local).unwrap()), central }
    }

    #[test]
    fn a_charge_beyond_the_limit_is_refused_with_all_three_numbers() {
        let mut budget = Budget::new(limits(9.0, None));
        budget.charge(&release(4.0), 2).unwrap();
        let words = budget.charge(&release(2.0), 1).unwrap_err().to_string();
        for part in ["OC", "8.000 spent", "2.000 requested", "1.000 left"] {
            assert!(words.contains(part), "{part:?} is not in {words:?}");
        }
        assert_eq!(budget.spent(), [(release(4.0), 2)], "what is refused is not booked");
        budget.charge(&release(1.0), 1).unwrap();
    }

    #[test]
    fn what_is_spent_and_asked_is_shown_rounded_up_what_is_left_down_and_the_limit_as_declared() {
        let error = exceeded(TrustModel::Oamc, [0.9999, 0.933_231, 0.3001]);
        let words = error.to_string();
        for part in ["budget of ε = 0.9999 would", "0.934 spent", "0.301 requested", "0.066 left"]
        {
            assert!(words.contains(part), "{part:?} is not in {words:?}");
        }
    }

    #[test]
    fn a_whole_number_of_charges_fits_exactly() {
        let mut budget = Budget::new(limits(24.0, None));
        for _ in 0..6 {
            budget.charge(&release(4.0), 1).unwrap();
        }
        assert!(budget.charge(&release(0.001), 1).is_err());
    }

    #[test]
    fn the_central_limit_holds_for_all_charges_together() {
        let delta = Delta::new(1e-6).unwrap();
        let one = release(1.0).guarantees(delta).unwrap()[2].epsilon.get();
        let mut budget = Budget::new(limits(100.0, Some((2.5 * one, 1e-6))));
        let mut times = 0;
        let error = loop {
            match budget.charge(&release(1.0), 1) {
                Ok(()) => times += 1,
                Err(error) => break error,
            }
        };
        // Losses compose with about the square root: more than two fit, fewer than 2.5 squared do.
        assert!((3..=7).contains(&times), "{times}");
        let BudgetError::Exceeded { trust, spent, limit, asked, left } = error else {
            panic!("{error}")
        };
        assert_eq!(trust, TrustModel::Oamc);
        assert!(spent <= limit && left < asked && (asked / one - 1.0).abs() < 0.01);
    }

    #[test]
    fn an_account_goes_on_where_it_stood() {
        let mut budget = Budget::with_spent(limits(9.0, None), vec![(release(4.0), 1)]);
        assert!(budget.charge(&release(6.0), 1).is_err());
        budget.charge(&release(4.0), 1).unwrap();
        assert_eq!(budget.spent(), [(release(4.0), 2)]);
        assert!((budget.spent_local().unwrap().get() - 8.0).abs() < 1e-9);
    }

    #[test]
    fn without_limits_everything_is_booked() {
        let mut budget = Budget::new(Limits::default());
        budget.charge(&release(20.0), 1_000_000).unwrap();
        assert!(budget.spent_local().unwrap().get() > 1e7);
    }

    #[test]
    fn a_release_that_guarantees_nothing_is_refused() {
        let mut budget = Budget::new(limits(9.0, Some((1.0, 1e-6))));
        let lonely = Release { honest: 1, ..release(1.0) };
        assert!(matches!(budget.charge(&lonely, 1), Err(BudgetError::Guarantee(_))));
    }
}

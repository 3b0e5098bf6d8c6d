//! What is spent, and what is left: one account that device, planner and auditor share.
//!
//! An account holds charges, one for each report of a metric in a window, and two limits that all
//! of them together must keep: the sum of the randomizers' own bounds (OC), and, if declared, the
//! composed (ε, δ) under OAMC. A charge that would break either is refused and not booked, whatever
//! it is. Charges are never taken back: a report that was drawn may have been seen.

use super::{
    composition::PrivacyLoss,
    guarantee::{GuaranteeError, Release, sum_of_local},
    units::{Delta, Epsilon, TrustModel},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One report of a metric in a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// The metric, or the task, by its name.
    pub metric: String,
    /// The window's number, counted as the program counts them.
    pub window: u64,
    /// What is released, with the *declared* smallest batch: parameters that depended on earlier
    /// releases would not compose.
    pub release: Release,
}

/// What all charges together must keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The sum of the randomizers' own bounds.
    pub local: Epsilon,
    /// The composed bound under OAMC, if one is declared.
    pub central: Option<(Epsilon, Delta)>,
}

/// A device's account over one period.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Budget {
    limits: Limits,
    charges: Vec<Charge>,
    /// Losses that were worked out already, one for each kind of release.
    #[serde(skip)]
    losses: Vec<(Release, PrivacyLoss)>,
}

/// A charge that is not booked.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum BudgetError {
    /// Too much.
    #[error(
        "{metric} in window {window} would break the {trust} budget of {limit:.3}: {spent:.3} \
         spent, {asked:.3} asked, {left:.3} left; wait for the next period, ask less often, or \
         use a smaller epsilon0"
    )]
    Exceeded {
        /// The metric.
        metric: String,
        /// The window.
        window: u64,
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
    /// A second report, which would cost a second time.
    #[error("{metric} in window {window} is charged already; send the same sealed report again")]
    Charged {
        /// The metric.
        metric: String,
        /// The window.
        window: u64,
    },
    /// A release that guarantees nothing.
    #[error(transparent)]
    Guarantee(#[from] GuaranteeError),
}

impl Budget {
    /// An account with nothing on it.
    pub fn new(limits: Limits) -> Self {
        Self { limits, charges: Vec::new(), losses: Vec::new() }
    }

    /// Books a charge, or says why not; then nothing has changed.
    pub fn charge(&mut self, charge: Charge) -> Result<(), BudgetError> {
        let same = |other: &Charge| other.metric == charge.metric && other.window == charge.window;
        if self.charges.iter().any(same) {
            let Charge { metric, window, .. } = charge;
            return Err(BudgetError::Charged { metric, window });
        }
        self.check_local(&charge)?;
        if let Some((limit, delta)) = self.limits.central {
            self.check_central(&charge, limit, delta)?;
        }
        self.charges.push(charge);
        Ok(())
    }

    /// What is booked.
    pub fn charges(&self) -> &[Charge] {
        &self.charges
    }

    /// What must be kept.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The sum of the randomizers' own bounds so far.
    pub fn spent_local(&self) -> Result<Epsilon, BudgetError> {
        Ok(sum_of_local(&self.kinds())?)
    }

    /// The composed ε under OAMC so far, at the declared δ; `None` if none is declared.
    pub fn spent_central(&mut self) -> Result<Option<Epsilon>, BudgetError> {
        let Some((_, delta)) = self.limits.central else { return Ok(None) };
        let kinds = self.kinds();
        Ok(Some(self.central(&kinds, delta)?))
    }

    /// The charges by kind of release, and how many there are of each.
    fn kinds(&self) -> Vec<(Release, u64)> {
        let mut kinds: Vec<(Release, u64)> = Vec::new();
        for charge in &self.charges {
            match kinds.iter_mut().find(|(release, _)| *release == charge.release) {
                Some((_, count)) => *count += 1,
                None => kinds.push((charge.release.clone(), 1)),
            }
        }
        kinds
    }

    fn check_local(&self, charge: &Charge) -> Result<(), BudgetError> {
        let (spent, limit) = (self.spent_local()?.get(), self.limits.local.get());
        let asked = charge.release.mechanism.local_epsilon().get();
        let total = (spent + asked) * (1.0 + f64::EPSILON);
        // Bounds are rounded up by a few parts in 10^12; whole numbers of them should still fit.
        if total <= limit * (1.0 + ROUNDING) {
            return Ok(());
        }
        Err(exceeded(charge, TrustModel::Oc, [limit, spent, asked]))
    }

    fn check_central(
        &mut self,
        charge: &Charge,
        limit: Epsilon,
        delta: Delta,
    ) -> Result<(), BudgetError> {
        let before = self.kinds();
        let alone = (charge.release.clone(), 1);
        let after = [before.as_slice(), std::slice::from_ref(&alone)].concat();
        if self.central(&after, delta)? <= limit {
            return Ok(());
        }
        let spent = self.central(&before, delta)?.get();
        let asked = self.central(&[alone], delta)?.get();
        Err(exceeded(charge, TrustModel::Oamc, [limit.get(), spent, asked]))
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

fn exceeded(charge: &Charge, trust: TrustModel, [limit, spent, asked]: [f64; 3]) -> BudgetError {
    BudgetError::Exceeded {
        metric: charge.metric.clone(),
        window: charge.window,
        trust,
        limit,
        spent,
        asked,
        left: (limit - spent).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::guarantee::{Mechanism, MechanismKind};

    fn release(epsilon0: f64) -> Release {
        let epsilon0 = Epsilon::new(epsilon0).unwrap();
        let mechanism = Mechanism::new(MechanismKind::Krr, 4, epsilon0).unwrap();
        Release { mechanism, noise: None, honest: 100 }
    }

    fn charge(metric: &str, window: u64, epsilon0: f64) -> Charge {
        Charge { metric: metric.to_owned(), window, release: release(epsilon0) }
    }

    fn limits(local: f64, central: Option<(f64, f64)>) -> Limits {
        let central = central.map(|(e, d)| (Epsilon::new(e).unwrap(), Delta::new(d).unwrap()));
        Limits { local: Epsilon::new(local).unwrap(), central }
    }

    #[test]
    fn a_charge_beyond_the_limit_is_refused_with_all_three_numbers() {
        let mut budget = Budget::new(limits(9.0, None));
        budget.charge(charge("quality", 1, 4.0)).unwrap();
        budget.charge(charge("quality", 2, 4.0)).unwrap();
        let error = budget.charge(charge("tone", 2, 2.0)).unwrap_err();
        let words = error.to_string();
        for part in ["tone in window 2", "OC", "8.000 spent", "2.000 asked", "1.000 left"] {
            assert!(words.contains(part), "{part:?} is not in {words:?}");
        }
        assert_eq!(budget.charges().len(), 2, "what is refused is not booked");
        budget.charge(charge("tone", 2, 1.0)).unwrap();
    }

    #[test]
    fn a_whole_number_of_charges_fits_exactly() {
        let mut budget = Budget::new(limits(24.0, None));
        for window in 0..6 {
            budget.charge(charge("quality", window, 4.0)).unwrap();
        }
        assert!(budget.charge(charge("quality", 6, 0.001)).is_err());
    }

    #[test]
    fn one_metric_is_charged_once_a_window() {
        let mut budget = Budget::new(limits(9.0, None));
        budget.charge(charge("quality", 1, 1.0)).unwrap();
        let again = budget.charge(charge("quality", 1, 1.0)).unwrap_err();
        assert!(matches!(again, BudgetError::Charged { window: 1, .. }));
    }

    #[test]
    fn the_central_limit_holds_for_all_charges_together() {
        let delta = Delta::new(1e-6).unwrap();
        let one = release(1.0).guarantees(delta).unwrap()[2].epsilon.get();
        let mut budget = Budget::new(limits(100.0, Some((2.5 * one, 1e-6))));
        let mut windows = 0;
        let error = loop {
            match budget.charge(charge("quality", windows, 1.0)) {
                Ok(()) => windows += 1,
                Err(error) => break error,
            }
        };
        // Losses compose with about the square root: more than two fit, fewer than 2.5 squared do.
        assert!((3..=7).contains(&windows), "{windows}");
        let BudgetError::Exceeded { trust, spent, limit, asked, left, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(trust, TrustModel::Oamc);
        assert!(spent <= limit && left < asked && (asked / one - 1.0).abs() < 0.01);
    }

    #[test]
    fn an_account_that_was_stored_goes_on() {
        let mut budget = Budget::new(limits(9.0, None));
        budget.charge(charge("quality", 1, 4.0)).unwrap();
        let stored = serde_json::to_string(&budget).unwrap();
        let mut restored: Budget = serde_json::from_str(&stored).unwrap();
        assert_eq!(restored.charges(), budget.charges());
        assert!(restored.charge(charge("quality", 2, 6.0)).is_err());
        let spent = [&restored, &budget].map(|budget| budget.spent_local().unwrap().get());
        assert!((spent[0] - spent[1]).abs() < 1e-11);
        assert_eq!(restored.spent_central(), Ok(None));
    }

    #[test]
    fn a_release_that_guarantees_nothing_is_refused() {
        let mut budget = Budget::new(limits(9.0, Some((1.0, 1e-6))));
        let lonely = Release { honest: 1, ..release(1.0) };
        let charge = Charge { release: lonely, ..charge("quality", 1, 1.0) };
        assert!(matches!(budget.charge(charge), Err(BudgetError::Guarantee(_))));
    }
}

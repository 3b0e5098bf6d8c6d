//! What two operators agree on when their servers hold a batch differently: both keep the parts that
//! both have, and drop the others.
//!
//! A part is what one aggregation job added to the batch, and of one job both have the same. What is
//! kept follows from what both hold, whoever works it out, and stays the same once one of the two has
//! dropped the rest: so its digest is what is agreed on.

use super::{comparison::Held, store::ShardName};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use sottovoce_dap::{codec::Encode, ids::TaskId, role::Role};
use std::{collections::BTreeMap, fmt};
use thiserror::Error;

/// The repair of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What both hold, in their order.
    pub kept: Vec<ShardName>,
    /// What the leader holds alone.
    pub leader_drops: Vec<ShardName>,
    /// What the helper holds alone.
    pub helper_drops: Vec<ShardName>,
    /// Digest of the task, the batch and what is kept.
    pub digest: PlanDigest,
}

/// SHA-256 of what a repair keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PlanDigest(pub [u8; 32]);

/// Why a batch cannot be repaired.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoPlan {
    /// A share of it may have left.
    #[error(
        "the batch is collected or being collected at the {0}: a released batch cannot be repaired; \
         `collections list` shows the collection"
    )]
    Collected(Role),
    /// It may still change.
    #[error(
        "an aggregation job in flight at the {0} may still add to the batch; retry when it has ended"
    )]
    Busy(Role),
    /// The other side is not of this version, or damaged.
    #[error(
        "the {0}'s list of the batch's parts does not decode; install the same version on both sides"
    )]
    Unreadable(Role),
}

impl Plan {
    /// By what both hold of a batch's parts.
    pub fn new(task: &TaskId, batch: &[u8], leader: &Held, helper: &Held) -> Result<Self, NoPlan> {
        for (role, held) in [(Role::Leader, leader), (Role::Helper, helper)] {
            if held.collected {
                return Err(NoPlan::Collected(role));
            }
            if held.busy {
                return Err(NoPlan::Busy(role));
            }
        }
        let names = |role, held: &Held| parts(held).ok_or(NoPlan::Unreadable(role));
        let (leader, helper) = (names(Role::Leader, leader)?, names(Role::Helper, helper)?);
        let (kept, leader_drops, helper_drops) = compare(&leader, &helper);
        let digest = digest(task, batch, &kept);
        Ok(Self { kept, leader_drops, helper_drops, digest })
    }

    /// What one of the two drops.
    pub fn drops(&self, role: Role) -> &[ShardName] {
        if role == Role::Leader { &self.leader_drops } else { &self.helper_drops }
    }

    /// What one of the two holds as yet, in its order.
    pub fn held(&self, role: Role) -> Vec<ShardName> {
        let mut held = [&self.kept, self.drops(role)].concat();
        held.sort_unstable();
        held
    }
}

/// Reports in parts.
pub fn reports(parts: &[ShardName]) -> u64 {
    parts.iter().map(|part| part.reports).fold(0, u64::saturating_add)
}

fn parts(held: &Held) -> Option<Vec<ShardName>> {
    let part = |sum: &super::comparison::Sum| {
        let checksum = URL_SAFE_NO_PAD.decode(&sum.checksum).ok()?.try_into().ok()?;
        Some(ShardName { reports: sum.reports, checksum })
    };
    held.parts.iter().map(part).collect()
}

/// What both have, and what each has alone; as often as it has it.
fn compare(
    leader: &[ShardName],
    helper: &[ShardName],
) -> (Vec<ShardName>, Vec<ShardName>, Vec<ShardName>) {
    let mut counts = BTreeMap::<ShardName, [usize; 2]>::new();
    for (side, parts) in [leader, helper].into_iter().enumerate() {
        for part in parts {
            counts.entry(*part).or_default()[side] += 1;
        }
    }
    let (mut kept, mut leaders, mut helpers) = (Vec::new(), Vec::new(), Vec::new());
    for (part, [leader, helper]) in counts {
        let both = leader.min(helper);
        kept.extend(std::iter::repeat_n(part, both));
        leaders.extend(std::iter::repeat_n(part, leader - both));
        helpers.extend(std::iter::repeat_n(part, helper - both));
    }
    (kept, leaders, helpers)
}

fn digest(task: &TaskId, batch: &[u8], kept: &[ShardName]) -> PlanDigest {
    let mut hash = Sha256::new().chain_update(b"sottovoce repair of a batch\0");
    hash.update(task.to_bytes());
    hash.update((batch.len() as u64).to_be_bytes());
    hash.update(batch);
    for part in kept {
        hash.update(part.reports.to_be_bytes());
        hash.update(part.checksum);
    }
    PlanDigest(hash.finalize().into())
}

/// Lowercase hexadecimal digits.
impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Sum;
    use proptest::prelude::*;

    const TASK: TaskId = TaskId::new([1; 32]);

    fn held(parts: &[u8]) -> Held {
        let part = |number: &u8| Sum {
            reports: u64::from(*number),
            checksum: URL_SAFE_NO_PAD.encode([*number; 32]),
        };
        Held { parts: parts.iter().map(part).collect(), ..Held::default() }
    }

    fn plan(leader: &[u8], helper: &[u8]) -> Plan {
        Plan::new(&TASK, b"batch", &held(leader), &held(helper)).unwrap()
    }

    proptest! {
        /// Whoever repairs first, both hold the same in the end, and agree on the way.
        #[test]
        fn the_digest_stays_until_both_hold_what_both_had(
            leader in prop::collection::vec(0u8..5, 0..8),
            helper in prop::collection::vec(0u8..5, 0..8),
        ) {
            let first = plan(&leader, &helper);
            let numbers = |parts: &[ShardName]| {
                parts.iter().map(|part| part.checksum[0]).collect::<Vec<_>>()
            };
            let kept = numbers(&first.kept);
            for (leader, helper) in
                [(&kept, &helper), (&leader, &kept), (&kept, &kept)]
            {
                let then = plan(leader, helper);
                prop_assert_eq!(then.digest, first.digest);
                prop_assert_eq!(&then.kept, &first.kept);
            }
            prop_assert_eq!(plan(&kept, &kept).held(Role::Leader), first.kept.clone());
            let sorted = |mut numbers: Vec<u8>| { numbers.sort_unstable(); numbers };
            prop_assert_eq!(numbers(&first.held(Role::Leader)), sorted(leader));
            prop_assert_eq!(numbers(&first.held(Role::Helper)), sorted(helper));
        }
    }

    #[test]
    fn another_batch_or_another_part_is_another_plan() {
        let one = plan(&[1, 2], &[1, 2]).digest;
        assert_ne!(plan(&[1, 2], &[1]).digest, one);
        assert_ne!(plan(&[1, 1, 2], &[1, 1, 2]).digest, one);
        let other = Plan::new(&TASK, b"other", &held(&[1, 2]), &held(&[1, 2])).unwrap();
        assert_ne!(other.digest, one);
    }

    #[test]
    fn what_is_released_or_on_its_way_is_not_repaired() {
        let collected = Held { collected: true, ..held(&[1]) };
        let busy = Held { busy: true, ..held(&[1]) };
        let none =
            |leader: &Held, helper: &Held| Plan::new(&TASK, b"batch", leader, helper).unwrap_err();
        assert_eq!(none(&held(&[1]), &collected), NoPlan::Collected(Role::Helper));
        assert_eq!(none(&busy, &held(&[1])), NoPlan::Busy(Role::Leader));
    }
}

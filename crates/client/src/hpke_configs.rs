//! The aggregators' HPKE configurations, kept as long as they allow (§4.4.1).

use sottovoce_dap::{hpke::HpkeConfig, hpke_config_list::HpkeConfigList, role::Role};
use std::time::Duration;
use thiserror::Error;

/// No configuration of an aggregator can be used.
#[derive(Debug, Error)]
#[error("the {role} offers no HPKE configuration that this client supports; it offers {offered}")]
pub struct NoUsableConfig {
    role: Role,
    offered: String,
}

/// The key of one aggregator that reports are sealed to, from when it came and until when.
#[derive(Clone, Debug)]
pub struct CachedConfig {
    config: HpkeConfig,
    came: u64,
    fresh_until: u64,
}

impl CachedConfig {
    /// Picks the first configuration of a list that is supported here: lists are in decreasing
    /// order of preference. `now` is in seconds since the Epoch.
    pub fn choose(
        role: Role,
        list: &HpkeConfigList,
        lifetime: Option<Duration>,
        now: u64,
    ) -> Result<Self, NoUsableConfig> {
        let usable = list.iter().find(|config| config.suite.is_supported()).cloned();
        let config = usable.ok_or_else(|| {
            let offered: Vec<_> = list.iter().map(|config| config.suite.to_string()).collect();
            NoUsableConfig { role, offered: offered.join("; ") }
        })?;
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
        Ok(Self { config, came: now, fresh_until: now.saturating_add(lifetime.as_secs()) })
    }

    /// The configuration to seal to.
    pub fn config(&self) -> &HpkeConfig {
        &self.config
    }

    /// Whether it may still be used at `now`, in seconds since the Epoch. A moment before it came shows that
    /// the clock was ahead then: how long it was kept is not known, and it is asked for anew.
    pub fn is_fresh(&self, now: u64) -> bool {
        (self.came..self.fresh_until).contains(&now)
    }
}

/// Without a word from the server, an hour.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// A key is asked for anew after a week, whatever the server says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// Both aggregators' keys.
#[derive(Clone, Debug)]
pub struct HpkeConfigs {
    /// The leader's.
    pub leader: CachedConfig,
    /// The helper's.
    pub helper: CachedConfig,
}

impl HpkeConfigs {
    /// Whether both may still be used at `now`, in seconds since the Epoch.
    pub fn are_fresh(&self, now: u64) -> bool {
        self.leader.is_fresh(now) && self.helper.is_fresh(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_dap::hpke::{HpkeConfigId, Suite};

    fn config(id: u8, kem: u16) -> HpkeConfig {
        HpkeConfig {
            id: HpkeConfigId(id),
            suite: Suite { kem, ..Suite::DEFAULT },
            public_key: vec![9; 32].try_into().unwrap(),
        }
    }

    #[test]
    fn the_first_supported_configuration_is_chosen() {
        let list = HpkeConfigList::new(vec![config(1, 0x10), config(2, 0x20), config(3, 0x20)]);
        let cached = CachedConfig::choose(Role::Leader, &list.unwrap(), None, 0).unwrap();
        assert_eq!(cached.config().id, HpkeConfigId(2));
    }

    #[test]
    fn a_list_of_unsupported_configurations_is_refused_by_name() {
        let list = HpkeConfigList::new(vec![config(1, 0x10)]).unwrap();
        let error = CachedConfig::choose(Role::Helper, &list, None, 0).unwrap_err().to_string();
        assert!(error.contains("helper") && error.contains("0x0010"), "{error}");
    }

    #[test]
    fn a_configuration_is_kept_as_long_as_the_server_says_and_never_beyond_a_week() {
        let list = HpkeConfigList::new(vec![config(1, 0x20)]).unwrap();
        let choose = |lifetime| CachedConfig::choose(Role::Leader, &list, lifetime, 100).unwrap();
        let minute = choose(Some(Duration::from_secs(60)));
        assert!(minute.is_fresh(159) && !minute.is_fresh(160));
        assert!(!choose(Some(Duration::MAX)).is_fresh(100 + 7 * 86_400));
    }

    #[test]
    fn a_configuration_that_came_under_a_wrong_clock_is_let_go_when_the_clock_is_right() {
        let list = HpkeConfigList::new(vec![config(1, 0x20)]).unwrap();
        let now = 1_800_000_000;
        for wrong in [now + 1, now + 60 * 365 * 86_400, now - 50 * 365 * 86_400] {
            let cached = CachedConfig::choose(Role::Helper, &list, None, wrong).unwrap();
            assert!(cached.is_fresh(wrong) && !cached.is_fresh(now), "{wrong}");
        }
    }
}

//! What the user seems to like, for the app to adapt to.
//!
//! The profile has *aspects* (tone, length, detail, whatever program or app name) and for each a
//! leaning from -1 to 1. What the two ends mean is the app's to say. Three things move it:
//!
//! - a **rating** of an aspect: from -1 for the worst level to 1 for the best, evenly;
//! - a **preference** between two responses whose traits the app labels, such as a length of -0.5
//!   against 0.8: the user leans to the side of the better one, with the weight of half their
//!   distance; a tie leans to neither side, with the same weight;
//! - the user's **own hand**, which replaces what was learnt and counts as [`BY_HAND`] ratings.
//!
//! A leaning is the mean of these, each weighted by its age (half after the program's
//! `profile.half_life`), together with a prior of [`PRIOR`] ratings at 0. With weighted sum s and
//! weight w it is `s/(w + PRIOR)`, and its confidence is `w/(w + PRIOR)`: with little evidence both
//! are near 0, and as evidence ages they return there. This is the posterior mean of a normal model
//! whose prior has [`PRIOR`] times the precision of one rating.

use super::clock::{Clock, decay};
use serde::{Deserialize, Serialize};
use sottovoce_program::{
    answer::{Given, Outcome},
    kind::{MetricKind, Rated},
    profile::ProfilePolicy,
};
use std::collections::BTreeMap;

/// How many ratings at 0 every aspect begins with.
pub const PRIOR: f64 = 3.0;

/// How many ratings one setting by hand counts as; it is trusted by 0.8 at first.
pub const BY_HAND: f64 = 12.0;

/// The most aspects that are kept; the one with the least evidence makes way.
pub const MOST_ASPECTS: usize = 64;

/// The longest name of an aspect, in bytes, as in the program.
pub const LONGEST_NAME: usize = 100;

/// The most bytes that all names together take; beyond it too, the least evidence makes way.
const MOST_NAMES: usize = 2048;

/// What one aspect can weigh: more than a year of a rating an hour.
const MOST_WEIGHT: f64 = 1e4;

/// What a response is like: aspects with values from -1 to 1.
pub type Traits = BTreeMap<String, f64>;

/// The user's preferences, as far as they are known: at most about 3 KB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    clock: Clock,
    aspects: Vec<Aspect>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Aspect {
    name: String,
    sum: f64,
    weight: f64,
}

/// What the user leans to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaning {
    /// In what.
    pub aspect: String,
    /// From -1 to 1; near 0 if little is known.
    pub value: f64,
    /// From 0, nothing is known, towards 1.
    pub confidence: f64,
}

impl Profile {
    /// Takes from an answer what it says about aspects: the ratings of a `ratings` metric. Other
    /// kinds of answer say nothing here, and levels that the metric does not have are ignored.
    pub fn hear(&mut self, policy: ProfilePolicy, kind: &MetricKind, given: &Given, now: u64) {
        for Rated { aspect, level, levels } in kind.as_kind().rated(given) {
            self.rated(policy, aspect, level, levels, now);
        }
    }

    /// The user rated an aspect: level 0 is the worst of `levels`. A level that is not below
    /// `levels` is ignored.
    #[expect(clippy::cast_precision_loss, reason = "a handful of levels")]
    pub fn rated(
        &mut self,
        policy: ProfilePolicy,
        aspect: &str,
        level: usize,
        levels: usize,
        now: u64,
    ) {
        self.pass(policy, now);
        if level < levels {
            let highest = (levels - 1).max(1) as f64;
            self.add(aspect, 2.0 * level as f64 / highest - 1.0, 1.0);
        }
    }

    /// The user compared two responses whose traits the app knows. A trait that only one of them
    /// has is 0 in the other.
    pub fn preferred(
        &mut self,
        policy: ProfilePolicy,
        left: &Traits,
        right: &Traits,
        outcome: Outcome,
        now: u64,
    ) {
        self.pass(policy, now);
        let value = |traits: &Traits, aspect| traits.get(aspect).map_or(0.0, |value| unit(*value));
        let only_right = right.keys().filter(|aspect| !left.contains_key(*aspect));
        for aspect in left.keys().chain(only_right).take(MOST_ASPECTS) {
            let leftwards = value(left, aspect) - value(right, aspect);
            let side = match outcome {
                Outcome::Left => leftwards.signum(),
                Outcome::Right => -leftwards.signum(),
                Outcome::Tie => 0.0,
            };
            self.add(aspect, side, leftwards.abs() / 2.0);
        }
    }

    /// The user set a leaning by hand, from -1 to 1. It replaces what was learnt before.
    pub fn set(&mut self, policy: ProfilePolicy, aspect: &str, value: f64, now: u64) {
        self.pass(policy, now);
        if value.is_nan() {
            return;
        }
        self.forget(aspect);
        self.add(aspect, unit(value), BY_HAND);
    }

    /// Forgets an aspect; `Profile::default()` has forgotten all.
    pub fn forget(&mut self, aspect: &str) {
        self.aspects.retain(|known| known.name != aspect);
    }

    /// What the user leans to by now, from the surest.
    pub fn leanings(&self, policy: ProfilePolicy, now: u64) -> Vec<Leaning> {
        let kept = decay(self.clock.since(now), policy.half_life);
        let mut leanings: Vec<_> = self.aspects.iter().map(|aspect| aspect.leaning(kept)).collect();
        leanings.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        leanings
    }

    /// The leaning in one aspect: 0 with confidence 0 if nothing is known.
    pub fn leaning(&self, policy: ProfilePolicy, aspect: &str, now: u64) -> Leaning {
        let known = self.aspects.iter().find(|known| known.name == aspect);
        let kept = decay(self.clock.since(now), policy.half_life);
        known.map_or_else(
            || Leaning { aspect: aspect.to_owned(), value: 0.0, confidence: 0.0 },
            |known| known.leaning(kept),
        )
    }

    fn pass(&mut self, policy: ProfilePolicy, now: u64) {
        let kept = decay(self.clock.advance(now), policy.half_life);
        for aspect in &mut self.aspects {
            aspect.sum *= kept;
            aspect.weight *= kept;
        }
    }

    fn add(&mut self, name: &str, value: f64, weight: f64) {
        if name.is_empty() || name.len() > LONGEST_NAME || weight <= 0.0 {
            return;
        }
        let index = self.aspects.iter().position(|known| known.name == name);
        let index = index.unwrap_or_else(|| {
            self.make_room(name.len());
            self.aspects.push(Aspect { name: name.to_owned(), sum: 0.0, weight: 0.0 });
            self.aspects.len() - 1
        });
        let aspect = &mut self.aspects[index];
        // At the most, older evidence makes way for it in proportion.
        let scale = ((MOST_WEIGHT - weight) / aspect.weight.max(1.0)).min(1.0);
        aspect.sum = aspect.sum * scale + value * weight;
        aspect.weight = aspect.weight * scale + weight;
    }

    /// Drops those with the least evidence until another name fits.
    fn make_room(&mut self, name: usize) {
        self.aspects.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let names =
            |aspects: &[Aspect]| aspects.iter().map(|known| known.name.len()).sum::<usize>();
        while self.aspects.len() >= MOST_ASPECTS || names(&self.aspects) + name > MOST_NAMES {
            if self.aspects.pop().is_none() {
                return;
            }
        }
    }
}

impl Aspect {
    fn leaning(&self, kept: f64) -> Leaning {
        let (sum, weight) = (self.sum * kept, self.weight * kept);
        Leaning {
            aspect: self.name.clone(),
            value: unit(sum / (weight + PRIOR)),
            confidence: weight / (weight + PRIOR),
        }
    }
}

/// From -1 to 1; what is not a number says nothing.
fn unit(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(-1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_program::kind::{Ratings, Thumbs};

    const NOW: u64 = 1_795_417_761;
    const DAY: u64 = 86_400;
    const POLICY: ProfilePolicy = ProfilePolicy { half_life: 30 * DAY };

    fn tone(profile: &Profile, now: u64) -> (f64, f64) {
        let leaning = profile.leaning(POLICY, "tone", now);
        (leaning.value, leaning.confidence)
    }

    fn tone_rated() -> MetricKind {
        let levels = ["bad", "good"].map(str::to_owned).to_vec();
        Ratings { aspects: vec!["tone".to_owned()], levels }.into()
    }

    fn close(found: (f64, f64), expected: (f64, f64)) {
        let apart = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
        assert!(apart < 1e-9, "{found:?}, not {expected:?}");
    }

    fn traits(list: &[(&str, f64)]) -> Traits {
        list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn nothing_known_is_no_leaning() {
        close(tone(&Profile::default(), NOW), (0.0, 0.0));
        assert!(Profile::default().leanings(POLICY, NOW).is_empty());
    }

    #[test]
    fn what_is_no_rating_is_ignored() {
        let mut profile = Profile::default();
        profile.rated(POLICY, "tone", 5, 5, NOW);
        profile.rated(POLICY, "tone", 0, 0, NOW);
        profile.rated(POLICY, "", 1, 2, NOW);
        profile.rated(POLICY, &"x".repeat(LONGEST_NAME + 1), 1, 2, NOW);
        profile.set(POLICY, "tone", f64::NAN, NOW);
        let kind = tone_rated();
        for (aspect, level) in [("speed", "good"), ("tone", "great")] {
            let given = Given::Ratings([(aspect.to_owned(), level.to_owned())].into());
            profile.hear(POLICY, &kind, &given, NOW);
        }
        profile.hear(POLICY, &Thumbs.into(), &Given::Ratings(BTreeMap::new()), NOW);
        assert!(profile.leanings(POLICY, NOW).is_empty());
    }

    #[test]
    fn a_rating_leans_by_its_level_against_the_prior() {
        for (level, value) in [(0, -0.25), (1, -0.125), (2, 0.0), (4, 0.25)] {
            let mut profile = Profile::default();
            profile.rated(POLICY, "tone", level, 5, NOW);
            close(tone(&profile, NOW), (value, 0.25));
        }
        let kind = tone_rated();
        let mut profile = Profile::default();
        for _ in 0..27 {
            let given = Given::Ratings([("tone".to_owned(), "good".to_owned())].into());
            profile.hear(POLICY, &kind, &given, NOW);
        }
        close(tone(&profile, NOW), (0.9, 0.9));
    }

    #[test]
    fn a_preference_leans_to_the_better_ones_side_by_half_their_distance() {
        let (short, long) =
            (traits(&[("length", -0.5)]), traits(&[("length", 1.0), ("tone", 1.0)]));
        for (left, right, outcome, sign) in [
            (&short, &long, Outcome::Left, -1.0),
            (&short, &long, Outcome::Right, 1.0),
            (&long, &short, Outcome::Left, 1.0),
            (&short, &long, Outcome::Tie, 0.0),
        ] {
            let mut profile = Profile::default();
            profile.preferred(POLICY, left, right, outcome, NOW);
            let length = profile.leaning(POLICY, "length", NOW);
            close((length.value, length.confidence), (sign * 0.75 / 3.75, 0.75 / 3.75));
            close(tone(&profile, NOW), (sign * 0.5 / 3.5, 0.5 / 3.5));
        }
        let mut profile = Profile::default();
        profile.preferred(POLICY, &short, &short, Outcome::Left, NOW);
        assert!(profile.leanings(POLICY, NOW).is_empty(), "equals say nothing");
    }

    #[test]
    fn a_hand_replaces_what_was_learnt() {
        let mut profile = Profile::default();
        (0..100).for_each(|_| profile.rated(POLICY, "tone", 0, 2, NOW));
        profile.set(POLICY, "tone", 7.0, NOW);
        close(tone(&profile, NOW), (0.8, 0.8));
        profile.forget("tone");
        close(tone(&profile, NOW), (0.0, 0.0));
    }

    #[test]
    fn evidence_ages_by_half_in_a_half_life() {
        let mut profile = Profile::default();
        profile.set(POLICY, "tone", 1.0, NOW);
        close(tone(&profile, NOW + 60 * DAY), (0.5, 0.5));
        profile.rated(POLICY, "speed", 0, 2, NOW + 60 * DAY);
        close(tone(&profile, NOW + 60 * DAY), (0.5, 0.5));
        // The year 2099, and back.
        profile.rated(POLICY, "speed", 0, 2, NOW + 73 * 365 * DAY);
        profile.rated(POLICY, "speed", 0, 2, NOW + 61 * DAY);
        close(tone(&profile, NOW + 61 * DAY), (3.0 / 8.0 / 3.375, 3.0 / 8.0 / 3.375));
    }

    #[test]
    fn the_least_evidence_makes_way() {
        let mut profile = Profile::default();
        profile.set(POLICY, "tone", 1.0, NOW);
        for aspect in 0..MOST_ASPECTS + 9 {
            profile.rated(POLICY, &aspect.to_string(), 1, 2, NOW);
        }
        let leanings = profile.leanings(POLICY, NOW);
        assert_eq!((leanings.len(), leanings[0].aspect.as_str()), (MOST_ASPECTS, "tone"));
        assert!(leanings.iter().any(|leaning| leaning.aspect == (MOST_ASPECTS + 8).to_string()));
    }

    proptest! {
        #[test]
        fn whatever_is_said_leanings_stay_in_range_and_the_state_small(
            words in proptest::collection::vec(
                ("[a-z]{0,3}|.{0,110}", any::<f64>(), any::<f64>(), any::<u8>(), any::<u64>(), 0..5),
                1..120),
            half_life: u64,
        ) {
            let policy = ProfilePolicy { half_life };
            let mut profile = Profile::default();
            for (name, a, b, level, now, what) in words {
                let (left, right) = (traits(&[(&name, a)]), traits(&[(&name, b), ("tone", a)]));
                match what {
                    0 => profile.set(policy, &name, a, now),
                    1 => profile.rated(policy, &name, level.into(), 255, now),
                    2 => profile.preferred(policy, &left, &right, Outcome::Tie, now),
                    _ => profile.preferred(policy, &left, &right, Outcome::Left, now),
                }
                for leaning in profile.leanings(policy, now) {
                    prop_assert!((-1.0..=1.0).contains(&leaning.value), "{:?}", leaning);
                    prop_assert!((0.0..1.0).contains(&leaning.confidence), "{:?}", leaning);
                }
            }
            let bytes = bincode::serde::encode_to_vec(&profile, bincode::config::standard()).unwrap();
            prop_assert!(bytes.len() <= 3300, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn the_largest_weight_still_gives_way() {
        let mut profile = Profile::default();
        (0..12_000).for_each(|_| profile.rated(POLICY, "tone", 1, 2, NOW));
        let before = tone(&profile, NOW).0;
        (0..1000).for_each(|_| profile.rated(POLICY, "tone", 0, 2, NOW));
        assert!(tone(&profile, NOW).0 < before - 0.1);
    }
}

//! What stays on the device and never leaves it.
//!
//! [`asking`] decides when to ask the user; [`profile`] is what the user seems to like;
//! [`baseline`] is what is usual for them, and [`score`] what their behaviour says beside it;
//! [`triage`] sorts a comment into a category. These modules can name neither the wire nor the
//! network (`tests/architecture.rs` sees to that): nothing here becomes a report, and the program
//! file is all that they read besides what the app tells them.
//!
//! They are pure. Each keeps a small state of bounded size that the caller stores, and takes the
//! time as an argument; [`clock`] makes what it can of a device's clock that jumps.

pub mod asking;
pub mod baseline;
pub mod clock;
pub mod profile;
pub mod score;
pub mod triage;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// All that is remembered, as one: less than 8 KB when it is stored. `Personal::default()` has
/// forgotten everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// When the user was asked.
    pub asking: asking::Asking,
    /// What the user seems to like.
    pub profile: profile::Profile,
    /// What is usual for the user.
    pub baseline: baseline::Baseline,
}

/// Stands for names in a state of bounded size, where their text is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key(u64);

impl Key {
    fn of(names: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for name in names {
            // No name can run into the next.
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte)))
    }
}

/// A number from 0 to 1; what is not a number says nothing.
fn share(value: Option<f64>) -> Option<f64> {
    value.filter(|value| !value.is_nan()).map(|value| value.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_program::{asking::AskingPolicy, profile::ProfilePolicy};

    /// A user who asks for the most of everything, with a clock that is as long as clocks get.
    fn fullest() -> Personal {
        let (mut personal, profile) = (Personal::default(), ProfilePolicy::default());
        let start = u64::MAX - 7 * 86_400;
        let asking = AskingPolicy {
            cool_down: 0,
            per_day: 24,
            per_week: 100,
            informative_first: false,
            ..AskingPolicy::default()
        };
        for hour in 0..168 {
            let name = format!("{hour:-<40}");
            let now = start + hour * 3600;
            let candidate = asking::Candidate {
                aspect: Some(name.clone()),
                confidence: Some(0.3),
                ..asking::Candidate::default()
            };
            personal.asking.decide(&asking, &candidate.into(), now, |_| 1);
            personal.profile.set(profile, &name, 0.3, now);
            let (declared, observed) = (vec![name.clone()], [name].into());
            personal.baseline.observe(profile, "m", &declared, &observed, now);
        }
        personal
    }

    #[test]
    fn all_of_it_takes_less_than_8_kb() {
        let personal = fullest();
        let bytes = bincode::serde::encode_to_vec(&personal, bincode::config::standard()).unwrap();
        assert!((5_000..8_192).contains(&bytes.len()), "{} bytes", bytes.len());
        let (back, read): (Personal, usize) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        assert_eq!((back, read), (personal, bytes.len()));
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        assert_eq!(Key::of(&["a", "bc"]), Key::of(&["a", "bc"]));
        assert_ne!(Key::of(&["a", "bc"]), Key::of(&["ab", "c"]));
    }
}

//! What stays on the device and never leaves it.
//!
//! [`asking`] decides when to ask the user; [`profile`] is what the user seems to like;
//! [`baseline`] is what is usual for them, and [`score`] what their behaviour says beside it. These modules can name neither the wire nor the
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

use sha2::{Digest, Sha256};

/// Stands for names in a state of bounded size, where their text is not needed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
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

//! Where randomness comes from: the operating system on a device, a seed in a simulation, and
//! never the one in place of the other.

use rand::{
    Rng, SeedableRng, TryRng,
    rngs::{ChaCha20Rng, SysRng},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the operating system's random number generator failed; nothing was randomized")]
pub struct NoRandomness;

/// The only generator that real answers are randomized with: ChaCha20, seeded by the operating
/// system. There is no way to give it a seed.
pub struct DeviceRng(ChaCha20Rng);

impl DeviceRng {
    /// A generator with a fresh seed.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut seed = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(seed.as_mut()).map_err(|_| NoRandomness)?;
        Ok(Self(ChaCha20Rng::from_seed(*seed)))
    }

    /// Random bytes, for secrets and names.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `bound`, each as likely as the others up to `bound` in 2^64; 0 if `bound` is.
    ///
    /// For choices that no guarantee rests on.
    pub fn below(&mut self, bound: u32) -> usize {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        usize::try_from(product >> 64).unwrap_or(0)
    }
}

impl std::fmt::Debug for DeviceRng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceRng(..)")
    }
}

/// A repeatable generator, for simulations and tests. What it draws cannot become a report.
#[derive(Debug)]
pub struct SimulationRng(ChaCha20Rng);

impl SimulationRng {
    /// A generator that draws the same each time.
    pub fn from_seed(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }
}

/// 64 uniform bits at a time.
pub(super) trait Uniform {
    fn next_u64(&mut self) -> u64;
}

impl Uniform for DeviceRng {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Uniform for SimulationRng {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

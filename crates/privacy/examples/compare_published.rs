//! Published guarantees of summed randomized bits, side by side with ours.
//!
//! `cargo run --release --example compare_published`
//!
//! Both publications spend ε0 on each bit. ENPA's figures are for one bit that changes; when one
//! choice replaces another two do, which costs more and stands in the last column.

use sottovoce_privacy::{
    amplification::bits,
    randomizer::{BitRandomizer, Changed},
    units::{Delta, Epsilon, OutOfRange},
};
use std::error::Error;

/// draft-wang-ppm-differential-privacy, n = 10^5 and δ = 1e-9: ε0 and ε.
const DRAFT: [(f64, f64); 3] = [(5.0, 0.317), (6.5, 0.906), (7.0, 1.528)];

/// Exposure Notifications Privacy-preserving Analytics, white paper, figure 2, ε0 = 8: n, δ and the
/// bound on ε.
const ENPA: [(u64, f64, f64); 12] = [
    (10_000, 1e-2, 7.67),
    (100_000, 1e-2, 0.25),
    (100_000, 1e-3, 0.46),
    (100_000, 1e-4, 0.66),
    (100_000, 1e-5, 0.84),
    (100_000, 1e-6, 1.02),
    (1_000_000, 1e-2, 0.04),
    (1_000_000, 1e-3, 0.10),
    (1_000_000, 1e-4, 0.15),
    (1_000_000, 1e-5, 0.19),
    (1_000_000, 1e-6, 0.23),
    (10_000_000, 1e-6, 0.07),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("draft-wang-ppm-differential-privacy: n = 100000, δ = 1e-9");
    println!("{:>6}  {:>9}  {:>9}  {:>16}", "ε0", "published", "one bit", "one-hot (2 bits)");
    for (epsilon0, published) in DRAFT {
        let bits = BitRandomizer::new(2, Epsilon::new(epsilon0)?)?;
        row(&format!("{epsilon0:>6.1}"), published, &bits, 100_000, 1e-9)?;
    }
    println!("\nENPA white paper: ε0 = 8 for each bit");
    println!(
        "{:>9}  {:>5}  {:>9}  {:>9}  {:>16}",
        "n", "δ", "published", "one bit", "one-hot (2 bits)"
    );
    let bits = BitRandomizer::new(2, Epsilon::new(8.0)?)?;
    for (reports, delta, published) in ENPA {
        row(&format!("{reports:>9}  {delta:>5.0e}"), published, &bits, reports, delta)?;
    }
    Ok(())
}

/// Bounds are shown rounded up.
fn row(
    name: &str,
    published: f64,
    bits: &BitRandomizer,
    reports: u64,
    delta: f64,
) -> Result<(), OutOfRange> {
    let delta = Delta::new(delta)?;
    let show = |epsilon: Option<Epsilon>| {
        epsilon.map_or("-".to_owned(), |epsilon| epsilon.shown(4).to_string())
    };
    let one = show(bits::coordinate_epsilon_upper(bits, reports, delta));
    let two = show(bits::epsilon_upper(bits, Changed::OneHot, reports, delta));
    println!("{name}  {published:>9}  {one:>9}  {two:>16}");
    Ok(())
}

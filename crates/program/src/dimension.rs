//! Dimensions: the finite sets of values by which a metric is broken down.

use super::{
    ProgramError,
    file::{DimensionTable, identifier},
    label::labels,
    source::{At, Source},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Who can see a dimension's value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Assigned by the publisher (experiment arm, model version): one task per value, no noise.
    Public,
    /// About the user (a segment, a topic): protected like the answer.
    Private,
    /// Whether the device is held out from what is tuned on the others: chosen by the device
    /// itself, and protected like the answer.
    HeldOut(Cohort),
}

/// A share of all devices, chosen on each by a salted hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    salt: String,
    /// Of 2^64 hashes so many are in.
    threshold: u64,
}

impl Cohort {
    /// Whether the device with this secret is in. The same device is always in or always out; under
    /// another salt, or as to another dimension, it is chosen anew.
    pub fn has(&self, dimension: &str, secret: &[u8; 32]) -> bool {
        let mut hash = Sha256::new();
        for part in ["sottovoce held-out", &self.salt, dimension] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.chain_update(secret).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) < self.threshold
    }

    /// The salt.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// The share of devices, out of 2^64.
    pub fn threshold(&self) -> u64 {
        self.threshold
    }

    /// The share of devices, from 0 to a half.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn share(&self) -> f64 {
        self.threshold as f64 / TWO_64
    }
}

/// The values of a held-out dimension: everybody else, and those held out.
pub const COHORTS: [&str; 2] = ["rest", "held-out"];
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// A dimension and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Its name.
    pub name: String,
    /// Who can see it.
    pub visibility: Visibility,
    /// Its values, in the order of the file.
    pub values: Vec<String>,
}

impl Dimension {
    /// Whether everybody sees its values, so that each has a task of its own.
    pub fn is_public(&self) -> bool {
        self.visibility == Visibility::Public
    }

    /// The value that a device with this secret has, if that is for the device to choose.
    pub fn chosen(&self, secret: &[u8; 32]) -> Option<&str> {
        let Visibility::HeldOut(cohort) = &self.visibility else { return None };
        self.values.get(usize::from(cohort.has(&self.name, secret))).map(String::as_str)
    }
}

pub(super) fn parse_all(
    source: Source<'_>,
    tables: &BTreeMap<At<String>, DimensionTable>,
) -> Result<Vec<Dimension>, ProgramError> {
    tables
        .iter()
        .map(|(name, table)| {
            let (visibility, values) = match table.kind.get_ref().as_str() {
                "public" => (Visibility::Public, values(source, table)?),
                "private" => (Visibility::Private, values(source, table)?),
                "held-out" => held_out(source, table)?,
                _ => {
                    let reason = "must be \"public\", \"private\" or \"held-out\"";
                    return Err(source.error(&table.kind, reason));
                }
            };
            Ok(Dimension { name: identifier(source, name)?, visibility, values })
        })
        .collect()
}

fn values(source: Source<'_>, table: &DimensionTable) -> Result<Vec<String>, ProgramError> {
    let foreign = table.share.as_ref().map(|share| share.span().start);
    if let Some(place) = foreign.or(table.salt.as_ref().map(|salt| salt.span().start)) {
        let reason = "only a dimension of kind held-out has `share` and `salt`";
        return Err(source.at(place, reason));
    }
    let missing = || source.error(&table.kind, "needs `values`");
    labels(source, table.values.as_ref().ok_or_else(missing)?, 2)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most half of 2^64, above 0"
)]
fn held_out(
    source: Source<'_>,
    table: &DimensionTable,
) -> Result<(Visibility, Vec<String>), ProgramError> {
    if let Some(values) = &table.values {
        let reason = format!("a held-out dimension has the values {}", COHORTS.join(" and "));
        return Err(source.error(values, reason));
    }
    let (Some(share), Some(salt)) = (&table.share, &table.salt) else {
        let reason = "needs `share`, the share of devices, and `salt`, any text; another salt selects other \
                      devices";
        return Err(source.error(&table.kind, reason));
    };
    if !(*share.get_ref() > 0.0 && *share.get_ref() <= 0.5) {
        return Err(source.error(share, "must be above 0 and at most 0.5"));
    }
    if salt.get_ref().trim().is_empty() || salt.get_ref().len() > 100 {
        return Err(source.error(salt, "must be 1 to 100 characters"));
    }
    let threshold = (share.get_ref() * TWO_64) as u64;
    let cohort = Cohort { salt: salt.get_ref().clone(), threshold };
    Ok((Visibility::HeldOut(cohort), COHORTS.map(str::to_owned).to_vec()))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::asking, *};

    fn cohort(salt: &str) -> Cohort {
        Cohort { salt: salt.to_owned(), threshold: 1 << 62 }
    }

    fn secret(device: u64) -> [u8; 32] {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&device.to_le_bytes());
        secret
    }

    #[test]
    fn a_quarter_is_held_out_and_another_salt_chooses_independently() {
        let (one, other) = (cohort("a"), cohort("b"));
        let has = |device| (one.has("c", &secret(device)), other.has("c", &secret(device)));
        let counts = (0..40_000).map(has).fold([0; 3], |[in_one, in_other, in_both], (a, b)| {
            [in_one + i32::from(a), in_other + i32::from(b), in_both + i32::from(a && b)]
        });
        // Four standard deviations.
        for (count, expected, sigma) in
            [(counts[0], 10_000, 87), (counts[1], 10_000, 87), (counts[2], 2_500, 49)]
        {
            assert!((count - expected).abs() < 4 * sigma, "{counts:?}");
        }
        assert!((one.share() - 0.25).abs() < 1e-15);
        assert_ne!(one.has("c", &secret(1)), one.has("d", &secret(6)), "by the dimension, too");
    }

    #[test]
    fn a_cohort_without_share_or_salt_or_with_values_is_refused_at_its_place() {
        let metric = "[metrics.m]\nkind = \"thumbs\"\nquestion = \"?\"\ndimensions = [\"c\"]\n";
        let parse = |keys: &str| {
            let text = format!("[dimensions.c]\nkind = \"held-out\"\n{keys}\n{metric}");
            asking(&text).map_err(|error| error.to_string())
        };
        for (keys, words) in [
            ("", "needs `share`"),
            ("share = 0.1", "`salt`"),
            ("share = 0.0\nsalt = \"a\"", "above 0 and at most 0.5"),
            ("share = 0.6\nsalt = \"a\"", "above 0 and at most 0.5"),
            ("share = 0.1\nsalt = \" \"", "1 to 100"),
            ("share = 0.1\nsalt = \"a\"\nvalues = [\"x\", \"y\"]", "rest and held-out"),
        ] {
            let refused = parse(keys).unwrap_err();
            assert!(refused.contains(words), "{keys}: {refused}");
        }
        let one = parse("share = 0.1\nsalt = \"a\"").unwrap();
        let labels = ["no answer", "rest · up", "rest · down", "held-out · up", "held-out · down"];
        assert_eq!(one.task("m").unwrap().labels(), labels);
        let other = parse("share = 0.1\nsalt = \"b\"").unwrap();
        let ids = [one, other].map(|program| program.task("m").unwrap().task_id);
        assert_ne!(ids[0], ids[1], "the salt is part of the promise");
    }
}

//! Levels from the worst to the best, which `rating` and `ratings` have.

use super::Written;
use crate::{ProgramError, label::labels};

/// Named levels, or a number of stars.
pub(super) fn levels(written: &Written<'_>) -> Result<Vec<String>, ProgramError> {
    match (&written.table.stars, &written.table.levels) {
        (None, Some(names)) => labels(written.source, names, 2),
        (Some(stars), None) if (2..=20).contains(stars.get_ref()) => {
            let name = |star| if star == 1 { "1 star".to_owned() } else { format!("{star} stars") };
            Ok((1..=*stars.get_ref()).map(name).collect())
        }
        (Some(stars), None) => Err(written.error(stars, "must be 2 to 20 stars")),
        (Some(_), Some(names)) => Err(written.error(names, "give `stars` or `levels`, not both")),
        (None, None) => {
            let kind = written.table.kind.get_ref();
            Err(written.wrong(format!("a metric of kind {kind} needs `stars` or `levels`")))
        }
    }
}

/// Whether levels that were chosen are in the better half on the mean; the middle does not say, nor does a
/// level that is not there.
pub(super) fn satisfied<'a>(
    levels: &[String],
    chosen: impl IntoIterator<Item = &'a String>,
) -> Option<bool> {
    let (mut balance, highest) = (0, levels.len().checked_sub(1)?);
    for level in chosen {
        let level = levels.iter().position(|known| known == level)?;
        balance += 2 * i64::try_from(level).ok()? - i64::try_from(highest).ok()?;
    }
    (balance != 0).then_some(balance > 0)
}

//! Tests of independence: between two reports, and between two bits of a report.

use super::{
    fault::Fault,
    inputs::flip_probability,
    statistics::surprising,
    tally::{Event, Tally},
};
use sottovoce_privacy::guarantee::Mechanism;

/// Reports that are followed are looked for at each distance up to this one, and then at each power of two:
/// those at which a program was started again ([`super::probe`]).
const NEAREST: usize = 1024;

fn distances(length: usize) -> impl Iterator<Item = usize> {
    let far = std::iter::successors(Some(2 * NEAREST), |lag| lag.checked_mul(2));
    (1..=NEAREST).chain(far.take_while(move |lag| *lag < length))
}

/// Whether what happened in one report makes it more or less probable in one after it.
pub(super) fn of_reports(tally: &Tally, alpha: f64) -> Option<Fault> {
    let length = tally.events.first().map_or(0, |event| event.stream.length());
    let statements = tally.events.len() * distances(length).count();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let alpha = alpha / statements.max(1) as f64;
    tally.events.iter().find_map(|event| {
        let mut lags = distances(length);
        lags.find_map(|lag| again(event, lag, alpha))
    })
}

fn again(event: &Event, lag: usize, alpha: f64) -> Option<Fault> {
    let (share, promised) = (event.stream.after(lag), event.probability);
    let what = if event.flipped { "at least one of" } else { "none of" };
    let message = || {
        format!(
            "randomness of reports is not independent: after a report with {what} the bits {} to {} flipped, the \
             report {lag} later has it too in {} of {} cases ({:.4}); for independent reports the probability is \
             {promised:.4}",
            event.bits.start,
            event.bits.end - 1,
            share.hits,
            share.trials,
            share.rate()
        )
    };
    surprising(share.hits, share.trials, promised, alpha)
        .then(|| Fault { rule: "dependent", message: message() })
}

/// Whether two bits of a report are flipped together more often, or less, than by chance.
pub(super) fn of_bits(mechanism: &Mechanism, tally: &Tally, alpha: f64) -> Option<Fault> {
    if matches!(mechanism, Mechanism::Krr(_)) {
        return None; // A choice is one draw.
    }
    let promised = flip_probability(mechanism).powi(2);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let alpha = alpha / tally.pairs.iter().count().max(1) as f64;
    let reports = tally.pairs.reports();
    let mut pairs = tally.pairs.iter();
    let (one, other, both) = pairs.find(|pair| surprising(pair.2, reports, promised, alpha))?;
    let message = format!(
        "randomness of bits is not independent: bits {one} and {other} are both flipped in {both} of {reports} \
         reports; for independent bits the probability is {promised:.6}"
    );
    Some(Fault { rule: "bits-dependent", message })
}

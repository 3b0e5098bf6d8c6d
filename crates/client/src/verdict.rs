//! What an answer of the leader means for a report, and what is done then: one rule for the engine and for the
//! uploader.
//!
//! A report has one ID for life. Whatever the leader answers, it never gets the same draw under another ID, so that
//! a helper that counts an ID once counts a draw once, also if the leader says of a report that it keeps that it
//! could not read it.

use super::ledger::Fate;
use sottovoce_dap::upload::ReportError;

/// What is known of a report that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// An earlier attempt had no answer: the leader may have it.
    pub in_doubt: bool,
    /// Its shares are at hand, and were not sealed afresh yet.
    pub can_be_resealed: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing more.
    Over(Fate),
    /// The same bytes are sent again.
    Later,
    /// The same shares are sealed to fresh keys, under the same ID.
    Reseal,
}

/// What to do about a report that the leader has answered for.
pub fn verdict(error: Option<ReportError>, sent: Sent) -> Verdict {
    match error {
        // Our IDs are random: the leader knows this one from an attempt whose answer was lost.
        None | Some(ReportError::ReportReplayed) => Verdict::Over(Fate::Delivered),
        Some(ReportError::HpkeUnknownConfigId) if sent.can_be_resealed => Verdict::Reseal,
        Some(ReportError::ReportTooEarly) => Verdict::Later,
        // An earlier attempt may have been taken, when there was nothing to refuse yet.
        Some(_) if sent.in_doubt => Verdict::Over(Fate::Unknown),
        Some(ReportError::BatchCollected) => Verdict::Over(Fate::Expired),
        Some(_) => Verdict::Over(Fate::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_sealed_afresh_once_and_what_is_in_doubt_is_never_said_to_be_refused() {
        let sent = |in_doubt, can_be_resealed| Sent { in_doubt, can_be_resealed };
        for in_doubt in [false, true] {
            let outdated = Some(ReportError::HpkeUnknownConfigId);
            assert_eq!(verdict(outdated, sent(in_doubt, true)), Verdict::Reseal);
            let fate = if in_doubt { Fate::Unknown } else { Fate::Refused };
            assert_eq!(verdict(outdated, sent(in_doubt, false)), Verdict::Over(fate));
            for known in [None, Some(ReportError::ReportReplayed)] {
                assert_eq!(verdict(known, sent(in_doubt, true)), Verdict::Over(Fate::Delivered));
            }
            let early = Some(ReportError::ReportTooEarly);
            assert_eq!(verdict(early, sent(in_doubt, true)), Verdict::Later);
        }
        let collected = Some(ReportError::BatchCollected);
        assert_eq!(verdict(collected, sent(false, true)), Verdict::Over(Fate::Expired));
        assert_eq!(verdict(collected, sent(true, true)), Verdict::Over(Fate::Unknown));
    }

    /// It was too old, outside the task's interval, or has an extension: sent later it would be no better.
    #[test]
    fn a_report_that_time_does_not_mend_is_refused_for_good() {
        for error in [ReportError::ReportDropped, ReportError::UnsupportedExtension] {
            let sent = Sent { in_doubt: false, can_be_resealed: true };
            assert_eq!(verdict(Some(error), sent), Verdict::Over(Fate::Refused));
            let in_doubt = Sent { in_doubt: true, ..sent };
            assert_eq!(verdict(Some(error), in_doubt), Verdict::Over(Fate::Unknown));
        }
    }
}

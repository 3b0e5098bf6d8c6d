//! Verification in one round (VDAF §5.2 and §5.7; DAP §4.5.3).
//!
//! The leader starts a batch with [`Vdaf::start_verifying`] and keeps a [`LeaderBatch`] until the
//! helper has answered; the helper does its whole part in [`Vdaf::answer`]. Output shares are
//! added up as they appear: no list of them is ever held. The caller says which running sum each
//! report belongs to by a small index, because reports of one job may fall in several batch
//! buckets.
//!
//! # What the helper accepts, the leader must accept
//!
//! The helper decides first and commits, so a report that it accepts and the leader then refuses
//! would leave the two with different batches for good. A VDAF with joint randomness invites that:
//! each aggregator derives the randomness from its own part, which it works out, and from the
//! other's part as the public share has it, which a client may falsify for one of the two alone.
//! The VDAF finds that out in the leader's last step, when the helper is done. So here both parts
//! in the public share must be those that were used, before the helper decides: its own, and the
//! leader's, which is in the leader's verifier share. Then the seed that the leader has derived is
//! the one in the helper's message, and nothing is left that the leader could refuse.

use super::{Instance, Vdaf, VerifyKey, Work};
use crate::ids::ReportId;
use prio::{
    codec::{Decode, Encode, ParameterizedDecode},
    topology::ping_pong::{PingPongMessage, PingPongState},
    vdaf::{Aggregatable, VerifyTransition},
};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a report has no output share.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum VerifyError {
    /// A share is not one of this VDAF (`invalid_message`).
    #[error("a share does not decode")]
    Malformed,
    /// The proof does not hold, or the peer's message is none (`vdaf_verify_error`).
    #[error("the measurement or the peer's message about it is not valid")]
    Invalid,
}

/// One report as one aggregator sees it once it has opened its share.
#[derive(Clone, Copy, Debug)]
pub struct OpenReport<'a> {
    /// The nonce.
    pub report_id: ReportId,
    /// The encoded public share.
    pub public_share: &'a [u8],
    /// The encoded input share of this aggregator.
    pub input_share: &'a [u8],
}

/// What both aggregators agree on for a task.
#[derive(Clone, Copy, Debug)]
pub struct Verification<'a> {
    /// The key.
    pub key: &'a VerifyKey,
    /// The context string of the task.
    pub context: &'a [u8],
}

/// Running sums of output shares, as encoded aggregate shares: those that something was added to, by
/// their index. Whoever names many and adds to none has none.
pub type Sums = BTreeMap<usize, Vec<u8>>;

/// The leader's half-done batch.
pub trait LeaderBatch: Send {
    /// Reads the helper's messages and adds up the output shares.
    ///
    /// Each element answers one report that [`Vdaf::start_verifying`] did not refuse, in the same
    /// order: the helper's message, or `None` where the helper refused the report, and the index
    /// of the sum it goes to. Gives each report's verdict and the `sums` running sums.
    fn finish(
        self: Box<Self>,
        context: &[u8],
        answers: &[(Option<&[u8]>, usize)],
        sums: usize,
    ) -> (Vec<Result<(), VerifyError>>, Sums);
}

/// The leader's first messages, or refusals, and the state that waits for the helper.
pub type Started = (Vec<Result<Vec<u8>, VerifyError>>, Box<dyn LeaderBatch>);

impl Vdaf {
    /// The leader's first step for a batch (DAP §4.5.3.1).
    pub fn start_verifying(
        &self,
        verification: Verification<'_>,
        reports: &[OpenReport<'_>],
    ) -> Started {
        self.with(Start { verification, reports })
    }

    /// The helper's only step for a batch (DAP §4.5.3.2).
    ///
    /// Each element is a report, the leader's message for it and the index of the sum it goes to.
    /// Gives the helper's message or refusal for each report, and the `sums` running sums.
    pub fn answer(
        &self,
        verification: Verification<'_>,
        reports: &[(OpenReport<'_>, &[u8], usize)],
        sums: usize,
    ) -> (Vec<Result<Vec<u8>, VerifyError>>, Sums) {
        self.with(Answer { verification, reports, sums })
    }
}

struct Start<'a> {
    verification: Verification<'a>,
    reports: &'a [OpenReport<'a>],
}

impl Work for Start<'_> {
    type Output = Started;

    fn run<V: Instance>(self, vdaf: &V) -> Started {
        let mut states = Vec::with_capacity(self.reports.len());
        let mut messages = Vec::with_capacity(self.reports.len());
        for report in self.reports {
            messages.push(start(vdaf, self.verification, report).map(|(state, message)| {
                states.push(state);
                message
            }));
        }
        (messages, Box::new(Waiting { vdaf: vdaf.clone(), states }))
    }
}

fn start<V: Instance>(
    vdaf: &V,
    Verification { key, context }: Verification<'_>,
    report: &OpenReport<'_>,
) -> Result<(V::VerifyState, Vec<u8>), VerifyError> {
    let (public_share, input_share) = decode_shares(vdaf, LEADER, report)?;
    let continued = vdaf
        .leader_initialized(
            key.secret_bytes(),
            context,
            &(),
            report.report_id.as_bytes(),
            &public_share,
            &input_share,
        )
        .map_err(|_| VerifyError::Invalid)?;
    // What the helper would refuse is not worth sending.
    match &continued.message {
        PingPongMessage::Initialize { verifier_share }
            if names_part(report.public_share, LEADER, verifier_share) => {}
        _ => return Err(VerifyError::Invalid),
    }
    let message = continued.message.get_encoded().map_err(|_| VerifyError::Malformed)?;
    Ok((continued.verifier_state, message))
}

struct Waiting<V: Instance> {
    vdaf: V,
    states: Vec<V::VerifyState>,
}

impl<V: Instance> LeaderBatch for Waiting<V> {
    fn finish(
        self: Box<Self>,
        context: &[u8],
        answers: &[(Option<&[u8]>, usize)],
        sums: usize,
    ) -> (Vec<Result<(), VerifyError>>, Sums) {
        debug_assert_eq!(self.states.len(), answers.len(), "one answer for each waiting report");
        let vdaf = self.vdaf;
        let mut totals = Totals::new(&vdaf, sums);
        let verdicts = self.states.into_iter().zip(answers).map(|(state, &(answer, sum))| {
            let message = answer.ok_or(VerifyError::Invalid)?;
            let output_share = finish(&vdaf, context, state, message)?;
            totals.add(sum, &output_share)
        });
        let verdicts = verdicts.collect();
        (verdicts, totals.encode())
    }
}

fn finish<V: Instance>(
    vdaf: &V,
    context: &[u8],
    state: V::VerifyState,
    message: &[u8],
) -> Result<V::OutputShare, VerifyError> {
    let message = PingPongMessage::get_decoded(message).map_err(|_| VerifyError::Invalid)?;
    let next = vdaf
        .leader_continued(context, &(), state, &message)
        .and_then(|continuation| continuation.evaluate(context, vdaf))
        .map_err(|_| VerifyError::Invalid)?;
    match next {
        PingPongState::Finished { output_share } => Ok(output_share),
        PingPongState::Continued(_) | PingPongState::FinishedWithOutbound { .. } => {
            Err(VerifyError::Malformed)
        }
    }
}

struct Answer<'a> {
    verification: Verification<'a>,
    reports: &'a [(OpenReport<'a>, &'a [u8], usize)],
    sums: usize,
}

impl Work for Answer<'_> {
    type Output = (Vec<Result<Vec<u8>, VerifyError>>, Sums);

    fn run<V: Instance>(self, vdaf: &V) -> Self::Output {
        let mut totals = Totals::new(vdaf, self.sums);
        let answers = self.reports.iter().map(|(report, inbound, sum)| {
            let (output_share, message) = answer(vdaf, self.verification, report, inbound)?;
            totals.add(*sum, &output_share)?;
            Ok(message)
        });
        let answers = answers.collect();
        (answers, totals.encode())
    }
}

fn answer<V: Instance>(
    vdaf: &V,
    Verification { key, context }: Verification<'_>,
    report: &OpenReport<'_>,
    inbound: &[u8],
) -> Result<(V::OutputShare, Vec<u8>), VerifyError> {
    // Part of `ping_pong_helper_init`, so its failure is the report's rejection (DAP §4.5.3.2).
    let Ok(PingPongMessage::Initialize { verifier_share: leaders }) =
        PingPongMessage::get_decoded(inbound)
    else {
        return Err(VerifyError::Invalid);
    };
    let (public_share, input_share) = decode_shares(vdaf, HELPER, report)?;
    let (state, own) = vdaf
        .verify_init(
            key.secret_bytes(),
            context,
            HELPER,
            &(),
            report.report_id.as_bytes(),
            &public_share,
            &input_share,
        )
        .map_err(|_| VerifyError::Invalid)?;
    let own_bytes = own.get_encoded().map_err(|_| VerifyError::Malformed)?;
    let leaders_share = V::VerifierShare::get_decoded_with_param(&state, &leaders)
        .map_err(|_| VerifyError::Invalid)?;
    if !names_part(report.public_share, LEADER, &leaders)
        || !names_part(report.public_share, HELPER, &own_bytes)
    {
        return Err(VerifyError::Invalid);
    }
    let message = vdaf
        .verifier_shares_to_message(context, &(), [leaders_share, own])
        .map_err(|_| VerifyError::Invalid)?;
    let verifier_message = message.get_encoded().map_err(|_| VerifyError::Malformed)?;
    match vdaf.verify_next(context, state, message).map_err(|_| VerifyError::Invalid)? {
        VerifyTransition::Finish(output_share) => {
            let message = PingPongMessage::Finish { verifier_message };
            let message = message.get_encoded().map_err(|_| VerifyError::Malformed)?;
            Ok((output_share, message))
        }
        VerifyTransition::Continue(..) => Err(VerifyError::Malformed),
    }
}

const LEADER: usize = 0;
const HELPER: usize = 1;
const AGGREGATORS: usize = 2;

/// Whether the part of the joint randomness that an aggregator has used is the one that the public
/// share names for it.
///
/// An encoded public share is one part of each aggregator, end to end, and an encoded verifier share
/// ends with the part that was used (VDAF §7.2.7). Without joint randomness both have none. Both
/// must have been decoded before, which sees to their lengths.
fn names_part(public_share: &[u8], aggregator: usize, verifier_share: &[u8]) -> bool {
    let length = public_share.len() / AGGREGATORS;
    let part = &public_share[aggregator * length..][..length];
    verifier_share.ends_with(part)
}

fn decode_shares<V: Instance>(
    vdaf: &V,
    aggregator: usize,
    report: &OpenReport<'_>,
) -> Result<(V::PublicShare, V::InputShare), VerifyError> {
    let public_share = V::PublicShare::get_decoded_with_param(vdaf, report.public_share);
    let input_share =
        V::InputShare::get_decoded_with_param(&(vdaf, aggregator), report.input_share);
    match (public_share, input_share) {
        (Ok(public_share), Ok(input_share)) => Ok((public_share, input_share)),
        _ => Err(VerifyError::Malformed),
    }
}

/// Running sums, each made when the first output share is added to it.
struct Totals<'a, V: Instance> {
    vdaf: &'a V,
    sums: usize,
    by_number: BTreeMap<usize, V::AggregateShare>,
}

impl<'a, V: Instance> Totals<'a, V> {
    fn new(vdaf: &'a V, sums: usize) -> Self {
        Self { vdaf, sums, by_number: BTreeMap::new() }
    }

    fn add(&mut self, sum: usize, output_share: &V::OutputShare) -> Result<(), VerifyError> {
        if sum >= self.sums {
            return Err(VerifyError::Malformed);
        }
        let total = self.by_number.entry(sum).or_insert_with(|| self.vdaf.aggregate_init(&()));
        total.accumulate(output_share).map_err(|_| VerifyError::Malformed)
    }

    fn encode(self) -> Sums {
        let encode = |total: V::AggregateShare| {
            total.get_encoded().expect("field elements of one size always encode")
        };
        self.by_number.into_iter().map(|(sum, total)| (sum, encode(total))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{task::VdafConfig, vdaf::VERIFY_KEY_SIZE};

    #[test]
    fn sums_that_nothing_is_added_to_take_no_memory() {
        let vdaf = Vdaf::new(&VdafConfig::Prio3Count).unwrap();
        let key = VerifyKey::new([1; VERIFY_KEY_SIZE]);
        let verification = Verification { key: &key, context: b"x" };
        let rubbish = OpenReport {
            report_id: ReportId::new([1; 16]),
            public_share: b"",
            input_share: b"no share",
        };
        // As many as there can be: a place for each would be more memory than there is.
        let (answers, sums) = vdaf.answer(verification, &[(rubbish, b"no message", 7)], usize::MAX);
        assert!(answers.iter().all(Result::is_err));
        assert!(sums.is_empty());
    }
}

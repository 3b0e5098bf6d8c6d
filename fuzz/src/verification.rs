//! Verification, with shares and messages that are changed: beside prio's own, and so that what the
//! helper accepts the leader accepts.

use prio::{
    codec::{Encode, ParameterizedDecode},
    vdaf::{Aggregator, prio3::Prio3Histogram},
};
use sottovoce_dap::{
    ids::ReportId,
    task::VdafConfig,
    vdaf::{
        Vdaf, VerifyKey,
        shard::Measurement,
        verify::{OpenReport, Verification},
    },
};

const CONTEXT: &[u8] = b"fuzzed";
const KEY: [u8; 32] = [7; 32];
const LENGTH: u32 = 4;
const CHUNK: u32 = 2;

/// A bin, then pairs of a place and a byte to be changed there.
pub fn verification(data: &[u8]) {
    let config = VdafConfig::Prio3Histogram { length: LENGTH, chunk_length: CHUNK };
    let vdaf = Vdaf::new(&config).expect("parameters");
    let bin = usize::from(data.first().copied().unwrap_or_default()) % LENGTH as usize;
    let id = ReportId::new([3; 16]);
    let measurement = Measurement::Bin(bin);
    let sharded = vdaf.shard(CONTEXT, &measurement, &id).expect("a measurement");
    let mut shares = [
        sharded.public_share.clone(),
        sharded.leader_input_share.to_vec(),
        sharded.helper_input_share.to_vec(),
    ];
    for change in data.get(1..).unwrap_or_default().chunks_exact(3).take(4) {
        let share = &mut shares[usize::from(change[0]) % 3];
        let at = usize::from(change[1]) % share.len();
        share[at] ^= change[2];
    }
    let ours = ours(&vdaf, id, &shares);
    assert_eq!(ours, by_prio(id, &shares), "the same verdict as prio's own");
}

fn ours(vdaf: &Vdaf, report_id: ReportId, shares: &[Vec<u8>; 3]) -> bool {
    let key = VerifyKey::new(KEY);
    let verification = Verification { key: &key, context: CONTEXT };
    let open = |share: usize| OpenReport {
        report_id,
        public_share: &shares[0],
        input_share: &shares[share],
    };
    let (mut messages, leader) = vdaf.start_verifying(verification, &[open(1)]);
    let Ok(message) = messages.remove(0) else { return false };
    let (mut answers, helper_sums) = vdaf.answer(verification, &[(open(2), &message, 0)], 1);
    let answer = answers.remove(0).ok();
    let (verdicts, leader_sums) = leader.finish(CONTEXT, &[(answer.as_deref(), 0)], 1);
    assert_eq!(answer.is_some(), verdicts[0].is_ok(), "what the helper accepts, the leader does");
    assert_eq!(helper_sums.contains_key(&0), leader_sums.contains_key(&0));
    answer.is_some()
}

/// The VDAF's own steps, without the order of DAP.
fn by_prio(id: ReportId, shares: &[Vec<u8>; 3]) -> bool {
    let vdaf =
        Prio3Histogram::new_histogram(2, LENGTH as usize, CHUNK as usize).expect("parameters");
    let verified = || -> Option<()> {
        let (mut states, mut messages) = (Vec::new(), Vec::new());
        for aggregator in 0..2 {
            let public = <Prio3Histogram as prio::vdaf::Vdaf>::PublicShare::get_decoded_with_param(
                &vdaf, &shares[0],
            )
            .ok()?;
            let input = <Prio3Histogram as prio::vdaf::Vdaf>::InputShare::get_decoded_with_param(
                &(&vdaf, aggregator),
                &shares[1 + aggregator],
            )
            .ok()?;
            let (state, message) = vdaf
                .verify_init(&KEY, CONTEXT, aggregator, &(), id.as_bytes(), &public, &input)
                .ok()?;
            states.push(state);
            messages.push(message);
        }
        let encoded: Vec<_> =
            messages.iter().map(|m| m.get_encoded().ok()).collect::<Option<_>>()?;
        // Both must have used the parts of the joint randomness that the public share names.
        let half = shares[0].len() / 2;
        if !encoded[0].ends_with(&shares[0][..half]) || !encoded[1].ends_with(&shares[0][half..]) {
            return None;
        }
        let message = vdaf.verifier_shares_to_message(CONTEXT, &(), messages).ok()?;
        for state in states {
            vdaf.verify_next(CONTEXT, state, message.clone()).ok()?;
        }
        Some(())
    };
    verified().is_some()
}

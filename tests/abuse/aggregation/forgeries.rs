//! Reports that are refused alone: each with what is wrong with it.

use super::{init, init_of};
use crate::{
    stage::Stage,
    support::{
        device::{Shares, extensions, spoiled},
        peer::verify_init,
        task::{Task, now},
    },
};
use sottovoce_dap::{
    aggregate::VerifyInit,
    ids::ReportId,
    time::Time,
    upload::ReportError::{
        self, HpkeDecryptError, HpkeUnknownConfigId, InvalidMessage, ReportDropped, ReportTooEarly,
        VdafVerifyError,
    },
};

pub(super) type Forge = fn(&Stage, &Task) -> VerifyInit;

/// What is wrong with a report, of which task it is, what the helper must say (§4.5.3.3,
/// §4.5.3.4), and how it is made.
pub(super) const FORGERIES: &[(&str, usize, ReportError, Forge)] = &[
    ("the ciphertext is changed", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        let sealed = &mut init.report_share.encrypted_input_share;
        *sealed = spoiled(sealed);
        init
    }),
    ("the encapsulated key is no key", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        init.report_share.encrypted_input_share.enc = vec![0; 32].try_into().unwrap();
        init
    }),
    ("the encapsulated key is too long", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        init.report_share.encrypted_input_share.enc = vec![5; 65_535].try_into().unwrap();
        init
    }),
    ("the key is unknown", 0, HpkeUnknownConfigId, |stage, task| {
        let mut init = init(stage, task);
        init.report_share.encrypted_input_share.config_id.0 ^= 1;
        init
    }),
    ("the share is the leader's", 0, HpkeDecryptError, |stage, task| {
        let shares = stage.shares(task, stage.world.window);
        let report = shares.seal(task, stage.world.keys());
        let mut init = verify_init(task, &shares, &report);
        let sealed = &mut init.report_share.encrypted_input_share;
        let config_id = sealed.config_id;
        *sealed = report.leader_encrypted_input_share;
        sealed.config_id = config_id;
        init
    }),
    ("the time is changed", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        init.report_share.report_metadata.time.0 -= 1;
        init
    }),
    ("the ID is changed", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        init.report_share.report_metadata.report_id = ReportId::random().unwrap();
        init
    }),
    ("the public share is changed", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        let length = init.report_share.public_share.as_bytes().len();
        init.report_share.public_share = vec![1; length].try_into().unwrap();
        init
    }),
    ("an extension is added on the way", 0, HpkeDecryptError, |stage, task| {
        let mut init = init(stage, task);
        init.report_share.report_metadata.public_extensions = extensions(&[5]);
        init
    }),
    ("the report is another task's", 0, HpkeDecryptError, |stage, _| {
        init(stage, &stage.world.tasks[1])
    }),
    ("a public extension is unknown", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| shares.metadata.public_extensions = extensions(&[5]))
    }),
    ("public extensions are out of order", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| shares.metadata.public_extensions = extensions(&[5, 4]))
    }),
    ("a private extension is unknown", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| shares.helper_extensions = extensions(&[5]))
    }),
    ("private extensions are out of order", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| shares.helper_extensions = extensions(&[5, 4]))
    }),
    ("an extension is both public and private", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| {
            shares.metadata.public_extensions = extensions(&[5]);
            shares.helper_extensions = extensions(&[5]);
        })
    }),
    ("the share is too short", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| shares.helper.truncate(31))
    }),
    ("the share is too long", 0, InvalidMessage, |stage, task| {
        forged(stage, task, |shares| shares.helper.extend([0; 1000]))
    }),
    ("the share lies", 0, VdafVerifyError, |stage, task| {
        forged(stage, task, |shares| shares.helper[0] ^= 1)
    }),
    ("the public share lies", 0, VdafVerifyError, |stage, task| {
        forged(stage, task, |shares| shares.public_share[0] ^= 1)
    }),
    ("the public share lies about the helper's part", 0, VdafVerifyError, |stage, task| {
        forged(stage, task, |shares| *shares.public_share.last_mut().unwrap() ^= 1)
    }),
    ("the shares were made for another ID", 0, VdafVerifyError, |stage, task| {
        forged(stage, task, |shares| shares.metadata.report_id = ReportId::random().unwrap())
    }),
    ("the leader's message is of another VDAF", 0, VdafVerifyError, |stage, task| {
        let payload = init(stage, &stage.world.tasks[2]).payload;
        VerifyInit { payload, ..init(stage, task) }
    }),
    ("the leader's message is about another report", 0, VdafVerifyError, |stage, task| {
        let payload = init(stage, task).payload;
        VerifyInit { payload, ..init(stage, task) }
    }),
    ("the leader's message is changed", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload[10] ^= 1)
    }),
    ("the leader's message is cut short", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload.truncate(payload.len() - 1))
    }),
    ("the leader's message is one byte", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload.truncate(1))
    }),
    ("the leader's message is followed by another", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload.extend_from_within(..))
    }),
    ("the leader's message is of a later step", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload[0] = 2)
    }),
    ("the leader's message is of no step there is", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload[0] = 0xff)
    }),
    ("the leader's message says it has 4 GB", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload[1..5].fill(0xff))
    }),
    ("the leader's message is noise", 0, VdafVerifyError, |stage, task| {
        with_payload(stage, task, |payload| payload.fill(0xff))
    }),
    ("the time is not yet", 0, ReportTooEarly, |stage, task| {
        init_of(stage, task, &stage.shares(task, Time(now().0 + 7)))
    }),
    ("the time is the last there is", 0, ReportTooEarly, |stage, task| {
        init_of(stage, task, &stage.shares(task, Time(u64::MAX)))
    }),
    ("the time is before the task's", 1, ReportDropped, |stage, task| {
        init_of(stage, task, &stage.shares(task, Time(0)))
    }),
    ("the time is after the task's", 1, ReportDropped, |stage, task| {
        init_of(stage, task, &stage.shares(task, Time(now().0 - 10)))
    }),
];

/// A report whose client changed something before it was sealed, with the leader's message about
/// what it was.
fn forged(stage: &Stage, task: &Task, forge: fn(&mut Shares)) -> VerifyInit {
    let mut shares = stage.shares(task, stage.world.window);
    let payload = init_of(stage, task, &shares).payload;
    forge(&mut shares);
    VerifyInit { payload, ..init_of(stage, task, &shares) }
}

fn with_payload(stage: &Stage, task: &Task, change: fn(&mut Vec<u8>)) -> VerifyInit {
    let init = init(stage, task);
    let mut payload = init.payload.as_bytes().to_vec();
    change(&mut payload);
    VerifyInit { payload: payload.try_into().unwrap(), ..init }
}

//! What every message must bear: written and read again, cut short, changed, and followed by more.

use super::{
    aggregate::*,
    codec::{Decode, DecodeError, Encode, Opaque},
    collect::*,
    extension::{Extension, UncheckedExtensions},
    hpke::{HpkeCiphertext, HpkeConfig, HpkeConfigId, Suite},
    hpke_config_list::HpkeConfigList,
    ids::{BatchId, ReportId},
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::{Interval, Time, TimePrecision},
    upload::*,
};
use std::fmt::Debug;

/// Whether a message ends where its fields do, or runs to the end of the HTTP message.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Fields,
    Message,
}

fn check<T: Encode + Decode + Debug + PartialEq>(message: &T, end: End) {
    let bytes = message.to_bytes();
    assert_eq!(T::from_bytes(&bytes).as_ref(), Ok(message), "written and read again");
    for len in 0..bytes.len() {
        if let Ok(shorter) = T::from_bytes(&bytes[..len]) {
            // Cut between two items of a list that runs to the end.
            assert!(end == End::Message, "{message:?} cut to {len} bytes is {shorter:?}");
            assert_eq!(shorter.to_bytes(), bytes[..len]);
        }
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(T::from_bytes(&longer).is_err(), "{message:?} with a byte too many");
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
            let mut changed = bytes.clone();
            changed[at] = value;
            // Refused, or another message that is written as it was read.
            if let Ok(other) = T::from_bytes(&changed) {
                assert_eq!(other.to_bytes(), changed, "{message:?} changed at {at}");
            }
        }
    }
}

fn opaque<const MIN: usize, const MAX: usize>(len: usize) -> Opaque<MIN, MAX> {
    vec![7; len].try_into().unwrap()
}

fn ciphertext() -> HpkeCiphertext {
    HpkeCiphertext { config_id: HpkeConfigId(9), enc: opaque(4), payload: opaque(5) }
}

fn extensions() -> UncheckedExtensions {
    let extension = |extension_type| Extension { extension_type, extension_data: opaque(2) };
    UncheckedExtensions::new(vec![extension(3), extension(8)]).unwrap()
}

fn metadata() -> ReportMetadata {
    ReportMetadata {
        report_id: ReportId::new([3; 16]),
        time: Time(17),
        public_extensions: extensions(),
    }
}

fn configuration() -> TaskConfiguration {
    TaskConfiguration {
        task_info: opaque(3),
        leader_aggregator_endpoint: Url::new("https://l.example/").unwrap(),
        helper_aggregator_endpoint: Url::new("https://h.example/x/").unwrap(),
        time_precision: TimePrecision::from_seconds(3600).unwrap(),
        min_batch_size: 100,
        batch_mode: BatchMode::TimeInterval,
        vdaf: VdafConfig::Prio3Histogram { length: 5, chunk_length: 2 },
        task_interval: Some(Interval::new(Time(5), 7).unwrap()),
    }
}

fn report() -> Report {
    Report {
        report_metadata: metadata(),
        public_share: opaque(6),
        leader_encrypted_input_share: ciphertext(),
        helper_encrypted_input_share: ciphertext(),
    }
}

fn collection_request(query: Query) -> CollectionJobReq {
    CollectionJobReq { query, agg_param: opaque(0), extensions: extensions() }
}

#[test]
fn messages_of_the_upload_interaction() {
    check(&report(), End::Fields);
    check(&UploadRequest { reports: vec![report(), report()] }, End::Message);
    let status = |error| ReportUploadStatus { id: ReportId::new([1; 16]), error };
    check(&UploadErrors { status: ReportError::ALL.map(status).to_vec() }, End::Message);
    check(
        &PlaintextInputShare { private_extensions: extensions(), payload: opaque(3) },
        End::Fields,
    );
    let config =
        |id| HpkeConfig { id: HpkeConfigId(id), suite: Suite::DEFAULT, public_key: opaque(32) };
    check(&HpkeConfigList::new(vec![config(1), config(2)]).unwrap(), End::Fields);
    assert!(HpkeConfigList::new(vec![config(1), config(1)]).is_err(), "an ID twice");
    assert!(HpkeConfigList::from_bytes(&[0, 0]).is_err(), "an empty list");
}

/// The code points of §4.1, one by one: another draft gives the same numbers to other errors.
#[test]
fn report_errors_have_the_drafts_numbers_and_there_are_no_others() {
    use ReportError::*;
    for (code, error) in [
        (1, BatchCollected),
        (2, ReportReplayed),
        (3, ReportDropped),
        (4, HpkeUnknownConfigId),
        (5, HpkeDecryptError),
        (6, VdafVerifyError),
        (7, InvalidMessage),
        (8, ReportTooEarly),
        (9, UnknownVerificationKeyId),
        (10, UnsupportedExtension),
    ] {
        assert_eq!(error.to_bytes(), [code]);
        assert_eq!(ReportError::from_bytes(&[code]), Ok(error));
    }
    for code in (11..=255).chain([0]) {
        let unknown = DecodeError::Unknown { field: "report error", value: code.into() };
        assert_eq!(ReportError::from_bytes(&[code]), Err(unknown));
    }
}

#[test]
fn a_rejection_is_written_as_the_draft_says() {
    let report_id = ReportId::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    let answer = VerifyAnswer::Reject(ReportError::InvalidMessage);
    let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 7];
    assert_eq!(VerifyResp { report_id, answer }.to_bytes(), expected);
}

#[test]
fn messages_of_the_aggregation_interaction() {
    let report_share = ReportShare {
        report_metadata: metadata(),
        public_share: opaque(0),
        encrypted_input_share: ciphertext(),
    };
    let init = VerifyInit { report_share, payload: opaque(3) };
    let request = AggregationJobInitReq {
        verification_key_id: 0,
        agg_param: opaque(1),
        extensions: extensions(),
        verify_inits: vec![init.clone(), init],
    };
    check(&request, End::Message);
    let answer = |answer| VerifyResp { report_id: ReportId::new([4; 16]), answer };
    let answers = [
        VerifyAnswer::Continue(opaque(2)),
        VerifyAnswer::Finish,
        VerifyAnswer::Reject(ReportError::ReportReplayed),
    ];
    check(&AggregationJobResp { verify_resps: answers.map(answer).to_vec() }, End::Message);
    let verify_continue = VerifyContinue { report_id: ReportId::new([4; 16]), payload: opaque(1) };
    check(
        &AggregationJobContinueReq { step: 1, verify_continues: vec![verify_continue] },
        End::Message,
    );
}

#[test]
fn messages_of_the_collection_interaction() {
    let interval = Interval::new(Time(5), 2).unwrap();
    for (query, batch_selector) in [
        (Query::TimeInterval(interval.into()), BatchSelector::TimeInterval(interval.into())),
        (Query::LeaderSelected, BatchSelector::LeaderSelected(BatchId::new([8; 32]))),
    ] {
        check(&collection_request(query), End::Fields);
        let request = AggregateShareReq {
            collection_job_req: collection_request(query),
            batch_selector,
            report_count: 12,
            checksum: Checksum::new([6; 32]),
        };
        check(&request, End::Fields);
    }
    let response = CollectionJobResp {
        report_count: 12,
        interval,
        leader_encrypted_agg_share: ciphertext(),
        helper_encrypted_agg_share: ciphertext(),
    };
    check(&response, End::Fields);
    check(&AggregateShare { encrypted_aggregate_share: ciphertext() }, End::Fields);
}

#[test]
fn task_configurations_of_every_vdaf() {
    for vdaf in [
        VdafConfig::Prio3Count,
        VdafConfig::Prio3Sum { max_measurement: 9 },
        VdafConfig::Prio3SumVec { length: 4, max_measurement: 3, chunk_length: 2 },
        VdafConfig::Prio3Histogram { length: 5, chunk_length: 2 },
        VdafConfig::Prio3MultihotCountVec { length: 5, chunk_length: 2, max_weight: 2 },
    ] {
        for batch_mode in [BatchMode::TimeInterval, BatchMode::LeaderSelected] {
            check(&TaskConfiguration { batch_mode, vdaf, ..configuration() }, End::Fields);
        }
    }
    check(&TaskConfiguration { task_interval: None, ..configuration() }, End::Fields);
    check(&TaskConfiguration { task_info: opaque(0), ..configuration() }, End::Fields);
    check(&TaskConfiguration { task_info: opaque(255), ..configuration() }, End::Fields);
}

/// The encoding of §4.2, byte by byte.
#[test]
fn a_task_configuration_is_written_as_the_draft_says() {
    let expected = [
        &[3, 7, 7, 7][..], // task_info
        &[0, 18],
        b"https://l.example/", // leader_aggregator_endpoint
        &[0, 20],
        b"https://h.example/x/",         // helper_aggregator_endpoint
        &[0, 0, 0, 0, 0, 0, 0x0e, 0x10], // time_precision
        &[0, 0, 0, 0, 0, 0, 0, 100],     // min_batch_size
        &[1],                            // batch_mode: time_interval
        &[0, 0],                         // batch_config
        &[0, 0, 0, 4],                   // vdaf_type: Prio3Histogram
        &[0, 8, 0, 0, 0, 5, 0, 0, 0, 2], // vdaf_configuration
        &[0, 20, 0, 1, 0, 16],           // extensions: task_interval
        &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7],
    ]
    .concat();
    assert_eq!(configuration().to_bytes(), expected);
    let nameless = TaskConfiguration { task_info: opaque(0), ..configuration() };
    assert_eq!(nameless.to_bytes(), [&[0], &expected[4..]].concat());
}

#[test]
fn unknown_task_extensions_vdafs_and_batch_modes_are_refused() {
    let bytes = TaskConfiguration { task_interval: None, ..configuration() }.to_bytes();
    let mut unknown_extension = bytes[..bytes.len() - 2].to_vec();
    unknown_extension.extend([0, 4, 0, 2, 0, 0]);
    let error = TaskConfiguration::from_bytes(&unknown_extension).unwrap_err().to_string();
    assert_eq!(error, "task extension type has the unknown value 2");
    assert!(VdafConfig::from_bytes(&[0, 0, 0, 6, 0, 0]).is_err());
    assert!(VdafConfig::from_bytes(&[0, 0, 0, 1, 0, 1, 0]).is_err(), "a parameter too many");
    assert!(BatchMode::from_bytes(&[3]).is_err());
}

#[test]
fn an_impossible_query_interval_is_a_message_but_no_batch() {
    for (start, duration) in [(5_u64, 0_u64), (u64::MAX, 1), (1, u64::MAX)] {
        let config = [start.to_be_bytes(), duration.to_be_bytes()].concat();
        let bytes = [&[1, 0, 16][..], &config].concat();
        match Query::from_bytes(&bytes).unwrap() {
            Query::TimeInterval(interval) => assert_eq!(interval.interval(), None),
            Query::LeaderSelected => panic!("another batch mode"),
        }
    }
}

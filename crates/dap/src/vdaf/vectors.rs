//! The VDAF draft's own test vectors, from `crates/dap/tests/vectors/vdaf-20`.
//!
//! A vector of two shares is run through the dispatch type exactly as the aggregators do; the
//! intermediate messages, output shares, aggregate shares and result must be those of the file.

use super::{
    Vdaf, VerifyKey,
    unshard::AggregateResult,
    verify::{OpenReport, Verification},
};
use crate::{ids::ReportId, task::VdafConfig};
use serde_json::Value;
use std::path::Path;

#[test]
fn every_vector_of_two_shares_agrees() {
    let mut run = 0;
    for path in files() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let vector: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if vector["shares"] == 2 {
            let kind = name.split('_').next().unwrap();
            check(&name, &Vdaf::new(&config(kind, &vector)).unwrap(), &vector);
            run += 1;
        }
    }
    assert!(run >= 15, "only {run} vectors were run");
}

fn files() -> impl Iterator<Item = std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/vdaf-20");
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
}

fn config(kind: &str, vector: &Value) -> VdafConfig {
    let number = |key: &str| vector[key].as_u64().unwrap_or_else(|| panic!("no number {key}"));
    let short = |key: &str| u32::try_from(number(key)).unwrap();
    match kind {
        "Prio3Count" => VdafConfig::Prio3Count,
        "Prio3Sum" => VdafConfig::Prio3Sum { max_measurement: number("max_measurement") },
        "Prio3SumVec" => VdafConfig::Prio3SumVec {
            length: short("length"),
            max_measurement: number("max_measurement"),
            chunk_length: short("chunk_length"),
        },
        "Prio3Histogram" => VdafConfig::Prio3Histogram {
            length: short("length"),
            chunk_length: short("chunk_length"),
        },
        "Prio3MultihotCountVec" => VdafConfig::Prio3MultihotCountVec {
            length: short("length"),
            chunk_length: short("chunk_length"),
            max_weight: number("max_weight"),
        },
        other => panic!("a vector of an unknown VDAF: {other}"),
    }
}

fn check(name: &str, vdaf: &Vdaf, vector: &Value) {
    let key = VerifyKey::new(bytes(&vector["verify_key"]).try_into().unwrap());
    let context = bytes(&vector["ctx"]);
    let verification = Verification { key: &key, context: &context };
    let reports = vector["reports"].as_array().unwrap();
    let expect_success = vector["operations"]
        .as_array()
        .unwrap()
        .iter()
        .all(|operation| operation["success"] == true);

    let mut leader_sums = Vec::new();
    let mut helper_sums = Vec::new();
    for report in reports {
        let share = |i: usize| bytes(&report["input_shares"][i]);
        let (public_share, leader_share, helper_share) =
            (bytes(&report["public_share"]), share(0), share(1));
        let open = |input_share| OpenReport {
            report_id: ReportId::new(bytes(&report["nonce"]).try_into().unwrap()),
            public_share: &public_share,
            input_share,
        };
        let (messages, batch) = vdaf.start_verifying(verification, &[open(&leader_share)]);
        let Ok(first) = &messages[0] else {
            assert!(!expect_success, "{name}: the leader refused a valid report");
            return;
        };
        check_initialize(name, first, &report["verifier_shares"][0][0]);

        // A vector of a manipulated verifier message stands for a helper that cheats.
        let (answers, helper_sum) =
            vdaf.answer(verification, &[(open(&helper_share), first, 0)], 1);
        let answer = match &answers[0] {
            Ok(answer) => answer.clone(),
            Err(_) => {
                assert!(!expect_success, "{name}: the helper refused a valid report");
                return;
            }
        };
        let announced = bytes(&report["verifier_messages"][0]);
        if expect_success {
            assert_eq!(answer, ping_pong(2, &announced), "{name}: verifier message");
        }
        let answer = ping_pong(2, &announced);
        let (verdicts, leader_sum) = batch.finish(&context, &[(Some(&answer), 0)], 1);
        assert_eq!(verdicts[0].is_ok(), expect_success, "{name}: the leader's verdict");
        if !expect_success {
            return;
        }
        assert_eq!(leader_sum[&0], bytes(&report["out_shares"][0]), "{name}");
        assert_eq!(helper_sum[&0], bytes(&report["out_shares"][1]), "{name}");
        leader_sums.extend(leader_sum.into_values());
        helper_sums.extend(helper_sum.into_values());
    }
    assert!(expect_success, "{name}: nothing refused an invalid report");

    let merge = |sums: &[Vec<u8>]| vdaf.merge(sums.iter().map(Vec::as_slice)).unwrap();
    let (leader, helper) = (merge(&leader_sums), merge(&helper_sums));
    assert_eq!(leader, bytes(&vector["agg_shares"][0]), "{name}: the leader's aggregate share");
    assert_eq!(helper, bytes(&vector["agg_shares"][1]), "{name}: the helper's aggregate share");
    let result = vdaf.unshard(&leader, &helper, reports.len() as u64).unwrap();
    assert_eq!(result, expected(&vector["agg_result"]), "{name}: the result");
}

fn check_initialize(name: &str, message: &[u8], verifier_share: &Value) {
    assert_eq!(message, ping_pong(0, &bytes(verifier_share)), "{name}: the leader's message");
}

/// A ping-pong message with one field (VDAF §5.7.1): its type, then the field.
fn ping_pong(message_type: u8, field: &[u8]) -> Vec<u8> {
    let mut message = vec![message_type];
    message.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
    message.extend_from_slice(field);
    message
}

fn expected(result: &Value) -> AggregateResult {
    match result {
        Value::Array(values) => AggregateResult::Vector(
            values.iter().map(|value| value.as_u64().unwrap().into()).collect(),
        ),
        value => AggregateResult::Integer(value.as_u64().unwrap()),
    }
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

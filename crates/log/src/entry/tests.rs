use super::*;
use crate::{
    checkpoint::{Signer, TestKey},
    note::KeyKind,
};
use proptest::prelude::*;
use sottovoce_dap::{
    collect::BatchSelector,
    hpke::HpkeConfigId,
    ids::BatchId,
    task::{BatchMode, Url, VdafConfig},
    time::{Time, TimePrecision},
};
use sottovoce_privacy::{
    noise::Thousandths,
    units::{Delta, Epsilon, TrustModel},
};

fn configuration() -> TaskConfiguration {
    TaskConfiguration {
        task_info: b"info".to_vec().try_into().unwrap(),
        leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
        helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
        time_precision: TimePrecision::from_seconds(3600).unwrap(),
        min_batch_size: 100,
        batch_mode: BatchMode::TimeInterval,
        vdaf: VdafConfig::Prio3Count,
        task_interval: None,
    }
}

fn hpke_config() -> HpkeConfig {
    HpkeConfig {
        id: HpkeConfigId(7),
        suite: sottovoce_dap::hpke::Suite { kem: 0x20, kdf: 1, aead: 1 },
        public_key: vec![3; 32].try_into().unwrap(),
    }
}

fn claim(trust: TrustModel) -> Claim {
    Claim { trust, epsilon: Epsilon::new(0.91).unwrap(), delta: Delta::new(1e-6).unwrap() }
}

/// One of each kind.
pub(crate) fn all() -> Vec<Entry> {
    let task = TaskId::new([5; 32]);
    let noise = Some(AggregatorNoise::DiscreteGaussian { sigma: Thousandths::new(12.5).unwrap() });
    let interval = Interval::new(Time(100), 3).unwrap();
    let taken = TaskTaken {
        task,
        configuration: configuration(),
        collector: hpke_config(),
        noise,
        claims: vec![claim(TrustModel::Oc), claim(TrustModel::Oaoc), claim(TrustModel::Oamc)],
        manifest: b"{}".to_vec(),
    };
    let release = Release {
        task,
        batch: BatchSelector::TimeInterval(interval.into()),
        report_count: 3000,
        checksum: Checksum::new([8; 32]),
        interval,
        noise: Some(AggregatorNoise::DiscreteLaplace { scale: Thousandths::new(4.0).unwrap() }),
        charged: vec![claim(TrustModel::Oamc)],
        share: ShareDigest([9; 32]),
    };
    let refused = Refused {
        task,
        batch: Some(BatchSelector::LeaderSelected(BatchId::new([4; 32]))),
        problem: "invalidBatchSize".into(),
        detail: "the batch has 12 reports and needs 3000".into(),
    };
    let key = TestKey::new("log.example", KeyKind::Log, 3).verifier_key().clone();
    let events = vec![
        Event::Started("sottovoce-leader 0.1.0".into()),
        Event::Task(Box::new(taken)),
        Event::Release(release.clone()),
        Event::Release(Release { noise: None, charged: Vec::new(), ..release }),
        Event::Refused(refused.clone()),
        Event::Refused(Refused { batch: None, ..refused }),
        Event::HpkeKey(KeyChange::Added, hpke_config()),
        Event::LogKey(KeyChange::Retired, key),
        Event::Settings(vec![("retention".into(), "90 days".into()), ("x".into(), String::new())]),
        Event::Repaired(Repaired {
            task,
            batch: BatchSelector::TimeInterval(interval.into()),
            kept: 3000,
            dropped: 12,
            plan: [6; 32],
        }),
    ];
    events.into_iter().map(|event| Entry { time: 1_763_900_000, event }).collect()
}

#[test]
fn each_kind_is_read_as_it_was_written() {
    for entry in all() {
        let bytes = entry.to_log().unwrap();
        assert_eq!(Entry::from_bytes(&bytes).unwrap(), entry);
        for end in 0..bytes.len() {
            assert!(Entry::from_bytes(&bytes[..end]).is_err(), "{entry:?} cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Entry::from_bytes(&longer).is_err(), "{entry:?}");
    }
}

#[test]
fn entries_of_another_version_or_kind_are_told_from_damage() {
    let mut bytes = all()[0].to_bytes();
    bytes[0] = 2;
    let error = Entry::from_bytes(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Unknown { field: "entry's version", value: 2 });
    (bytes[0], bytes[9]) = (1, 99);
    let error = Entry::from_bytes(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Unknown { field: "entry's kind", value: 99 });
}

#[test]
fn a_refusal_is_the_same_whenever_it_happens_and_a_start_is_not() {
    let later = |entry: &Entry| Entry { time: entry.time + 1, event: entry.event.clone() };
    for entry in all() {
        let same = entry.key() == later(&entry).key();
        let differs =
            matches!(entry.event, Event::Started(_) | Event::Settings(_) | Event::Repaired(_));
        assert_eq!(same, !differs, "{entry:?}");
    }
    let mut keys: Vec<_> = all().iter().map(Entry::key).collect();
    keys.sort();
    keys.dedup();
    // The two releases are of one share.
    assert_eq!(keys.len(), all().len() - 1);
}

#[test]
fn a_manifest_that_does_not_fit_is_refused_as_a_whole() {
    let Event::Task(taken) = &all()[1].event else { panic!() };
    let manifest = vec![b' '; MAX_ENTRY];
    let taken = Box::new(TaskTaken { manifest, ..(**taken).clone() });
    let error = Entry { time: 0, event: Event::Task(taken) }.to_log().unwrap_err();
    assert!(error.to_string().contains("65535"), "{error}");
}

#[test]
fn text_too_long_for_its_field_is_cut_at_a_character() {
    let entry = Entry { time: 0, event: Event::Started("ü".repeat(200)) };
    let Event::Started(software) = Entry::from_bytes(&entry.to_bytes()).unwrap().event else {
        panic!()
    };
    assert_eq!(software, "ü".repeat(127));
}

proptest! {
    #[test]
    fn any_bytes_are_an_entry_or_are_not(which in 0usize..9, at: usize, byte: u8) {
        let mut bytes = all()[which].to_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(entry) = Entry::from_bytes(&bytes) {
            prop_assert_eq!(entry.to_bytes(), bytes);
        }
    }
}

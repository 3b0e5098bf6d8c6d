//! Messages of DAP: refused, or written again as they were read.

use crate::choice;
use sottovoce_dap::{
    aggregate::{
        AggregationJobContinueReq, AggregationJobInitReq, AggregationJobResp, ReportShare,
    },
    codec::{Decode, Encode},
    collect::{
        AggregateShare, AggregateShareReq, BatchSelector, CollectionJobReq, CollectionJobResp,
    },
    extension::UncheckedExtensions,
    hpke::HpkeConfig,
    hpke_config_list::HpkeConfigList,
    task::TaskConfiguration,
    upload::{PlaintextInputShare, Report, UploadErrors, UploadRequest},
};

/// One message of the kind that the first byte names.
pub fn messages(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    match kind % 17 {
        0 => again::<HpkeConfigList>(bytes),
        1 => again::<UploadRequest>(bytes),
        2 => again::<UploadErrors>(bytes),
        3 => again::<AggregationJobInitReq>(bytes),
        4 => again::<AggregationJobResp>(bytes),
        5 => again::<AggregationJobContinueReq>(bytes),
        6 => again::<AggregateShareReq>(bytes),
        7 => again::<AggregateShare>(bytes),
        8 => again::<CollectionJobReq>(bytes),
        9 => again::<CollectionJobResp>(bytes),
        10 => again::<TaskConfiguration>(bytes),
        11 => again::<Report>(bytes),
        12 => again::<ReportShare>(bytes),
        13 => again::<PlaintextInputShare>(bytes),
        14 => again::<BatchSelector>(bytes),
        15 => again::<HpkeConfig>(bytes),
        _ => extensions(bytes),
    }
}

fn again<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(message) = T::from_bytes(bytes) {
        assert_eq!(message.to_bytes(), bytes, "written as it was read");
    }
}

fn extensions(bytes: &[u8]) {
    again::<UncheckedExtensions>(bytes);
    if let Ok(list) = UncheckedExtensions::from_bytes(bytes)
        && let Ok(checked) = list.check()
    {
        let types: Vec<_> = checked.iter().map(|extension| extension.extension_type).collect();
        assert!(types.is_sorted_by(|a, b| a < b), "types increase: {types:?}");
    }
}

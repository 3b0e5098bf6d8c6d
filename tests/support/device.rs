//! A foreign client: makes reports out of the draft's parts, good ones and others.

use super::{http::Ask, task::Task};
use sottovoce_dap::{
    codec::{Decode, Encode},
    extension::{Extension, UncheckedExtensions},
    hpke::{HpkeCiphertext, HpkeConfig, portable},
    hpke_config_list::HpkeConfigList,
    ids::ReportId,
    role::Role,
    task::Url,
    time::Time,
    upload::{
        InputShareAad, PlaintextInputShare, Report, ReportMetadata, UploadRequest,
        input_share_info, vdaf_context,
    },
    vdaf::shard::Measurement,
};

/// The keys of both aggregators.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) leader: HpkeConfig,
    pub(crate) helper: HpkeConfig,
}

impl Keys {
    pub(crate) fn fetch(task: &Task) -> Self {
        let configuration = &task.configuration;
        Self {
            leader: fetch(&configuration.leader_aggregator_endpoint),
            helper: fetch(&configuration.helper_aggregator_endpoint),
        }
    }
}

fn fetch(endpoint: &Url) -> HpkeConfig {
    let url = format!("{}/hpke_config", endpoint.as_str().trim_end_matches('/'));
    let list = HpkeConfigList::from_bytes(&Ask::get(&url).send().ok()).unwrap();
    list.iter().next().unwrap().clone()
}

/// A sharded measurement before it is sealed; all of it may be changed.
pub(crate) struct Shares {
    pub(crate) metadata: ReportMetadata,
    pub(crate) public_share: Vec<u8>,
    pub(crate) leader: Vec<u8>,
    pub(crate) helper: Vec<u8>,
    pub(crate) leader_extensions: UncheckedExtensions,
    pub(crate) helper_extensions: UncheckedExtensions,
}

impl Shares {
    pub(crate) fn new(task: &Task, measurement: &Measurement, time: Time) -> Self {
        let report_id = ReportId::random().unwrap();
        let sharded = task.vdaf.shard(&vdaf_context(&task.id), measurement, &report_id).unwrap();
        let public_extensions = UncheckedExtensions::default();
        Self {
            metadata: ReportMetadata { report_id, time, public_extensions },
            public_share: sharded.public_share,
            leader: sharded.leader_input_share.to_vec(),
            helper: sharded.helper_input_share.to_vec(),
            leader_extensions: UncheckedExtensions::default(),
            helper_extensions: UncheckedExtensions::default(),
        }
    }

    pub(crate) fn seal(&self, task: &Task, keys: &Keys) -> Report {
        let mut aad = Vec::new();
        let prefix = InputShareAad::prefix(&task.id, &task.configuration);
        prefix.with(&self.metadata, &self.public_share, &mut aad);
        let seal = |role, key, extensions: &UncheckedExtensions, share: &[u8]| -> HpkeCiphertext {
            let plaintext = PlaintextInputShare {
                private_extensions: extensions.clone(),
                payload: share.to_vec().try_into().unwrap(),
            };
            portable::seal(key, &input_share_info(role), &aad, &plaintext.to_bytes()).unwrap()
        };
        let (leader, helper) = (&self.leader_extensions, &self.helper_extensions);
        Report {
            leader_encrypted_input_share: seal(Role::Leader, &keys.leader, leader, &self.leader),
            helper_encrypted_input_share: seal(Role::Helper, &keys.helper, helper, &self.helper),
            report_metadata: self.metadata.clone(),
            public_share: self.public_share.clone().try_into().unwrap(),
        }
    }
}

/// A list of empty extensions.
pub(crate) fn extensions(types: &[u16]) -> UncheckedExtensions {
    let extension = |extension_type: &u16| Extension {
        extension_type: *extension_type,
        extension_data: Vec::new().try_into().unwrap(),
    };
    UncheckedExtensions::new(types.iter().map(extension).collect()).unwrap()
}

/// The body of an upload.
pub(crate) fn request(reports: &[Report]) -> Vec<u8> {
    UploadRequest { reports: reports.to_vec() }.to_bytes()
}

/// The same message with its last byte changed.
pub(crate) fn spoiled(sealed: &HpkeCiphertext) -> HpkeCiphertext {
    let mut payload = sealed.payload.as_bytes().to_vec();
    *payload.last_mut().unwrap() ^= 1;
    HpkeCiphertext { payload: payload.try_into().unwrap(), ..sealed.clone() }
}

//! A leader that keeps a report and says that it could not read it: whatever it then gets, a real helper counts once.

use super::{
    collector::Parties,
    http::Ask,
    impostor::{Impostor, Received, Reply},
    peer,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use ring::hkdf;
use sottovoce_client::{device::Options, engine::Engine, report::Reporter, storage::MemoryStorage};
use sottovoce_courier::{Courier, uploader::Uploader};
use sottovoce_dap::{
    aggregate::{ReportShare, VerifyInit},
    codec::{Decode, Encode},
    hpke::{HpkeConfigId, HpkeKeypair, Suite, native},
    hpke_config_list::HpkeConfigList,
    media_type::MediaType,
    role::Role,
    upload::{
        InputShareAad, PlaintextInputShare, Report, ReportError, ReportUploadStatus, UploadErrors,
        UploadRequest, input_share_info, vdaf_context,
    },
    vdaf::{
        Vdaf, VerifyKey,
        verify::{OpenReport, Verification},
    },
};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{Program, answer::Answer, compile::CompiledTask};
use sottovoce_transport::http::HttpClient;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const METRIC: &str = r#"
window = "1 hour"
grace = "1 hour"
min_batch_size = 20

[device]
jitter = "0 seconds"

[privacy]
epsilon = 4.0

[metrics.helpful]
kind = "thumbs"
question = "Did this help?"
"#;

/// A leader that calls every first upload outdated.
struct Liar {
    parties: Parties,
    program: Arc<Program>,
    keypair: HpkeKeypair,
    impostor: Impostor,
}

impl Liar {
    fn start() -> Self {
        let parties = Parties::asking(METRIC);
        let program = Arc::new(Program::read(&parties.program).unwrap());
        parties.servers[1].kill();
        let keypair = native::generate(HpkeConfigId(3), Suite::DEFAULT).unwrap();
        let keys = HpkeConfigList::new(vec![keypair.config.clone()]).unwrap().to_bytes();
        let uploads = AtomicUsize::new(0);
        let port = program.leader().as_str().rsplit(':').next().unwrap().trim_end_matches('/');
        let impostor = Impostor::start(port.parse().unwrap(), move |request| {
            let say = |media_type: MediaType, body| {
                Reply::Say(200, vec![("content-type", media_type.to_string())], body)
            };
            if request.method == Method::GET {
                return say(MediaType::HpkeConfigList, keys.clone());
            }
            let mut errors = UploadErrors::default();
            if uploads.fetch_add(1, Ordering::SeqCst) == 0 {
                let error = ReportError::HpkeUnknownConfigId;
                let ids = reports(request).into_iter().map(|r| r.report_metadata.report_id);
                errors.status.extend(ids.map(|id| ReportUploadStatus { id, error }));
            }
            say(MediaType::UploadErrors, errors.to_bytes())
        });
        Self { parties, program, keypair, impostor }
    }

    fn task(&self) -> &CompiledTask {
        &self.program.tasks()[0]
    }

    /// All that devices uploaded, upload by upload.
    fn uploads(&self) -> Vec<Vec<Report>> {
        let uploads = self.impostor.seen().into_iter().filter(|seen| seen.method != Method::GET);
        uploads.map(|upload| reports(&upload)).collect()
    }

    fn secret(&self, key: &str) -> String {
        let file = self.parties.folder.path().join("leader.secrets.toml");
        let secrets: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
        secrets[key].as_str().unwrap().to_owned()
    }

    /// What the leader decrypts of a report: its input share.
    fn opened(&self, report: &Report) -> Vec<u8> {
        let mut aad = Vec::new();
        let prefix = InputShareAad::prefix(&self.task().task_id, &self.task().configuration);
        prefix.with(&report.report_metadata, report.public_share.as_bytes(), &mut aad);
        let opener = native::Opener::new(&self.keypair).unwrap();
        let sealed = &report.leader_encrypted_input_share;
        let plaintext = opener.open(sealed, &input_share_info(Role::Leader), &aad).unwrap();
        PlaintextInputShare::from_bytes(&plaintext).unwrap().payload.into_bytes()
    }

    /// What the helper says of a job with this one report.
    fn aggregate(&self, report: &Report) -> Option<ReportError> {
        let seed = URL_SAFE_NO_PAD.decode(self.secret("verify_key_seed")).unwrap();
        let key = verify_key(&seed, self.task());
        let (vdaf, context) = (
            Vdaf::new(&self.task().configuration.vdaf).unwrap(),
            vdaf_context(&self.task().task_id),
        );
        let input_share = self.opened(report);
        let open_report = OpenReport {
            report_id: report.report_metadata.report_id,
            public_share: report.public_share.as_bytes(),
            input_share: &input_share,
        };
        let verification = Verification { key: &key, context: &context };
        let (mut messages, _) = vdaf.start_verifying(verification, &[open_report]);
        let verify_init = VerifyInit {
            report_share: ReportShare {
                report_metadata: report.report_metadata.clone(),
                public_share: report.public_share.clone(),
                encrypted_input_share: report.helper_encrypted_input_share.clone(),
            },
            payload: messages.remove(0).unwrap().try_into().unwrap(),
        };
        let job = peer::job(vec![verify_init]).to_bytes();
        let helper = self.program.helper().as_str().trim_end_matches('/');
        let url = format!("{helper}/tasks/{}/aggregation_jobs", self.task().task_id);
        let ask = Ask::post(&url, MediaType::AggregationJobInitReq, job);
        let mut verdicts = peer::verdicts(ask.token(&self.secret("leader_token")).send());
        verdicts.remove(0)
    }

    /// The two uploads are one report: the same ID and the same input shares, sealed twice; counted once.
    fn check(&self) {
        let uploads = self.uploads();
        let [first, again] = &uploads[..] else { panic!("{} uploads", uploads.len()) };
        let ([first], [again]) = (&first[..], &again[..]) else { panic!("one report each") };
        assert_eq!(first.report_metadata, again.report_metadata);
        assert_eq!(first.public_share, again.public_share);
        assert_eq!(self.opened(first), self.opened(again));
        assert_ne!(first.leader_encrypted_input_share, again.leader_encrypted_input_share);
        assert_ne!(first.helper_encrypted_input_share, again.helper_encrypted_input_share);
        assert_eq!(self.aggregate(first), None);
        assert_eq!(self.aggregate(again), Some(ReportError::ReportReplayed));
    }
}

fn verify_key(seed: &[u8], task: &CompiledTask) -> VerifyKey {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = [0; 32];
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"verify_key").extract(seed);
    salt.expand(&[task.task_id.as_bytes()], Length).unwrap().fill(&mut key).unwrap();
    VerifyKey::new(key)
}

fn reports(upload: &Received) -> Vec<Report> {
    UploadRequest::from_bytes(&upload.body).unwrap().reports
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_report_that_a_leader_keeps_and_calls_outdated_is_counted_once() {
    let liar = Liar::start();
    // An engine, whose window was over half an hour ago by its clock.
    let open = now() - now() % 3600 - 1800;
    let options = Options::default();
    let (mut engine, _) =
        Engine::open(Arc::clone(&liar.program), MemoryStorage::default(), options, open).unwrap();
    engine.give_consent(open).unwrap();
    let rounds = Courier::new(Duration::from_secs(10)).unwrap().deliver(&mut engine).unwrap();
    assert!(rounds.unanswered.is_empty(), "{rounds:?}");
    assert_eq!(engine.history(now()).unwrap().waiting, 0);
    liar.check();
}

#[test]
fn an_uploader_sends_what_was_called_outdated_as_the_same_report() {
    let liar = Liar::start();
    let reporter = Reporter::new(liar.task()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http = HttpClient::new(Duration::from_secs(10)).unwrap();
        let uploader = Uploader::new(http, &liar.program, None, 3).unwrap();
        let time = now() - 3600;
        let keys = uploader.hpke_configs(now()).await.unwrap();
        let mut rng = DeviceRng::new().unwrap();
        let mut reports = vec![reporter.prepare(&Answer::none(), time, &keys, &mut rng).unwrap()];
        let uploaded = uploader.upload(&reporter, &mut reports, now()).await.unwrap();
        assert_eq!((uploaded.accepted, uploaded.refused.len(), reports.len()), (1, 0, 0));
    });
    liar.check();
}

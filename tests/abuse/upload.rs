//! Uploads (§4.4.2): anyone can send one, so nothing about them is to be trusted.

use super::{
    message::Message,
    raw,
    refusal::{refused, typed, untyped},
    stage::{Case, LONGEST, SMALL_BATCH, Stage, query},
};
use crate::support::{
    device::{Keys, Shares, extensions, request, spoiled},
    http::{Answer, Ask},
    task::{HISTOGRAM, Task, TaskSpec, now},
};
use sottovoce_dap::{
    codec::Decode,
    extension::{Extension, UncheckedExtensions},
    ids::ReportId,
    media_type::MediaType,
    task::{BatchMode, VdafConfig},
    time::{Interval, Time},
    upload::{
        Report,
        ReportError::{
            self, HpkeUnknownConfigId, InvalidMessage, ReportTooEarly, UnsupportedExtension,
        },
        UploadErrors,
    },
};

#[test]
fn nobody_harms_an_upload() {
    let tasks = vec![
        TaskSpec::default(),
        TaskSpec::default(),
        TaskSpec { task_interval: Some(task_interval()), ..TaskSpec::default() },
        TaskSpec::new(VdafConfig::Prio3Count, BatchMode::TimeInterval),
        TaskSpec::new(HISTOGRAM, BatchMode::LeaderSelected),
    ];
    Stage::new(tasks).attacks(ATTACKS).plots(PLOTS).end();
}

const ATTACKS: &[Case] = &[
    ("a report that is broken at any field", |stage| {
        let report = stage.report(stage.task(), stage.window());
        for (what, body) in Message::upload(&report).broken() {
            println!("{what}");
            refused(&stage.world.ask_upload(body).send(), "invalidMessage", stage.task());
        }
    }),
    ("a broken report after a good one", |stage| {
        let window = stage.window();
        let good = request(&[stage.report(stage.task(), window)]);
        for (what, body) in Message::upload(&stage.report(stage.task(), window)).broken() {
            println!("{what}");
            let body = [&good[..], &body].concat();
            refused(&stage.world.ask_upload(body).send(), "invalidMessage", stage.task());
        }
    }),
    ("noise instead of a message", |stage| {
        for byte in [0, 1, 0x7f, 0xff] {
            let body = vec![byte; 10_000];
            refused(&stage.world.ask_upload(body).send(), "invalidMessage", stage.task());
        }
    }),
    ("a task that nobody knows", |stage| {
        let stranger = stranger(stage.task());
        let body = request(&[stage.report(&stranger, stage.window())]);
        let url = stranger.at_leader("reports");
        let ask = Ask::post(&url, MediaType::UploadReq, body);
        refused(&ask.clone().send(), "unrecognizedTask", &stranger);
        // Whether or not the message could be read.
        refused(&ask.body(vec![0xff; 9]).send(), "unrecognizedTask", &stranger);
    }),
    ("a task ID that is none", |stage| {
        let task = stage.task();
        let body = request(&[stage.report(task, stage.window())]);
        for id in bad_ids(&task.id.to_string()) {
            let url = task.at_leader("reports").replace(&task.id.to_string(), &id);
            let ask = Ask::post(&url, MediaType::UploadReq, body.clone());
            typed(&ask.send(), "unrecognizedTask");
        }
    }),
    ("a media type of another message, version or kind, or none", |stage| {
        let body = request(&[stage.report(stage.task(), stage.window())]);
        for media_type in BAD_MEDIA_TYPES {
            println!("{media_type:?}");
            let ask = stage.world.ask_upload(body.clone()).media_type(media_type);
            refused(&ask.send(), "invalidMessage", stage.task());
        }
        let url = stage.task().at_leader("reports");
        let ask = Ask::new(reqwest::Method::POST, &url).body(body);
        refused(&ask.send(), "invalidMessage", stage.task());
    }),
    ("a body that is declared to be too long", |stage| {
        let body = vec![0; LONGEST + 1];
        let headers = format!("{UPLOAD}Content-Length: {}\r\n", body.len());
        untyped(&raw_upload(stage, &headers, &body), 413);
    }),
    ("a body that grows too long in chunks", |stage| {
        let chunk = [&b"10000\r\n"[..], &vec![0; 0x10000], b"\r\n"].concat();
        let body = [&chunk.repeat(LONGEST / 0x10000 + 1)[..], b"0\r\n\r\n"].concat();
        let headers = format!("{UPLOAD}Transfer-Encoding: chunked\r\n");
        untyped(&raw_upload(stage, &headers, &body), 413);
    }),
    ("a time far in the future", |stage| {
        for time in [now().0 + 7, u64::MAX - 1, u64::MAX] {
            let report = stage.report(stage.task(), Time(time));
            assert_eq!(stage.world.upload(&[report]), [ReportError::ReportTooEarly]);
        }
    }),
    ("a time before or after the task's interval", |stage| {
        let (task, interval) = (&stage.world.tasks[2], task_interval());
        for time in [0, interval.start().0 - 1, interval.end().0, interval.end().0 + 1] {
            let report = stage.report(task, Time(time));
            assert_eq!(stage.world.upload_to(task, &[report]), [ReportError::ReportDropped]);
        }
    }),
    ("a key that the leader never had", |stage| {
        let mut report = stage.report(stage.task(), stage.window());
        report.leader_encrypted_input_share.config_id.0 ^= 1;
        assert_eq!(stage.world.upload(&[report]), [ReportError::HpkeUnknownConfigId]);
    }),
    ("public extensions that nobody knows", |stage| {
        for types in [&[0][..], &[1], &[65535], &[3, 9, 700]] {
            let refused = stage.world.upload(&vec![extended(stage, types); 2]);
            assert_eq!(refused, [ReportError::UnsupportedExtension; 2]);
        }
    }),
    ("public extensions twice or out of order", |stage| {
        for types in [&[5, 5][..], &[5, 4], &[1, 2, 2], &[65535, 0]] {
            let refused = stage.world.upload(&[extended(stage, types)]);
            assert_eq!(refused, [ReportError::InvalidMessage]);
        }
    }),
    ("as many extensions as fit", |stage| {
        let types: Vec<u16> = (0..16_383).collect();
        let refused = stage.world.upload(&[extended(stage, &types)]);
        assert_eq!(refused, [ReportError::UnsupportedExtension]);
    }),
    ("one extension that is as long as fits", |stage| {
        let mut shares = stage.shares(stage.task(), stage.window());
        let extension_data = vec![7; 65_531].try_into().unwrap();
        let extension = Extension { extension_type: 12, extension_data };
        shares.metadata.public_extensions = UncheckedExtensions::new(vec![extension]).unwrap();
        let report = shares.seal(stage.task(), stage.world.keys());
        assert_eq!(stage.world.upload(&[report]), [ReportError::UnsupportedExtension]);
    }),
    ("shares of other lengths than the task's VDAF makes", |stage| {
        let report = stage.report(stage.task(), stage.window());
        let long = |length| vec![7; length].try_into().unwrap();
        for length in [8_000, 65_000, 900_000] {
            let mut reports = vec![report.clone(); 3];
            reports[0].public_share = vec![7; length].try_into().unwrap();
            reports[1].leader_encrypted_input_share.payload = long(length);
            reports[2].helper_encrypted_input_share.payload = long(length);
            for report in reports {
                assert_eq!(stage.world.upload(&[report]), [ReportError::InvalidMessage]);
            }
        }
        for length in [134, 65_535] {
            let mut reports = vec![report.clone(); 2];
            reports[0].leader_encrypted_input_share.enc = vec![7; length].try_into().unwrap();
            reports[1].helper_encrypted_input_share.enc = vec![7; length].try_into().unwrap();
            assert_eq!(stage.world.upload(&reports), [ReportError::InvalidMessage; 2]);
        }
        // One byte more or less is none either.
        let bytes = |length| vec![7; length].try_into().unwrap();
        let public = report.public_share.as_bytes().len();
        let [leader, helper] =
            [&report.leader_encrypted_input_share, &report.helper_encrypted_input_share]
                .map(|sealed| sealed.payload.as_bytes().len());
        let mut reports = vec![report.clone(); 6];
        reports[0].public_share = vec![7; public + 1].try_into().unwrap();
        reports[1].public_share = vec![7; public - 1].try_into().unwrap();
        reports[2].leader_encrypted_input_share.payload = bytes(leader - 1);
        reports[3].helper_encrypted_input_share.payload = bytes(helper - 1);
        reports[4].leader_encrypted_input_share.enc = vec![7; 31].try_into().unwrap();
        reports[5].leader_encrypted_input_share.enc = vec![7; 33].try_into().unwrap();
        assert_eq!(stage.world.upload(&reports), [ReportError::InvalidMessage; 6]);
    }),
    ("a thousand times the same bad report", |stage| {
        let mut report = stage.report(stage.task(), stage.window());
        report.leader_encrypted_input_share.config_id.0 ^= 1;
        let refused = stage.world.upload(&vec![report; 1000]);
        assert_eq!(refused, [ReportError::HpkeUnknownConfigId; 1000]);
    }),
    ("bad reports of every kind in one upload, in their order", |stage| {
        let task = stage.task();
        let mut outdated = stage.report(task, stage.window());
        outdated.leader_encrypted_input_share.config_id.0 ^= 1;
        let early = stage.report(task, Time(u64::MAX));
        let reports = [early.clone(), outdated.clone(), extended(stage, &[7]), early];
        let answer = stage.world.ask_upload(request(&reports)).send();
        let media_type = MediaType::UploadErrors.to_string();
        assert_eq!(answer.header("content-type"), Some(&*media_type));
        let errors = UploadErrors::from_bytes(&answer.ok()).unwrap();
        let (ids, errors): (Vec<_>, Vec<_>) =
            errors.status.iter().map(|status| (status.id, status.error)).unzip();
        assert_eq!(ids, reports.map(|report| report.report_metadata.report_id));
        let expected = [ReportTooEarly, HpkeUnknownConfigId, UnsupportedExtension, ReportTooEarly];
        assert_eq!(errors, expected);
    }),
    ("an upload that breaks off", |stage| {
        let body = request(&[stage.report(stage.task(), stage.window())]);
        for sent in [0, 1, body.len() / 2, body.len() - 1] {
            let headers = format!("{UPLOAD}Content-Length: {}\r\n", body.len());
            let start = format!("POST /tasks/{}/reports", stage.task().id);
            let bytes = raw::request(&start, &headers, &body[..sent]);
            let mut stream = raw::connect(stage.world.leader.port);
            std::io::Write::write_all(&mut stream, &bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            for answer in raw::answers(&raw::read_all(&mut stream)) {
                typed(&answer, "invalidMessage");
            }
        }
    }),
];

/// A report with nothing in it, as long as it must be.
fn rubbish(stage: &Stage) -> Report {
    let mut report = stage.report(stage.task(), stage.world.window);
    report.public_share = vec![1; report.public_share.as_bytes().len()].try_into().unwrap();
    for sealed in
        [&mut report.leader_encrypted_input_share, &mut report.helper_encrypted_input_share]
    {
        sealed.payload = vec![1; sealed.payload.as_bytes().len()].try_into().unwrap();
    }
    report
}

/// Uploads reports, of which those are refused that are not as long as one that is whole.
fn upload_all_but_short(stage: &Stage, reports: &[Report]) {
    let lengths = |report: &Report| {
        let sealed = [&report.leader_encrypted_input_share, &report.helper_encrypted_input_share];
        let [leader, helper] = sealed.map(|sealed| sealed.payload.as_bytes().len());
        let enc = report.leader_encrypted_input_share.enc.as_bytes().len();
        (report.public_share.as_bytes().len(), enc, leader, helper)
    };
    let (public, enc, leader, helper) = lengths(&rubbish(stage));
    let is_short = |report: &&Report| {
        let its = lengths(report);
        its.0 != public || its.1 != enc || its.2 < leader || its.3 < helper
    };
    let short = reports.iter().filter(is_short).count();
    assert_eq!(stage.world.upload(reports), vec![ReportError::InvalidMessage; short]);
}

const PLOTS: &[Case] = &[
    ("the same upload again and again", |stage| {
        let window = stage.window();
        let reports = stage.small_batch(window);
        stage.unharmed(|| {
            for _ in 0..3 {
                assert_eq!(stage.world.upload(&reports), [ReportError::ReportReplayed; 5]);
            }
        });
        stage.expect(window, &SMALL_BATCH);
    }),
    ("the same ID with other shares, or at another time", |stage| {
        let (window, other) = (stage.window(), stage.window());
        let reports = stage.small_batch(window);
        let report_id = reports[0].report_metadata.report_id;
        stage.unharmed(|| {
            for time in [window, other] {
                let mut shares = stage.shares(stage.task(), time);
                shares.metadata.report_id = report_id;
                let report = shares.seal(stage.task(), stage.world.keys());
                assert_eq!(stage.world.upload(&[report]), [ReportError::ReportReplayed]);
            }
        });
        stage.expect(window, &SMALL_BATCH);
    }),
    ("the same report many times in one upload", |stage| {
        let window = stage.window();
        stage.batch(window, &SMALL_BATCH[..4]);
        let shares = Shares::new(stage.task(), &SMALL_BATCH[4], window);
        let report = shares.seal(stage.task(), stage.world.keys());
        let refused = stage.world.upload(&vec![report; 100]);
        assert_eq!(refused, [ReportError::ReportReplayed; 99]);
        stage.world.wait_until_aggregated();
        stage.expect(window, &SMALL_BATCH);
    }),
    ("the same report in many uploads at once", |stage| {
        let window = stage.window();
        stage.batch(window, &SMALL_BATCH[..4]);
        let shares = Shares::new(stage.task(), &SMALL_BATCH[4], window);
        let report = [shares.seal(stage.task(), stage.world.keys())];
        let refused: usize = std::thread::scope(|scope| {
            let upload = || stage.world.upload(&report).len();
            let uploads: Vec<_> = (0..20).map(|_| scope.spawn(upload)).collect();
            uploads.into_iter().map(|upload| upload.join().unwrap()).sum()
        });
        assert_eq!(refused, 19);
        stage.world.wait_until_aggregated();
        stage.expect(window, &SMALL_BATCH);
    }),
    ("reports for a batch that was collected", |stage| {
        let window = stage.window();
        stage.small_batch(window);
        stage.expect(window, &SMALL_BATCH);
        stage.unharmed(|| {
            let late = vec![stage.report(stage.task(), window); 3];
            assert_eq!(stage.world.upload(&late), [ReportError::BatchCollected; 3]);
        });
        stage.expect(window, &SMALL_BATCH);
    }),
    ("a report that is refused once may come again as it should be", |stage| {
        let window = stage.window();
        stage.batch(window, &SMALL_BATCH[..4]);
        let shares = Shares::new(stage.task(), &SMALL_BATCH[4], window);
        let good = shares.seal(stage.task(), stage.world.keys());
        let mut bad = good.clone();
        bad.leader_encrypted_input_share.config_id.0 ^= 1;
        assert_eq!(stage.world.upload(&[bad]), [ReportError::HpkeUnknownConfigId]);
        assert_eq!(stage.world.upload(&[good]), []);
        stage.world.wait_until_aggregated();
        stage.expect(window, &SMALL_BATCH);
    }),
    (
        "good reports beside extensions that nobody knows, and beside shares that are too long",
        |stage| {
            let window = stage.window();
            let good = SMALL_BATCH.iter().map(|m| Shares::new(stage.task(), m, window));
            let mut reports: Vec<_> =
                good.map(|shares| shares.seal(stage.task(), stage.world.keys())).collect();
            reports.insert(0, extended(stage, &[7]));
            reports.insert(3, extended(stage, &[7, 9]));
            let mut long = stage.report(stage.task(), window);
            long.helper_encrypted_input_share.payload = vec![7; 9_000].try_into().unwrap();
            reports.push(long);
            let refused = [UnsupportedExtension, UnsupportedExtension, InvalidMessage];
            assert_eq!(stage.world.upload(&reports), refused);
            stage.world.wait_until_aggregated();
            stage.expect(window, &SMALL_BATCH);
        },
    ),
    ("thousands of reports of as many distant times", |stage| {
        let rubbish = rubbish(stage);
        let latest = stage.world.window.0 - 1;
        let report = |number: u64| {
            let mut report = rubbish.clone();
            report.report_metadata.report_id = ReportId::random().unwrap();
            report.report_metadata.time = Time(latest - 3 * number);
            report
        };
        let reports: Vec<_> = (0..2000).map(report).collect();
        stage.nothing_aggregated(|| {
            for some in reports.chunks(500) {
                assert_eq!(stage.world.upload(some), []);
            }
        });
        let window = stage.window();
        stage.small_batch(window);
        stage.expect(window, &SMALL_BATCH);
    }),
    ("every forgery that shows only once a share is opened", |stage| {
        // One of them goes to the window before.
        let (_, window) = (stage.window(), stage.window());
        stage.nothing_aggregated(|| {
            for (what, forge) in FORGERIES {
                println!("{what}");
                let shares = stage.shares(stage.task(), window);
                let report = forge(stage.task(), stage.world.keys(), shares);
                upload_all_but_short(stage, &[report]);
            }
        });
        // Alone they were nothing; among honest reports they are nothing either.
        let honest = SMALL_BATCH.iter().map(|m| Shares::new(stage.task(), m, window));
        let honest = honest.map(|shares| shares.seal(stage.task(), stage.world.keys()));
        let forged = FORGERIES.iter().map(|(_, forge)| {
            forge(stage.task(), stage.world.keys(), stage.shares(stage.task(), window))
        });
        upload_all_but_short(stage, &forged.chain(honest).collect::<Vec<_>>());
        stage.world.wait_until_aggregated();
        stage.expect(window, &SMALL_BATCH);
    }),
    ("thousands of reports that are rubbish", |stage| {
        let rubbish = rubbish(stage);
        let report = |_| {
            let mut report = rubbish.clone();
            report.report_metadata.report_id = ReportId::random().unwrap();
            report
        };
        let reports: Vec<_> = (0..2000).map(report).collect();
        let logged = stage.world.leader.log().len();
        stage.nothing_aggregated(|| {
            for some in reports.chunks(500) {
                assert_eq!(stage.world.upload(some), []);
            }
        });
        let logged = stage.world.leader.log().len() - logged;
        assert!(logged < 20_000, "{logged} bytes of log for what cost nothing to send");
    }),
    ("reports that were made for another task", |stage| {
        let window = stage.window();
        let honest = stage.report(stage.task(), window);
        stage.nothing_aggregated(|| {
            for number in [1, 3, 4] {
                let task = &stage.world.tasks[number];
                let theirs = stage.report(task, window);
                // A task without joint randomness has an empty public share, which shows from outside.
                let seen = [ReportError::InvalidMessage];
                let expected = if number == 3 { &seen[..] } else { &[] };
                assert_eq!(stage.world.upload(&[theirs]), expected, "of task {number}");
                assert_eq!(stage.world.upload_to(task, std::slice::from_ref(&honest)), expected);
            }
        });
        // A replay is one within its task only.
        stage.batch(window, &SMALL_BATCH[..4]);
        let last = Shares::new(stage.task(), &SMALL_BATCH[4], window);
        assert_eq!(stage.world.upload(&[last.seal(stage.task(), stage.world.keys())]), []);
        stage.world.wait_until_aggregated();
        stage.expect(window, &SMALL_BATCH);
    }),
    ("forgeries only are no batch", |stage| {
        let (_, window) = (stage.window(), stage.window());
        let forged = FORGERIES.iter().map(|(_, forge)| {
            forge(stage.task(), stage.world.keys(), stage.shares(stage.task(), window))
        });
        upload_all_but_short(stage, &forged.collect::<Vec<_>>());
        stage.world.wait_until_aggregated();
        let refusal = stage.world.collect_of(stage.task(), query(window, 1)).unwrap_err();
        refused(&refusal, "invalidBatchSize", stage.task());
    }),
];

type Forge = fn(&Task, &Keys, Shares) -> Report;

/// Forgeries that an honest aggregator cannot see before it opens its share, or even later.
const FORGERIES: &[(&str, Forge)] = &[
    ("the leader's ciphertext is changed", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.leader_encrypted_input_share = spoiled(&report.leader_encrypted_input_share);
        report
    }),
    ("the helper's ciphertext is changed", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.helper_encrypted_input_share = spoiled(&report.helper_encrypted_input_share);
        report
    }),
    ("the leader's encapsulated key is no point", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.leader_encrypted_input_share.enc = vec![0xff; 32].try_into().unwrap();
        report
    }),
    ("the helper's encapsulated key is the neutral element", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.helper_encrypted_input_share.enc = vec![0; 32].try_into().unwrap();
        report
    }),
    ("the leader's encapsulated key is cut short", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.leader_encrypted_input_share.enc = vec![9; 31].try_into().unwrap();
        report
    }),
    ("the helper's ciphertext is one byte", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.helper_encrypted_input_share.payload = vec![9].try_into().unwrap();
        report
    }),
    ("the helper's share is sealed to a key it never had", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.helper_encrypted_input_share.config_id.0 ^= 1;
        report
    }),
    ("the ciphertexts are swapped", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        let ours = report.leader_encrypted_input_share.config_id;
        let theirs = report.helper_encrypted_input_share.config_id;
        std::mem::swap(
            &mut report.leader_encrypted_input_share,
            &mut report.helper_encrypted_input_share,
        );
        report.leader_encrypted_input_share.config_id = ours;
        report.helper_encrypted_input_share.config_id = theirs;
        report
    }),
    ("the shares are swapped before they are sealed", |task, keys, mut shares| {
        std::mem::swap(&mut shares.leader, &mut shares.helper);
        shares.seal(task, keys)
    }),
    ("the leader's share lies", |task, keys, mut shares| {
        shares.leader[0] ^= 1;
        shares.seal(task, keys)
    }),
    ("the helper's share lies", |task, keys, mut shares| {
        shares.helper[0] ^= 1;
        shares.seal(task, keys)
    }),
    ("the leader's share is no field elements", |task, keys, mut shares| {
        shares.leader.fill(0xff);
        shares.seal(task, keys)
    }),
    ("the leader's share is cut short", |task, keys, mut shares| {
        shares.leader.pop();
        shares.seal(task, keys)
    }),
    ("the helper's share is too long", |task, keys, mut shares| {
        shares.helper.push(0);
        shares.seal(task, keys)
    }),
    ("the public share is changed on the way", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.public_share = vec![3; report.public_share.as_bytes().len()].try_into().unwrap();
        report
    }),
    ("the public share is sealed in, but lies", |task, keys, mut shares| {
        shares.public_share[0] ^= 1;
        shares.seal(task, keys)
    }),
    ("the public share is sealed in, but is none", |task, keys, mut shares| {
        shares.public_share.clear();
        shares.seal(task, keys)
    }),
    ("the ID is changed on the way", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.report_metadata.report_id = ReportId::random().unwrap();
        report
    }),
    ("the time is changed on the way", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.report_metadata.time.0 -= 1;
        report
    }),
    ("the shares were made for another ID", |task, keys, mut shares| {
        shares.metadata.report_id = ReportId::random().unwrap();
        shares.seal(task, keys)
    }),
    ("the leader finds an extension in its share", |task, keys, mut shares| {
        shares.leader_extensions = extensions(&[0x7777]);
        shares.seal(task, keys)
    }),
    ("the helper finds an extension in its share", |task, keys, mut shares| {
        shares.helper_extensions = extensions(&[0x7777]);
        shares.seal(task, keys)
    }),
    ("the leader finds the same extension twice in its share", |task, keys, mut shares| {
        shares.leader_extensions = extensions(&[7, 7]);
        shares.seal(task, keys)
    }),
    ("the helper finds extensions out of order in its share", |task, keys, mut shares| {
        shares.helper_extensions = extensions(&[8, 7]);
        shares.seal(task, keys)
    }),
];

const BAD_MEDIA_TYPES: &[&str] = &[
    "",
    "application/json",
    "application/dap-upload-req",
    "application/ppm-dap",
    "application/ppm-dap;",
    "application/ppm-dap;message",
    "application/ppm-dap;message=",
    "application/ppm-dap;message=aggregation-job-init-req",
    "application/ppm-dap;message=upload-errors",
    "application/ppm-dap;message=upload-req;message=upload-req",
    "application/ppm-dap;message=upload-req;version=09",
    "application/ppm-dap message=upload-req",
    "text/plain, application/ppm-dap;message=upload-req",
];

const UPLOAD: &str = "Content-Type: application/ppm-dap;message=upload-req\r\n";

fn raw_upload(stage: &Stage, headers: &str, body: &[u8]) -> Answer {
    let start = format!("POST /tasks/{}/reports", stage.task().id);
    raw::ask(stage.world.leader.port, &raw::request(&start, headers, body))
}

/// A task that no server was told of.
pub(crate) fn stranger(task: &Task) -> Task {
    let configuration = &task.configuration;
    let leader = configuration.leader_aggregator_endpoint.as_str();
    Task::new(&TaskSpec::default(), leader, configuration.helper_aggregator_endpoint.as_str())
}

/// Texts for a URL that look like an ID, but are none.
pub(crate) fn bad_ids(id: &str) -> Vec<String> {
    let standard_alphabet = format!("%2B{}", &id[1..]);
    // The last character of 32 or 16 bytes has bits that must be zero.
    let loose_bits = format!("{}B", &id[..id.len() - 1]);
    let mut bad: Vec<_> =
        ["A", "null", "0", "%00", "%20", "..%2F..", "%F0%9F%92%A9", "*"].map(str::to_owned).into();
    bad.extend([
        id[1..].to_owned(),
        format!("{id}A"),
        format!("{id}%3D"),
        format!("{id}%20"),
        format!("%20{id}"),
        format!("{id}%00"),
        format!("{id}%2Freports"),
        "A".repeat(5000),
        standard_alphabet,
        loose_bits,
    ]);
    bad
}

fn task_interval() -> Interval {
    Interval::new(Time(now().0 / 1000 * 1000 - 3000), 2000).unwrap()
}

fn extended(stage: &Stage, types: &[u16]) -> Report {
    let mut shares = stage.shares(stage.task(), stage.window());
    shares.metadata.public_extensions = extensions(types);
    shares.seal(stage.task(), stage.world.keys())
}

//! What wears servers out: senders that take their time, each of whom costs a connection, and
//! reports that cost others their aggregation.

use super::{
    raw::{connect, connect_from, read_all},
    stage::{LONGEST, SMALL_BATCH, Stage},
};
use crate::support::{
    device::request,
    http::Ask,
    peer::{job, verify_init},
    task::TaskSpec,
};
use sottovoce_dap::{
    codec::{Decode, Encode},
    ids::ReportId,
    media_type::MediaType,
    upload::{ReportError, UploadErrors},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// No honest request takes this long.
const TOO_LONG: Duration = Duration::from_secs(25);

#[test]
fn headers_that_never_end_are_cut_off() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    for server in [&stage.world.leader, &stage.world.helper] {
        expect_end(server.port, b"POST /healthz HTTP/1.1\r\nHost: x\r\n", b"x: y\r\n");
    }
    stage.end();
}

#[test]
fn a_body_that_drips_is_cut_off() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let head = format!(
        "POST /tasks/{}/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\
         Content-Type: application/ppm-dap;message=upload-req\r\n\r\n",
        stage.task().id
    );
    expect_end(stage.world.leader.port, head.as_bytes(), b"x");
    stage.end();
}

#[test]
fn a_connection_that_says_nothing_is_cut_off() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    for server in [&stage.world.leader, &stage.world.helper] {
        let mut stream = connect(server.port);
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        read_all(&mut stream);
    }
    stage.end();
}

#[test]
fn one_address_that_asks_and_never_reads_shuts_nobody_out() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let asked = b"GET /hpke_config HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    for server in [&stage.world.leader, &stage.world.helper] {
        let flood = |_| {
            let mut stream = connect(server.port);
            stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            // Until the server takes no more, or hangs up.
            let _ = stream.write_all(&asked);
            stream
        };
        let open: Vec<_> = (0..300).map(flood).collect();
        let mut other = connect_from("127.0.0.2", server.port);
        other.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let said = String::from_utf8_lossy(&read_all(&mut other)).into_owned();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        drop(open);
    }
    stage.end();
}

#[test]
fn bodies_that_stop_before_their_end_do_not_pile_up() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let head = format!(
        "POST /tasks/{}/reports HTTP/1.1\r\nHost: x\r\nContent-Length: {LONGEST}\r\n\
         Content-Type: application/ppm-dap;message=upload-req\r\n\r\n",
        stage.task().id
    );
    let body = vec![0; LONGEST - 1];
    // Each within its own limit; a hundred are far beyond what a server should keep for strangers.
    let stopped = |_| {
        let mut stream = connect(stage.world.leader.port);
        stream.write_all(head.as_bytes()).unwrap();
        // A server that has had enough hangs up.
        let _ = stream.write_all(&body);
        stream
    };
    let open: Vec<_> = (0..100).map(stopped).collect();
    for mut stream in open {
        // Refused at once for want of room, or when its time is over.
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        let said = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
        let status = said.split(' ').nth(1).unwrap_or("503");
        assert!(["408", "503"].contains(&status), "{said}");
    }
    stage.end();
}

#[test]
fn one_address_whose_bodies_stop_shuts_nobody_out() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let task = stage.task();
    let head = |length: usize| {
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/ppm-dap;message=upload-req\r\n\r\n",
            path(&task.at_leader("reports"))
        )
    };
    let stopped = |_| {
        let mut stream = connect_from("127.0.0.1", stage.world.leader.port);
        stream.write_all(head(LONGEST).as_bytes()).unwrap();
        // A server that has had enough hangs up.
        let _ = stream.write_all(&vec![0; LONGEST - 1]);
        stream
    };
    // More than all the room that there is.
    let open: Vec<_> = (0..12).map(stopped).collect();
    let reports: Vec<_> = (0..10).map(|_| stage.report(task, stage.world.window)).collect();
    let body = request(&reports);
    let mut honest = connect_from("127.0.0.2", stage.world.leader.port);
    honest.write_all(&[head(body.len()).as_bytes(), &body].concat()).unwrap();
    let said = String::from_utf8_lossy(&read_all(&mut honest)).into_owned();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    drop(open);
    stage.end();
}

#[test]
fn reports_that_are_too_long_for_the_helper_stop_no_others() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let window = stage.window();
    // The helper's share is none: the leader, which cannot open it, sees that it is too long.
    for _ in 0..2 {
        let mut report = stage.report(stage.task(), window);
        let payload = vec![7; 700_000];
        report.helper_encrypted_input_share.payload = payload.try_into().unwrap();
        let url = stage.task().at_leader("reports");
        let answer = Ask::post(&url, MediaType::UploadReq, request(&[report])).send().ok();
        let errors = UploadErrors::from_bytes(&answer).unwrap().status;
        let errors: Vec<_> = errors.into_iter().map(|status| status.error).collect();
        assert_eq!(errors, [ReportError::InvalidMessage]);
    }
    stage.small_batch(window);
    stage.expect(window, &SMALL_BATCH);
    stage.end();
}

#[test]
fn work_for_those_who_hang_up_does_not_pile_up() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let task = stage.task();
    let report = stage.report(task, stage.window());
    let init = verify_init(task, &stage.shares(task, stage.window()), &report);
    let distinct = |_| {
        let mut init = init.clone();
        init.report_share.report_metadata.report_id = ReportId::random().unwrap();
        init
    };
    let fits = LONGEST * 9 / 10 / init.to_bytes().len();
    let token = format!("Authorization: Bearer {}\r\n", task.leader_token);
    let (jobs, uploads) =
        (path(&task.at_helper("aggregation_jobs")), path(&task.at_leader("reports")));
    let (leader, helper) = (stage.world.leader.port, stage.world.helper.port);
    for _ in 0..60 {
        // No two alike: the answer to one that was seen before costs nothing.
        let body = job((0..fits).map(distinct).collect()).to_bytes();
        let kind = "aggregation-job-init-req";
        hang_up(helper, &jobs, kind, &token, &body);
        let body = vec![report.clone(); LONGEST * 9 / 10 / report.to_bytes().len()];
        hang_up(leader, &uploads, "upload-req", "", &request(&body));
    }
    // Both go on, and neither has taken the memory of sixty.
    stage.end();
}

/// What follows the host in a URL.
fn path(url: &str) -> String {
    let url = reqwest::Url::parse(url).unwrap();
    url.path().to_owned()
}

/// Sends a whole request and does not wait for what is said.
fn hang_up(port: u16, path: &str, kind: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{headers}\
         Content-Type: application/ppm-dap;message={kind}\r\n\r\n",
        body.len()
    );
    let mut stream = connect(port);
    stream.write_all(head.as_bytes()).unwrap();
    // A server that has too much to do says so before it has read all.
    let _ = stream.write_all(body);
}

/// Sends a beginning, then a drop each second, until the server ends it.
fn expect_end(port: u16, beginning: &[u8], drop: &[u8]) {
    let mut stream: TcpStream = connect(port);
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(beginning).unwrap();
    let started = Instant::now();
    let mut some = [0; 1000];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            // Something said, or nothing for a second.
            Ok(_) | Err(_) => {}
        }
        if stream.write_all(drop).is_err() {
            return;
        }
        assert!(started.elapsed() < TOO_LONG, "still listening after {TOO_LONG:?}");
    }
}

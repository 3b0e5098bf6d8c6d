//! HTTP itself (§3): who may ask, by which method, where; and bytes that are hardly HTTP.

use super::{
    raw::{ask, connect, converse, read_all, request},
    refusal::{refused, typed, unauthorized, untyped},
    stage::{Case, LONGEST, Stage},
};
use crate::support::{
    http::Ask,
    task::{Task, TaskSpec},
};
use reqwest::Method;
use sottovoce_dap::media_type::MediaType;
use std::io::Write;

#[test]
fn nobody_harms_a_server_by_http() {
    Stage::new(vec![TaskSpec::default(), TaskSpec::default()]).attacks(ATTACKS).end();
}

const ATTACKS: &[Case] = &[
    ("no token, or one that is not right", |stage| {
        let (task, other) = (stage.task(), &stage.world.tasks[1]);
        for Resource { method, url, message, token, .. } in resources(task) {
            let (Some(right), Some(across)) = token else { continue };
            println!("{method} {url}");
            let ask = message.map_or_else(
                || Ask::new(method, &url),
                |message| Ask::post(&url, message, vec![0xff; 9]),
            );
            unauthorized(&ask.clone().send());
            let changed = format!("{}x", &right[..right.len() - 1]);
            let spoilt = [&right[1..], &format!("{right}="), &changed, &format!("{right},{right}")];
            let wrong = ["", "x", &"A".repeat(43), &"A".repeat(5000), across];
            let others = [&*other.leader_token, &other.collector_token];
            for wrong in spoilt.into_iter().chain(wrong).chain(others) {
                unauthorized(&ask.clone().token(wrong).send());
            }
        }
    }),
    ("a right token in a wrong way", |stage| {
        let token = &stage.task().collector_token;
        let start = format!("GET /tasks/{}/collection_jobs/{ID}", stage.task().id);
        for line in [
            format!("Authorization: {token}"),
            format!("Authorization: Basic {token}"),
            format!("Authorization: Bearer{token}"),
            format!("Authorization: Bearer Bearer {token}"),
            format!("Authorization: Bearer \"{token}\""),
            format!("Authorization: Bearer x\r\nAuthorization: Bearer {token}"),
            format!("Authorization: Bearer \u{ff}{token}"),
            format!("Proxy-Authorization: Bearer {token}"),
            format!("DAP-Auth-Token: {token}"),
            format!("Cookie: token={token}"),
        ] {
            let bytes = request(&start, &format!("{line}\r\n"), b"");
            unauthorized(&ask(stage.world.leader.port, &bytes));
        }
        let bytes = request(&format!("{start}?token={token}"), "", b"");
        unauthorized(&ask(stage.world.leader.port, &bytes));
    }),
    ("methods that a resource does not have", |stage| {
        for Resource { url, allowed, .. } in resources(stage.task()) {
            for method in METHODS {
                if !allowed.contains(method) {
                    let method: Method = method.parse().unwrap();
                    let answer = Ask::new(method.clone(), &url).send();
                    if method == Method::HEAD {
                        assert_eq!(answer.status, 405);
                    } else {
                        untyped(&answer, 405);
                    }
                    let mut listed: Vec<_> = answer.header("allow").unwrap().split(',').collect();
                    listed.sort_unstable();
                    assert_eq!(listed, allowed);
                }
            }
        }
    }),
    ("paths that lead nowhere", |stage| {
        let task = stage.task();
        let leader = format!("http://127.0.0.1:{}", stage.world.leader.port);
        let helper = format!("http://127.0.0.1:{}", stage.world.helper.port);
        let mut urls = vec![
            format!("{helper}/hpke_config"),
            format!("{helper}/tasks/{}/aggregation_jobs", task.id),
            format!("{helper}/dap/v19"),
            format!("{helper}/dap/v19/healthz"),
            format!("{helper}/dap/v19/tasks/{}/reports", task.id),
            format!("{helper}/dap/v19/tasks/{}/collection_jobs", task.id),
            format!("{leader}/tasks/{}/aggregation_jobs", task.id),
            format!("{leader}/tasks/{}/aggregate_shares", task.id),
        ];
        for path in [
            "",
            "/",
            "//",
            "/tasks",
            "/tasks/",
            "/HPKE_CONFIG",
            "/hpke_config/",
            "/hpke%5Fconfig/x",
            "//hpke_config",
            "/./.%00/",
            "/favicon.ico",
            "/metrics",
            "/%2e%2e/leader.key",
            "/..%2fleader.db",
            "/tasks/x",
            "/tasks/x/y",
            "/tasks/x/reports/y",
            "/{task_id}",
        ] {
            urls.push(format!("{leader}{path}"));
        }
        urls.push(format!("{leader}/{}", "a/".repeat(20_000)));
        urls.push(format!("{}/", task.at_leader("reports")));
        for url in urls {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                untyped(&Ask::new(method, &url).send(), 404);
            }
        }
    }),
    ("paths that are no text", |stage| {
        let (leader, helper) = (stage.world.leader.port, stage.world.helper.port);
        let id = stage.task().id;
        for (port, start) in [
            (leader, "POST /tasks/%FF%FE/reports".to_owned()),
            (leader, "POST /tasks/%C3%28/collection_jobs".to_owned()),
            (leader, format!("GET /tasks/{id}/collection_jobs/%ff")),
            (leader, "GET /%ff".to_owned()),
            (helper, "POST /dap/v19/tasks/%80/aggregation_jobs".to_owned()),
            (helper, format!("DELETE /dap/v19/tasks/{id}/aggregate_shares/%ED%A0%80")),
        ] {
            untyped(&ask(port, &request(&start, "", b"")), 404);
        }
        // Not even encoded.
        for path in [&b"/tasks/\xff\xfe/reports"[..], b"/\x80", "/tasks/\u{e9}/reports".as_bytes()]
        {
            let bytes =
                [b"POST ", path, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat();
            let answer = ask(leader, &bytes);
            assert!([400, 404].contains(&answer.status), "{answer:?}");
        }
    }),
    ("an ID with its letters encoded is the same ID", |stage| {
        let id = stage.task().id.to_string();
        let encoded = id.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let url = stage.task().at_leader("reports").replace(&id, &encoded);
        Ask::post(&url, MediaType::UploadReq, Vec::new()).send().ok();
        let twice = url.replace('%', "%25");
        typed(&Ask::post(&twice, MediaType::UploadReq, Vec::new()).send(), "unrecognizedTask");
    }),
    ("a request inside a request", |stage| {
        let inner = "GET /hpke_config HTTP/1.1\r\nHost: x\r\n\r\n";
        let chunked = "Transfer-Encoding: chunked\r\n";
        let long = format!("Content-Length: {}\r\n", inner.len() + 5);
        let body = format!("0\r\n\r\n{inner}");
        for headers in [
            format!("{UPLOAD}{chunked}{long}"),
            format!("{UPLOAD}{long}{chunked}"),
            format!("{UPLOAD}Content-Length: 0\r\n{chunked}"),
        ] {
            // Not `Connection: close`: the server itself must see the danger (RFC 9112 §6.1).
            let head = format!("POST /tasks/{}/reports HTTP/1.1\r\nHost: x\r\n", stage.task().id);
            let bytes = format!("{head}{headers}\r\n{body}");
            let answer = ask(stage.world.leader.port, bytes.as_bytes());
            assert!([200, 400].contains(&answer.status), "{answer:?}");
            assert_ne!(
                answer.header("content-type"),
                Some("application/ppm-dap;message=hpke-config-list")
            );
        }
    }),
    ("lengths that contradict themselves or are none", |stage| {
        let start = format!("POST /tasks/{}/reports", stage.task().id);
        for headers in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: five\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 99999999999999999999999999\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \r\n",
        ] {
            let bytes = request(&start, &format!("{UPLOAD}{headers}"), b"12345");
            assert_eq!(ask(stage.world.leader.port, &bytes).status, 400, "{headers}");
        }
        let old =
            format!("{start} HTTP/1.0\r\n{UPLOAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_eq!(ask(stage.world.leader.port, old.as_bytes()).status, 400);
    }),
    ("chunks that are none", |stage| {
        let start = format!("POST /tasks/{}/reports", stage.task().id);
        for body in [
            "5\r\n1234567\r\n0\r\n\r\n",
            "-1\r\n",
            "x\r\n",
            "\r\n",
            "1 0\r\n",
            "fffffffffffffffff\r\nx",
            "00000000000000000000000000000000001\r\nx\r\n0\r\n\r\n",
            &format!("0;{}\r\n\r\n", "x".repeat(100_000)),
            &format!("0\r\n{}\r\n", "x: y\r\n".repeat(20_000)),
        ] {
            println!("{:?}", &body[..body.len().min(50)]);
            let headers = format!("{UPLOAD}Transfer-Encoding: chunked\r\n");
            let bytes = request(&start, &headers, body.as_bytes());
            typed(&ask(stage.world.leader.port, &bytes), "invalidMessage");
        }
    }),
    ("a chunk that says it has 18 exabytes", |stage| {
        let start = format!("POST /tasks/{}/reports", stage.task().id);
        let headers = format!("{UPLOAD}Transfer-Encoding: chunked\r\n");
        let body = [b"FFFFFFFFFFFFFFFE\r\n", &vec![0; LONGEST + 1][..]].concat();
        untyped(&ask(stage.world.leader.port, &request(&start, &headers, &body)), 413);
    }),
    ("a body that says it has 18 exabytes", |stage| {
        let start = format!("POST /tasks/{}/reports", stage.task().id);
        for length in [u64::MAX - 2, 1 << 40, 1 << 32] {
            let headers = format!("{UPLOAD}Content-Length: {length}\r\n");
            let bytes = request(&start, &headers, &vec![0; LONGEST + 1]);
            untyped(&ask(stage.world.leader.port, &bytes), 413);
        }
    }),
    ("headers that are too many, too long or none", |stage| {
        let many = "x: y\r\n".repeat(10_000);
        let long = format!("x: {}\r\n", "y".repeat(10_000_000));
        let name = format!("{}: y\r\n", "x".repeat(100_000));
        for (headers, expected) in [(&*many, 431), (&long, 431), (&name, 431)] {
            let answers = converse(stage.world.leader.port, &request("GET /healthz", headers, b""));
            assert!(answers.iter().all(|answer| answer.status == expected), "{answers:?}");
        }
        for headers in [
            "no colon\r\n",
            ": no name\r\n",
            "x y: z\r\n",
            "x : y\r\n",
            "x: a\0b\r\n",
            "x: a\rb\r\n",
            " x: y\r\n",
            "x: a\r\n folded\r\n",
            "\u{fc}: y\r\n",
        ] {
            let answer = ask(stage.world.leader.port, &request("GET /healthz", headers, b""));
            assert_eq!(answer.status, 400, "{headers:?}");
        }
    }),
    ("a query of ten megabytes, and a path", |stage| {
        let long = "x".repeat(10 << 20);
        for start in [format!("GET /hpke_config?{long}"), format!("GET /{long}")] {
            let answers = converse(stage.world.leader.port, &request(&start, "", b""));
            // The server may hang up before it is told all.
            assert!(
                answers.iter().all(|answer| [414, 431].contains(&answer.status)),
                "{answers:?}"
            );
        }
        let start = format!("GET /hpke_config?{}", "x".repeat(60_000));
        assert_eq!(ask(stage.world.leader.port, &request(&start, "", b"")).status, 200);
    }),
    ("bytes that are no request", |stage| {
        for server in [&stage.world.leader, &stage.world.helper] {
            for bytes in [
                &b"\r\n\r\n\r\n\r\nx\r\n\r\n"[..],
                b"GET\r\n\r\n",
                b"GET /\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET / HTTP/1.1 \r\n\r\n",
                b"GET  / HTTP/1.1\r\n\r\n",
                b"GET / / HTTP/1.1\r\n\r\n",
                b"G\x00T / HTTP/1.1\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                b"\x00\x00\x00\x00\x00\x00\x00\x00\r\n\r\n",
                b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
                b"GET http:// HTTP/1.1\r\n\r\n",
                b"GET :// HTTP/1.1\r\n\r\n",
            ] {
                println!("{}", bytes.escape_ascii());
                assert_eq!(ask(server.port, bytes).status, 400);
            }
        }
    }),
    ("targets in forms that are for proxies", |stage| {
        let port = stage.world.leader.port;
        for start in [
            "CONNECT example.com:443",
            "CONNECT x:1",
            "OPTIONS *",
            "GET *",
            "TRACE /",
            "GET http://example.com/metadata",
            "GET https://169.254.169.254/latest",
        ] {
            let answer = ask(port, &request(start, "", b""));
            assert!([400, 404, 405].contains(&answer.status), "{start}: {answer:?}");
            if answer.status != 400 {
                untyped(&answer, answer.status);
            }
        }
        let absolute = ask(port, &request("GET http://example.com/healthz", "", b""));
        assert_eq!(absolute.status, 200, "whatever host it names");
    }),
    ("a body where none belongs", |stage| {
        let task = stage.task();
        let headers =
            format!("Authorization: Bearer {}\r\nContent-Length: 100000\r\n", task.collector_token);
        for method in ["GET", "DELETE"] {
            let start = format!("{method} /tasks/{}/collection_jobs/{ID}", task.id);
            let answer = ask(stage.world.leader.port, &request(&start, &headers, &[7; 100_000]));
            assert_eq!(answer.status, if method == "GET" { 404 } else { 200 });
        }
    }),
    ("expectations and upgrades", |stage| {
        let start = format!("POST /tasks/{}/reports", stage.task().id);
        let headers = format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 9\r\n");
        let port = stage.world.leader.port;
        let answers = converse(port, &request(&start, &headers, &[0xff; 9]));
        refused(answers.last().unwrap(), "invalidMessage", stage.task());
        for headers in ["Expect: a miracle\r\n", "Upgrade: websocket\r\n", "Upgrade: h2c\r\n"] {
            let answer = ask(port, &request("GET /hpke_config", headers, b""));
            assert!([200, 417].contains(&answer.status), "{answer:?}");
        }
    }),
    ("hundreds of requests in one breath", |stage| {
        let one = format!(
            "POST /tasks/{}/reports HTTP/1.1\r\nHost: x\r\n{UPLOAD}Content-Length: 3\r\n\r\nxyz",
            stage.task().id
        );
        let last = request("GET /healthz", "", b"");
        let bytes = [one.repeat(500).as_bytes(), &last].concat();
        let answers = converse(stage.world.leader.port, &bytes);
        assert_eq!(answers.len(), 501);
        for answer in &answers[..500] {
            refused(answer, "invalidMessage", stage.task());
        }
        assert_eq!(answers[500].status, 200);
    }),
    ("a request that cannot be read ends the requests behind it", |stage| {
        let good = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let bytes = format!("{good}{good}GARBAGE\r\n\r\n{good}");
        let answers = converse(stage.world.leader.port, bytes.as_bytes());
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 400]);
    }),
    ("HTTP/2 that goes wrong", |stage| {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for frames in [
            &[][..],
            b"garbage that is no frame at all",
            // A frame of 16 MB; settings for a stream; a continuation of nothing; data for nothing.
            &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 4, 0, 0, 0, 0, 5],
            &[0, 0, 1, 9, 0, 0, 0, 0, 1, 0x82],
            &[0, 0, 1, 0, 0, 0, 0, 0, 1, 7],
            // Headers that are not compressed as they say.
            &[0, 0, 4, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
        ] {
            let mut stream = connect(stage.world.leader.port);
            stream.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], frames].concat()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Whatever the server says of it, it closes.
            read_all(&mut stream);
        }
    }),
    ("three hundred connections that say nothing", |stage| {
        for server in [&stage.world.leader, &stage.world.helper] {
            let idle: Vec<_> = (0..300).map(|_| connect(server.port)).collect();
            Ask::get(&format!("http://127.0.0.1:{}/healthz", server.port)).send().ok();
            drop(idle);
        }
    }),
    ("connections that are dropped at every byte", |stage| {
        let bytes = request(&format!("POST /tasks/{}/reports", stage.task().id), UPLOAD, b"");
        for server in [&stage.world.leader, &stage.world.helper] {
            for sent in 0..bytes.len() {
                connect(server.port).write_all(&bytes[..sent]).unwrap();
            }
        }
    }),
];

/// An ID that no resource has.
const ID: &str = "BwcHBwcHBwcHBwcHBwcHBw";

const UPLOAD: &str = "Content-Type: application/ppm-dap;message=upload-req\r\n";

const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"];

struct Resource<'a> {
    method: Method,
    url: String,
    /// What it is sent, if anything.
    message: Option<MediaType>,
    /// The token that it needs, and the one that the other authenticated party has.
    token: (Option<&'a str>, Option<&'a str>),
    /// All methods that it has, in alphabetical order.
    allowed: &'static [&'static str],
}

/// All resources by all their methods (DAP's HTTP resources reference).
fn resources(task: &Task) -> Vec<Resource<'_>> {
    use MediaType::{
        AggregateShareReq, AggregationJobContinueReq, AggregationJobInitReq, CollectionJobReq,
        UploadReq,
    };
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let job = task.at_helper(&format!("aggregation_jobs/{ID}"));
    let share = task.at_helper(&format!("aggregate_shares/{ID}"));
    let collection = task.at_leader(&format!("collection_jobs/{ID}"));
    let config = |endpoint: &str| format!("{}/hpke_config", endpoint.trim_end_matches('/'));
    let leader = config(task.configuration.leader_aggregator_endpoint.as_str());
    let helper = config(task.configuration.helper_aggregator_endpoint.as_str());
    let of_leader = (Some(&*task.leader_token), Some(&*task.collector_token));
    let of_collector = (of_leader.1, of_leader.0);
    let of_anyone = (None, None);
    let (read, create) = (&["GET", "HEAD"][..], &["POST"][..]);
    let (kept, worked_on) =
        (&["DELETE", "GET", "HEAD"][..], &["DELETE", "GET", "HEAD", "POST"][..]);
    let resource = |method: &Method, url: &str, message, token, allowed| Resource {
        method: method.clone(),
        url: url.to_owned(),
        message,
        token,
        allowed,
    };
    let create_at =
        |url: String, message, token| resource(&post, &url, Some(message), token, create);
    vec![
        resource(&get, &leader, None, of_anyone, read),
        resource(&get, &helper, None, of_anyone, read),
        create_at(task.at_leader("reports"), UploadReq, of_anyone),
        create_at(task.at_leader("collection_jobs"), CollectionJobReq, of_collector),
        resource(&get, &collection, None, of_collector, kept),
        resource(&delete, &collection, None, of_collector, kept),
        create_at(task.at_helper("aggregation_jobs"), AggregationJobInitReq, of_leader),
        resource(&get, &format!("{job}?step=0"), None, of_leader, worked_on),
        resource(&post, &job, Some(AggregationJobContinueReq), of_leader, worked_on),
        resource(&delete, &job, None, of_leader, worked_on),
        create_at(task.at_helper("aggregate_shares"), AggregateShareReq, of_leader),
        resource(&get, &share, None, of_leader, kept),
        resource(&delete, &share, None, of_leader, kept),
    ]
}

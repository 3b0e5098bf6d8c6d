use super::*;
use crate::problem::ProblemType;

fn create() -> Create<AggregationJobResp> {
    let endpoint = Url::new("https://helper.example/api/dap").unwrap();
    Create::new(&endpoint, &TaskId::new([7; 32]), vec![1, 2, 3])
}

fn success() -> Response {
    Response { status: 200, ..Response::default() }
}

#[test]
fn an_endpoint_keeps_its_path_with_or_without_a_slash() {
    for endpoint in ["https://a.example/api/dap", "https://a.example/api/dap/"] {
        let exchange = FetchHpkeConfigs { endpoint: Url::new(endpoint).unwrap() };
        assert_eq!(exchange.request().url, "https://a.example/api/dap/hpke_config");
    }
}

#[test]
fn an_empty_body_means_not_yet() {
    let response = Response {
        location: Some("/api/dap/tasks/T/aggregation_jobs/J?step=0".into()),
        retry_after: Some("300".into()),
        ..success()
    };
    let created = create().read(response).unwrap();
    assert_eq!(created.state, Polled::Pending { retry_after: Some(Duration::from_secs(300)) });
    let poll = Poll::new(&create(), created.location.as_deref()).unwrap();
    assert!(poll.request().url.ends_with("/J?step=0"));
}

#[test]
fn a_poll_of_an_aggregation_job_names_the_step() {
    let poll = Poll::new(&create(), Some("https://helper.example/J")).unwrap();
    assert_eq!(poll.request().url, "https://helper.example/J?step=0");
    assert_eq!(Poll::new(&create(), None).unwrap_err(), ExchangeError::Nowhere);
}

/// §3.2: the class of the status says that it worked, the body whether it is there yet.
#[test]
fn any_success_is_one_and_its_body_says_whether_the_resource_is_there() {
    for status in [200, 201, 202, 203, 299] {
        let ready = Response {
            status,
            content_type: Some(MediaType::AggregationJobResp.to_string()),
            location: Some("/J".into()),
            body: [[4; 16].as_slice(), &[2, 7]].concat(),
            ..Response::default()
        };
        let created = create().read(ready).unwrap();
        let Polled::Ready(response) = created.state else { panic!("{status}") };
        assert_eq!(response.verify_resps.len(), 1);
        assert_eq!(created.location.as_deref(), Some("https://helper.example/J"));
    }
    for status in [200, 201, 202, 204] {
        let pending = Response { status, location: Some("/J".into()), ..Response::default() };
        let created = create().read(pending).unwrap();
        assert_eq!(created.state, Polled::Pending { retry_after: None }, "{status}");
    }
    for status in [100, 199, 300, 303] {
        let other = Response { status, location: Some("/J".into()), ..Response::default() };
        assert!(create().read(other).is_err(), "{status}");
    }
}

#[test]
fn polls_and_deletes_go_to_the_component_that_the_server_chose() {
    for component in ["a:b", "~", "%2F", "=", ";v=1", &"x".repeat(200)] {
        let location = Some(format!("/api/dap/tasks/T/{component}#x"));
        let created = create().read(Response { location, ..success() }).unwrap();
        let location = created.location.unwrap();
        let there = format!("https://helper.example/api/dap/tasks/T/{component}");
        let poll = Poll::new(&create(), Some(&location)).unwrap();
        assert_eq!(poll.request().url, format!("{there}?step=0"));
        assert_eq!(Delete::new(&location).request().url, there);
    }
}

#[test]
fn a_success_of_another_type_is_refused() {
    let html = Response { content_type: Some("text/html".into()), body: vec![b'<'], ..success() };
    assert!(matches!(create().read(html), Err(ExchangeError::MediaType(_))));
}

#[test]
fn a_refusal_says_why_if_the_server_does() {
    let problem = ProblemDocument::new(ProblemType::BatchMismatch, None, "2 and 3");
    let response = Response {
        status: 400,
        content_type: Some("application/problem+json; charset=utf-8".into()),
        body: serde_json::to_vec(&problem).unwrap(),
        ..Response::default()
    };
    let error = create().read(response).unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().ends_with("batchMismatch: 2 and 3"), "{error}");
}

#[test]
fn a_refusal_without_reason_is_told_by_its_status() {
    for (status, retryable) in [(302, false), (404, false), (429, true), (503, true)] {
        let body = b"<html>\x1b[31m".to_vec();
        let response = Response { status, body, ..Response::default() };
        let error = create().read(response).unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{status}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

#[test]
fn the_lifetime_of_keys_is_read_from_cache_control() {
    assert_eq!(max_age("public, max-age=86400"), Some(Duration::from_secs(86_400)));
    assert_eq!(max_age("no-store"), Some(Duration::ZERO));
    assert_eq!(max_age("private"), None);
    assert_eq!(max_age("max-age=-1"), None);
}

//! What an OpenTelemetry receiver gets: one trace for a job at the leader and at the helper.

use super::{
    impostor::{Impostor, Reply},
    server::free_port,
    task::sample,
    world::{World, WorldOptions, seeded},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;

/// Spans with the service that sent them.
fn spans(body: &[u8]) -> Vec<(String, Span)> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut found = Vec::new();
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let named = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        let Some(Value::StringValue(service)) = named.value.clone().unwrap().value else {
            panic!()
        };
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        found.extend(spans.map(|span| (service.clone(), span)));
    }
    found
}

#[test]
fn a_job_is_one_trace_from_the_leader_to_the_helper() {
    let port = free_port();
    let receiver = Impostor::start(port, |_| Reply::Say(200, Vec::new(), Vec::new()));
    let endpoint = format!("\n[traces]\nendpoint = \"http://127.0.0.1:{port}/v1/traces\"\n");
    let tables = [endpoint.clone(), endpoint];
    let world = World::start(WorldOptions { tables, ..Default::default() });
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(7));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);
    // What is left is sent at the end.
    for server in [&world.leader, &world.helper] {
        assert!(server.terminate().success());
    }
    let seen = receiver.seen();
    assert!(seen.iter().all(|request| request.path == "/v1/traces"));
    let spans: Vec<_> = seen.iter().flat_map(|request| spans(&request.body)).collect();
    let job = spans
        .iter()
        .find(|(service, span)| service == "sottovoce-leader" && span.name == "aggregation_job");
    let (_, job) = job.expect("a span of the job");
    let served = spans
        .iter()
        .find(|(service, span)| service == "sottovoce-helper" && span.trace_id == job.trace_id);
    let (_, served) = served.expect("the helper's part of the trace");
    assert_eq!((served.name.as_str(), &served.parent_span_id), ("request", &job.span_id));
    // No token, no share: names, paths and numbers.
    let keys: std::collections::BTreeSet<_> = spans
        .iter()
        .flat_map(|(_, span)| span.attributes.iter().map(|attribute| attribute.key.as_str()))
        .filter(|key| !key.starts_with("code.") && !key.starts_with("thread."))
        .collect();
    let known = [
        "attempt", "busy_ns", "idle_ns", "job", "level", "method", "path", "status", "target",
        "task",
    ];
    assert!(keys.iter().all(|key| known.contains(key)), "{keys:?}");
}

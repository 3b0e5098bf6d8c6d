//! Spans for an OpenTelemetry collector (OTLP over HTTP, protobuf), if the configuration names one.
//!
//! A job at the leader and what the helper does for it are one trace: the leader's requests carry
//! W3C's `traceparent`. Spans say what was done and for how long, never what was in it; a path
//! names tasks and jobs, which are no secrets.

use axum::http::HeaderMap;
use tracing::Span;
use tracing_subscriber::{Layer, Registry};

#[cfg(feature = "otel")]
pub use exported::{Exporter, continue_from, layer, pass_on};

/// Where spans go, and what is kept running for it. Sends what is left when it is dropped.
#[cfg(not(feature = "otel"))]
#[derive(Debug)]
pub struct Exporter;

/// A layer of the subscriber that takes part in nothing: this build exports no spans.
#[cfg(not(feature = "otel"))]
pub fn layer(
    endpoint: &str,
    _role: &'static str,
) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, Exporter), TracesError> {
    let reason = "this program was built without the feature `otel`".to_owned();
    Err(TracesError { endpoint: endpoint.to_owned(), reason })
}

/// Makes a span part of the trace that a request names.
#[cfg(not(feature = "otel"))]
pub fn continue_from(_span: &Span, _headers: &HeaderMap) {}

/// Names the current trace to whoever gets a request.
#[cfg(not(feature = "otel"))]
pub fn pass_on(_headers: &mut HeaderMap) {}

/// Spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error(
    "traces.endpoint = {endpoint:?}: {reason}; set it to an OTLP receiver, such as http://127.0.0.1:4318/v1/traces"
)]
pub struct TracesError {
    endpoint: String,
    reason: String,
}

#[cfg(feature = "otel")]
mod exported {
    use super::{HeaderMap, Layer, Registry, Span, TracesError};
    use axum::http::{HeaderName, HeaderValue};
    use opentelemetry::{
        KeyValue,
        propagation::{Extractor, Injector, TextMapPropagator},
        trace::TracerProvider,
    };
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
    use opentelemetry_sdk::{
        Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider,
    };
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::filter::Targets;

    /// Where spans go. Sends what is left when it is dropped.
    #[derive(Debug)]
    pub struct Exporter(SdkTracerProvider);

    /// How long a server that stops waits for the last spans to be taken.
    const LAST_SPANS: std::time::Duration = std::time::Duration::from_millis(500);

    impl Drop for Exporter {
        fn drop(&mut self) {
            // A receiver that is away costs its spans, nothing else.
            let _ = self.0.shutdown_with_timeout(LAST_SPANS);
        }
    }

    /// A layer of the subscriber that exports our spans. To be called outside of a runtime: the
    /// exporter has a thread of its own.
    pub fn layer(
        endpoint: &str,
        role: &'static str,
    ) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, Exporter), TracesError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| TracesError {
                endpoint: endpoint.to_owned(),
                reason: error.to_string(),
            })?;
        let resource = Resource::builder()
            .with_service_name(format!("sottovoce-{role}"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("sottovoce"))
            .with_filter(Targets::new().with_target("sottovoce", tracing::Level::DEBUG));
        Ok((layer.boxed(), Exporter(provider)))
    }

    /// Makes a span part of the trace that a request names.
    pub fn continue_from(span: &Span, headers: &HeaderMap) {
        if headers.contains_key("traceparent") {
            // Fails only without a layer that exports.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&Read(headers)));
        }
    }

    /// Names the current trace to whoever gets a request.
    pub fn pass_on(headers: &mut HeaderMap) {
        let context = Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut Write(headers));
    }

    struct Read<'a>(&'a HeaderMap);

    impl Extractor for Read<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }

    struct Write<'a>(&'a mut HeaderMap);

    impl Injector for Write<'_> {
        fn set(&mut self, key: &str, value: String) {
            let name = HeaderName::from_bytes(key.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                self.0.insert(name, value);
            }
        }
    }
}

//! What a refusal must look like, read without the help of the code that writes it.

use crate::support::{http::Answer, task::Task};
use serde_json::{Value, json};

/// One of the draft's types (§3.6), about a task that is known by its ID.
#[track_caller]
pub(crate) fn refused(answer: &Answer, token: &str, task: &Task) -> Value {
    let problem = typed(answer, token);
    assert_eq!(problem["taskid"], json!(task.id), "{problem}");
    problem
}

/// One of the draft's types, about no task in particular.
#[track_caller]
pub(crate) fn typed(answer: &Answer, token: &str) -> Value {
    let status = if token.starts_with("unrecognized") { 404 } else { 400 };
    let problem = document(answer, status);
    assert_eq!(problem["type"], format!("urn:ietf:params:ppm:dap:error:{token}"), "{problem}");
    problem
}

/// A refusal that its status says all about (RFC 9457 §4.2.1).
#[track_caller]
pub(crate) fn untyped(answer: &Answer, status: u16) -> Value {
    let problem = document(answer, status);
    assert_eq!(problem["type"], "about:blank", "{problem}");
    assert_eq!(problem.get("taskid"), None, "{problem}");
    problem
}

/// What whoever shows no token, or a wrong one, is told (RFC 9110 §11.6.1).
#[track_caller]
pub(crate) fn unauthorized(answer: &Answer) {
    untyped(answer, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

/// A problem document (RFC 9457 §3).
#[track_caller]
fn document(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|words| !words.is_empty()), "{problem}");
    }
    problem
}

//! Problem documents: the errors of a server (§3.6; RFC 9457).

use super::{ids::TaskId, printable::is_hidden};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The draft's types of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below says what each means")]
pub enum ProblemType {
    InvalidMessage,
    UnrecognizedTask,
    UnrecognizedAggregationJob,
    BatchInvalid,
    InvalidBatchSize,
    InvalidAggregationParameter,
    BatchMismatch,
    StepMismatch,
    BatchOverlap,
    UnsupportedExtension,
    InvalidExtension,
}

/// Each type with its token, HTTP status and title: what is written and what is searched.
const TABLE: [(ProblemType, &str, u16, &str); 11] = {
    use ProblemType::{
        BatchInvalid, BatchMismatch, BatchOverlap, InvalidAggregationParameter, InvalidBatchSize,
        InvalidExtension, InvalidMessage, StepMismatch, UnrecognizedAggregationJob,
        UnrecognizedTask, UnsupportedExtension,
    };
    [
        (InvalidMessage, "invalidMessage", 400, "The message is not valid."),
        (UnrecognizedTask, "unrecognizedTask", 404, "The task is not known."),
        (
            UnrecognizedAggregationJob,
            "unrecognizedAggregationJob",
            404,
            "The aggregation job is not known.",
        ),
        (BatchInvalid, "batchInvalid", 400, "The query's batch boundaries are not valid."),
        (InvalidBatchSize, "invalidBatchSize", 400, "The batch has too few reports."),
        (
            InvalidAggregationParameter,
            "invalidAggregationParameter",
            400,
            "The aggregation parameter is not valid.",
        ),
        (BatchMismatch, "batchMismatch", 400, "The aggregators disagree about the batch."),
        (StepMismatch, "stepMismatch", 400, "The aggregators disagree about the step of the job."),
        (BatchOverlap, "batchOverlap", 400, "Reports of the batch were already collected."),
        (UnsupportedExtension, "unsupportedExtension", 400, "An extension is not supported."),
        (InvalidExtension, "invalidExtension", 400, "The list of extensions is not valid."),
    ]
};

const URN: &str = "urn:ietf:params:ppm:dap:error:";

impl ProblemType {
    fn row(self) -> &'static (Self, &'static str, u16, &'static str) {
        // The table has a row for each: a test says so.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }

    /// The URN that stands in the document's `type`.
    pub fn urn(self) -> String {
        format!("{URN}{}", self.row().1)
    }

    /// The type's name: the last part of the URN.
    pub fn token(self) -> &'static str {
        self.row().1
    }

    /// The type that a URN names.
    pub fn from_urn(urn: &str) -> Option<Self> {
        let token = urn.strip_prefix(URN)?;
        TABLE.iter().find(|row| row.1 == token).map(|row| row.0)
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        self.row().2
    }
}

/// A problem document, ours or a peer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// A URI: the draft's, another's, or `about:blank`.
    #[serde(rename = "type", default = "about_blank")]
    pub problem_type: Text,
    /// The type in words.
    #[serde(default)]
    pub title: Text,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What was wrong this time.
    #[serde(default)]
    pub detail: Text,
    /// The task, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub taskid: Option<TaskId>,
    /// Code points of a job's extensions that are not supported: our own member; the draft has none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub unsupported_extensions: Option<Vec<u16>>,
}

impl ProblemDocument {
    /// The media type of a problem document.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem of one of the draft's types.
    pub fn new(kind: ProblemType, task: Option<&TaskId>, detail: &str) -> Self {
        let (_, _, status, title) = *kind.row();
        Self {
            problem_type: Text::new(&kind.urn()),
            title: Text::new(title),
            status,
            detail: Text::new(detail),
            taskid: task.copied(),
            unsupported_extensions: None,
        }
    }

    /// A problem that its status says all about.
    pub fn untyped(status: u16, detail: &str) -> Self {
        Self {
            problem_type: about_blank(),
            title: Text::new(reason_phrase(status)),
            status,
            detail: Text::new(detail),
            taskid: None,
            unsupported_extensions: None,
        }
    }

    /// The draft's type, if it is one of those.
    pub fn kind(&self) -> Option<ProblemType> {
        ProblemType::from_urn(&self.problem_type.0)
    }
}

impl std::fmt::Display for ProblemDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.problem_type.0.strip_prefix(URN).unwrap_or(&self.problem_type.0);
        match (&*self.detail.0, &*self.title.0) {
            ("", "") => write!(f, "{name}"),
            ("", words) | (words, _) if name == "about:blank" => write!(f, "{words}"),
            ("", words) | (words, _) => write!(f, "{name}: {words}"),
        }
    }
}

fn about_blank() -> Text {
    Text::new("about:blank")
}

/// A peer's words: cut to a length and rid of what is not seen, so that they may be logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// At most this many characters are kept.
    pub const LONGEST: usize = 500;

    /// From text of any length.
    pub fn new(text: &str) -> Self {
        Self(text.chars().filter(|c| !is_hidden(*c)).take(Self::LONGEST).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A member of another JSON type is no reason to miss the rest (RFC 9457 §3.1).
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(value.as_str().map_or_else(Self::default, Self::new))
    }
}

fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// What the status says in words (RFC 9110 §15), for the statuses that need no type of the draft.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_again_by_its_urn() {
        for (kind, token, status, _) in TABLE {
            assert_eq!(kind.urn(), format!("urn:ietf:params:ppm:dap:error:{token}"));
            assert_eq!(ProblemType::from_urn(&kind.urn()), Some(kind));
            assert!((400..500).contains(&status), "{token} blames the sender");
        }
    }

    #[test]
    fn a_document_survives_json() {
        let task = TaskId::new([3; 32]);
        let document = ProblemDocument::new(ProblemType::BatchMismatch, Some(&task), "2 and 3");
        let json = serde_json::to_string(&document).unwrap();
        assert!(json.contains(&format!("\"taskid\":\"{task}\"")), "{json}");
        assert_eq!(serde_json::from_str::<ProblemDocument>(&json).unwrap(), document);
    }

    #[test]
    fn a_peers_document_may_be_strange_but_not_long_nor_unprintable() {
        let detail = format!("\\u001b[31m\\u202e{}", "x".repeat(10_000));
        let json = format!(r#"{{"type":7,"detail":"{detail}","taskid":[],"more":{{}}}}"#);
        let document: ProblemDocument = serde_json::from_str(&json).unwrap();
        assert_eq!(document.kind(), None);
        assert_eq!(document.detail.as_str().len(), Text::LONGEST);
        assert!(!document.to_string().contains(['\u{1b}', '\u{202e}']));
    }
}

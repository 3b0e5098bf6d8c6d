//! The media types of DAP's messages (§10.1).

use super::VERSION;
use std::borrow::Cow;
use thiserror::Error;

/// A message, as its media type `application/ppm-dap;message=…` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the message of the same name")]
pub enum MediaType {
    HpkeConfigList,
    UploadReq,
    UploadErrors,
    AggregationJobInitReq,
    AggregationJobResp,
    AggregationJobContinueReq,
    AggregateShareReq,
    AggregateShare,
    CollectionJobReq,
    CollectionJobResp,
}

/// A body that does not claim to be the expected message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MediaTypeError {
    /// Another type, or none.
    #[error("the content type is {found:?}, and must be \"{expected}\"")]
    Other {
        /// What the header says, cut short.
        found: String,
        /// What it must say.
        expected: MediaType,
    },
    /// Another draft of DAP.
    #[error("the message has DAP version {found:?}; {VERSION} is supported")]
    Version {
        /// What the header says, cut short.
        found: String,
    },
}

impl MediaType {
    fn message(self) -> &'static str {
        match self {
            Self::HpkeConfigList => "hpke-config-list",
            Self::UploadReq => "upload-req",
            Self::UploadErrors => "upload-errors",
            Self::AggregationJobInitReq => "aggregation-job-init-req",
            Self::AggregationJobResp => "aggregation-job-resp",
            Self::AggregationJobContinueReq => "aggregation-job-continue-req",
            Self::AggregateShareReq => "aggregate-share-req",
            Self::AggregateShare => "aggregate-share",
            Self::CollectionJobReq => "collection-job-req",
            Self::CollectionJobResp => "collection-job-resp",
        }
    }

    /// Checks a `Content-Type` header (RFC 9110 §5.6.6, §8.3.1): type and parameter names in any case,
    /// blanks around semicolons, empty parameters, values quoted or not.
    pub fn check(self, header: &str) -> Result<(), MediaTypeError> {
        let other = || MediaTypeError::Other { found: excerpt(header), expected: self };
        let end = header.find(';').unwrap_or(header.len());
        let (kind, mut rest) = header.split_at(end);
        if !kind.trim_matches(BLANKS).eq_ignore_ascii_case("application/ppm-dap") {
            return Err(other());
        }
        let mut message = None;
        while let Some(parameter) = next_parameter(&mut rest).map_err(|Malformed| other())? {
            let Parameter { name, value } = parameter;
            match name.to_ascii_lowercase().as_str() {
                "message" if message.is_none() => message = Some(value),
                "message" => return Err(other()),
                "version" if VERSION.strip_prefix("dap-") != Some(&value) => {
                    return Err(MediaTypeError::Version { found: excerpt(&value) });
                }
                _ => {}
            }
        }
        if message.as_deref() == Some(self.message()) { Ok(()) } else { Err(other()) }
    }
}

struct Parameter<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

struct Malformed;

const BLANKS: [char; 2] = [' ', '\t'];

/// Takes the next parameter that is not empty off the rest of a header, which is empty or begins with
/// a semicolon.
fn next_parameter<'a>(rest: &mut &'a str) -> Result<Option<Parameter<'a>>, Malformed> {
    loop {
        let Some(after) = rest.strip_prefix(';') else {
            return if rest.is_empty() { Ok(None) } else { Err(Malformed) };
        };
        let after = after.trim_start_matches(BLANKS);
        if after.is_empty() || after.starts_with(';') {
            *rest = after;
            continue;
        }
        let (name, after) = token(after)?;
        let after = after.strip_prefix('=').ok_or(Malformed)?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => token(after).map(|(value, after)| (value.into(), after))?,
        };
        *rest = after.trim_start_matches(BLANKS);
        return Ok(Some(Parameter { name, value }));
    }
}

/// A token (RFC 9110 §5.6.2), and what stands after it.
fn token(text: &str) -> Result<(&str, &str), Malformed> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len())) {
        ("", _) => Err(Malformed),
        found => Ok(found),
    }
}

/// What is quoted (RFC 9110 §5.6.4), from after its first quote, and what stands after its last.
fn unquote(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let mut value = String::new();
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => return Ok((value.into(), &text[at + 1..])),
            '\\' => value.push(rest.next().ok_or(Malformed)?.1),
            c => value.push(c),
        }
    }
    Err(Malformed)
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "application/ppm-dap;message={}", self.message())
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_is_read_as_http_reads_it() {
        let upload = MediaType::UploadReq;
        assert_eq!(upload.check(&upload.to_string()), Ok(()));
        assert_eq!(upload.check("Application/PPM-DAP ; Message=\"upload-req\""), Ok(()));
        let version = VERSION.strip_prefix("dap-").unwrap();
        let versioned = format!("application/ppm-dap;message=upload-req;version={version}");
        assert_eq!(upload.check(&versioned), Ok(()));
    }

    #[test]
    fn every_legal_form_is_read_and_no_other() {
        let upload = MediaType::UploadReq;
        for legal in [
            "application/ppm-dap;message=upload-req;",
            "application/ppm-dap;;message=upload-req",
            "application/ppm-dap; ; \t;message=upload-req ; ",
            "application/ppm-dap;a=\";message=other\";message=upload-req",
            "application/ppm-dap;a=\"\\\";message=other\";message=upload-req",
            "application/ppm-dap;message=\"upload\\-req\"",
            "APPLICATION/ppm-dap\t;\tMESSAGE=upload-req",
        ] {
            assert_eq!(upload.check(legal), Ok(()), "{legal}");
        }
        for illegal in [
            "application/ppm-dap;message=\"upload-req",
            "application/ppm-dap;message=upload-req\"",
            "application/ppm-dap;message=\"upload-req\"x",
            "application/ppm-dap;message=\"upload-req\\",
            "application/ppm-dap;message=upload-req x",
            "application/ppm-dap;message=",
            "application/ppm-dap;=upload-req;message=upload-req",
            "application/ppm-dap;a;message=upload-req",
            "application/ppm-dap,message=upload-req",
        ] {
            assert!(upload.check(illegal).is_err(), "{illegal}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_beside_the_message_changes_nothing(
            parameters in prop::collection::vec(("[a-l]{1,5}", "[ -~]{0,8}", "[ \t]{0,2}"), 0..5),
            at in 0..6_usize,
            quoted: bool,
        ) {
            let quote = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
            let mut all: Vec<_> = parameters
                .iter()
                .map(|(name, value, blanks)| format!("{blanks}{name}=\"{}\"{blanks}", quote(value)))
                .collect();
            let message = if quoted { "message=\"upload-req\"" } else { "message=upload-req" };
            all.insert(at.min(all.len()), message.to_owned());
            let header = format!("application/ppm-dap;{}", all.join(";"));
            prop_assert_eq!(MediaType::UploadReq.check(&header), Ok(()), "{}", header);
            prop_assert!(MediaType::AggregateShare.check(&header).is_err());
        }

        #[test]
        fn nothing_makes_it_panic(rest in "\\PC{0,40}") {
            let _ = MediaType::UploadReq.check(&rest);
            let _ = MediaType::UploadReq.check(&format!("application/ppm-dap;{rest}"));
        }
    }

    #[test]
    fn another_message_type_or_version_is_refused() {
        let upload = MediaType::UploadReq;
        assert!(upload.check("").is_err());
        assert!(upload.check("application/json").is_err());
        assert!(upload.check("application/ppm-dap").is_err());
        assert!(upload.check("application/ppm-dap;message=aggregate-share").is_err());
        assert!(upload.check("application/ppm-dap;message=upload-req;message=upload-req").is_err());
        for found in ["09", "18", "20", "019", VERSION, ""] {
            let header = format!("application/ppm-dap;message=upload-req;version=\"{found}\"");
            let refused = Err(MediaTypeError::Version { found: found.into() });
            assert_eq!(upload.check(&header), refused);
        }
    }
}

//! The media types of DAP's messages (§10.1).

use super::VERSION;
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
    #[error("the message is of version {found:?} of DAP's drafts, and this is {VERSION}")]
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

    /// Checks a `Content-Type` header (RFC 9110 §8.3): type and parameter names in any case, blanks
    /// around semicolons, values quoted or not.
    pub fn check(self, header: &str) -> Result<(), MediaTypeError> {
        let other = || MediaTypeError::Other { found: excerpt(header), expected: self };
        let mut parts = header.split(';').map(str::trim);
        if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/ppm-dap")) {
            return Err(other());
        }
        let mut message = None;
        for parameter in parts {
            let (name, value) = parameter.split_once('=').ok_or_else(other)?;
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "message" if message.is_none() => message = Some(value),
                "message" => return Err(other()),
                "version" if VERSION.strip_prefix("dap-") != Some(value) => {
                    return Err(MediaTypeError::Version { found: excerpt(value) });
                }
                _ => {}
            }
        }
        if message == Some(self.message()) { Ok(()) } else { Err(other()) }
    }
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

    #[test]
    fn the_header_is_read_as_http_reads_it() {
        let upload = MediaType::UploadReq;
        assert_eq!(upload.check(&upload.to_string()), Ok(()));
        assert_eq!(upload.check("Application/PPM-DAP ; Message=\"upload-req\""), Ok(()));
        assert_eq!(upload.check("application/ppm-dap;message=upload-req;version=18"), Ok(()));
    }

    #[test]
    fn another_message_type_or_version_is_refused() {
        let upload = MediaType::UploadReq;
        assert!(upload.check("").is_err());
        assert!(upload.check("application/json").is_err());
        assert!(upload.check("application/ppm-dap").is_err());
        assert!(upload.check("application/ppm-dap;message=aggregate-share").is_err());
        assert!(upload.check("application/ppm-dap;message=upload-req;message=upload-req").is_err());
        assert_eq!(
            upload.check("application/ppm-dap;message=upload-req;version=09"),
            Err(MediaTypeError::Version { found: "09".into() })
        );
    }
}

//! Where a created resource is: `Location` against the URL of the request (RFC 3986 §5.2).

use thiserror::Error;

/// A `Location` that must not be followed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LocationError {
    /// Another server, which must not see our token.
    #[error("the Location points to another server than the one asked; it is not followed")]
    OtherOrigin,
    /// Not a reference that could be followed.
    #[error("the Location is not a URL")]
    Invalid,
}

/// Resolves a `Location` against the URL of the request; stays on the same server.
pub fn resolve(request_url: &str, location: &str) -> Result<String, LocationError> {
    if location.is_empty() || !location.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(LocationError::Invalid);
    }
    let (origin, path) = split(request_url).ok_or(LocationError::Invalid)?;
    if let Some((their_origin, _)) = split(location) {
        let same = their_origin.eq_ignore_ascii_case(origin);
        return if same { Ok(location.to_owned()) } else { Err(LocationError::OtherOrigin) };
    }
    if location.starts_with("//") {
        return Err(LocationError::OtherOrigin);
    }
    if location.starts_with('/') {
        return Ok(format!("{origin}{location}"));
    }
    let before_colon = location.split(['/', '?', '#']).next().unwrap_or("");
    if before_colon.contains(':') || location.split('/').any(|part| part == "..") {
        return Err(LocationError::Invalid);
    }
    let folder = path.split('?').next().and_then(|path| path.rsplit_once('/'));
    let folder = folder.map_or("", |(folder, _)| folder);
    Ok(format!("{origin}{folder}/{}", location.trim_start_matches("./")))
}

/// The origin of an HTTP URL, and its path.
fn split(url: &str) -> Option<(&str, &str)> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let rest = &url[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((&url[..scheme.len() + end], &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "https://helper.example/api/tasks/T/aggregation_jobs";

    #[test]
    fn all_forms_of_reference_lead_to_the_resource() {
        let there = "https://helper.example/api/tasks/T/aggregation_jobs/J";
        for location in [there, "/api/tasks/T/aggregation_jobs/J", "aggregation_jobs/J"] {
            assert_eq!(resolve(REQUEST, location).unwrap(), there);
        }
    }

    #[test]
    fn a_token_never_follows_to_another_server() {
        for location in ["https://evil.example/x", "http://helper.example/x", "//evil.example/x"] {
            assert_eq!(resolve(REQUEST, location), Err(LocationError::OtherOrigin), "{location}");
        }
        assert_eq!(
            resolve(REQUEST, "https://helper.example.evil.example/x"),
            Err(LocationError::OtherOrigin)
        );
        assert_eq!(
            resolve(REQUEST, "https://helper.example@evil.example/x"),
            Err(LocationError::OtherOrigin)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for location in ["", " ", "\u{7f}", "javascript:alert(1)", "../../x", "a b"] {
            assert_eq!(resolve(REQUEST, location), Err(LocationError::Invalid), "{location}");
        }
    }
}

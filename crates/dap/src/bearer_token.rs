//! Bearer tokens (§3.5; RFC 6750): how the leader proves itself to the helper, and the collector
//! to the leader.
//!
//! Whoever presents a token keeps a [`BearerToken`]; whoever checks it keeps only a
//! [`TokenHash`].

use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::ids::NoRandomness;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A secret that its bearer shows with each request.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BearerToken(String);

/// Text that is not a token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "a bearer token must have 16 to 1024 characters: letters, digits and -._~+/, with `=` \
     only at the end"
)]
pub struct InvalidToken;

impl BearerToken {
    /// A fresh token of 256 random bits.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(bytes.as_mut()).map_err(|_| NoRandomness)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// From text in the syntax of RFC 6750 §2.1, long enough not to be guessed.
    pub fn new(text: String) -> Result<Self, InvalidToken> {
        let text = Zeroizing::new(text);
        let body = text.trim_end_matches('=');
        let in_syntax = body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b));
        if (16..=1024).contains(&text.len()) && in_syntax {
            Ok(Self(text.to_string()))
        } else {
            Err(InvalidToken)
        }
    }

    /// The token itself, to be kept secret.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the other side keeps.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

impl<'de> Deserialize<'de> for BearerToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of a token: enough to recognize it, useless to present it.
///
/// A plain hash serves because tokens are random and long; it is compared in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// From its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether an `Authorization` header presents the token (RFC 6750 §2.1).
    pub fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let presented = authorization.and_then(|header| {
            let (scheme, token) = header.split_at_checked(7)?;
            let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
            is_bearer.then(|| std::str::from_utf8(token.trim_ascii()).ok()).flatten()
        });
        presented.is_some_and(|token| Self::of(token).0.ct_eq(&self.0).into())
    }

    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_admitted() {
        let token = BearerToken::random().unwrap();
        let hash = token.hash();
        let header = |text: &str| hash.admits(Some(text.as_bytes()));
        assert!(header(&format!("Bearer {}", token.secret())));
        assert!(header(&format!("bearer  {}", token.secret())));
        assert!(!header(&format!("Bearer {}x", token.secret())));
        assert!(!header(token.secret()));
        assert!(!header("Bearer"));
        assert!(!header(""));
        assert!(!hash.admits(Some(b"Bearer \xff\xfe")));
        assert!(!hash.admits(None));
    }

    #[test]
    fn short_and_strange_tokens_are_refused() {
        assert!(BearerToken::new("short".into()).is_err());
        assert!(BearerToken::new("a token with blanks in it".into()).is_err());
        assert!(BearerToken::new("padding=in=the=middle".into()).is_err());
        assert!(BearerToken::new("YWxsIGlzIHdlbGwgaGVyZQ==".into()).is_ok());
    }

    #[test]
    fn a_token_never_shows() {
        let token = BearerToken::random().unwrap();
        assert!(!format!("{token:?}{:?}", token.hash()).contains(token.secret()));
    }
}

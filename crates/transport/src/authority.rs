//! A private certificate authority, from a file that an operator names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Certificates of a private authority, to trust besides those of the system.
#[derive(Clone, Debug)]
pub struct Authority(Vec<u8>);

/// A file that names no authority.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// It cannot be read.
    #[error("the CA file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error(
        "the CA file {0} has no certificate; it must have the CA's certificates in PEM, each from `-----BEGIN \
         CERTIFICATE-----` on"
    )]
    Empty(PathBuf),
    /// What is in it is no certificate.
    #[error(
        "the CA file {path} has a certificate that cannot be used: {source}; copy it again, in PEM"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: reqwest::Error,
    },
}

impl Authority {
    /// Reads a PEM file, and makes sure that its certificates can be used.
    pub fn read(path: &Path) -> Result<Self, AuthorityError> {
        let pem = fs::read(path)
            .map_err(|source| AuthorityError::Read { path: path.to_owned(), source })?;
        let form = |source| AuthorityError::Form { path: path.to_owned(), source };
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(form)?;
        if certificates.is_empty() {
            return Err(AuthorityError::Empty(path.to_owned()));
        }
        reqwest::Client::builder().tls_certs_merge(certificates).build().map_err(form)?;
        Ok(Self(pem))
    }

    pub(crate) fn pem(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_no_authority_is_refused_by_its_name() {
        let path = std::env::temp_dir().join(format!("sottovoce-{}-ca.pem", std::process::id()));
        assert!(matches!(Authority::read(&path), Err(AuthorityError::Read { .. })));
        for text in
            ["", "no certificate", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
        {
            fs::write(&path, text).unwrap();
            let error = Authority::read(&path).unwrap_err();
            assert!(matches!(error, AuthorityError::Empty(_)), "{error}");
        }
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let error = Authority::read(&path).unwrap_err();
        assert!(matches!(error, AuthorityError::Form { .. }), "{error}");
        assert!(error.to_string().contains("ca.pem"), "{error}");
        fs::remove_file(&path).unwrap();
    }
}

//! When certificates end.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_cert::{Certificate, der::Decode};

/// When the first of the certificates in a PEM file ends, in seconds since the Epoch; `None` if it has none that can
/// be read. A chain is of use only as long as all of it is.
pub fn ends(pem: &[u8]) -> Option<u64> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    certificates.filter_map(|certificate| end(&certificate)).min()
}

fn end(der: &[u8]) -> Option<u64> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
}

//! Would the other side accept this certificate? Pure: the time is an argument, and nothing is read or written.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::read;
use crate::history::facts::{CertificateFacts, KeyFacts};

/// What the leaf of a chain is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A client presents it to the API server.
    Client,
    /// A kubelet or API server serves with it.
    Server,
}

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// webpki does not support this time.
    #[error("cannot verify at {0}: it is before 1970")]
    Before1970(Timestamp),
    /// The leaf cannot be read.
    #[error("leaf certificate: {0}")]
    Leaf(String),
    /// No path is acceptable.
    #[error("{reason}{}", of_roots(.refused))]
    NoPath {
        /// What is wrong with the existing paths.
        reason: String,
        /// Roots that are not usable, each with the reason.
        refused: Vec<String>,
    },
    /// The history's record of a certificate is damaged.
    #[error("recorded certificate {sha256}: bad base64: {reason}")]
    Recorded {
        /// The certificate's SHA-256, in hex, as recorded.
        sha256: String,
        /// What the decoder says.
        reason: String,
    },
}

fn of_roots(refused: &[String]) -> String {
    if refused.is_empty() { String::new() } else { format!(" ({})", refused.join("; ")) }
}

/// Does a path lead from the leaf to one of the roots, valid for `usage` at the moment `at`? All certificates are DER.
///
/// webpki judges the path. Go, and therefore Kubernetes, also requires the *root* to be within its validity, which
/// webpki does not check; this function does. Elsewhere webpki is stricter: it rejects version 1 certificates, and a CA
/// certificate as a leaf.
///
/// # Errors
/// Why no path is acceptable.
pub fn chain(
    leaf: &[u8],
    intermediates: &[&[u8]],
    roots: &[&[u8]],
    at: Timestamp,
    usage: Usage,
) -> Result<(), ChainError> {
    let time = u64::try_from(at.as_second())
        .map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
        .map_err(|_| ChainError::Before1970(at))?;
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(|error| ChainError::Leaf(error.to_string()))?;
    let intermediates: Vec<_> = intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    let roots: Vec<_> = roots.iter().map(|der| CertificateDer::from(*der)).collect();
    let anchors = roots
        .iter()
        .enumerate()
        .map(|(index, root)| anchor(root, at).map_err(|e| format!("CA certificate {index}: {e}")));
    // One expired CA in a bundle must not hide the good one next to it.
    let (anchors, refused): (Vec<_>, Vec<_>) = anchors.partition(Result::is_ok);
    let anchors: Vec<_> = anchors.into_iter().flatten().collect();
    let refused: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
    let usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let algorithms = default_provider().signature_verification_algorithms.all;
    let verified = leaf.verify_for_usage(algorithms, &anchors, &intermediates, time, usage, None, None);
    verified.map(drop).map_err(|error| ChainError::NoPath { reason: error.to_string(), refused })
}

fn anchor<'a>(root: &'a CertificateDer<'_>, at: Timestamp) -> Result<TrustAnchor<'a>, String> {
    let facts = read::certificate(root).map_err(|e| e.to_string())?;
    if at < facts.not_before || at > facts.not_after {
        return Err(format!("valid from {} to {}, not at {at}", facts.not_before, facts.not_after));
    }
    anchor_from_trusted_cert(root).map_err(|e| e.to_string())
}

/// [`chain`] for certificates as the history holds them.
///
/// # Errors
/// The same as those of [`chain`], and a recorded certificate whose `der` is not base64.
pub fn chain_of(
    leaf: &CertificateFacts,
    intermediates: &[CertificateFacts],
    roots: &[CertificateFacts],
    at: Timestamp,
    usage: Usage,
) -> Result<(), ChainError> {
    let der = |facts: &CertificateFacts| {
        STANDARD.decode(&facts.der).map_err(|error: base64::DecodeError| ChainError::Recorded {
            sha256: facts.sha256.clone(),
            reason: error.to_string(),
        })
    };
    let all = |list: &[CertificateFacts]| list.iter().map(der).collect::<Result<Vec<_>, _>>();
    let (leaf, intermediates, roots) = (der(leaf)?, all(intermediates)?, all(roots)?);
    let intermediates: Vec<&[u8]> = intermediates.iter().map(Vec::as_slice).collect();
    let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
    chain(&leaf, &intermediates, &roots, at, usage)
}

/// Is the certificate for this exact key?
pub fn same_key(certificate: &CertificateFacts, key: &KeyFacts) -> bool {
    certificate.key.spki_sha256 == key.spki_sha256
}

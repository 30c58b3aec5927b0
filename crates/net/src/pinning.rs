//! TLS 1.3 with mutual authentication, where trust is one exact certificate.
//!
//! No names, chains, dates or authorities are looked at: a certificate is either byte for byte the
//! pinned one or refused. The handshake's signature is checked by rustls as usual, so that the
//! peer has proved that it holds the key.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};

use crate::peers::Peers;
use crate::throttle::Throttle;
use crate::{Certificate, Error, Identity};

/// Both sides must speak this protocol.
const ALPN: &[u8] = b"sotto/1";

/// Fingerprints that were refused lately.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    latest: Mutex<VecDeque<String>>,
    lines: Throttle,
}

impl Refused {
    const KEPT: usize = 16;

    fn add(&self, fingerprint: String) {
        if let Some(left_out) = self.lines.pass() {
            tracing::warn!(%fingerprint, left_out, "refused a peer whose certificate is not pinned");
        }
        let mut list = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() == Self::KEPT {
            list.pop_front();
        }
        list.push_back(fingerprint);
    }

    pub fn list(&self) -> Vec<String> {
        let list = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().cloned().collect()
    }
}

/// Whose certificates are taken.
#[derive(Debug)]
enum Allowed {
    /// Any of these, of the one peer that is dialled.
    These(Vec<Certificate>),
    /// Those that are accepted now.
    Accepted(Arc<Peers>),
}

#[derive(Debug)]
struct Pins {
    allowed: Allowed,
    provider: Arc<CryptoProvider>,
    refused: Arc<Refused>,
}

impl Pins {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let is_pinned = match &self.allowed {
            Allowed::These(pins) => pins.iter().any(|pin| pin.der() == shown),
            Allowed::Accepted(peers) => peers.named(shown).is_some(),
        };
        if is_pinned {
            return Ok(());
        }
        self.refused.add(Certificate::from_der(shown).fingerprint());
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
}

fn tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(PeerIncompatible::Tls12NotOffered.into())
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// ring, given explicitly, with AES-128-GCM first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    use rustls::crypto::ring::cipher_suite as suite;
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

/// The identity as TLS uses it, on both sides of connections.
pub(crate) fn key(identity: &Identity) -> Result<Arc<SingleCertAndKey>, Error> {
    let chain = vec![identity.certificate().der().clone()];
    let key = provider().key_provider.load_private_key(identity.key()).map_err(config)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(config)?;
    Ok(Arc::new(certified.into()))
}

fn config(error: impl std::fmt::Display) -> Error {
    Error::Config(format!("TLS cannot use this identity: {error}"))
}

/// Accepts the pinned peers, whoever they are at the time, and nobody else.
pub(crate) fn server(
    key: Arc<SingleCertAndKey>,
    peers: Arc<Peers>,
    refused: Arc<Refused>,
) -> Result<quinn::crypto::rustls::QuicServerConfig, Error> {
    let provider = provider();
    let pins = Arc::new(Pins {
        allowed: Allowed::Accepted(peers),
        provider: Arc::clone(&provider),
        refused,
    });
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(config)?
        .with_client_cert_verifier(pins)
        .with_cert_resolver(key);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Every connection proves both keys anew.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(config)
}

/// Connects to the one peer that shows one of these certificates; what it shows instead lands in `refused`.
pub(crate) fn client(
    key: Arc<SingleCertAndKey>,
    pins: Vec<Certificate>,
    refused: Arc<Refused>,
) -> Result<quinn::crypto::rustls::QuicClientConfig, Error> {
    let provider = provider();
    let pins =
        Arc::new(Pins { allowed: Allowed::These(pins), provider: Arc::clone(&provider), refused });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(config)?
        .dangerous()
        .with_custom_certificate_verifier(pins)
        .with_client_cert_resolver(key);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_sni = false;
    quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(config)
}

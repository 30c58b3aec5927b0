//! A QUIC client with a pinned key that writes whatever bytes it likes: what [`sotto_net`] would never send.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{Connection, RecvStream, SendStream};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{error::Error, scene::Scene};

/// Header of a frame without payload: magic, version, kind, step and length.
fn bare(kind: u8) -> [u8; 16] {
    let mut frame = [0; 16];
    frame[..4].copy_from_slice(&[b'S', b'o', 1, kind]);
    frame
}

const FIN: u8 = 1;
const HELLO: u8 = 3;

/// An attacker does not care whom it attacks.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A link as the attacked party sees it.
struct Link {
    endpoint: quinn::Endpoint,
    connection: Connection,
    send: SendStream,
    /// Nobody reads it, but dropping it would end the stream.
    _recv: RecvStream,
}

/// Connects with the key of `who`, opens the stream and says hello.
async fn connect(scene: &Scene, who: &str, to: SocketAddr) -> Result<Link, Error> {
    let key = PrivateKeyDer::from_pem_file(scene.path(&format!("{who}.key")));
    let certificate = CertificateDer::from_pem_file(scene.path(&format!("{who}.cert")));
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::scene)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_auth_cert(vec![certificate.map_err(Error::scene)?], key.map_err(Error::scene)?)
        .map_err(Error::scene)?;
    tls.alpn_protocols = vec![b"sotto/1".to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(Error::scene)?;
    let endpoint = quinn::Endpoint::client(sotto::processes::LOCAL).map_err(Error::scene)?;
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let connecting = endpoint.connect_with(config, to, "sotto").map_err(Error::scene)?;
    let connection = connecting.await.map_err(Error::scene)?;
    let (mut send, _recv) = connection.open_bi().await.map_err(Error::scene)?;
    send.write_all(&bare(HELLO)).await.map_err(Error::scene)?;
    Ok(Link { endpoint, connection, send, _recv })
}

fn inside<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::scene)?.block_on(work)
}

/// Sends up to `most` fins and reads nothing; gives how many the peer let it send, and why it stopped.
///
/// # Errors
/// [`Error::Scene`] when there is no link to begin with.
pub fn flood_of_fins(
    scene: &Scene,
    who: &str,
    to: SocketAddr,
    most: usize,
) -> Result<(usize, Option<String>), Error> {
    inside(async {
        let mut link = connect(scene, who, to).await?;
        let piece = bare(FIN).repeat(4096);
        let start = Instant::now();
        let mut sent = 0;
        while sent < most && start.elapsed() < Duration::from_secs(5) {
            match tokio::time::timeout(Duration::from_secs(1), link.send.write_all(&piece)).await {
                Ok(Ok(())) => sent += 4096,
                Ok(Err(_)) => break,
                // It takes no more, and has not ended the link.
                Err(_) => break,
            }
        }
        // The peer's answer may still be on its way.
        let ended = tokio::time::timeout(Duration::from_secs(2), link.connection.closed()).await;
        Ok((sent, ended.ok().map(|why| why.to_string())))
    })
}

/// Connects and closes with `reason`.
///
/// # Errors
/// [`Error::Scene`] when there is no link to begin with.
pub fn close_with(scene: &Scene, who: &str, to: SocketAddr, reason: &[u8]) -> Result<(), Error> {
    inside(async {
        let link = connect(scene, who, to).await?;
        // The link stands once the peer has taken the hello.
        tokio::time::sleep(Duration::from_millis(200)).await;
        link.connection.close(1u32.into(), reason);
        link.endpoint.wait_idle().await;
        Ok(())
    })
}

//! Who a party is: a self-signed certificate, known to the others by its exact bytes.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer,
};
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

const CERTIFICATE_TAG: &str = "CERTIFICATE";
const KEY_TAG: &str = "PRIVATE KEY";
/// Of what a key's successors name a server's models by.
const NAMING_TAG: &str = "SOTTOVOCE NAMING";

/// A party's public certificate; its fingerprint is what people compare.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(CertificateDer<'static>);

impl Certificate {
    pub(crate) fn from_der(der: &CertificateDer<'_>) -> Self {
        Certificate(der.clone().into_owned())
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// The public key in it: one key may be in many certificates.
    pub(crate) fn public_key(&self) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
        let parsed = rustls::server::ParsedCertificate::try_from(&self.0)
            .map_err(|error| Error::Config(format!("not an X.509 certificate: {error}")))?;
        Ok(parsed.subject_public_key_info())
    }

    /// Reads the PEM text of one certificate.
    ///
    /// # Errors
    /// [`Error::Config`] when the text is not exactly that.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let parsed = pem::parse(text)
            .map_err(|error| Error::Config(format!("not a certificate in PEM form: {error}")))?;
        if parsed.tag() != CERTIFICATE_TAG {
            return Err(Error::Config(format!(
                "PEM text of a {}, not of a certificate",
                parsed.tag()
            )));
        }
        let certificate = Certificate(CertificateDer::from(parsed.into_contents()));
        certificate.public_key()?;
        Ok(certificate)
    }

    /// The certificate as PEM text, to be given to the other parties.
    pub fn to_pem(&self) -> String {
        pem::encode(&pem::Pem::new(CERTIFICATE_TAG, self.0.to_vec()))
    }

    /// Reads a certificate file in PEM form.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`], naming the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path)
            .map_err(|error| Error::io(format!("read {}", path.display()), &error))?;
        Certificate::from_pem(&text)
            .map_err(|error| Error::Config(format!("{}: {error}", path.display())))
    }

    /// Writes the certificate as a PEM file, over an older one if there is one.
    ///
    /// # Errors
    /// [`Error::Io`], naming the file.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        fs::write(path, self.to_pem())
            .map_err(|error| Error::io(format!("write {}", path.display()), &error))
    }

    /// SHA-256 of the certificate in hex, as `openssl x509 -fingerprint -sha256` shows it but for
    /// the colons.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

/// A party's certificate and private key (Ed25519).
///
/// # Security
/// The key's bytes are wiped on drop; the copies inside the TLS library are not. The certificate
/// never expires: trust ends when the others drop it from their lists.
pub struct Identity {
    name: String,
    certificate: Certificate,
    key: Zeroizing<Vec<u8>>,
    /// What [`Identity::naming`] gives, where an earlier key has given it.
    naming: Option<Secret>,
}

type Secret = Zeroizing<[u8; 32]>;

/// Whether others than its owner may use a file of this owner and mode. A file of root's may be read by a group, as in
/// PostgreSQL: root gives it to a service so, and Kubernetes its secrets.
#[cfg(unix)]
fn others_read(owner: u32, mode: u32) -> bool {
    mode & if owner == 0 { 0o037 } else { 0o077 } != 0
}

impl Identity {
    /// A fresh key and a self-signed certificate for it.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is not letters, digits, `-` and `_`.
    pub fn generate(name: &str) -> Result<Self, Error> {
        check_name(name)?;
        let failed = |error: rcgen::Error| {
            Error::Config(format!("cannot make a certificate for {name}: {error}"))
        };
        let mut pair = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        let certificate = self_signed(name, &pair).map_err(failed)?;
        let key = Zeroizing::new(pair.serialized_der().to_vec());
        pair.zeroize();
        Ok(Identity { name: name.into(), certificate, key, naming: None })
    }

    /// As the successor of `before`: what is named under that key keeps its name.
    pub fn after(self, before: &Identity) -> Self {
        Identity { naming: Some(before.naming()), ..self }
    }

    /// Another certificate for the same key.
    #[cfg(test)]
    pub(crate) fn renewed(&self, name: &str) -> Result<Certificate, rcgen::Error> {
        self_signed(name, &KeyPair::try_from(self.key.as_slice())?)
    }

    /// Writes `name.key` (mode 0600 from the start) and `name.cert` into the folder.
    ///
    /// # Errors
    /// [`Error::Io`]; a key file that is there already is never overwritten.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(format!("{}.key", self.name));
        // Each by itself: a text that grows leaves copies behind that nobody wipes.
        let block = |tag, bytes: &[u8]| Zeroizing::new(pem::encode(&pem::Pem::new(tag, bytes)));
        let mut blocks = vec![block(KEY_TAG, &self.key)];
        blocks.extend(self.naming.as_deref().map(|naming| block(NAMING_TAG, naming)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&path).and_then(|mut file| {
            blocks.iter().try_for_each(|block| file.write_all(block.as_bytes()))?;
            file.sync_all()
        });
        written.map_err(|error| Error::io(format!("write {}", path.display()), &error))?;
        self.certificate.save(&dir.join(format!("{}.cert", self.name)))
    }

    /// Reads what [`Identity::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`]; a key file that others may read is refused.
    pub fn load(dir: &Path, name: &str) -> Result<Self, Error> {
        check_name(name)?;
        let path = dir.join(format!("{name}.key"));
        let io = |error: std::io::Error| Error::io(format!("read {}", path.display()), &error);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let found = fs::metadata(&path).map_err(io)?;
            if others_read(found.uid(), found.mode()) {
                let path = path.display();
                return Err(Error::Config(format!(
                    "{path} may be read by others; chmod 600 it (or 640, where it is root's), or make a new one"
                )));
            }
        }
        let text = Zeroizing::new(fs::read_to_string(&path).map_err(io)?);
        let (key, naming) = secrets_of(&text).ok_or_else(|| {
            Error::Config(format!("{} is not a private key in PEM form", path.display()))
        })?;
        let certificate = Certificate::load(&dir.join(format!("{name}.cert")))?;
        Ok(Identity { name: name.into(), certificate, key, naming })
    }

    /// A key and the certificate for it, as PEM texts, which are the caller's to wipe.
    ///
    /// # Errors
    /// [`Error::Config`] for texts that are something else; no error quotes the key.
    pub fn from_pem(name: &str, certificate: &str, key: &str) -> Result<Self, Error> {
        check_name(name)?;
        let (key, naming) = secrets_of(key)
            .ok_or_else(|| Error::Config(format!("the key of {name} is none in PEM form")))?;
        let certificate = Certificate::from_pem(certificate)?;
        Ok(Identity { name: name.into(), certificate, key, naming })
    }

    /// The public half, to be given to the other parties.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The party's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A secret that only the holder of this key can make, the same at every start.
    pub fn secret(&self, purpose: &str) -> Secret {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.key);
        let tag = ring::hmac::sign(&key, format!("sottovoce {purpose}").as_bytes());
        Zeroizing::new(std::array::from_fn(|i| tag.as_ref()[i]))
    }

    /// The secret under which a server's models have their hashes: the first key's that it follows ([`Identity::after`]).
    pub fn naming(&self) -> Secret {
        self.naming.clone().unwrap_or_else(|| self.secret("model commitment"))
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, {})", self.name, self.certificate.fingerprint())
    }
}

/// The key in a PEM text, and what an earlier one gave it. The parser's own error might quote them.
fn secrets_of(text: &str) -> Option<(Zeroizing<Vec<u8>>, Option<Secret>)> {
    let mut parsed = pem::parse_many(text.as_bytes()).ok()?.into_iter();
    let of = |block: pem::Pem, tag: &str| {
        let is = block.tag() == tag;
        Some(Zeroizing::new(block.into_contents())).filter(|_| is)
    };
    let key = of(parsed.next()?, KEY_TAG)?;
    let Some(naming) = parsed.next() else { return Some((key, None)) };
    let naming = Zeroizing::new(of(naming, NAMING_TAG)?[..].try_into().ok()?);
    parsed.next().is_none().then_some((key, Some(naming)))
}

fn self_signed(name: &str, pair: &KeyPair) -> Result<Certificate, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(Certificate::from_der(params.self_signed(pair)?.der()))
}

/// Whether a party may be called so: names stand in logs, file names and key derivations.
///
/// # Errors
/// [`Error::Config`] for a name that is not 1 to 64 letters, digits, `-` and `_`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Error::Config(format!(
            "{name:.64?}: a party's name is 1 to 64 letters, digits, - and _"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! What every configuration has: ourselves and our peers.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use sotto_net::{Certificate, Endpoint, Identity, Profile};

use crate::error::Error;

/// A peer: where it is and which certificate it must show.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name, as its certificate and errors have it.
    pub name: String,
    /// Its pinned certificate, or two while it changes its key.
    pub certificate: Certificates,
    /// Where it listens, `HOST:port`, looked up at every connection; not needed for those that connect to us.
    pub address: Option<String>,
}

impl Peer {
    /// One that listens at `HOST:port` and shows this certificate.
    pub fn new(name: &str, certificate: Certificate, address: &str) -> Self {
        let certificate = Certificates::Held(vec![certificate]);
        Self { name: name.into(), certificate, address: Some(address.into()) }
    }

    /// The same with its certificates read, with `base` the configuration's folder.
    ///
    /// # Errors
    /// [`Error::Net`] for a file that holds none.
    pub fn held(&self, base: &Path) -> Result<Self, Error> {
        let certificate = Certificates::Held(self.certificate.read(base)?);
        Ok(Self { certificate, ..self.clone() })
    }
}

/// A party's certificates: files of them, or themselves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a certificate's file, or a list of two while its party changes its key"
)]
pub enum Certificates {
    /// The one that it shows.
    One(PathBuf),
    /// The one that it shows, and the one that comes or goes.
    Two([PathBuf; 2]),
    /// In memory.
    #[serde(skip)]
    Held(Vec<Certificate>),
}

impl Certificates {
    /// The files.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Certificates::One(file) => std::slice::from_ref(file),
            Certificates::Two(files) => files,
            Certificates::Held(_) => &[],
        }
    }

    fn read(&self, base: &Path) -> Result<Vec<Certificate>, Error> {
        let load = |file: &PathBuf| Ok(Certificate::load(&base.join(file))?);
        match self {
            Certificates::Held(all) => Ok(all.clone()),
            _ => self.files().iter().map(load).collect(),
        }
    }
}

/// What all parties have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Our name; `NAME.key` and `NAME.cert` lie in `keys`.
    pub name: String,
    /// Folder of our key and certificate.
    pub keys: PathBuf,
    /// Where we listen. Those that only connect use a free port.
    pub listen: Option<SocketAddr>,
    /// Where the process answers over HTTP for `/live`, `/ready` and `/metrics`; nowhere without. Whoever reaches it reads peers'
    /// names and counts, nothing else.
    pub health: Option<SocketAddr>,
    /// `loopback`, `lan` or `wan`.
    #[serde(default = "default_network")]
    pub network: String,
    /// Seconds before a silent peer is given up.
    #[serde(default = "default_deadline")]
    pub deadline: u64,
}

/// Names and certificates.
type Pins = Vec<(String, Certificate)>;

/// Our key, and whom an endpoint dials and accepts: read, and not in use yet.
pub struct Pinned {
    identity: Identity,
    peers: [Pins; 2],
}

fn default_network() -> String {
    "lan".into()
}

fn default_deadline() -> u64 {
    30
}

impl Own {
    /// The deadline as a duration.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline.max(1))
    }

    /// Our key and certificate.
    ///
    /// # Errors
    /// [`Error::Net`] when they cannot be used.
    pub fn identity(&self, base: &Path) -> Result<Identity, Error> {
        Ok(Identity::load(&base.join(&self.keys), &self.name)?)
    }

    /// Reads our key and the certificates of others, whom an endpoint of ours is to dial and to accept.
    ///
    /// # Errors
    /// As [`Own::bind`].
    pub fn pinned(&self, base: &Path, dial: &[&Peer], accept: &[&Peer]) -> Result<Pinned, Error> {
        let identity = self.identity(base)?;
        Ok(Pinned { peers: pinned(&self.name, base, dial, accept)?, identity })
    }

    /// The transport's settings.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown network.
    pub fn profile(&self) -> Result<Profile, Error> {
        match self.network.as_str() {
            "loopback" => Ok(Profile::loopback()),
            "lan" => Ok(Profile::lan()),
            "wan" => Ok(Profile::wan()),
            other => {
                Err(Error::Config(format!("network `{other}`: loopback, lan or wan are accepted")))
            }
        }
    }

    /// Binds our endpoint, with `base` the folder of the configuration: it dials some and is dialled by others, and
    /// does not listen where nobody may.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown network, [`Error::Net`] for keys or addresses that do not work.
    pub fn bind(&self, base: &Path, dial: &[&Peer], accept: &[&Peer]) -> Result<Endpoint, Error> {
        let (profile, identity) = (self.profile()?, self.identity(base)?);
        let [dialled, accepted] = pinned(&self.name, base, dial, accept)?;
        let at = self
            .listen
            .filter(|_| !accept.is_empty())
            .unwrap_or_else(|| any(dial.iter().chain(accept)));
        Ok(Endpoint::bind(at, &identity, &dialled, &accepted, profile)?)
    }
}

impl Pinned {
    /// Has an endpoint of ours dial and accept these from now on.
    ///
    /// # Errors
    /// [`Error::Net`] where they do not go together, or nobody could connect before; then nothing is changed.
    pub fn rebind(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let Self { identity, peers: [dialled, accepted] } = self;
        Ok(endpoint.replace_peers(identity, dialled, accepted)?)
    }
}

/// Binds an endpoint that dials, and listens nowhere. Certificates of peers are in memory.
///
/// # Errors
/// [`Error::Config`] for two parties of one name, [`Error::Net`] for keys that do not work.
pub fn dialling(identity: &Identity, profile: Profile, dial: &[&Peer]) -> Result<Endpoint, Error> {
    let [dialled, _] = pinned(identity.name(), Path::new(""), dial, &[])?;
    Ok(Endpoint::bind(any(dial.iter()), identity, &dialled, &[], profile)?)
}

/// A free port, from which peers can be dialled.
fn any<'a>(peers: impl Iterator<Item = &'a &'a Peer>) -> SocketAddr {
    // A name that cannot be looked up yet may be known once we connect.
    match peers.filter(|p| p.address.is_some()).find_map(|p| p.address().ok()) {
        Some(a) if a.is_ipv6() => SocketAddr::from(([0u16; 8], 0)),
        _ => SocketAddr::from(([0u8; 4], 0)),
    }
}

/// The certificates of those that we dial, and of those that we accept.
fn pinned(own: &str, base: &Path, dial: &[&Peer], accept: &[&Peer]) -> Result<[Pins; 2], Error> {
    let peers: Vec<_> = dial.iter().chain(accept).collect();
    let twice = (peers.iter().enumerate())
        .find(|(i, p)| p.name == own || peers[..*i].iter().any(|q| q.name == p.name));
    if let Some((_, peer)) = twice {
        return Err(Error::Config(format!(
            "`{}` is the name of two parties; give each its own",
            peer.name
        )));
    }
    peers.iter().try_for_each(|p| p.check())?;
    let pinned = |peers: &[&Peer]| {
        let pin = |peer: &&Peer| -> Result<Pins, Error> {
            let all = peer.certificate.read(base)?.into_iter();
            Ok(all.map(|certificate| (peer.name.clone(), certificate)).collect())
        };
        Ok::<Pins, Error>(peers.iter().map(pin).collect::<Result<Vec<_>, _>>()?.concat())
    };
    Ok([pinned(dial)?, pinned(accept)?])
}

impl Peer {
    /// Where it listens; of a name's addresses an IPv4 one where there is one.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration does not say, or the name is unknown.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        let address = self.address.as_ref().ok_or_else(|| {
            Error::Config(format!("peer `{}` needs an `address = \"HOST:port\"`", self.name))
        })?;
        self.check()?;
        let unusable = |why: String| self.unusable(address, &why);
        let found = address.to_socket_addrs().map_err(|e| unusable(e.to_string()))?;
        let found: Vec<SocketAddr> = found.collect();
        let v4 = found.iter().find(|a| a.is_ipv4()).or(found.first());
        v4.copied().ok_or_else(|| unusable("the name has no address".into()))
    }

    /// Refuses an address that no look-up can mend.
    fn check(&self) -> Result<(), Error> {
        let Some(address) = &self.address else { return Ok(()) };
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(()),
            _ => Err(self.unusable(address, "it has no host and port")),
        }
    }

    fn unusable(&self, address: &str, why: &str) -> Error {
        Error::Config(format!(
            "the address `{address}` of peer `{}` cannot be used: {why}; a HOST:port is accepted, such as \
             dealer.example.org:7100, 192.0.2.10:7100 or [2001:db8::1]:7100",
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: Option<&str>) -> Peer {
        let address = address.map(str::to_owned);
        Peer {
            name: "dealer".into(),
            certificate: Certificates::One("dealer.cert".into()),
            address,
        }
    }

    #[test]
    fn addresses_are_numbers_or_names() {
        let numbers = peer(Some("192.0.2.10:7100")).address().unwrap();
        assert_eq!(numbers, "192.0.2.10:7100".parse().unwrap());
        assert!(peer(Some("[2001:db8::1]:7100")).address().unwrap().is_ipv6());
        let name = peer(Some("localhost:7100")).address().unwrap();
        assert!(name.ip().is_loopback() && name.port() == 7100);
    }

    #[test]
    fn other_addresses_are_refused_with_what_is_accepted() {
        for address in [None, Some("192.0.2.10"), Some("192.0.2.10:port"), Some("")] {
            let error = peer(address).address().unwrap_err();
            let text = error.to_string();
            assert!(text.contains("HOST:port") && text.contains("dealer"), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}

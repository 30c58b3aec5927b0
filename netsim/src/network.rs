//! Networks between client, server and dealer.

mod file;

use crate::Error;
use file::File;
pub use file::PathFile;

/// A machine that runs one of the three parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Owns the input.
    Client,
    /// Owns the weights.
    Server,
    /// Supplies correlated randomness.
    Dealer,
}

/// One direction between two hosts.
///
/// A packet waits until the packets before it have left (at `rate`, which counts IP packets whole:
/// UDP payload and 28 bytes of headers), then travels for `delay` and a uniform extra of up to
/// `jitter`, without overtaking. More than `queue` waiting bytes are dropped, and so is the share
/// `loss`; the share `reorder` is held back so that later packets overtake it.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// One-way propagation, seconds.
    pub delay: f64,
    /// Largest extra delay, seconds.
    pub jitter: f64,
    /// Bytes per second; infinite where nothing limits it.
    pub rate: f64,
    /// Share of packets that are lost.
    pub loss: f64,
    /// Share of packets that are overtaken.
    pub reorder: f64,
    /// Bytes that may wait to be sent.
    pub queue: f64,
    /// Largest IP packet, bytes: larger ones are dropped.
    pub mtu: usize,
}

impl Direction {
    /// No delay and no limit.
    pub const FREE: Direction = Direction {
        delay: 0.0,
        jitter: 0.0,
        rate: f64::INFINITY,
        loss: 0.0,
        reorder: 0.0,
        queue: f64::INFINITY,
        mtu: 65_535,
    };

    /// A clean Ethernet-sized direction of `rate` bytes a second and `delay` seconds.
    pub fn new(rate: f64, delay: f64) -> Self {
        Self { delay, rate, queue: queue(rate), mtu: 1500, ..Self::FREE }
    }
}

/// What a router of this rate lets wait: 200 ms of it, and at least a megabyte.
fn queue(rate: f64) -> f64 {
    (0.2 * rate).max(1e6)
}

/// Both directions between two hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// From the host named first to the other.
    pub up: Direction,
    /// Back.
    pub down: Direction,
}

impl Path {
    /// The same both ways.
    pub fn symmetric(direction: Direction) -> Self {
        Self { up: direction.clone(), down: direction }
    }
}

/// The three paths of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// For people.
    pub name: String,
    /// Client (up) and server.
    pub client_server: Path,
    /// Client (up) and dealer.
    pub client_dealer: Path,
    /// Server (up) and dealer.
    pub server_dealer: Path,
}

/// Round trips up to so many seconds are a local network's: the parties' transport settings differ beyond.
pub const LOCAL_ROUND_TRIP: f64 = 2e-3;

/// Names that [`Network::preset`] knows, each with what it stands for.
pub const PRESETS: [(&str, &str); 7] = [
    ("loopback", "three processes on one machine, nothing added"),
    ("lan", "1 Gb/s, 0.1 ms one way"),
    ("lan-cheetah", "384 MB/s, 0.3 ms round trip: the LAN of Cheetah and its followers"),
    ("wan-cheetah", "44 MB/s, 40 ms round trip: the WAN of Cheetah, MPCViT and others"),
    ("wan", "100 Mb/s, 20 ms one way"),
    (
        "mobile",
        "the client on LTE: 10 Mb/s up, 40 Mb/s down, 30 ms one way and up to 5 ms more; server and dealer on 1 Gb/s, 5 ms",
    ),
    ("intercontinental", "200 Mb/s, 75 ms one way"),
];

impl Network {
    /// The same path between all hosts.
    pub fn uniform(name: &str, path: Path) -> Self {
        Self {
            name: name.to_owned(),
            client_server: path.clone(),
            client_dealer: path.clone(),
            server_dealer: path,
        }
    }

    /// A network of [`PRESETS`].
    ///
    /// # Errors
    /// [`Error::Input`] that lists the presets.
    pub fn preset(name: &str) -> Result<Self, Error> {
        let same = |rate, delay| Self::uniform(name, Path::symmetric(Direction::new(rate, delay)));
        Ok(match name {
            "loopback" => Self::uniform(name, Path::symmetric(Direction::FREE)),
            "lan" => same(125e6, 1e-4),
            "lan-cheetah" => same(384e6, 1.5e-4),
            "wan-cheetah" => same(44e6, 0.02),
            "wan" => same(12.5e6, 0.02),
            "intercontinental" => same(25e6, 0.075),
            "mobile" => {
                let radio = |rate| Direction { jitter: 0.005, ..Direction::new(rate, 0.03) };
                let path = Path { up: radio(1.25e6), down: radio(5e6) };
                Self {
                    server_dealer: Path::symmetric(Direction::new(125e6, 0.005)),
                    ..Self::uniform(name, path)
                }
            }
            _ => {
                let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                return Err(Error::Input(format!(
                    "there is no network `{name}`; there are {}, or a TOML file",
                    names.join(", ")
                )));
            }
        })
    }

    /// A network from a TOML text.
    ///
    /// ```toml
    /// name = "branch office"
    /// [client_server]        # up: from the first named to the other
    /// rtt = "30ms"           # or `delay`, one way
    /// up = "20Mbps"
    /// down = "100Mbps"
    /// jitter = "2ms"         # the rest may be left out
    /// loss = "0.1%"
    /// reorder = "0.1%"
    /// queue = "1MB"
    /// mtu = 1500
    /// [client_dealer]        # as client_server where it is left out
    /// rtt = "10ms"
    /// [server_dealer]
    /// rate = "1Gbps"         # both ways
    /// ```
    ///
    /// # Errors
    /// [`Error::Input`] that names the key and says what is accepted.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|e| {
            Error::Input(format!(
                "a network needs a table [client_server] with rtt (or delay), up, down: {}",
                e.to_string().trim_end()
            ))
        })?;
        let between = file.client_server.path()?;
        let other = |path: Option<PathFile>| match path {
            None => Ok(between.clone()),
            Some(path) => path.path(),
        };
        Ok(Self {
            name: file.name.unwrap_or_else(|| "custom".to_owned()),
            client_dealer: other(file.client_dealer)?,
            server_dealer: other(file.server_dealer)?,
            client_server: between,
        })
    }

    /// With the client's two paths changed in what `changes` says; the server's path to the dealer stays.
    ///
    /// # Errors
    /// Those of [`PathFile::path`].
    pub fn with_client(mut self, changes: &PathFile) -> Result<Self, Error> {
        let new = changes.path()?;
        let both = changes.rate.is_some();
        for path in [&mut self.client_server, &mut self.client_dealer] {
            let ways = [
                (&mut path.up, &new.up, both || changes.up.is_some()),
                (&mut path.down, &new.down, both || changes.down.is_some()),
            ];
            for (direction, new, has_rate) in ways {
                if has_rate {
                    (direction.rate, direction.queue) = (new.rate, new.queue);
                }
                let times = changes.rtt.is_some() || changes.delay.is_some();
                for (is_given, field, value) in [
                    (times, &mut direction.delay, new.delay),
                    (changes.jitter.is_some(), &mut direction.jitter, new.jitter),
                    (changes.loss.is_some(), &mut direction.loss, new.loss),
                    (changes.reorder.is_some(), &mut direction.reorder, new.reorder),
                    (changes.queue.is_some(), &mut direction.queue, new.queue),
                ] {
                    if is_given {
                        *field = value;
                    }
                }
                direction.mtu = changes.mtu.unwrap_or(direction.mtu);
            }
        }
        Ok(self)
    }

    /// The direction from one host to another.
    ///
    /// # Panics
    /// When both are the same.
    pub fn direction(&self, from: Host, to: Host) -> &Direction {
        use Host::{Client, Dealer, Server};
        match (from, to) {
            (Client, Server) => &self.client_server.up,
            (Server, Client) => &self.client_server.down,
            (Client, Dealer) => &self.client_dealer.up,
            (Dealer, Client) => &self.client_dealer.down,
            (Server, Dealer) => &self.server_dealer.up,
            (Dealer, Server) => &self.server_dealer.down,
            _ => panic!("a path joins two hosts, not {from:?} with itself"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_there_and_an_unknown_one_lists_them() {
        for (name, _) in PRESETS {
            assert_eq!(Network::preset(name).unwrap().name, name);
        }
        let cheetah = Network::preset("wan-cheetah").unwrap();
        assert_eq!(cheetah.direction(Host::Server, Host::Client).delay, 0.02);
        let message = Network::preset("wlan").unwrap_err().to_string();
        assert!(PRESETS.iter().all(|(name, _)| message.contains(name)), "{message}");
    }

    #[test]
    fn a_file_gives_each_pair_its_own_path() {
        let network = Network::from_toml(
            "name = \"office\"\n[client_server]\nrtt = \"30ms\"\nup = \"20Mbps\"\ndown = \"100Mbps\"\n\
             loss = \"0.1%\"\n[server_dealer]\nrate = \"1Gbps\"\ndelay = \"1ms\"\n",
        )
        .unwrap();
        let up = network.direction(Host::Client, Host::Dealer);
        assert_eq!((up.delay, up.rate, up.loss), (0.015, 2.5e6, 0.001));
        assert_eq!(network.direction(Host::Server, Host::Client).rate, 12.5e6);
        let dealt = network.direction(Host::Dealer, Host::Server);
        assert_eq!((dealt.delay, dealt.rate, dealt.queue), (0.001, 125e6, 25e6));
    }

    #[test]
    fn changes_leave_the_rest_of_a_network_as_it_is() {
        let mobile = Network::preset("mobile").unwrap();
        let text = |t: &str| Some(t.to_owned());
        let changes = PathFile { loss: text("1%"), up: text("80Mbps"), ..PathFile::default() };
        let changed = mobile.clone().with_client(&changes).unwrap();
        let up = changed.direction(Host::Client, Host::Server);
        assert_eq!((up.delay, up.jitter, up.rate, up.loss), (0.03, 0.005, 10e6, 0.01));
        let down = changed.direction(Host::Dealer, Host::Client);
        assert_eq!((down.delay, down.rate, down.loss), (0.03, 5e6, 0.01));
        assert_eq!(changed.server_dealer, mobile.server_dealer);
        assert_eq!(mobile.clone().with_client(&PathFile::default()).unwrap(), mobile);
        assert!(mobile.with_client(&PathFile { rtt: text("fast"), ..changes }).is_err());
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        for (text, hint) in [
            ("", "client_server"),
            ("[client_server]\nrtt = \"-1ms\"", "not negative"),
            ("[client_server]\nrtt = \"1ms\"\ndelay = \"1ms\"", "not both"),
            ("[client_server]\nrate = \"1Mbps\"\nup = \"1Mbps\"", "not both"),
            ("[client_server]\nspeed = \"1Mbps\"", "speed"),
            ("[client_server]\nmtu = 100", "1280"),
        ] {
            let message = Network::from_toml(text).unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}

//! `sotto emulate`, and networks for the demo: unmodified parties, with an emulated path between each two.

mod command;

use std::{fs, net::SocketAddr, path::Path as File, time::Duration};

use serde::{Deserialize, Serialize};
use sotto_netsim::{
    Direction, Host, LOCAL_ROUND_TRIP, Network, Path,
    emulate::{Counts, Emulator, Link, LinkPlan},
};

pub use command::{EmulateConfig, Partition, Said, run};

use crate::{error::Error, report};

/// Bytes that a slow network must carry within one deadline: a batch of corrections.
const LARGEST: f64 = 100e6;

/// The pairs of parties, with the names of their tables.
pub const PAIRS: [(&str, Host, Host); 3] = [
    ("client_server", Host::Client, Host::Server),
    ("client_dealer", Host::Client, Host::Dealer),
    ("server_dealer", Host::Server, Host::Dealer),
];

/// Where a path begins and ends.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Who connects uses this address instead of the target's.
    pub listen: SocketAddr,
    /// Where the other party listens.
    pub target: SocketAddr,
}

/// What went over a path, for programs.
#[derive(Clone, Debug, Serialize)]
pub struct PathLine {
    /// Name of the pair.
    pub path: &'static str,
    /// From the first named party.
    pub up: CountLine,
    /// To it.
    pub down: CountLine,
}

/// What happened to the packets of one direction.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CountLine {
    /// Packets that passed, or are on their way.
    pub packets: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Dropped because the queue was full.
    pub dropped_by_queue: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Dropped because they are larger than the path takes.
    pub too_large: u64,
    /// Dropped by a cut.
    pub cut: u64,
    /// Passed, but others overtook them.
    pub overtaken: u64,
    /// Dropped because this machine could not keep up.
    pub overrun: u64,
}

impl From<Counts> for CountLine {
    fn from(c: Counts) -> Self {
        Self {
            packets: c.packets,
            bytes: c.bytes,
            dropped_by_queue: c.full,
            lost: c.lost,
            too_large: c.too_large,
            cut: c.cut,
            overtaken: c.overtaken,
            overrun: c.overrun,
        }
    }
}

/// A preset, or a TOML file relative to `base`.
///
/// # Errors
/// [`Error::Config`] that says what is accepted, [`Error::Io`] when the file cannot be read.
pub fn network(name: &str, base: &File) -> Result<Network, Error> {
    let path = base.join(name);
    if File::new(name).extension().is_none() && !path.is_file() {
        return Network::preset(name).map_err(Error::unusable);
    }
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    Network::from_toml(&text).map_err(|e| Error::Config(format!("{}: {e}", path.display())))
}

fn directions(network: &Network) -> impl Iterator<Item = &Direction> {
    [&network.client_server, &network.client_dealer, &network.server_dealer]
        .into_iter()
        .flat_map(|path| [&path.up, &path.down])
}

/// Whether nothing needs to be emulated.
pub fn is_free(network: &Network) -> bool {
    directions(network).all(|d| *d == Direction::FREE)
}

/// The transport profile that fits: `loopback`, `lan` or `wan`.
pub fn profile(network: &Network) -> &'static str {
    let delay = directions(network).map(|d| d.delay + d.jitter).fold(0.0, f64::max);
    match 2.0 * delay {
        _ if is_free(network) => "loopback",
        rtt if rtt <= LOCAL_ROUND_TRIP => "lan",
        _ => "wan",
    }
}

/// A deadline under which the slowest direction carries the largest message, seconds.
pub fn deadline(network: &Network, least: u64) -> u64 {
    let rate = directions(network).map(|d| d.rate).fold(f64::INFINITY, f64::min);
    least + (LARGEST / rate).ceil() as u64
}

/// Running paths between parties.
pub struct Paths {
    /// Started with the first path.
    emulator: Option<Emulator>,
    seed: u64,
    network: Network,
    links: Vec<(&'static str, Link)>,
}

impl Paths {
    /// None yet.
    pub fn new(network: Network, seed: u64) -> Self {
        Self { emulator: None, seed, network, links: Vec::new() }
    }

    /// Adds the path of a pair named as in [`PAIRS`]; gives the address that its first party must connect to.
    ///
    /// # Errors
    /// [`Error::Config`] for another name, or for an address that cannot be had.
    pub fn add(&mut self, pair: &str, between: Between) -> Result<SocketAddr, Error> {
        let known = PAIRS.iter().find(|(name, ..)| *name == pair);
        let &(name, from, to) = known.ok_or_else(|| unknown(pair))?;
        let path = Path {
            up: self.network.direction(from, to).clone(),
            down: self.network.direction(to, from).clone(),
        };
        let plan = LinkPlan { listen: between.listen, target: between.target, path };
        let emulator = match &mut self.emulator {
            Some(emulator) => emulator,
            none => none.insert(Emulator::start(self.seed).map_err(Error::unusable)?),
        };
        let link = emulator.add(&plan).map_err(Error::unusable)?;
        let address = link.address();
        self.links.push((name, link));
        Ok(address)
    }

    /// Cuts a pair's path for a while.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such path.
    pub fn partition(&self, pair: &str, duration: Duration) -> Result<(), Error> {
        self.link(pair)?.partition(duration);
        Ok(())
    }

    /// Cuts a pair's path as soon as it has carried `bytes` in all from or to its first party.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such path.
    pub fn partition_at(&self, pair: &str, bytes: [u64; 2]) -> Result<(), Error> {
        self.link(pair)?.partition_at(bytes);
        Ok(())
    }

    fn link(&self, pair: &str) -> Result<&Link, Error> {
        let found = self.links.iter().find(|(name, _)| *name == pair);
        found.map(|(_, link)| link).ok_or_else(|| unknown(pair))
    }

    /// What went over each path so far.
    pub fn lines(&self) -> Vec<PathLine> {
        let line = |(path, link): &(&'static str, Link)| {
            let s = link.statistics();
            PathLine { path, up: s.up.into(), down: s.down.into() }
        };
        self.links.iter().map(line).collect()
    }

    /// Packets that this machine dropped although the path would have carried them.
    pub fn overrun(&self) -> u64 {
        self.lines().iter().map(|l| l.up.overrun + l.down.overrun).sum()
    }
}

fn unknown(pair: &str) -> Error {
    let names: Vec<&str> = PAIRS.iter().map(|(name, ..)| *name).collect();
    Error::Config(format!("there is no path `{pair}`; a path is one of {}", names.join(", ")))
}

/// One line for people.
pub fn summary(lines: &[PathLine]) -> String {
    let one = |l: &PathLine| {
        let drops = |c: &CountLine| {
            [
                (c.dropped_by_queue, "over the queue"),
                (c.lost, "lost"),
                (c.too_large, "too large"),
                (c.cut, "cut"),
                (c.overrun, "overrun"),
            ]
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!(", {n} {what}"))
            .collect::<String>()
        };
        format!(
            "{}: up {}{}; down {}{}",
            l.path,
            report::bytes(l.up.bytes),
            drops(&l.up),
            report::bytes(l.down.bytes),
            drops(&l.down)
        )
    };
    lines.iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_presets_or_files_and_profiles_fit_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("net.toml"),
            "[client_server]\nrtt = \"1ms\"\nrate = \"1MB/s\"\n",
        )
        .unwrap();
        let find = |name: &str| network(name, folder.path());
        assert_eq!(profile(&find("net.toml").unwrap()), "lan");
        assert_eq!(deadline(&find("net.toml").unwrap(), 30), 130);
        for (name, fits) in
            [("loopback", "loopback"), ("lan-cheetah", "lan"), ("wan", "wan"), ("mobile", "wan")]
        {
            assert_eq!(profile(&find(name).unwrap()), fits);
        }
        assert_eq!(deadline(&find("loopback").unwrap(), 30), 30);
        let unknown = find("wlan").unwrap_err();
        assert!(unknown.to_string().contains("wan-cheetah") && unknown.exit_code() == 2);
        assert!(matches!(find("none.toml"), Err(Error::Io { .. })));
        fs::write(folder.path().join("bad.toml"), "[client_server]\nrate = \"-1Mbps\"\n").unwrap();
        let bad = find("bad.toml").unwrap_err().to_string();
        assert!(bad.contains("bad.toml") && bad.contains("100Mbps"), "{bad}");
    }
}

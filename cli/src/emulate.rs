//! `sotto emulate`, and networks for the demo: unmodified parties, with an emulated path between each two.

use std::{
    fs,
    net::SocketAddr,
    path::{Path as File, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sotto_netsim::{
    Direction, Host, Network, Path,
    emulate::{Counts, Emulator, Link, LinkPlan},
};

use crate::{error::Error, report};

/// Round trips up to so many seconds are a local network's.
const LOCAL: f64 = 2e-3;

/// Bytes that a slow network must carry within one deadline: a batch of corrections.
const LARGEST: f64 = 100e6;

/// The pairs of parties, with the names of their tables.
pub const PAIRS: [(&str, Host, Host); 3] = [
    ("client_server", Host::Client, Host::Server),
    ("client_dealer", Host::Client, Host::Dealer),
    ("server_dealer", Host::Server, Host::Dealer),
];

/// `emulate.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmulateConfig {
    /// A preset, or a TOML file beside this one.
    pub network: String,
    /// Losses and jitter follow from it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The client connects to the server.
    pub client_server: Option<Between>,
    /// The client connects to the dealer.
    pub client_dealer: Option<Between>,
    /// The server connects to the dealer.
    pub server_dealer: Option<Between>,
    /// Cuts of a path.
    #[serde(default)]
    pub partition: Vec<Partition>,
}

fn default_seed() -> u64 {
    1
}

/// Where a path begins and ends.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Who connects uses this address instead of the target's.
    pub listen: SocketAddr,
    /// Where the other party listens.
    pub target: SocketAddr,
}

/// A time in which nothing passes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// `client_server`, `client_dealer` or `server_dealer`.
    pub path: String,
    /// From the start, seconds.
    pub after: f64,
    /// How long, seconds.
    pub lasts: f64,
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
    packets: u64,
    bytes: u64,
    dropped_by_queue: u64,
    lost: u64,
    too_large: u64,
    cut: u64,
    overtaken: u64,
    overrun: u64,
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

fn refused(error: sotto_netsim::Error) -> Error {
    Error::Config(error.to_string())
}

/// A preset, or a TOML file relative to `base`.
///
/// # Errors
/// [`Error::Config`] that says what is accepted, [`Error::Io`] when the file cannot be read.
pub fn network(name: &str, base: &File) -> Result<Network, Error> {
    let path = base.join(name);
    if File::new(name).extension().is_none() && !path.is_file() {
        return Network::preset(name).map_err(refused);
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
        rtt if rtt <= LOCAL => "lan",
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
    emulator: Emulator,
    network: Network,
    links: Vec<(&'static str, Link)>,
}

impl Paths {
    /// Starts without a path.
    ///
    /// # Errors
    /// [`Error::Config`] when the system refuses a thread.
    pub fn start(network: Network, seed: u64) -> Result<Self, Error> {
        let emulator = Emulator::start(seed).map_err(refused)?;
        Ok(Self { emulator, network, links: Vec::new() })
    }

    /// Adds the path of a pair named as in [`PAIRS`]; gives the address that its first party must connect to.
    ///
    /// # Errors
    /// [`Error::Config`] for another name, or an address that cannot be had.
    pub fn add(&mut self, pair: &str, between: Between) -> Result<SocketAddr, Error> {
        let known = PAIRS.iter().find(|(name, ..)| *name == pair);
        let &(name, from, to) = known.ok_or_else(|| unknown(pair))?;
        let path = Path {
            up: self.network.direction(from, to).clone(),
            down: self.network.direction(to, from).clone(),
        };
        let plan = LinkPlan { listen: between.listen, target: between.target, path };
        let link = self.emulator.add(&plan).map_err(refused)?;
        let address = link.address();
        self.links.push((name, link));
        Ok(address)
    }

    /// Cuts a pair's path for a while.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such path.
    pub fn partition(&self, pair: &str, duration: Duration) -> Result<(), Error> {
        let link = self.links.iter().find(|(name, _)| *name == pair);
        link.ok_or_else(|| unknown(pair))?.1.partition(duration);
        Ok(())
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

/// Emulates what the file says until `stopped` says something or is dropped; `progress` gets the
/// addresses first, then a line each second.
///
/// # Errors
/// [`Error::Config`] and [`Error::Io`] for what cannot be used.
pub fn run(
    config: &File,
    stopped: &mpsc::Receiver<()>,
    progress: &mut dyn FnMut(String),
) -> Result<Vec<PathLine>, Error> {
    let base = config.parent().map_or_else(PathBuf::new, File::to_path_buf);
    let config: EmulateConfig = crate::config::load(config)?;
    let network = network(&config.network, &base)?;
    let mut paths = Paths::start(network, config.seed)?;
    let betweens = [config.client_server, config.client_dealer, config.server_dealer];
    for ((name, ..), between) in PAIRS.into_iter().zip(betweens) {
        let Some(between) = between else { continue };
        let address = paths.add(name, between)?;
        progress(format!("{name} to {} is listening on {address}", between.target));
    }
    if paths.links.is_empty() {
        return Err(Error::Config(
            "nothing to emulate: give [client_server], [client_dealer] or [server_dealer] with listen and target".into(),
        ));
    }
    let time = |seconds: f64| {
        Duration::try_from_secs_f64(seconds).map_err(|_| {
            Error::Config(format!("a partition's `{seconds}` is not a time: seconds, 0 or more"))
        })
    };
    let mut cuts = Vec::new();
    for p in &config.partition {
        // Says at once when there is no such path.
        paths.partition(&p.path, Duration::ZERO)?;
        cuts.push((time(p.after)?, p.path.as_str(), time(p.lasts)?));
    }
    cuts.sort();
    let start = Instant::now();
    let mut report_at = Duration::from_secs(1);
    loop {
        let next = cuts.first().map_or(report_at, |c| c.0.min(report_at));
        match stopped.recv_timeout(next.saturating_sub(start.elapsed())) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            _ => return Ok(paths.lines()),
        }
        let now = start.elapsed();
        while cuts.first().is_some_and(|c| c.0 <= now) {
            let (_, pair, lasts) = cuts.remove(0);
            paths.partition(pair, lasts)?;
            progress(format!("{pair} is cut for {lasts:?}"));
        }
        if now >= report_at {
            report_at = now + Duration::from_secs(1);
            progress(summary(&paths.lines()));
        }
    }
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

    #[test]
    fn a_file_starts_its_paths_and_cuts_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("emulate.toml");
        let text = "network = \"wan\"\n[client_server]\nlisten = \"127.0.0.1:0\"\ntarget = \"127.0.0.1:9\"\n\
                    [[partition]]\npath = \"client_server\"\nafter = 0.01\nlasts = 2\n";
        fs::write(&file, text).unwrap();
        let (stop, stopped) = mpsc::channel();
        let mut seen = Vec::new();
        let lines = run(&file, &stopped, &mut |line| {
            if line.contains("is cut for 2s") {
                stop.send(()).unwrap();
            }
            seen.push(line);
        })
        .unwrap();
        assert!(seen[0].starts_with("client_server to 127.0.0.1:9 is listening on 127.0.0.1:"));
        assert_eq!(lines.len(), 1);

        for (text, hint) in [
            ("network = \"wan\"\n", "nothing to emulate"),
            ("network = \"lan\"\n[[partition]]\npath = \"x\"\nafter = 1\nlasts = 1\n", "nothing"),
            (&text.replace("lasts = 2", "lasts = -2"), "0 or more"),
            (&text.replace("path = \"client_server\"", "path = \"server_dealer\""), "no path"),
            (&text.replace("wan", "wlan"), "mobile"),
        ] {
            fs::write(&file, text).unwrap();
            let error = run(&file, &stopped, &mut drop).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}

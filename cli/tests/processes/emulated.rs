//! Parties over an emulated network: loss, reordering, cuts.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sotto::emulate::{Between, CountLine, Paths};
use sotto_netsim::{Direction, Network, Path};

use crate::{
    parties::{LOCAL, Parties, program, wait_until},
    roles::dial,
    spawned::Process,
};

/// More bytes than anybody sends.
pub const NEVER: u64 = u64::MAX;

/// Both ends of a path of this kind: far enough that the parties need the profile for long paths.
pub fn distant(rate: f64) -> Direction {
    Direction::new(rate, 0.004)
}

/// Dealer and server, with an emulated path between each two parties.
pub struct Deployed {
    pub parties: Parties,
    pub paths: Paths,
    pub dealer: Process,
    pub server: Process,
    /// Where each listens itself.
    pub dealer_at: SocketAddr,
    pub server_at: SocketAddr,
    /// Where the server finds the dealer.
    pub servers_dealer: SocketAddr,
    /// The client's configuration.
    pub config: String,
}

impl Deployed {
    /// Starts dealer and server, which fetch each batch when it is asked for.
    pub fn new(direction: Direction, deadline: u64) -> Self {
        let mut parties = Parties::new();
        (parties.profile, parties.deadline) = ("wan", deadline);
        let network = Network::uniform("test", Path::symmetric(direction));
        let mut paths = Paths::new(network, 5);
        let mut between =
            |pair, target| paths.add(pair, Between { listen: LOCAL, target }).unwrap();
        let (dealer, dealer_at) = parties.dealer("", None);
        let servers_dealer = between("server_dealer", dealer_at);
        let (server, server_at) = parties.server("pool = 0\n", servers_dealer, None);
        let at = [between("client_server", server_at), between("client_dealer", dealer_at)];
        let config = parties.client_config("client", "pool = 0\n", at);
        Self { parties, paths, dealer, server, dealer_at, server_at, servers_dealer, config }
    }

    /// Starts a client on so many pictures.
    pub fn client(&self, pictures: usize) -> Process {
        self.parties.start_infer(&self.config, &["--json-lines", &self.parties.many(pictures)])
    }

    /// Starts a client on so many pictures, and waits until a pair's path has carried `more` bytes from its first party,
    /// or back, and is cut: the session stands still there until the path is mended or somebody's deadline is over,
    /// however busy this machine is.
    pub fn client_until(&self, (pair, more): (&str, [u64; 2]), pictures: usize) -> Process {
        let before = self.bytes(pair);
        let at = [0, 1].map(|way| before[way].saturating_add(more[way]));
        self.paths.partition_at(pair, at).unwrap();
        let client = self.client(pictures);
        let carried = || self.bytes(pair).iter().zip(at).any(|(bytes, at)| *bytes >= at);
        wait_until("the phase", carried);
        client
    }

    /// Classifies one picture, which must work.
    pub fn works(&self) {
        self.parties.works(&self.config);
    }

    /// Cuts every path.
    pub fn cut(&self, duration: Duration) {
        for line in self.paths.lines() {
            self.paths.partition(line.path, duration).unwrap();
        }
    }

    /// Mends every path.
    pub fn mend(&self) {
        self.cut(Duration::ZERO);
    }

    /// Sum over all paths and both directions.
    pub fn sum(&self, of: impl Fn(&CountLine) -> u64) -> u64 {
        self.paths.lines().iter().map(|l| of(&l.up) + of(&l.down)).sum()
    }

    /// Bytes that have come from and to the first party of a pair.
    pub fn bytes(&self, pair: &str) -> [u64; 2] {
        let lines = self.paths.lines();
        let line = lines.iter().find(|l| l.path == pair).unwrap();
        [line.up.bytes, line.down.bytes]
    }
}

#[test]
fn one_percent_loss_costs_time_alone() {
    let deployed = Deployed::new(Direction { loss: 0.01, ..distant(12.5e6) }, 10);
    let done = deployed.client(3).finish();
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out.lines().count(), 1 + 3);
    assert!(deployed.sum(|c| c.lost) > 5, "nothing was lost");
}

#[test]
fn reordering_and_jitter_cost_time_alone() {
    let direction = Direction { reorder: 0.02, jitter: 0.002, ..distant(12.5e6) };
    let deployed = Deployed::new(direction, 10);
    let done = deployed.client(3).finish();
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out.lines().count(), 1 + 3);
    assert!(deployed.sum(|c| c.overtaken) > 10, "nothing was overtaken");
}

#[test]
fn a_cut_of_two_seconds_is_waited_out() {
    let deployed = Deployed::new(distant(12.5e6), 10);
    let mut client = deployed.client(12);
    // The setup, and the first picture.
    client.line();
    client.line();
    let start = Instant::now();
    deployed.cut(Duration::from_secs(2));
    let done = client.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out.lines().count(), 11);
    assert!(deployed.sum(|c| c.cut) > 0 && start.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_cut_beyond_the_deadline_is_an_error_everywhere_and_burns_the_batch() {
    let deployed = Deployed::new(distant(1.25e6), 3);
    // In the middle of the first evaluation: the client sends nothing large before.
    let client = deployed.client_until(("client_server", [40_000, NEVER]), 4);
    deployed.cut(Duration::from_secs(3600));
    let failed = client.finish();
    failed.failed(4, &["server"]);
    assert!(
        ["no answer", "nobody answers", "it hangs"].iter().any(|why| failed.err.contains(why)),
        "{}",
        failed.err
    );
    assert!(failed.err.contains(" at level ") && failed.err.contains(" of "), "{}", failed.err);
    assert!(!failed.err.contains("21474"), "a step has a name: {}", failed.err);
    deployed.server.log.wait_for("client", 1);
    let text = deployed.server.log.text();
    assert!(text.contains("WARN"), "{text}");
    deployed.cut(Duration::ZERO);
    deployed.works();
    let used = deployed.server.log.batches(1);
    assert_eq!(used.len(), 1, "{used:?}");
    assert!(used[0] > 0, "batch 0 was burnt: {used:?}");
}

#[test]
fn a_round_trip_beyond_the_profile_connects() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let network = Network::uniform("far", Path::symmetric(Direction::new(12.5e6, 0.3)));
    let mut paths = Paths::new(network, 5);
    let far = paths.add("client_dealer", Between { listen: LOCAL, target: dealer }).unwrap();
    dial(&parties, "client", "dealer", far).unwrap();
}

#[test]
fn the_command_carries_parties_until_it_is_interrupted() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    parties.write("net.toml", b"[client_server]\nrtt = \"2ms\"\nmtu = 65535\n");
    let path = |name, target| format!("[{name}]\nlisten = \"{LOCAL}\"\ntarget = \"{target}\"\n");
    let text = "network = \"net.toml\"\n".to_owned()
        + &path("client_server", server)
        + &path("client_dealer", dealer);
    parties.write("emulate.toml", text.as_bytes());
    let config = parties.text("emulate.toml");
    let emulator =
        Process::start("emulator", program().args(["emulate", "--json", "--config", &config]));
    emulator.log.wait_for("is listening on", 2);
    let said = emulator.log.text();
    let mut at = said.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap());
    let at = [at.next().unwrap(), at.next().unwrap()];
    parties.works(&parties.client_config("client", "", at));
    emulator.signal("INT");
    let done = emulator.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    let lines: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    for (line, pair) in lines.as_array().unwrap().iter().zip(["client_server", "client_dealer"]) {
        assert_eq!(line["path"], pair);
        assert!(line["up"]["bytes"].as_u64().unwrap() > 1000, "{line}");
        assert_eq!(line["down"]["lost"], 0);
    }
}

#[test]
fn networks_that_make_no_sense_are_refused() {
    let parties = Parties::new();
    let unknown = parties.sotto(&["demo", "--net", "wlan"]);
    unknown.failed(2, &["wlan", "loopback", "intercontinental"]);
    parties.write("net.toml", b"[client_server]\nrate = \"-5Mbps\"\n");
    parties.sotto(&["demo", "--net", &parties.text("net.toml")]).failed(2, &["-5Mbps", "100Mbps"]);
    parties.write("emulate.toml", b"network = \"wan\"\n");
    let nothing = parties.sotto(&["emulate", "--config", &parties.text("emulate.toml")]);
    nothing.failed(2, &["nothing to emulate", "listen and target"]);
}

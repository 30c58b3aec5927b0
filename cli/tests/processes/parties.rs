//! Parties for tests: their keys, files and processes, and what they print.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use sotto::{
    client::{Config, Connection, Query},
    model::DEMO_IMAGES,
};
use sotto_models::{Arch, Weights, images::Picture, weights::Precision};
use sotto_net::Identity;
use tempfile::TempDir;

use crate::spawned::{LIMIT, Outcome, Process};

/// Seconds after which a party gives a silent peer up.
pub const DEADLINE: u64 = 4;
/// Bytes of a CIFAR record.
pub const RECORD: usize = 3073;

/// Keys, a tiny model and images in one folder.
pub struct Parties {
    folder: TempDir,
    /// Transport profile.
    pub profile: &'static str,
    /// Seconds after which a party gives a silent peer up.
    pub deadline: u64,
}

impl Parties {
    /// With keys for dealer, server and two clients.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["dealer", "server", "client", "second"] {
            Identity::generate(name).unwrap().save(folder.path()).unwrap();
        }
        let parties = Self { folder, profile: "loopback", deadline: DEADLINE };
        parties.write("images.bin", DEMO_IMAGES);
        parties.model("model", 1);
        parties
    }

    /// Makes and calibrates a tiny model with random weights.
    pub fn model(&self, name: &str, seed: u64) {
        let arch = tiny();
        fs::create_dir(self.path(name)).unwrap();
        self.write(&format!("{name}/arch.toml"), arch.to_toml().as_bytes());
        let weights = Weights::random(&arch, seed);
        weights.save(&self.path(name).join("weights.safetensors"), Precision::F32).unwrap();
        let (model, images) = (self.text(name), self.text("images.bin"));
        let done = self.sotto(&["calibrate", &model, "--images", &images, "--count", "16"]);
        assert_eq!(done.code, 0, "{}", done.err);
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    pub fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).unwrap();
    }

    /// A `.bin` of `count` pictures, the embedded ones again and again.
    pub fn many(&self, count: usize) -> String {
        let records: Vec<u8> =
            DEMO_IMAGES.chunks(RECORD).cycle().take(count).flatten().copied().collect();
        self.write("many.bin", &records);
        self.text("many.bin")
    }

    /// Runs the program to its end.
    pub fn sotto(&self, args: &[&str]) -> Outcome {
        Process::start("sotto", program().args(args)).finish()
    }

    /// `[own]` of a party.
    fn own(&self, name: &str, at: Option<SocketAddr>) -> String {
        let listen = at.map_or(String::new(), |a| format!("listen = \"{a}\"\n"));
        let Self { profile, deadline, .. } = self;
        format!(
            "[own]\nname = \"{name}\"\nkeys = \".\"\n{listen}network = \"{profile}\"\ndeadline = {deadline}\n"
        )
    }

    /// A peer's table.
    pub fn peer(table: &str, name: &str, at: Option<SocketAddr>) -> String {
        let address = at.map_or(String::new(), |a| format!("address = \"{a}\"\n"));
        format!("{table}\nname = \"{name}\"\ncertificate = \"{name}.cert\"\n{address}")
    }

    /// Starts the dealer with more `lines` in its configuration, at a free port or again where it was.
    pub fn dealer(&self, lines: &str, at: Option<SocketAddr>) -> (Process, SocketAddr) {
        let text = lines.to_owned()
            + &self.own("dealer", Some(at.unwrap_or(LOCAL)))
            + &Self::peer("[[servers]]", "server", None)
            + &Self::peer("[[clients]]", "client", None)
            + &Self::peer("[[clients]]", "second", None);
        self.write("dealer.toml", text.as_bytes());
        let config = self.text("dealer.toml");
        let mut process = Process::start("dealer", program().args(["deal", "--config", &config]));
        let address = process.address();
        (process, address)
    }

    /// `[dealer]`, where the lines do not say that there is none.
    fn dealer_table(lines: &str, at: SocketAddr) -> String {
        match lines.contains("source = ") {
            true => String::new(),
            false => Self::peer("[dealer]", "dealer", Some(at)),
        }
    }

    /// Writes `server.toml`.
    pub fn server_config(&self, lines: &str, dealer: SocketAddr, at: Option<SocketAddr>) -> String {
        let model = if lines.contains("model =") { "" } else { "model = \"model\"\n" };
        let text = model.to_owned()
            + lines
            + &self.own("server", Some(at.unwrap_or(LOCAL)))
            + &Self::dealer_table(lines, dealer)
            + &Self::peer("[[clients]]", "client", None)
            + &Self::peer("[[clients]]", "second", None);
        self.write("server.toml", text.as_bytes());
        self.text("server.toml")
    }

    /// Starts the server.
    pub fn server(
        &self,
        lines: &str,
        dealer: SocketAddr,
        at: Option<SocketAddr>,
    ) -> (Process, SocketAddr) {
        self.start_server(&self.server_config(lines, dealer, at))
    }

    /// Starts a server by its configuration.
    pub fn start_server(&self, config: &str) -> (Process, SocketAddr) {
        let mut process = Process::start("server", program().args(["serve", "--config", config]));
        let address = process.address();
        (process, address)
    }

    /// Writes a client's configuration.
    pub fn client_config(&self, name: &str, lines: &str, at: [SocketAddr; 2]) -> String {
        let text = lines.to_owned()
            + &self.own(name, None)
            + &Self::peer("[server]", "server", Some(at[0]))
            + &Self::dealer_table(lines, at[1]);
        let file = format!("{name}.toml");
        self.write(&file, text.as_bytes());
        self.text(&file)
    }

    /// Starts a client.
    pub fn start_infer(&self, config: &str, args: &[&str]) -> Process {
        Process::start("client", program().args(["infer", "--config", config]).args(args))
    }

    /// Runs a client with `--json`.
    pub fn infer(&self, config: &str, args: &[&str]) -> Outcome {
        self.start_infer(config, &[&["--json"], args].concat()).finish()
    }

    /// Classifies one picture, which must work.
    pub fn works(&self, config: &str) {
        let done = self.infer(config, &["--limit", "1", &self.text("images.bin")]);
        assert_eq!(done.classes().len(), 1);
    }

    /// A client inside of the test.
    pub fn connect(&self, config: &str) -> Connection {
        Connection::open(&Config::load(Path::new(config)).unwrap(), None).unwrap()
    }
}

/// Pictures as a client asks them.
pub fn queries(pictures: Vec<Picture>) -> Vec<Query> {
    pictures.into_iter().map(Query::Picture).collect()
}

/// The program under test.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sotto"))
}

/// Waits until `done` holds, for what gives no event: files, another thread's counts.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "{what} did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A free port on loopback.
pub const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A small architecture, whose pixels stay small for the sake of narrow rings.
pub fn tiny() -> Arch {
    Arch { mean: [0.5; 3], std: [1.0; 3], ..Arch::vit(1, 2, 16, 32, 32, 8, 10) }
}

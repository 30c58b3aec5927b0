//! Parties for tests: their keys, files and processes, and what they print.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use sotto::{config, model::DEMO_IMAGES, processes::Running};
use sotto_models::{Arch, Weights, weights::Precision};
use sotto_net::Identity;
use tempfile::TempDir;

/// Seconds after which a party gives a silent peer up.
pub const DEADLINE: u64 = 4;
/// No process may take longer: some deadlines in a row, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(40);
/// Bytes of a CIFAR record.
pub const RECORD: usize = 3073;

/// What a process has written to its standard error so far.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<String>, Condvar)>);

impl Log {
    fn follow(&self, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                *log.0.0.lock().unwrap() += &format!("{line}\n");
                log.0.1.notify_all();
            }
        })
    }

    /// Everything until now.
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until `what` has been written `times` times.
    pub fn wait_for(&self, what: &str, times: usize) {
        let text = self.0.0.lock().unwrap();
        let missing = |t: &mut String| t.matches(what).count() < times;
        let (text, out) = self.0.1.wait_timeout_while(text, LIMIT, missing).unwrap();
        assert!(!out.timed_out(), "`{what}` was not written {times} times:\n{text}");
    }

    /// Numbers of the batches that a server's or client's log says were used, in order.
    pub fn batches(&self) -> Vec<u64> {
        let text = self.text();
        let used = text.lines().filter(|l| l.contains(" flights") || l.ends_with(" used"));
        used.filter_map(|l| {
            let number = l.split("batch ").nth(1)?;
            number.split([',', ' ']).next()?.parse().ok()
        })
        .collect()
    }
}

/// A running process; when it goes, it must not have panicked.
pub struct Process {
    running: Option<Running>,
    /// Its messages.
    pub log: Log,
    pid: String,
    follower: Option<JoinHandle<()>>,
}

/// How a process ended.
pub struct Outcome {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// From the call until the end.
    pub took: Duration,
}

impl Outcome {
    /// The results in the output of `infer --json`.
    pub fn results(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.err);
        let all: Value = serde_json::from_str(&self.out).unwrap();
        all["results"].as_array().unwrap().clone()
    }

    /// The classes in the output of `infer --json`.
    pub fn classes(&self) -> Vec<u64> {
        self.results().iter().map(|r| r["class"].as_u64().unwrap()).collect()
    }

    /// Asserts that it failed with `code` and one message that says all of `words`.
    pub fn failed(&self, code: i32, words: &[&str]) {
        let error = self.err.lines().rfind(|l| l.starts_with("error: ")).unwrap_or_default();
        assert_eq!(self.code, code, "{}", self.err);
        for word in words {
            // A configuration's mistake is shown over several lines.
            assert!(
                error.contains(word) || code == 2 && self.err.contains(word),
                "{word}: {}",
                self.err
            );
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

impl Process {
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        command.stderr(Stdio::piped()).env("SOTTO_LOG", "info");
        let mut running = Running::spawn(name, command).unwrap();
        let log = Log::default();
        let follower = Some(log.follow(running.child().stderr.take().unwrap()));
        let pid = running.child().id().to_string();
        Self { running: Some(running), log, pid, follower }
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    /// The next line of its output.
    pub fn line(&mut self) -> String {
        self.running().line().unwrap()
    }

    fn address(&mut self) -> SocketAddr {
        let address = self.running().address();
        address.unwrap_or_else(|e| panic!("{e}: {}", self.log.text()))
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.running().kill();
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid]).status();
        assert!(done.unwrap().success());
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Outcome {
        let start = Instant::now();
        let mut running = self.running.take().unwrap();
        let (answer, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut out = String::new();
            let read = running.output.read_to_string(&mut out);
            drop(answer.send((read.and_then(|_| Ok(running.wait().unwrap())), out)));
        });
        match ended.recv_timeout(LIMIT) {
            Ok((code, out)) => {
                // All that it wrote is in the pipe; the follower reads to its end.
                self.follower.take().unwrap().join().unwrap();
                let err = self.log.text();
                Outcome { code: code.unwrap(), out, err, took: start.elapsed() }
            }
            Err(_) => {
                self.signal("KILL");
                panic!("it hangs: {}", self.log.text());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(follower) = self.follower.take() {
            drop(follower.join());
        }
        if !thread::panicking() {
            let text = self.log.text();
            assert!(!text.contains("panicked"), "{text}");
        }
    }
}

/// Keys, a tiny model and images in one folder.
pub struct Parties {
    folder: TempDir,
}

impl Parties {
    /// With keys for dealer, server and two clients.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["dealer", "server", "client", "second"] {
            Identity::generate(name).unwrap().save(folder.path()).unwrap();
        }
        let parties = Self { folder };
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
        let done = self.sotto(&["calibrate", &model, "--images", &images, "--count", "8"]);
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
    pub fn own(name: &str, at: Option<SocketAddr>) -> String {
        let listen = at.map_or(String::new(), |a| format!("listen = \"{a}\"\n"));
        format!(
            "[own]\nname = \"{name}\"\nkeys = \".\"\n{listen}network = \"loopback\"\ndeadline = {DEADLINE}\n"
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
            + &Self::own("dealer", Some(at.unwrap_or(LOCAL)))
            + &Self::peer("[[servers]]", "server", None)
            + &Self::peer("[[clients]]", "client", None)
            + &Self::peer("[[clients]]", "second", None);
        self.write("dealer.toml", text.as_bytes());
        let config = self.text("dealer.toml");
        let mut process = Process::start("dealer", program().args(["deal", "--config", &config]));
        let address = process.address();
        (process, address)
    }

    /// Writes `server.toml`.
    pub fn server_config(&self, lines: &str, dealer: SocketAddr, at: Option<SocketAddr>) -> String {
        let model = if lines.contains("model =") { "" } else { "model = \"model\"\n" };
        let text = model.to_owned()
            + lines
            + &Self::own("server", Some(at.unwrap_or(LOCAL)))
            + &Self::peer("[dealer]", "dealer", Some(dealer))
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
        let config = self.server_config(lines, dealer, at);
        let mut process = Process::start("server", program().args(["serve", "--config", &config]));
        let address = process.address();
        (process, address)
    }

    /// Writes a client's configuration.
    pub fn client_config(&self, name: &str, lines: &str, at: [SocketAddr; 2]) -> String {
        let text = lines.to_owned()
            + &Self::own(name, None)
            + &Self::peer("[server]", "server", Some(at[0]))
            + &Self::peer("[dealer]", "dealer", Some(at[1]));
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
    pub fn connect(&self, config: &str) -> sotto::client::Client {
        let loaded: config::ClientConfig = config::load(Path::new(config)).unwrap();
        sotto::client::Client::connect(&loaded, self.folder.path(), &|_, _| ()).unwrap()
    }
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
    Arch {
        mean: [0.5; 3],
        std: [1.0; 3],
        ..Arch::vit(1, 2, 16, 32, 32, 8, 10)
    }
}

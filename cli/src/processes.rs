//! The three parties as operating-system processes on this machine: for the demo, the benchmark and tests.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
};

use sotto_net::Identity;

use crate::{config::Source, error::Error, stop::Stop};

/// The variable in which a child finds its parent's number.
const PARENT: &str = "SOTTO_PARENT";

/// Has this process end with its parent, where that asks for it: a parent that is killed cannot end us itself. Linux
/// alone knows how.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if let Ok(parent) = std::env::var(PARENT) {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        let asked = set_parent_process_death_signal(Some(Signal::KILL));
        tracing::debug!(?asked, "ends with its parent");
        // It may have ended before.
        if getppid().is_none_or(|p| p.as_raw_nonzero().to_string() != parent) {
            std::process::exit(i32::from(crate::error::INTERRUPTED));
        }
    }
}

/// A child process that is killed when it is dropped.
pub struct Running {
    child: Arc<Mutex<Child>>,
    name: &'static str,
    /// Its standard output, after the line that announced its address.
    pub output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `sotto` with `args`.
    ///
    /// # Errors
    /// [`Error::Config`] when the program cannot be started.
    pub fn start(program: &Path, name: &'static str, args: &[&str]) -> Result<Self, Error> {
        let parent = std::process::id().to_string();
        Self::spawn(name, Command::new(program).args(args).env(PARENT, parent))
    }

    /// Starts `command`, whose standard error stays as it says.
    ///
    /// # Errors
    /// [`Error::Config`] when the program cannot be started.
    pub fn spawn(name: &'static str, command: &mut Command) -> Result<Self, Error> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::Config(format!("the {name} process cannot be started: {e}")))?;
        let output = child.stdout.take().expect("its output is a pipe");
        let child = Arc::new(Mutex::new(child));
        Ok(Self { child, name, output: BufReader::new(output) })
    }

    /// Killed, too, when somebody asks to stop: whoever reads its output finds the end of it.
    pub fn stopped_by(self, stop: &Stop) -> Self {
        let child = Arc::clone(&self.child);
        stop.then(move || end(&mut child.lock().unwrap_or_else(|e| e.into_inner())));
        self
    }

    /// Reads the next line; empty at the end.
    ///
    /// # Errors
    /// [`Error::Config`] when it cannot be read.
    pub fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .map_err(|e| Error::Config(format!("the {} process's output: {e}", self.name)))?;
        Ok(line)
    }

    /// Reads the line `listening on ADDRESS`.
    ///
    /// # Errors
    /// [`Error::Config`] when the process ended instead.
    pub fn address(&mut self) -> Result<SocketAddr, Error> {
        let line = self.line()?;
        let address = line.trim().rsplit(' ').next().and_then(|a| a.parse().ok());
        address.ok_or_else(|| {
            Error::Config(format!(
                "the {} process did not start; its messages are above",
                self.name
            ))
        })
    }

    /// Waits for the end, whatever is still printed; gives the exit code.
    ///
    /// # Errors
    /// [`Error::Config`] when it cannot be waited for.
    pub fn wait(&mut self) -> Result<i32, Error> {
        // Nobody must wait for the lock as long as the child runs.
        drop(io::copy(&mut self.output, &mut io::sink()));
        let status = self.child().wait();
        let status =
            status.map_err(|e| Error::Config(format!("the {} process: {e}", self.name)))?;
        Ok(status.code().unwrap_or(-1))
    }

    /// The child itself: its number, its standard error.
    pub fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        end(&mut self.child());
    }
}

fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keys, configurations and processes of a deployment on loopback, in one private folder.
pub struct Deployment {
    /// The `sotto` program.
    pub program: PathBuf,
    /// Where keys and configurations lie.
    pub folder: tempfile::TempDir,
    network: &'static str,
    stop: Stop,
}

/// Settings of a deployment.
pub struct Settings {
    /// A model name or folder.
    pub model: String,
    /// Images in one evaluation.
    pub batch: usize,
    /// Batches kept ready on both sides.
    pub pool: usize,
    /// Where correlations come from; without a dealer its address is of no meaning.
    pub source: Source,
    /// Seconds before a silent peer is given up.
    pub deadline: u64,
    /// More lines for `server.toml`.
    pub server_lines: String,
    /// More lines for `client.toml`.
    pub client_lines: String,
}

impl Settings {
    /// The source, as both configurations have it before their tables.
    fn source_lines(&self, dealer: SocketAddr) -> String {
        match self.source {
            Source::Dealer => format!(
                "dealer = {{ name = \"dealer\", certificate = \"dealer.cert\", address = \"{dealer}\" }}\n"
            ),
            source => format!("source = {:?}\n", source.name()),
        }
    }
}

impl Deployment {
    /// Generates keys for server, client and dealer.
    ///
    /// # Errors
    /// [`Error::Net`] and [`Error::Io`] when keys cannot be written.
    pub fn new(program: PathBuf) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        for name in ["server", "client", "dealer"] {
            Identity::generate(name)?.save(folder.path())?;
        }
        Ok(Self { program, folder, network: "loopback", stop: Stop::default() })
    }

    /// All of whose processes end when somebody asks to stop.
    pub fn stopped_by(self, stop: &Stop) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// With another transport profile than `loopback`.
    pub fn with_profile(self, network: &'static str) -> Self {
        Self { network, ..self }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn own(&self, name: &str, listen: &str, deadline: u64) -> String {
        format!(
            "[own]\nname = \"{name}\"\nkeys = \".\"\n{listen}network = \"{}\"\ndeadline = {deadline}\n",
            self.network
        )
    }

    fn write(&self, file: &str, text: &str) -> Result<String, Error> {
        let path = self.path(file);
        fs::write(&path, text).map_err(Error::io(&path))?;
        Ok(path.display().to_string())
    }

    fn start(&self, name: &'static str, args: &[&str]) -> Result<Running, Error> {
        Ok(Running::start(&self.program, name, args)?.stopped_by(&self.stop))
    }

    /// Starts the dealer; gives it with its address. `at` is where it listens, for a restart.
    ///
    /// # Errors
    /// [`Error::Config`] when it does not start.
    pub fn dealer(
        &self,
        deadline: u64,
        at: Option<SocketAddr>,
    ) -> Result<(Running, SocketAddr), Error> {
        let listen = format!("listen = \"{}\"\n", at.unwrap_or(LOCAL));
        let text = format!(
            "{}[[servers]]\nname = \"server\"\ncertificate = \"server.cert\"\n\
             [[clients]]\nname = \"client\"\ncertificate = \"client.cert\"\n",
            self.own("dealer", &listen, deadline)
        );
        let config = self.write("dealer.toml", &text)?;
        let mut process = self.start("dealer", &["deal", "--config", &config])?;
        let address = process.address()?;
        Ok((process, address))
    }

    /// Starts the server; gives it with its address.
    ///
    /// # Errors
    /// [`Error::Config`] when it does not start.
    pub fn server(
        &self,
        settings: &Settings,
        dealer: SocketAddr,
        at: Option<SocketAddr>,
    ) -> Result<(Running, SocketAddr), Error> {
        let listen = format!("listen = \"{}\"\n", at.unwrap_or(LOCAL));
        let text = format!(
            "model = {:?}\nbatch = {}\npool = {}\n{}{}{}\
             [[clients]]\nname = \"client\"\ncertificate = \"client.cert\"\n",
            settings.model,
            settings.batch,
            settings.pool,
            settings.server_lines,
            settings.source_lines(dealer),
            self.own("server", &listen, settings.deadline)
        );
        let config = self.write("server.toml", &text)?;
        let mut process = self.start("server", &["serve", "--config", &config])?;
        let address = process.address()?;
        Ok((process, address))
    }

    /// Starts the client with more arguments of `sotto infer`; its output is one JSON object a line.
    ///
    /// # Errors
    /// [`Error::Config`] when it does not start.
    pub fn client(
        &self,
        settings: &Settings,
        [server, dealer]: [SocketAddr; 2],
        arguments: &[String],
    ) -> Result<Running, Error> {
        let text = format!(
            "pool = {}\n{}{}{}\
             [server]\nname = \"server\"\ncertificate = \"server.cert\"\naddress = \"{server}\"\n",
            settings.pool,
            settings.client_lines,
            settings.source_lines(dealer),
            self.own("client", "", settings.deadline)
        );
        let config = self.write("client.toml", &text)?;
        let mut args = vec!["infer", "--config", &config, "--json-lines"];
        args.extend(arguments.iter().map(String::as_str));
        self.start("client", &args)
    }
}

/// A free port on loopback.
pub const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

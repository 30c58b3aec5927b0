//! The attacked processes: started, watched and ended.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sotto::processes::Running;

use crate::error::Error;

/// Nothing takes longer, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Looks again and again until `look` finds something.
///
/// # Errors
/// [`Error::Scene`] when it does not within [`LIMIT`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > LIMIT {
            return Err(Error::Scene(format!("{what}: not within {LIMIT:?}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A server or a dealer.
pub struct Process {
    running: Running,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a process takes of its machine.
#[derive(Clone, Copy)]
pub struct Taken {
    /// Resident memory in MiB.
    pub mib: u64,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// Starts `command`, its messages in the file `log`, and waits for the address that it prints.
    ///
    /// # Errors
    /// [`Error::Scene`] with its messages when it ends instead.
    pub fn start(name: &'static str, command: &mut Command, log: PathBuf) -> Result<Self, Error> {
        let file = File::create(&log).map_err(Error::io(&log))?;
        command.stderr(file).env("SOTTO_LOG", "info");
        let mut running = Running::spawn(name, command)?;
        match running.address() {
            Ok(address) => Ok(Self { running, log, address }),
            Err(e) => Err(Error::Scene(format!("{e}: {}", read(&log)))),
        }
    }

    /// What it has logged so far.
    pub fn text(&self) -> String {
        read(&self.log)
    }

    /// Waits until its log says `what` for the `times`th time.
    ///
    /// # Errors
    /// As [`wait_for`].
    pub fn says(&self, what: &str, times: usize) -> Result<(), Error> {
        let said = || (self.text().matches(what).count() >= times).then_some(());
        wait_for(&format!("`{what}` in a log"), said)
            .map_err(|e| Error::Scene(format!("{e}: {}", self.text())))
    }

    /// Numbers of the batches that it says were used, in order.
    pub fn batches(&self) -> Vec<u64> {
        let text = self.text();
        let used = text.lines().filter(|line| line.ends_with(" flights"));
        let number = |line: &str| line.split("batch ").nth(1)?.split(',').next()?.parse().ok();
        used.filter_map(number).collect()
    }

    /// Memory and threads now.
    ///
    /// # Errors
    /// [`Error::Io`] when it has ended.
    pub fn taken(&mut self) -> Result<Taken, Error> {
        let path = PathBuf::from(format!("/proc/{}/status", self.running.child().id()));
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let (kib, threads) = (field("VmRSS:").unwrap_or(0), field("Threads:").unwrap_or(0));
        Ok(Taken { mib: kib / 1024, threads })
    }

    /// Its number at the operating system.
    pub fn pid(&self) -> u32 {
        self.running.child().id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.running.child().try_wait(), Ok(Some(_)))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.running.kill();
    }
}

/// How a command ended.
pub struct Done {
    /// Exit code; -1 for one that was killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Done {
    /// Its error message, or whatever else it said last.
    pub fn error(&self) -> String {
        let error = self.err.lines().rfind(|line| line.starts_with("error: "));
        let text = error.or(self.err.lines().last()).unwrap_or_default();
        let cut: String = text.chars().take(140).collect();
        format!("exit code {}: {}", self.code, cut.trim_start_matches("error: "))
    }
}

/// Runs `command` to its end, with a limit; `folder` is for what it prints.
///
/// # Errors
/// [`Error::Io`] when it cannot be started.
pub fn run(command: &mut Command, folder: &Path) -> Result<Done, Error> {
    let paths = ["out.txt", "err.txt"].map(|name| folder.join(name));
    let [out, err] = [0, 1].map(|i| File::create(&paths[i]).map_err(Error::io(&paths[i])));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out?)
        .stderr(err?)
        .env("SOTTO_LOG", "info")
        .spawn()
        .map_err(Error::io(folder))?;
    let ended = wait_for("a command's end", || child.try_wait().ok().flatten());
    if ended.is_err() {
        drop(child.kill());
        drop(child.wait());
    }
    let code = ended.map(|status| status.code().unwrap_or(-1)).unwrap_or(-1);
    let [out, err] = paths.map(|path| read(&path));
    Ok(Done { code, out, err })
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

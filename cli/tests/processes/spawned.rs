//! A process of a test: started, followed, signalled, and waited for within a limit.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use sotto::processes::Running;

/// No process may take longer: some deadlines in a row, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(40);

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

    /// Waits until what is written is `enough`.
    fn wait_until(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let text = self.0.0.lock().unwrap();
        let (text, out) = self.0.1.wait_timeout_while(text, LIMIT, |t| !enough(t)).unwrap();
        assert!(!out.timed_out(), "{what} was not written:\n{text}");
        text.clone()
    }

    /// Waits until `what` has been written `times` times.
    pub fn wait_for(&self, what: &str, times: usize) {
        self.wait_until(&format!("`{what}` {times} times"), |t| t.matches(what).count() >= times);
    }

    /// Numbers of the batches that a server's log says were used, in order, once there are `count`: a client
    /// has its result, and may have ended, before its server has said so.
    pub fn batches(&self, count: usize) -> Vec<u64> {
        let what = format!("the use of {count} batches");
        used(&self.wait_until(&what, |t| used(t).len() >= count))
    }
}

fn used(log: &str) -> Vec<u64> {
    let lines = log.lines().filter(|l| l.contains(" flights") || l.ends_with(" used"));
    lines
        .filter_map(|l| {
            let number = l.split("batch ").nth(1)?;
            number.split([',', ' ']).next()?.parse().ok()
        })
        .collect()
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
        // With what to do about it, on a line of its own.
        let error = self.err.rfind("error: ").map_or("", |at| &self.err[at..]);
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
    /// Starts `command`, its messages followed; all of them, where the command does not say which.
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        if command.get_envs().all(|(name, _)| name != "SOTTO_LOG") {
            command.env("SOTTO_LOG", "info");
        }
        command.stderr(Stdio::piped());
        let running = Running::spawn(name, command).unwrap();
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

    /// Reads the line that announces its address.
    pub fn address(&mut self) -> SocketAddr {
        let address = self.running().address();
        address.unwrap_or_else(|e| panic!("{e}: {}", self.log.text()))
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.running().kill();
    }

    /// Its number.
    pub fn pid(&self) -> String {
        self.pid.clone()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid]).status();
        assert!(done.unwrap().success());
    }

    /// Waits until it has ended.
    pub fn wait_for_end(&self) {
        let running = self.running.as_ref().unwrap();
        let ended = || running.child().try_wait().unwrap().is_some();
        crate::parties::wait_until("the end of a process", ended);
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Outcome {
        let start = Instant::now();
        let mut running = self.running.take().unwrap();
        let (answer, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut out = String::new();
            let read = running.output.read_to_string(&mut out);
            drop(answer.send((read.map(|_| running.wait().unwrap()), out)));
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

//! The parties of a soak: started from folders of `sotto init`, killed and started again.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use sotto::{config::Source, model::DEMO_IMAGES, processes::LOCAL};
use sotto_models::{
    float::{NoProbe, forward},
    images::{Fit, normalise, read_cifar},
};
use tempfile::TempDir;

use super::disks::{self, Disks};
use crate::{
    error::Error,
    process::{Process, wait_for},
    scene::tiny_model,
};

/// Pictures, each in a file.
pub const PICTURES: usize = 16;

/// Bytes of a CIFAR-10 record.
const RECORD: usize = 3073;

/// Nothing that a client does takes longer, whatever happens to the others meanwhile.
const LONGEST: Duration = Duration::from_secs(180);

/// Lives of a service that are shorter, in tenths of a second, say nothing of growing memory: in the first quarter of one clients come back,
/// and the allocator keeps what is freed for ten seconds.
const LIFE: usize = 400;

/// A service: the server or the dealer.
struct Service {
    name: &'static str,
    verb: &'static str,
    process: Option<Process>,
    /// The log of each of its lives.
    logs: Vec<PathBuf>,
    /// Resident memory in MiB, again and again in each life.
    memory: Vec<Vec<u64>>,
}

/// All of them.
pub struct Parties {
    program: PathBuf,
    folder: TempDir,
    services: Vec<Mutex<Service>>,
    source: Source,
    disks: Disks,
    /// The plain model's logits of each picture.
    plain: Vec<Vec<f64>>,
}

/// What a service wrote in one of its lives.
pub struct Log {
    /// All of it.
    pub text: String,
    /// Which life it was, where its numbers of batches begin anew with each.
    pub alone: Option<usize>,
}

/// How a client ended.
pub struct Finished {
    /// Exit code; -1 for one that was killed.
    pub code: i32,
    /// Of each picture that was classified.
    pub logits: Vec<Vec<f64>>,
    /// What it said.
    pub messages: String,
}

impl Parties {
    /// Makes keys, configurations and a tiny model, and starts the services.
    ///
    /// # Errors
    /// [`Error::Scene`] when one does not start.
    pub fn start(program: &Path, clients: usize, source: Source) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        let model = tiny_model(folder.path())?;
        let pictures = read_cifar(DEMO_IMAGES, "images.bin", &model.arch, Fit::Resize, PICTURES)?;
        let pixels =
            model.arch.pixels().ok_or_else(|| Error::scene("the model takes no pictures"))?;
        let plain = |picture| {
            let logits =
                forward(&model.arch, &model.weights, &normalise(pixels, picture), &mut NoProbe);
            logits.into_iter().map(f64::from).collect()
        };
        let plain = pictures.iter().map(plain).collect();
        for (i, record) in DEMO_IMAGES.chunks(RECORD).take(PICTURES).enumerate() {
            let path = folder.path().join(format!("{i}.bin"));
            fs::write(&path, record).map_err(Error::io(&path))?;
        }
        let free = || UdpSocket::bind(LOCAL).and_then(|socket| socket.local_addr());
        let [server, dealer] = [free(), free()].map(|at| at.map_err(Error::io(folder.path())));
        let mut init = Command::new(program);
        init.arg("init")
            .arg(folder.path().join("parties"))
            .arg("--model")
            .arg(folder.path().join("model"));
        init.args(["--server", &server?.to_string(), "--dealer", &dealer?.to_string()]);
        init.args(["--source", source.name()]);
        init.args((0..clients).flat_map(|i| ["--client".to_owned(), format!("client{i}")]));
        let made = init.stdout(Stdio::null()).status().map_err(Error::io(program))?;
        if !made.success() {
            return Err(Error::Scene("`sotto init` failed".into()));
        }
        if source != Source::Dealer {
            let clients = (0..clients).map(|i| (format!("client{i}"), "client"));
            for (party, kind) in clients.chain([("server".to_owned(), "server")]) {
                let file = folder.path().join("parties").join(party).join(format!("{kind}.toml"));
                let text = fs::read_to_string(&file).map_err(Error::io(&file))?;
                let text = format!("pool_folder = \"pool\"\n{text}");
                fs::write(&file, text).map_err(Error::io(&file))?;
            }
        }
        let mut services = vec![("server", "serve")];
        if source == Source::Dealer {
            services.push(("dealer", "deal"));
        }
        let services = services.into_iter().map(|(name, verb)| {
            Mutex::new(Service { name, verb, process: None, logs: Vec::new(), memory: Vec::new() })
        });
        let program = program.to_owned();
        let (services, disks) = (services.collect(), Disks::default());
        let parties = Self { program, folder, services, source, disks, plain };
        for service in &parties.services {
            parties.again(&mut lock(service))?;
        }
        Ok(parties)
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// The plain model's logits of each picture.
    pub fn plain(&self) -> &[Vec<f64>] {
        &self.plain
    }

    /// How often pools on disks were restored.
    pub fn restored(&self) -> usize {
        self.disks.restored()
    }

    fn home(&self, party: &str) -> PathBuf {
        self.folder.path().join("parties").join(party)
    }

    fn config(&self, party: &str, kind: &str) -> PathBuf {
        self.home(party).join(format!("{kind}.toml"))
    }

    fn again(&self, service: &mut Service) -> Result<(), Error> {
        let log = self.folder.path().join(format!("{}{}.log", service.name, service.logs.len()));
        let mut command = Command::new(&self.program);
        command.args([service.verb, "--config"]).arg(self.config(service.name, service.name));
        service.logs.push(log.clone());
        service.memory.push(Vec::new());
        service.process = Some(Process::start(service.name, &mut command, log)?);
        Ok(())
    }

    fn service(&self, who: usize) -> MutexGuard<'_, Service> {
        lock(&self.services[who])
    }

    /// Ends a service as a crash would; it comes again after a while.
    ///
    /// # Errors
    /// [`Error::Scene`] when it does not start.
    pub fn kill(&self, who: usize, away: Duration) -> Result<(), Error> {
        let mut service = self.service(who);
        service.process.take().iter_mut().for_each(Process::kill);
        if self.source != Source::Dealer {
            self.disks.turn(&self.home(service.name), disks::SERVER)?;
        }
        thread::sleep(away);
        self.again(&mut service)
    }

    /// Stops a service as an operator would; it comes again after a while.
    ///
    /// # Errors
    /// [`Error::Scene`] when it does not end or start.
    pub fn stop(&self, who: usize, away: Duration) -> Result<(), Error> {
        let mut service = self.service(who);
        if let Some(mut process) = service.process.take() {
            signal(&process, "TERM");
            wait_for("the end of a service", || process.ended().then_some(()))?;
        }
        thread::sleep(away);
        self.again(&mut service)
    }

    /// Cuts a service off for a while: it neither hears nor answers.
    ///
    /// # Errors
    /// None: it is there afterwards.
    pub fn cut(&self, who: usize, away: Duration) -> Result<(), Error> {
        let service = self.service(who);
        if let Some(process) = &service.process {
            signal(process, "STOP");
            thread::sleep(away);
            signal(process, "CONT");
        }
        Ok(())
    }

    /// Notes the services' memory.
    pub fn watch(&self) {
        for service in &self.services {
            let mut service = lock(service);
            let taken = service.process.as_mut().and_then(|process| process.taken().ok());
            if let (Some(taken), Some(life)) = (taken, service.memory.last_mut()) {
                life.push(taken.mib);
            }
        }
    }

    /// The most memory that server and dealer had, in MiB.
    pub fn largest(&self) -> [u64; 2] {
        let of = |service: &Mutex<Service>| lock(service).memory.iter().flatten().copied().max();
        let mut all = self.services.iter().map(|service| of(service).unwrap_or(0));
        [all.next().unwrap_or(0), all.next().unwrap_or(0)]
    }

    /// Services whose memory grew all through a long life.
    pub fn grown(&self) -> Vec<String> {
        let mut all = Vec::new();
        for service in &self.services {
            let service = lock(service);
            for life in service.memory.iter().filter(|life| life.len() >= LIFE) {
                let quarter = life.len() / 4;
                let mean = |part: &[u64]| part.iter().sum::<u64>() / part.len() as u64;
                let (second, last) =
                    (mean(&life[quarter..2 * quarter]), mean(&life[3 * quarter..]));
                if last > second + second / 4 + 16 {
                    all.push(format!(
                        "the {}'s memory grew from {second} to {last} MiB",
                        service.name
                    ));
                }
            }
        }
        all
    }

    /// What all lives of all services wrote.
    pub fn logs(&self) -> Vec<Log> {
        let mut all = Vec::new();
        for service in &self.services {
            for (life, path) in lock(service).logs.iter().enumerate() {
                let text =
                    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
                let alone = (self.source != Source::Dealer).then_some(life);
                all.push(Log { text, alone });
            }
        }
        all
    }

    /// Runs a client on pictures, and kills it after a time where one is given.
    ///
    /// # Errors
    /// [`Error::Scene`] when it hangs; [`Error::Io`].
    pub fn infer(
        &self,
        client: usize,
        (pictures, fill): (&[usize], bool),
        killed: Option<Duration>,
    ) -> Result<Finished, Error> {
        let name = format!("client{client}");
        let paths = ["out", "err"].map(|kind| self.folder.path().join(format!("{name}.{kind}")));
        let [out, err] = paths.each_ref().map(|path| File::create(path).map_err(Error::io(path)));
        let mut command = Command::new(&self.program);
        command
            .args(["infer", "--json-lines", "--resize", "--config"])
            .arg(self.config(&name, "client"));
        if fill && self.source != Source::Dealer {
            command.arg("--fill");
        }
        command.args(pictures.iter().map(|i| self.folder.path().join(format!("{i}.bin"))));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out?)
            .stderr(err?)
            .spawn()
            .map_err(Error::io(&self.program))?;
        let start = Instant::now();
        let code = loop {
            if let Some(status) = child.try_wait().map_err(Error::io(&self.program))? {
                break status.code().unwrap_or(-1);
            }
            let hangs = start.elapsed() > LONGEST;
            if hangs || killed.is_some_and(|after| start.elapsed() > after) {
                drop(child.kill());
                drop(child.wait());
                if hangs {
                    return Err(Error::Scene(format!("it hangs: {}", text(&paths[1]))));
                }
                break -1;
            }
            thread::sleep(Duration::from_millis(10));
        };
        if code == -1 && self.source != Source::Dealer {
            self.disks.turn(&self.home(&name), disks::CLIENT)?;
        }
        let logits = |line: &str| -> Option<Vec<f64>> {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["logits"].as_array()?.iter().map(serde_json::Value::as_f64).collect()
        };
        let logits = text(&paths[0]).lines().filter_map(logits).collect();
        Ok(Finished { code, logits, messages: text(&paths[1]) })
    }
}

fn lock(service: &Mutex<Service>) -> MutexGuard<'_, Service> {
    service.lock().unwrap_or_else(|e| e.into_inner())
}

fn signal(process: &Process, name: &str) {
    let pid = process.pid().to_string();
    // It may have ended by itself, which its end will show.
    drop(Command::new("kill").args([&format!("-{name}"), &pid]).status());
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

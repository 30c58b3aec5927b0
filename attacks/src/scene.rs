//! Keys, a model and configurations of an honest deployment on loopback, in one private folder: each attack's own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use sotto::{
    model::{DEMO_IMAGES, Model},
    processes::LOCAL,
};
use sotto_models::{
    Arch, Calibration, Weights,
    images::{Fit, normalise, read_cifar},
    weights::Precision,
};
use sotto_net::{Certificate, Endpoint, Identity, Profile};
use tempfile::TempDir;

use crate::{
    error::Error,
    process::{self, Done, Process},
};

/// Seconds after which a party gives a silent peer up.
const DEADLINE: u64 = 6;

/// A client's line in `server.toml`, after which more about it may stand.
const CLIENT: &str = "certificate = \"client.cert\"\n";

/// An honest deployment.
pub struct Scene {
    program: PathBuf,
    folder: TempDir,
    /// The served model, which the attack program knows to check what it has found out.
    pub model: Model,
    named: &'static str,
    logs: AtomicUsize,
}

impl Scene {
    /// Keys for a dealer, a server and two clients; the demo model, or a tiny one.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written, [`Error::Sotto`] for keys and models.
    pub fn new(program: &Path, tiny: bool) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        for name in ["dealer", "server", "client", "second"] {
            Identity::generate(name)?.save(folder.path())?;
        }
        let (model, named) = match tiny {
            true => (tiny_model(folder.path())?, "model"),
            false => (Model::demo()?, "demo"),
        };
        let scene =
            Self { program: program.into(), folder, model, named, logs: AtomicUsize::new(0) };
        scene.write("images.bin", DEMO_IMAGES)?;
        Ok(scene)
    }

    /// Another one, with the demo model.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn demo(&self) -> Result<Self, Error> {
        Self::new(&self.program, false)
    }

    /// Another one, with the tiny model.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn tiny(&self) -> Result<Self, Error> {
        Self::new(&self.program, true)
    }

    /// A file in the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file in the folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf, Error> {
        let path = self.path(file);
        fs::write(&path, bytes).map_err(Error::io(&path))?;
        Ok(path)
    }

    fn own(&self, name: &str, listen: Option<SocketAddr>) -> String {
        let listen = listen.map_or(String::new(), |a| format!("listen = \"{a}\"\n"));
        format!(
            "[own]\nname = \"{name}\"\nkeys = \".\"\n{listen}network = \"loopback\"\ndeadline = {DEADLINE}\n"
        )
    }

    fn start(&self, name: &'static str, verb: &str, config: &Path) -> Result<Process, Error> {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("{name}{number}.log"));
        let mut command = Command::new(&self.program);
        Process::start(name, command.args([verb, "--config"]).arg(config), log)
    }

    /// Starts the stock dealer.
    ///
    /// # Errors
    /// [`Error::Scene`] when it does not start.
    pub fn dealer(&self) -> Result<Process, Error> {
        let text = self.own("dealer", Some(LOCAL))
            + &peer("[[servers]]", "server", None)
            + &peer("[[clients]]", "client", None)
            + &peer("[[clients]]", "second", None);
        let config = self.write("dealer.toml", text)?;
        self.start("dealer", "deal", &config)
    }

    /// Writes `server.toml` with more `lines` about the server and about the client `client`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn server_config(
        &self,
        [lines, about_client]: [&str; 2],
        dealer: SocketAddr,
        at: Option<SocketAddr>,
    ) -> Result<PathBuf, Error> {
        let text = format!("model = \"{}\"\n{lines}", self.named)
            + &self.own("server", Some(at.unwrap_or(LOCAL)))
            + &peer("[dealer]", "dealer", Some(dealer))
            + &peer("[[clients]]", "client", None)
            + &peer("[[clients]]", "second", None);
        let text = text.replace(CLIENT, &(CLIENT.to_owned() + about_client));
        self.write("server.toml", text)
    }

    /// Starts the stock server, with more `lines` in its configuration, at a free port or again where it was.
    ///
    /// # Errors
    /// [`Error::Scene`] when it does not start.
    pub fn server(
        &self,
        lines: [&str; 2],
        dealer: SocketAddr,
        at: Option<SocketAddr>,
    ) -> Result<Process, Error> {
        let config = self.server_config(lines, dealer, at)?;
        self.start("server", "serve", &config)
    }

    /// Runs the stock server with a configuration that it should refuse.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn serve(&self, config: &Path) -> Result<Done, Error> {
        self.sotto(["serve".as_ref(), "--config".as_ref(), config.as_os_str()])
    }

    /// Writes a client's configuration; `at` is where server and dealer are.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn client_config(&self, name: &str, at: [SocketAddr; 2]) -> Result<PathBuf, Error> {
        let text = self.own(name, None)
            + &peer("[server]", "server", Some(at[0]))
            + &peer("[dealer]", "dealer", Some(at[1]));
        self.write(&format!("{name}.toml"), text)
    }

    /// Writes the configuration of a client that has no dealer.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn peer_config(&self, name: &str, server: SocketAddr) -> Result<PathBuf, Error> {
        let text = "source = \"peer\"\n".to_owned()
            + &self.own(name, None)
            + &peer("[server]", "server", Some(server));
        self.write(&format!("{name}.toml"), text)
    }

    /// Runs the stock client on `limit` pictures.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn infer(&self, config: &Path, limit: usize) -> Result<Done, Error> {
        let (limit, images) = (limit.to_string(), self.path("images.bin"));
        let args = ["infer", "--json", "--resize", "--limit", &limit, "--config"];
        let mut command = Command::new(&self.program);
        command.args(args).arg(config).arg(images);
        process::run(&mut command, self.folder.path())
    }

    /// Classes that the stock client gets for `limit` pictures.
    ///
    /// # Errors
    /// [`Error::Scene`] when it fails.
    pub fn classes(&self, config: &Path, limit: usize) -> Result<Vec<u64>, Error> {
        let done = self.infer(config, limit)?;
        let results: serde_json::Value = serde_json::from_str(&done.out).unwrap_or_default();
        let all = results["results"].as_array();
        let all =
            all.ok_or_else(|| Error::Scene(format!("an honest client fails: {}", done.err)))?;
        Ok(all.iter().filter_map(|result| result["class"].as_u64()).collect())
    }

    /// Runs the program.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sotto<const N: usize>(&self, args: [&std::ffi::OsStr; N]) -> Result<Done, Error> {
        process::run(Command::new(&self.program).args(args), self.folder.path())
    }

    /// An endpoint with the key of `who`, in the attacker's hands.
    ///
    /// # Errors
    /// [`Error::Sotto`] when it cannot be bound.
    pub fn endpoint(&self, who: &str, dial: &[&str], accept: &[&str]) -> Result<Endpoint, Error> {
        self.endpoint_with(who, dial, accept, Profile::loopback())
    }

    /// [`Scene::endpoint`] with transport settings.
    ///
    /// # Errors
    /// As [`Scene::endpoint`].
    pub fn endpoint_with(
        &self,
        who: &str,
        dial: &[&str],
        accept: &[&str],
        profile: Profile,
    ) -> Result<Endpoint, Error> {
        let pins = |names: &[&str]| {
            let pin = |name: &&str| {
                let certificate = Certificate::load(&self.path(&format!("{name}.cert")))?;
                Ok(((*name).to_owned(), certificate))
            };
            names.iter().map(pin).collect::<Result<Vec<_>, Error>>()
        };
        let identity = Identity::load(self.folder.path(), who)?;
        Ok(Endpoint::bind(LOCAL, &identity, &pins(dial)?, &pins(accept)?, profile)?)
    }
}

/// A peer's table in a configuration.
fn peer(table: &str, name: &str, at: Option<SocketAddr>) -> String {
    let address = at.map_or(String::new(), |a| format!("address = \"{a}\"\n"));
    format!("{table}\nname = \"{name}\"\ncertificate = \"{name}.cert\"\n{address}")
}

/// One layer of width 16, random weights, in a folder as a server reads it.
pub fn tiny_model(base: &Path) -> Result<Model, Error> {
    let arch = Arch { mean: [0.5; 3], std: [1.0; 3], ..Arch::vit(1, 2, 16, 32, 32, 8, 10) };
    let weights = Weights::random(&arch, 1);
    let pictures = read_cifar(DEMO_IMAGES, "images.bin", &arch, Fit::Resize, 8)?;
    let images: Vec<_> = pictures.iter().map(|picture| normalise(&arch, picture)).collect();
    let calibration = Calibration::record(&arch, &weights, &images, |_| ());
    let folder = base.join("model");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Error::io(&path))
    };
    fs::create_dir(&folder).map_err(Error::io(&folder))?;
    write("arch.toml", arch.to_toml())?;
    write("calibration.toml", calibration.to_toml())?;
    weights.save(&folder.join("weights.safetensors"), Precision::F32)?;
    Ok(Model { arch: (&arch).into(), weights, calibration, framing: None, lexicon: None })
}

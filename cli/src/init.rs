//! `sotto init`: a folder for each party, with keys, certificates and a commented configuration.

mod lines;

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use sotto_models::model::Output;
use sotto_net::Identity;

use crate::{choices, config::is_name, error::Error, model::Model, print, source::Source};

/// The configurations, as docs/hosts.md prints them.
const DEALER: &str = include_str!("init/dealer.toml");
const SERVER: &str = include_str!("init/server.toml");
const CLIENT: &str = include_str!("init/client.toml");

/// What `sotto init` is told.
#[derive(Args)]
pub struct Init {
    /// Where to make the folders; it is not there yet, or empty.
    folder: PathBuf,
    /// Where the server is reached; it listens at this port. With an address of this machine alone (127.0.0.1), only there.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7101")]
    server: String,
    /// The same of the dealer.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7100")]
    dealer: String,
    /// A client's name; as often as there are clients.
    #[arg(long = "client", value_name = "NAME", default_values_t = ["client".to_owned()])]
    clients: Vec<String>,
    /// What the server serves: `demo`, `vit_cifar`, `vit_tiny` or a model folder, which is copied into the server's; as often as there
    /// are models. Clients ask for the first. Of a model of texts each client gets the lexicon.
    #[arg(long = "model", default_value = "demo")]
    models: Vec<PathBuf>,
    /// Where correlations come from: without a dealer it has no folder.
    #[arg(long, value_parser = choices::source(), default_value = "dealer")]
    source: Source,
    /// The folders and fingerprints as JSON.
    #[arg(long)]
    json: bool,
}

/// A party's folder.
#[derive(Serialize)]
struct Made {
    party: String,
    folder: PathBuf,
    fingerprint: String,
    /// What its host runs.
    command: String,
}

/// A party that is to be made: its name, its configuration's file and text, whose certificates it needs, its command.
struct Party<'a> {
    name: &'a str,
    file: &'static str,
    text: String,
    peers: Vec<&'a str>,
    command: &'static str,
}

/// A model that the server serves.
struct Served<'a> {
    path: &'a Path,
    /// But for one that needs no folder.
    model: Option<Model>,
    /// Its folder in the server's, and what clients ask for.
    name: String,
    /// Its folder in a client's, where it is of texts.
    lexicon: String,
}

impl Served<'_> {
    /// What a party has of it: the server all of it, a client the lexicon.
    fn give(&self, party: &Party<'_>, folder: &Path) -> Result<(), Error> {
        let Some(model) = &self.model else { return Ok(()) };
        match (party.command, &model.lexicon) {
            ("serve", _) => Model::copy(self.path, &folder.join(&self.name)),
            ("infer" | "embed", Some(lexicon)) => {
                lexicon.save(self.path, &folder.join(&self.lexicon))
            }
            _ => Ok(()),
        }
    }
}

impl Init {
    /// Makes the folders and prints what to do with them.
    ///
    /// # Errors
    /// [`Error::Config`] for a folder that has something in it, and for names and addresses that no configuration takes;
    /// [`Error::Io`].
    pub fn run(&self) -> Result<(), Error> {
        let served = self.served()?;
        let parties = self.parties(&served)?;
        let named = parties.iter().map(|party| Ok((party.name, Identity::generate(party.name)?)));
        let identities = named.collect::<Result<Vec<_>, Error>>()?;
        for (i, (name, _)) in identities.iter().enumerate() {
            if identities[..i].iter().any(|(other, _)| other == name) {
                return Err(Error::Config(format!("`{name}` is the name of two parties")));
            }
        }
        if fs::read_dir(&self.folder).is_ok_and(|mut inside| inside.next().is_some()) {
            let why = format!("{} has something in it; name another", self.folder.display());
            return Err(Error::Config(why));
        }
        let mut made = Vec::new();
        for (party, (_, identity)) in parties.iter().zip(&identities) {
            let folder = self.folder.join(party.name);
            let keys = folder.join("keys");
            fs::create_dir_all(&keys).map_err(Error::io(&keys))?;
            identity.save(&keys)?;
            for (peer, theirs) in &identities {
                if party.peers.contains(peer) {
                    let path = keys.join(format!("{peer}.cert"));
                    fs::write(&path, theirs.certificate().to_pem()).map_err(Error::io(&path))?;
                }
            }
            served.iter().try_for_each(|model| model.give(party, &folder))?;
            let path = folder.join(party.file);
            fs::write(&path, &party.text).map_err(Error::io(&path))?;
            made.push(Made {
                party: party.name.to_owned(),
                fingerprint: identity.certificate().fingerprint(),
                command: format!("sotto {} --config {}", party.command, path.display()),
                folder,
            });
        }
        if self.json {
            return print::json(&made);
        }
        for party in &made {
            print::line(format!("{}: {}", party.folder.display(), party.command))?;
        }
        print::line(
            "each folder has its party's private key: move it to that party's host, whole, and keep no copy",
        )
    }

    /// The models, each with its place in the server's folder and the name of its lexicon in a client's: those of one alone say what
    /// they are, those of several whose.
    fn served(&self) -> Result<Vec<Served<'_>>, Error> {
        let several = self.models.len() > 1;
        let read = |path: &'_ PathBuf| -> Result<(Option<Model>, String), Error> {
            if Model::is_named(path) {
                return Ok((None, path.display().to_string()));
            }
            let own = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = own.filter(|_| several).unwrap_or_else(|| "model".into());
            Ok((Some(Model::find(path)?), name))
        };
        let mut all: Vec<Served<'_>> = Vec::new();
        for path in &self.models {
            let (model, name) = read(path)?;
            if !is_name(&name) {
                let why = format!(
                    "`{name}` is no name of a model; call its folder by letters, digits, `-`, `_` and `.`"
                );
                return Err(Error::Config(why));
            }
            if all.iter().any(|other| other.name == name) {
                let why = format!("two models are called `{name}`; give one's folder another name");
                return Err(Error::Config(why));
            }
            let lexicon = if several { format!("{name}-lexicon") } else { "lexicon".into() };
            all.push(Served { path, model, name, lexicon });
        }
        Ok(all)
    }

    fn parties(&self, models: &[Served<'_>]) -> Result<Vec<Party<'_>>, Error> {
        let (server, dealer) = (port(&self.server)?, port(&self.dealer)?);
        // Of this machine alone, where both are.
        let (host, network) = match is_here(&self.server) && is_here(&self.dealer) {
            true => ("127.0.0.1", "loopback"),
            false if self.server.starts_with('[') => ("[::]", "lan"),
            false => ("0.0.0.0", "lan"),
        };
        let first = &models[0];
        let asks = match first.model.as_ref().map(|model| &model.arch.output) {
            Some(Output::Embedding { .. }) => "embed",
            _ => "infer",
        };
        let filled = |template: &str| {
            let text = lines::clients(template, &self.clients)
                .replace("\"0.0.0.0:7100\"", &format!("\"{host}:{dealer}\""))
                .replace("\"0.0.0.0:7101\"", &format!("\"{host}:{server}\""))
                .replace("\"192.0.2.10:7100\"", &format!("{:?}", self.dealer))
                .replace("\"192.0.2.11:7101\"", &format!("{:?}", self.server))
                .replace("network = \"lan\"", &format!("network = \"{network}\""));
            lines::source(&lines::models(&text, models), self.source)
        };
        let dealer = (self.source == Source::Dealer).then_some("dealer");
        let clients = || self.clients.iter().map(String::as_str);
        let mut parties = Vec::new();
        if let Some(name) = dealer {
            let peers = clients().chain(["server"]).collect();
            parties.push(Party {
                name,
                file: "dealer.toml",
                text: filled(DEALER),
                peers,
                command: "deal",
            });
        }
        let peers = clients().chain(dealer).collect();
        parties.push(Party {
            name: "server",
            file: "server.toml",
            text: filled(SERVER),
            peers,
            command: "serve",
        });
        for name in clients() {
            let text = filled(CLIENT).replace("\"client\"", &format!("\"{name}\""));
            let peers = ["server"].into_iter().chain(dealer).collect();
            parties.push(Party { name, file: "client.toml", text, peers, command: asks });
        }
        Ok(parties)
    }
}

/// The port of an address.
fn port(address: &str) -> Result<u16, Error> {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let refused = || {
        let why = format!("the address `{address}` has no host and port; HOST:PORT is accepted");
        Error::Config(why)
    };
    if host.is_empty() || host.contains(['"', '\\']) {
        return Err(refused());
    }
    port.parse().map_err(|_| refused())
}

/// Whether an address is one of this machine alone.
fn is_here(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

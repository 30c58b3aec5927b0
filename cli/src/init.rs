//! `sotto init`: a folder for each party, with keys, certificates and a commented configuration.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use sotto_models::{calibration::hex, model::Output};
use sotto_net::Identity;

use crate::{choices, error::Error, model::Model, print, source::Source};

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
    /// What the server serves: `demo`, `vit_cifar`, `vit_tiny` or a model folder, which is copied into the server's. Of a model of
    /// texts each client gets the lexicon.
    #[arg(long, default_value = "demo")]
    model: PathBuf,
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

/// What a party has of the model.
enum Share {
    Nothing,
    /// The server's: all of it.
    Whole,
    /// A client's: the lexicon of a model of texts.
    Lexicon,
}

/// A party that is to be made: its name, its configuration's file and text, whose certificates it needs, its command.
struct Party<'a> {
    name: &'a str,
    of_model: Share,
    file: &'static str,
    text: String,
    peers: Vec<&'a str>,
    command: &'static str,
}

impl Init {
    /// Makes the folders and prints what to do with them.
    ///
    /// # Errors
    /// [`Error::Config`] for a folder that has something in it, and for names and addresses that no configuration takes;
    /// [`Error::Io`].
    pub fn run(&self) -> Result<(), Error> {
        let model = match Model::is_named(&self.model) {
            true => None,
            false => Some(Model::find(&self.model)?),
        };
        let parties = self.parties(model.as_ref())?;
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
            if let Some(model) = &model {
                self.give(model, party, &folder)?;
            }
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

    /// Copies a party's share of the model.
    fn give(&self, model: &Model, party: &Party<'_>, folder: &Path) -> Result<(), Error> {
        match party.of_model {
            Share::Nothing => {}
            Share::Whole => Model::copy(&self.model, &folder.join("model"))?,
            Share::Lexicon => {
                if let Some(lexicon) = &model.lexicon {
                    lexicon.save(&self.model, &folder.join("lexicon"))?;
                }
            }
        }
        Ok(())
    }

    fn parties(&self, model: Option<&Model>) -> Result<Vec<Party<'_>>, Error> {
        let (server, dealer) = (port(&self.server)?, port(&self.dealer)?);
        // Of this machine alone, where both are.
        let (host, network) = match is_here(&self.server) && is_here(&self.dealer) {
            true => ("127.0.0.1", "loopback"),
            false if self.server.starts_with('[') => ("[::]", "lan"),
            false => ("0.0.0.0", "lan"),
        };
        let served = if model.is_some() { Path::new("model") } else { &self.model };
        let lexicon = model.and_then(|model| model.lexicon.as_ref());
        let asks = match model.map(|model| &model.arch.output) {
            Some(Output::Embedding { .. }) => "embed",
            _ => "infer",
        };
        let filled = |template: &str| {
            let text = with_clients(template, &self.clients)
                .replace("\"0.0.0.0:7100\"", &format!("\"{host}:{dealer}\""))
                .replace("\"0.0.0.0:7101\"", &format!("\"{host}:{server}\""))
                .replace("\"192.0.2.10:7100\"", &format!("{:?}", self.dealer))
                .replace("\"192.0.2.11:7101\"", &format!("{:?}", self.server))
                .replace("network = \"lan\"", &format!("network = \"{network}\""))
                .replace(
                    "model = \"demo\"",
                    &format!("model = {:?}", served.display().to_string()),
                );
            match self.source {
                Source::Dealer => text,
                Source::Peer => {
                    let tables = text.split("\n\n").filter(|table| !table.starts_with("[dealer]"));
                    format!("source = \"peer\"\n{}", tables.collect::<Vec<_>>().join("\n\n"))
                }
            }
        };
        let dealer = (self.source == Source::Dealer).then_some("dealer");
        let clients = || self.clients.iter().map(String::as_str);
        let mut parties = Vec::new();
        if let Some(name) = dealer {
            let peers = clients().chain(["server"]).collect();
            parties.push(Party {
                name,
                of_model: Share::Nothing,
                file: "dealer.toml",
                text: filled(DEALER),
                peers,
                command: "deal",
            });
        }
        let peers = clients().chain(dealer).collect();
        parties.push(Party {
            name: "server",
            of_model: Share::Whole,
            file: "server.toml",
            text: filled(SERVER),
            peers,
            command: "serve",
        });
        for name in clients() {
            let mut text = filled(CLIENT).replace("\"client\"", &format!("\"{name}\""));
            if let Some(lexicon) = lexicon {
                text = text.replace("# lexicon = ", "lexicon = ").replace(
                    "# lexicon_hash = \"eb1f...\"",
                    &format!("lexicon_hash = {:?}", hex(&lexicon.hash())),
                );
            }
            let peers = ["server"].into_iter().chain(dealer).collect();
            let of_model = Share::Lexicon;
            parties.push(Party { name, of_model, file: "client.toml", text, peers, command: asks });
        }
        Ok(parties)
    }
}

/// The text with a `[[clients]]` table, its last, for each client.
fn with_clients(text: &str, clients: &[String]) -> String {
    let Some((before, table)) = text.split_once("[[clients]]\n") else { return text.to_owned() };
    let of = |name: &String| {
        let table = table.replace("\"client\"", &format!("\"{name}\""));
        "[[clients]]\n".to_owned() + &table.replace("client.cert", &format!("{name}.cert"))
    };
    before.to_owned() + &clients.iter().map(of).collect::<Vec<_>>().join("\n")
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

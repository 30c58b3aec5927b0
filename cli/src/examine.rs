//! `sotto check --config`: whether a party could work with its configuration, and whether its service does.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use serde::Serialize;
use sotto_models::{calibration::hex, length::Length, model::Input, private::Lengths};
use sotto_net::{Certificate, Link, QuicLink};

use crate::{
    card::short,
    config::{
        self, ClientConfig, DealerConfig, Memory, Offer, Own, Peer, ServedClient, ServerConfig,
        asked,
    },
    ending::{Failed, document},
    error::Error,
    files,
    lexicon::Lexicon,
    messages::{self, ClientHello, ServerWelcome, step},
    print,
    refusal::Refusal,
    server::Loaded,
};

/// How long a peer or the service is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest answer of the service that is read.
const LONGEST: u64 = 4096;

/// One thing that was looked at.
#[derive(Serialize)]
struct Looked {
    what: String,
    ok: bool,
    /// What was found, or what is wrong with it.
    found: String,
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    party: &'a str,
    checks: Vec<Looked>,
}

/// What a configuration has, whichever party's it is.
struct Party {
    kind: &'static str,
    own: Own,
    /// Whom it connects to.
    dialled: Vec<Peer>,
    /// Who may connect to it.
    accepted: Vec<Peer>,
    server: Option<ServerConfig>,
    client: Option<ClientConfig>,
}

/// Looks at a configuration and all that it names, and prints what was found.
///
/// # Errors
/// [`Error::Check`] where something would not work; [`Error::Config`] and [`Error::Io`] where the file itself cannot be read.
pub fn run(path: &Path, json: bool) -> Result<(), Failed> {
    let party = read(path)?;
    let checks = look(&party, config::folder(path));
    let result = match checks.iter().filter(|l| !l.ok).count() {
        0 => Ok(()),
        wrong => Err(Error::Check(format!("{wrong} of {} things are wrong", checks.len()))),
    };
    if json {
        return document(&Report { party: &party.own.name, checks }, result);
    }
    checks.iter().try_for_each(|l| {
        print::line(format!("{} {}: {}", if l.ok { "ok  " } else { "FAIL" }, l.what, l.found))
    })?;
    Ok(result?)
}

/// The configuration of whichever party: a client names one server, a dealer several.
fn read(path: &Path) -> Result<Party, Error> {
    let table: toml::Table = config::load(path)?;
    if table.contains_key("server") {
        let client: ClientConfig = config::load(path)?;
        let dialled = client.dialled()?.into_iter().cloned().collect();
        let (own, accepted, server) = (client.own.clone(), Vec::new(), None);
        let client = Some(client);
        return Ok(Party { kind: "client", own, dialled, accepted, server, client });
    }
    if table.contains_key("servers") {
        let dealer: DealerConfig = config::load(path)?;
        let accepted = dealer.servers.into_iter().chain(dealer.clients).collect();
        return Ok(Party {
            kind: "dealer",
            own: dealer.own,
            dialled: Vec::new(),
            accepted,
            server: None,
            client: None,
        });
    }
    let server: ServerConfig = config::load(path)?;
    let dialled = server.source.dealer(&server.dealer)?.into_iter().cloned().collect();
    let accepted = server.clients.iter().map(ServedClient::peer).collect();
    let own = server.own.clone();
    let (server, client) = (Some(server), None);
    Ok(Party { kind: "server", own, dialled, accepted, server, client })
}

fn look(party: &Party, base: &Path) -> Vec<Looked> {
    let own = &party.own;
    let mut all = Vec::new();
    let mut add = |what: String, found: Result<String, Error>| {
        let ok = found.is_ok();
        all.push(Looked { what, ok, found: found.unwrap_or_else(|e| e.to_string()) });
    };
    let key = own.identity(base).map(|identity| identity.certificate().fingerprint());
    add(format!("key of the {} `{}`", party.kind, own.name), key);
    for peer in party.dialled.iter().chain(&party.accepted) {
        for file in peer.certificate.files() {
            let found = Certificate::load(&base.join(file)).map(|c| c.fingerprint());
            add(format!("certificate of `{}`", peer.name), found.map_err(Error::from));
        }
    }
    if let Some(server) = &party.server {
        match server.offers() {
            Ok(offers) => {
                let count = offers.len();
                for offer in offers {
                    let what = format!("model `{}`", offer.name);
                    add(what, model(server, &offer, count, base));
                }
            }
            Err(e) => add("models".into(), Err(e)),
        }
        let folder = server.pool_folder.as_ref().map(|folder| base.join(folder));
        let usage = server.usage_file().map(|file| base.join(file));
        if let Some(folder) = folder {
            add("pool folder".into(), pool(&folder));
        }
        if let Some(folder) = usage.as_deref().map(|file| file.parent().unwrap_or(Path::new("."))) {
            add("folder of the usage file".into(), writable(folder));
        }
    }
    if let Some(file) = party.client.as_ref().and_then(|client| client.weights_file.as_ref()) {
        let file = base.join(file);
        let folder = file.parent().unwrap_or(Path::new("."));
        add("folder of the weights file".into(), writable(folder));
    }
    if let Some(folder) = party.client.as_ref().and_then(|client| client.pool_folder.as_ref()) {
        add("pool folder".into(), pool(&base.join(folder)));
    }
    let lexicon = party.client.as_ref().map(|client| client.lexicon(base));
    let lexicon = lexicon.transpose().map(Option::flatten);
    let texts = matches!(lexicon, Ok(Some(_)));
    if let Some(found) = lexicon.transpose() {
        let said = |l: Lexicon| format!("{}, of `{}`", hex(&l.hash()), l.model().name);
        add("lexicon".into(), found.map(said));
    }
    let running = own.health.map(|at| (at, service(at)));
    if !party.accepted.is_empty() {
        let running = matches!(running, Some((_, Ok(_))));
        add("port".into(), port(own, running));
    }
    if let Some((at, found)) = running {
        add(format!("service at http://{at}/ready"), found.flatten());
    }
    // From a port of its own: the service may have the configured one.
    let unbound = Own { listen: None, ..own.clone() };
    let dialled: Vec<&Peer> = party.dialled.iter().collect();
    for peer in &dialled {
        let reach = || {
            let endpoint = unbound.bind(base, &dialled, &[])?;
            let at = peer.address()?;
            let wait = PATIENCE.min(own.deadline());
            let mut link = endpoint.connect(at, &peer.name, wait)?;
            link.set_deadline(wait);
            let serves = match &party.client {
                Some(client) if peer.name == client.server.name => {
                    serves(client, texts, &mut link)?
                }
                _ => "",
            };
            Ok(format!("{at} answers, and each knows the other{serves}"))
        };
        add(format!("`{}`", peer.name), reach());
    }
    all
}

/// Whether a server would serve this client, of whose texts there is a lexicon where it has `texts`.
///
/// It is asked for a text of no words: it compares all that both must agree on first, and nothing is traced or charged.
fn serves(client: &ClientConfig, texts: bool, link: &mut QuicLink) -> Result<&'static str, Error> {
    let [name, model] = asked(client.model.as_deref());
    let length = Some(match client.length {
        Lengths::Public => Length::Public(0),
        Lengths::Hidden => Length::Hidden(0),
    });
    let hello = ClientHello { name, model, length, ..ClientHello::new(client.source) };
    messages::send(link, step::HELLO, &hello)?;
    let peer = link.peer().to_owned();
    let lacks = |why: &str| Err(Error::Config(format!("{peer} {why}")));
    match messages::recv(link, step::WELCOME)? {
        ServerWelcome::Refused(Refusal::Length { .. }) if !texts => lacks(
            "takes texts: `lexicon = FOLDER` is needed, the folder that `sotto lexicon` writes there",
        ),
        ServerWelcome::Refused(Refusal::OtherInput(_)) if texts => {
            lacks("takes pictures: leave `lexicon` out")
        }
        ServerWelcome::Refused(Refusal::Length { .. }) => Ok("; it takes texts"),
        ServerWelcome::Refused(Refusal::OtherInput(_)) => Ok("; it takes pictures"),
        ServerWelcome::Refused(why) => Err(Error::Refused { peer, why }),
        _ => lacks("does not answer as a server does: run the same version of sotto everywhere"),
    }
}

/// The model as its clients will see it.
fn model(
    server: &ServerConfig,
    offer: &Offer,
    models: usize,
    base: &Path,
) -> Result<String, Error> {
    let salt = server.own.identity(base)?.naming();
    let model = Loaded::read(offer.clone(), base, &salt)?;
    let (name, hash) = (offer.model.display(), hex(&model.commitment));
    let Input::Words(words) = &model.input else {
        let plan = model.card.trace(None)?.plan;
        let places = server.places(&plan, models, offer.pool)?;
        let plan = short(&plan.hash());
        return Ok(format!("{name} is {hash}, plan {plan}, room for {places} batches"));
    };
    // Each length has a plan; the longer the text, the more memory.
    let (card, memory) = (&model.card, server.memory() / models as u64);
    let mut longest = 0;
    for step in (0..usize::BITS - words.positions.leading_zeros()).rev() {
        let rows = longest + (1 << step);
        if rows > words.positions {
            continue;
        }
        let plan = card.trace(Some(Length::Public(rows as u32)))?.plan;
        if Memory::of(&plan, server.source)?.needs() <= memory {
            longest = rows;
        }
    }
    match longest {
        0 => Err(Error::Config(format!(
            "`memory = {}` has no room for the shortest text",
            server.memory
        ))),
        longest => Ok(format!("{name} is {hash}, room for texts of 1 to {longest} tokens")),
    }
}

/// Whether files can be made in a folder, which is made where it is not there.
fn writable(folder: &Path) -> Result<String, Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    tempfile::tempfile_in(folder).map_err(Error::io(folder))?;
    Ok(format!("{} can be written", folder.display()))
}

/// A pool folder, for its owner alone; keys of what waits there lie in another beside it.
fn pool(folder: &Path) -> Result<String, Error> {
    files::private_folder(folder, "pool folder")?;
    let real = fs::canonicalize(folder).map_err(Error::io(folder))?;
    writable(real.parent().unwrap_or(&real))?;
    writable(folder)
}

/// Whether the port is free, or the service itself has it.
fn port(own: &Own, running: bool) -> Result<String, Error> {
    let Some(at) = own.listen else {
        return Err(Error::Config(
            "no `listen = \"ADDRESS:PORT\"` in [own]: any free port is taken".into(),
        ));
    };
    match UdpSocket::bind(at) {
        Ok(_) if running => Err(Error::Config(format!(
            "nobody listens at {at} (UDP), another service answers for health"
        ))),
        Ok(_) => Ok(format!("{at} (UDP) is free")),
        Err(_) if running => Ok(format!("{at} (UDP) is the running service's")),
        Err(e) => Err(Error::Config(format!("{at} (UDP) cannot be listened at: {e}"))),
    }
}

/// Whether a service runs, and what it says of itself: an error inside where it is not ready.
fn service(at: SocketAddr) -> Result<Result<String, Error>, Error> {
    let silent =
        |e: std::io::Error| Error::Config(format!("the service does not answer: {e}; start it"));
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).map_err(silent)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    let request = format!("GET /ready HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(silent)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).map_err(silent)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let body = sotto_net::printable(body.trim(), LONGEST as usize);
    match head.split(' ').nth(1) {
        Some("200") => Ok(Ok(body)),
        Some("503") => Ok(Err(Error::Config(format!("not ready: {body}")))),
        _ => Err(Error::Config("what answers there is no service of sotto".into())),
    }
}

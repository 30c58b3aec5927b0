//! `sotto simulate`: what a model costs on a network, from its plan alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use sotto_models::{Private, length::Length};
use sotto_netsim::{
    Machine, Machines, Making, Network, Part, PathFile, Prediction, Priced, predict, timeline,
};
use sotto_protocols::{Role, make::whole_recipe};

use crate::{
    choices::{self, Choices},
    config::{CorrectionsConfig, Source},
    emulate,
    error::Error,
    model::Model,
    print,
    report::{bytes, count, table},
};

/// What `sotto simulate` is told.
#[derive(Args)]
pub struct Simulate {
    /// `demo`, a preset (`vit_cifar`, `vit_tiny`, with `_relu` or `_linear` for other attention), or a model folder.
    model: PathBuf,
    /// A network that is listed below, or a TOML file with a path for each pair of parties.
    #[arg(long, default_value = "lan")]
    net: String,
    /// Changes the client's paths of --net (to the server and to the dealer): round trip, such as 30ms.
    #[arg(long)]
    rtt: Option<String>,
    /// The same: rate from the client, such as 20Mbps or 44MB/s.
    #[arg(long)]
    up: Option<String>,
    /// The same: rate to the client.
    #[arg(long)]
    down: Option<String>,
    /// The same: largest extra delay of a packet, such as 2ms.
    #[arg(long)]
    jitter: Option<String>,
    /// The same: share of packets that are lost, such as 0.1%.
    #[arg(long)]
    loss: Option<String>,
    /// Machine of the server, and of the others unless they are given (`sotto calibrate-machine`); the project's
    /// own two-core machine if left out.
    #[arg(long)]
    machine: Option<PathBuf>,
    /// Machine of the client.
    #[arg(long)]
    client_machine: Option<PathBuf>,
    /// Machine of the dealer.
    #[arg(long)]
    dealer_machine: Option<PathBuf>,
    /// All three parties share one machine and its cores, as in `sotto demo`; so it is with --net loopback.
    #[arg(long)]
    shared: bool,
    /// Where correlations come from: a dealer, or server and client by themselves.
    #[arg(long, value_parser = choices::source(), default_value = "dealer")]
    source: Source,
    /// Who receives the dealer's corrections.
    #[arg(long, value_enum, default_value = "server")]
    corrections: CorrectionsConfig,
    #[command(flatten)]
    choices: Choices,
    /// Batches of correlations that wait when a stream of requests begins.
    #[arg(long, default_value_t = 2)]
    pool: usize,
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Draws the timeline of parties and wire into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    batch: usize,
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<usize>,
    machines: Processors<'a>,
    prediction: &'a Prediction,
}

#[derive(Serialize)]
struct Processors<'a> {
    server: &'a str,
    client: &'a str,
    dealer: &'a str,
    shared: bool,
}

impl Simulate {
    fn network(&self) -> Result<Network, Error> {
        let network = emulate::network(&self.net, Path::new(""))?;
        let given = [
            ("rtt", &self.rtt),
            ("up", &self.up),
            ("down", &self.down),
            ("jitter", &self.jitter),
            ("loss", &self.loss),
        ];
        let given: Vec<String> = (given.iter())
            .filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)))
            .collect();
        if given.is_empty() {
            return Ok(network);
        }
        let changes = PathFile {
            rtt: self.rtt.clone(),
            up: self.up.clone(),
            down: self.down.clone(),
            jitter: self.jitter.clone(),
            loss: self.loss.clone(),
            ..PathFile::default()
        };
        let name = format!("{} with {} at the client", network.name, given.join(", "));
        Ok(Network { name, ..network.with_client(&changes).map_err(Error::unusable)? })
    }

    fn machines(&self) -> Result<Machines, Error> {
        let load = |path: &Option<PathBuf>| {
            path.as_deref().map(Machine::load).transpose().map_err(Error::unusable)
        };
        let server = load(&self.machine)?.unwrap_or_else(Machine::reference);
        Ok(Machines {
            client: load(&self.client_machine)?.unwrap_or_else(|| server.clone()),
            dealer: load(&self.dealer_machine)?.unwrap_or_else(|| server.clone()),
            shared: self.shared || self.net == "loopback",
            server,
        })
    }

    /// Predicts, prints, draws.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Model`] for what is not usable; [`Error::Io`] for the picture.
    pub fn run(&self) -> Result<(), Error> {
        let (network, machines) = (self.network()?, self.machines()?);
        let model = Model::find(&self.model)?;
        let all = self.choices.private(&model)?;
        let corrected = match self.corrections {
            CorrectionsConfig::Server => Role::Server,
            CorrectionsConfig::Client => Role::Client,
        };
        let predicted = |private: &Private| {
            let plan = &private.plan;
            let priced = Priced::new(plan, &machines).map_err(Error::unusable)?;
            let making = match self.source.extension() {
                None => None,
                Some(extension) => Some(
                    Making::new(plan, &whole_recipe(plan, extension)?, &machines)
                        .map_err(Error::unusable)?,
                ),
            };
            let source = match &making {
                None => sotto_netsim::Source::Dealer(corrected),
                Some(making) => sotto_netsim::Source::Peer(making),
            };
            let prediction = predict(&priced, &machines, &network, source, self.pool);
            Ok::<_, Error>((priced, prediction))
        };
        let name = &model.arch.name;
        let [(length, private)] = &all[..] else {
            if self.svg.is_some() {
                let why = "--svg draws one timeline: give one length, as --tokens N";
                return Err(Error::Config(why.into()));
            }
            let each = all.iter().map(|(length, p)| Ok((*length, predicted(p)?.1)));
            let each = each.collect::<Result<Vec<_>, Error>>()?;
            return self.lengths(name, &network, &machines, &each);
        };
        let (priced, prediction) = predicted(private)?;
        if let Some(path) = &self.svg {
            let title = format!("{name} on {}", network.name);
            fs::write(path, timeline(&priced, &prediction, &title)).map_err(Error::io(path))?;
        }
        if self.json {
            return print::json(&self.report(name, &machines, *length, &prediction));
        }
        print::line(heading(name, &network, &machines))?;
        tables(&prediction, self.choices.batch, self.pool)?;
        match &self.svg {
            Some(path) => print::line(format!("timeline: {}", path.display())),
            None => Ok(()),
        }
    }

    fn report<'a>(
        &self,
        model: &'a str,
        machines: &'a Machines,
        length: Option<Length>,
        prediction: &'a Prediction,
    ) -> Report<'a> {
        let machines = Processors {
            server: &machines.server.processor,
            client: &machines.client.processor,
            dealer: &machines.dealer.processor,
            shared: machines.shared,
        };
        let (batch, source) = (self.choices.batch, self.source);
        let rows = |hidden| length.filter(|length| length.is_hidden() == hidden).map(Length::rows);
        let [tokens, bucket] = [false, true].map(rows);
        Report { model, batch, source, tokens, bucket, machines, prediction }
    }

    /// What texts of several lengths cost.
    fn lengths(
        &self,
        name: &str,
        network: &Network,
        machines: &Machines,
        all: &[(Option<Length>, Prediction)],
    ) -> Result<(), Error> {
        if self.json {
            let each = all.iter().map(|(length, p)| self.report(name, machines, *length, p));
            let lengths: Vec<Report<'_>> = each.collect();
            return print::json(&serde_json::json!({ "model": name, "lengths": lengths }));
        }
        print::line(heading(name, network, machines))?;
        let header =
            ["tokens", "offline", "online", "total", "offline bytes", "online bytes", "flights"];
        let mut t = table(&header, 0);
        for (length, p) in all {
            t.add_row(vec![
                length.map(|length| length.to_string()).unwrap_or_default(),
                seconds(p.offline_s),
                seconds(p.online_s),
                seconds(p.total_s),
                bytes(p.offline_bytes),
                bytes(p.online_bytes),
                p.flights.to_string(),
            ]);
        }
        print::line(t)?;
        let batch = self.choices.batch;
        print::line(format!("for an evaluation of {batch} text(s) of so many tokens each"))
    }
}

fn heading(name: &str, network: &Network, machines: &Machines) -> String {
    let place = if machines.shared { "one machine for all" } else { "a machine for each party" };
    format!("{name} on {}; {place}: {}\n", network.name, machines.server.processor)
}

fn seconds(t: f64) -> String {
    if t < 0.0995 { format!("{:.2} ms", 1e3 * t) } else { format!("{t:.3} s") }
}

fn tables(p: &Prediction, batch: usize, pool: usize) -> Result<(), Error> {
    let mut t = table(&["predicted cost", "time", "bytes", "flights"], 1);
    let none = String::new;
    t.add_row(vec!["model setup, once".into(), seconds(p.setup_s), bytes(p.setup_bytes), none()]);
    let made = if p.cots > 0 { p.offline_flights.to_string() } else { none() };
    t.add_row(vec!["offline".into(), seconds(p.offline_s), bytes(p.offline_bytes), made]);
    let flights = p.flights.to_string();
    t.add_row(vec!["online".into(), seconds(p.online_s), bytes(p.online_bytes), flights.clone()]);
    let all = bytes(p.offline_bytes + p.online_bytes);
    let flights = if p.cots > 0 { (p.flights + p.offline_flights).to_string() } else { flights };
    t.add_row(vec!["total".into(), seconds(p.total_s), all, flights]);
    print::line(t)?;
    if p.cots > 0 {
        let cots = count(p.cots);
        print::line(format!(
            "offline the two make {cots} correlated transfers (COTs) and encrypt"
        ))?;
    }
    print::line(format!(
        "for one evaluation of {batch} image(s) or text(s); offline as if nothing had been made ahead of time\n"
    ))?;
    print::line(format!(
        "online time on the critical path, by layer\n{}\n",
        parts("layer", &p.layers, p.online_s)
    ))?;
    print::line(format!("and by kind of gate\n{}\n", parts("gate", &p.gates, p.online_s)))?;
    let s = &p.throughput;
    print::line(format!(
        "stream of requests, one after the other: {:.2} evaluations a second while the pool lasts, {:.2} supplied, \
         {:.2} sustained",
        s.online, s.supply, s.sustained
    ))?;
    print::line(match s.pool_lasts {
        Some(count) => format!(
            "the supply of correlations is the bottleneck: a pool of {pool} lasts {count:.1} evaluations; at most one \
             every {} lasts for ever\n",
            seconds(1.0 / s.supply)
        ),
        None => "the supply of correlations keeps up\n".to_owned(),
    })
}

fn parts(what: &str, parts: &[Part], whole: f64) -> comfy_table::Table {
    let header = [
        what,
        "time",
        "share",
        "server",
        "client",
        "transmission",
        "propagation",
        "flights",
        "bytes",
    ];
    let mut t = table(&header, 1);
    for part in parts.iter().filter(|p| p.seconds > 0.0 || p.bytes > 0) {
        let s = &part.spent;
        t.add_row(vec![
            part.name.clone(),
            seconds(part.seconds),
            format!("{:.1} %", 100.0 * part.seconds / whole),
            seconds(s.compute[0]),
            seconds(s.compute[1]),
            seconds(s.transmission),
            seconds(s.propagation),
            format!("{:.1}", part.flights),
            bytes(part.bytes),
        ]);
    }
    t
}

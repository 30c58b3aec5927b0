//! Configuration files: one small TOML a party.

use std::path::PathBuf;

use serde::Deserialize;
use sotto_models::{
    format::MaxKind,
    private::{Lengths, Options, Reveal, Tables},
};
use sotto_protocols::plan::Plan;

pub use sotto_client::config::ClientConfig;
pub use sotto_session::config::{
    Certificates, MAKING, Own, Peer, Source, batch_memory, folder, least, load,
};
use sotto_session::config::{default_memory, default_pool, places};

use crate::error::Error;

/// `server.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Ourselves.
    pub own: Own,
    /// Where correlations come from: `dealer`, or `peer` for server and client alone.
    #[serde(default)]
    pub source: Source,
    /// The dealer, where there is one.
    pub dealer: Option<Peer>,
    /// Clients that may connect.
    pub clients: Vec<ServedClient>,
    /// Folder with `arch.toml`, `weights.safetensors`, `calibration.toml`; or `demo`.
    pub model: PathBuf,
    /// Images in one evaluation.
    #[serde(default = "one")]
    pub batch: usize,
    /// `logits`, `rounded` (8 bits each) or `class`: what the client learns.
    #[serde(default)]
    pub reveal: Reveal,
    /// Of texts: `public`, or `hidden`, with which clients may hide lengths.
    #[serde(default)]
    pub length: Lengths,
    /// Use a calibrated public maximum in softmax where the calibration allows it.
    #[serde(default)]
    pub public_max: bool,
    /// Look activations up by row tables: fewer flights, many more offline bytes (for long delays).
    #[serde(default)]
    pub row_tables: bool,
    /// Batches kept ready for whichever client comes; 0 fetches each when it is asked for.
    #[serde(default = "default_pool")]
    pub pool: usize,
    /// Folder for batches that wait; in memory without.
    pub pool_folder: Option<PathBuf>,
    /// Memory for batches, in MiB.
    #[serde(default = "default_memory")]
    pub memory: u64,
    /// Share of the dealer's batches that are looked at instead of used: 0 for none, 0.01 for one in a hundred.
    #[serde(default)]
    pub audit: f64,
    /// Where images charged to clients are written down; needed where a client has a quota.
    pub usage_file: Option<PathBuf>,
}

/// A client of a server, and what it may ask for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedClient {
    /// Its name.
    pub name: String,
    /// Its pinned certificate, or two while it changes its key.
    pub certificate: Certificates,
    /// Images that it may have evaluated, ever; no end without.
    pub quota: Option<u64>,
    /// Images that it may have evaluated in a minute; no limit without.
    pub rate: Option<u32>,
}

impl ServedClient {
    /// The client as a peer.
    pub fn peer(&self) -> Peer {
        Peer { name: self.name.clone(), certificate: self.certificate.clone(), address: None }
    }
}

/// Largest pool.
const MAX_POOL: usize = 1024;

impl ServerConfig {
    /// The share of batches that are looked at.
    ///
    /// # Errors
    /// [`Error::Config`] when it is none.
    pub fn audit(&self) -> Result<f64, Error> {
        match (0.0..=0.9).contains(&self.audit) {
            true => Ok(self.audit),
            false => Err(Error::Config(format!("audit = {}; 0 to 0.9 is accepted", self.audit))),
        }
    }

    /// Refuses what is of use with a dealer alone.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn without_dealer(&self) -> Result<(), Error> {
        let given = [("audit", self.audit > 0.0), ("row_tables", self.row_tables)];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::Config(format!(
                "`{name}` needs a dealer; with `source = \"peer\"` leave it out"
            ))),
            None => Ok(()),
        }
    }

    /// What is chosen of the plan.
    pub fn options(&self) -> Options {
        Options {
            max: if self.public_max { MaxKind::Public } else { MaxKind::Coarse },
            reveal: self.reveal,
            tables: if self.row_tables { Tables::Rows } else { Tables::Pieces },
            lengths: self.length,
        }
    }

    /// Where images are written down: as configured, or beside the configuration where a client has a quota.
    pub fn usage_file(&self) -> Option<PathBuf> {
        let quota = self.clients.iter().any(|c| c.quota.is_some());
        self.usage_file.clone().or(quota.then(|| "usage.json".into()))
    }

    /// Least memory for a plan, in bytes: the fewest batches.
    pub fn needs(&self, plan: &Plan) -> u64 {
        least(self.source) as u64 * batch_memory(plan, self.source)
    }

    /// Batches of `plan` that there is memory for.
    ///
    /// # Errors
    /// [`Error::Config`] where the pool does not fit.
    pub fn places(&self, plan: &Plan) -> Result<usize, Error> {
        if self.pool > MAX_POOL {
            return Err(Error::Config(format!("a pool of {}; at most {MAX_POOL}", self.pool)));
        }
        let places = places(self.memory, 0, plan, self.source)?;
        // Without a dealer none wait for whoever comes.
        let waits = self.pool_folder.is_none() && self.source == Source::Dealer;
        let kept = if waits { self.pool } else { 0 };
        if kept >= places && kept > 0 {
            return Err(Error::Config(format!(
                "a pool of {kept} batches of {} MiB each does not fit into `memory = {}`; raise it, lower `pool`, \
                 or set `pool_folder`",
                batch_memory(plan, self.source).div_ceil(1 << 20),
                self.memory
            )));
        }
        Ok(places)
    }
}

fn one() -> usize {
    1
}

/// `dealer.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DealerConfig {
    /// Ourselves.
    pub own: Own,
    /// Servers that may connect.
    pub servers: Vec<Peer>,
    /// Clients that may connect.
    pub clients: Vec<Peer>,
    /// Who receives corrections, `server` or `client`; the other side needs 32 bytes a batch.
    #[serde(default)]
    pub corrections: CorrectionsConfig,
}

impl DealerConfig {
    /// Whoever may connect.
    pub fn peers(&self) -> Vec<&Peer> {
        self.servers.iter().chain(&self.clients).collect()
    }
}

/// Who receives corrections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum CorrectionsConfig {
    /// The server.
    #[default]
    Server,
    /// The client.
    Client,
}

//! Configuration files: one small TOML a party.

mod models;

use std::path::PathBuf;

use serde::Deserialize;
use sotto_models::private::{Lengths, Reveal};
use sotto_protocols::plan::Plan;

pub use models::{Offer, ServedModel, is_name};
pub use sotto_client::config::{ClientConfig, asked};
pub use sotto_session::config::{Certificates, Memory, Own, Peer, Source, folder, load};
use sotto_session::config::{default_memory, default_pool};

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
    /// Folder with `arch.toml`, `weights.safetensors`, `calibration.toml`; or `demo`. Left out where there are `[[models]]`.
    pub model: Option<PathBuf>,
    /// Several models, each with its name. What one leaves out is as the lines before the tables say.
    #[serde(default)]
    pub models: Vec<ServedModel>,
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
    /// Folder for batches that wait; in memory without. Several models have a folder each in it.
    pub pool_folder: Option<PathBuf>,
    /// Memory for the batches of all models, in MiB.
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
    /// Names of the models that it may use; all without.
    pub models: Option<Vec<String>>,
    /// Images that it may have evaluated, ever, of all models together; no end without.
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
        let rows = self.models.iter().any(|model| model.row_tables == Some(true));
        let given = [("audit", self.audit > 0.0), ("row_tables", self.row_tables || rows)];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::Config(format!(
                "`{name}` needs a dealer; with `source = \"peer\"` leave it out"
            ))),
            None => Ok(()),
        }
    }

    /// Where images are written down: as configured, or beside the configuration where a client has a quota.
    pub fn usage_file(&self) -> Option<PathBuf> {
        let quota = self.clients.iter().any(|c| c.quota.is_some());
        self.usage_file.clone().or(quota.then(|| "usage.json".into()))
    }

    /// Memory for all batches, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory.saturating_mul(1 << 20)
    }

    /// Batches of `plan` that there is memory for where so many models have a part each, with a pool of so many.
    ///
    /// # Errors
    /// [`Error::Config`] where the pool does not fit.
    pub fn places(&self, plan: &Plan, parts: usize, pool: usize) -> Result<usize, Error> {
        let parts = parts.max(1) as u64;
        let memory = Memory::of(plan, self.source)?;
        let places = memory.places(self.memory / parts, 0).map_err(|e| match parts {
            1 => e,
            _ => Error::Config(format!(
                "`memory = {}` (MiB) has {parts} parts, one for each model, and none has room for the fewest batches of this \
                 one; raise it to {} or more",
                self.memory,
                parts * memory.needs().div_ceil(1 << 20)
            )),
        })?;
        // Without a dealer none wait for whoever comes.
        let waits = self.pool_folder.is_none() && self.source == Source::Dealer;
        let kept = if waits { pool } else { 0 };
        if kept >= places && kept > 0 {
            return Err(Error::Config(format!(
                "a pool of {kept} batches of {} MiB each does not fit into `memory = {}`; raise it, lower `pool`, \
                 or set `pool_folder`",
                memory.batch.div_ceil(1 << 20),
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

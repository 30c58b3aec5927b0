//! `client.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sotto_models::calibration::hex;
use sotto_protocols::{
    make::{weights_len, whole_recipe},
    plan::Plan,
};
use sotto_session::{
    Error,
    config::{Own, Peer, Source, default_memory, default_pool, least, places},
    lexicon::Lexicon,
};

/// `client.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Ourselves.
    pub own: Own,
    /// The server.
    pub server: Peer,
    /// Where correlations come from, as at the server.
    #[serde(default)]
    pub source: Source,
    /// The dealer, where there is one.
    pub dealer: Option<Peer>,
    /// The model that the client insists on, as the server's log and refusals name it.
    pub model: Option<String>,
    /// For texts: folder with arch.toml, tokenizer.json and tables.safetensors, as `sotto lexicon` writes it.
    pub lexicon: Option<PathBuf>,
    /// File in which the masked weights are kept, so that they are not sent again after a restart; in memory alone without.
    pub weights_file: Option<PathBuf>,
    /// The lexicon that the client insists on, as `sotto lexicon` prints it: its tokenizer decides what lengths tell.
    pub lexicon_hash: Option<String>,
    /// Batches assigned ahead of the evaluation; 0 asks for each when it is needed.
    #[serde(default = "default_pool")]
    pub pool: usize,
    /// Memory for masked weights and batches, in MiB: a server's model that needs more is refused.
    #[serde(default = "default_memory")]
    pub memory: u64,
}

impl ClientConfig {
    /// Batches of `plan` that there is memory for, beside the server's masked or encrypted weights.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none for the fewest; [`Error::Protocol`] where two parties cannot make the plan's batches.
    pub fn places(&self, plan: &Plan) -> Result<usize, Error> {
        let words: u64 = plan.weights.iter().map(|w| (w.outputs * w.inputs) as u64).sum();
        let weights = match self.source {
            Source::Dealer => 8 * words,
            Source::Peer => weights_len(&whole_recipe(plan)?) as u64,
        };
        places(self.memory, weights, plan, least(self.source))
    }
}

impl ClientConfig {
    /// Whom the client dials.
    ///
    /// # Errors
    /// As [`Source::dealer`].
    pub fn dialled(&self) -> Result<Vec<&Peer>, Error> {
        Ok([&self.server].into_iter().chain(self.source.dealer(&self.dealer)?).collect())
    }

    /// The lexicon that is named, with `base` the configuration's folder; `None` where none is.
    ///
    /// # Errors
    /// As [`Lexicon::load`]; [`Error::Config`] for another one than is insisted on.
    pub fn lexicon(&self, base: &Path) -> Result<Option<Lexicon>, Error> {
        let (Some(folder), pinned) = (&self.lexicon, &self.lexicon_hash) else {
            return match self.lexicon_hash {
                None => Ok(None),
                Some(_) => Err(Error::Config("`lexicon_hash` needs `lexicon = FOLDER`".into())),
            };
        };
        let lexicon = Lexicon::load(&base.join(folder))?;
        let found = hex(&lexicon.hash());
        match pinned {
            Some(pinned) if *pinned != found => Err(Error::Config(format!(
                "`lexicon` is {found}, and `lexicon_hash` insists on {}: a tokenizer decides what lengths tell; look at \
                 it before you take another",
                sotto_net::printable(pinned, 64)
            ))),
            _ => Ok(Some(lexicon)),
        }
    }
}

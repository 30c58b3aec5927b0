//! What a client is told: as a value, or by a `client.toml`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use sotto_models::{calibration::hex, private::Lengths};
use sotto_net::{Endpoint, Identity, Profile};
use sotto_protocols::{
    make::{Extension, weights_len, whole_recipe},
    plan::Plan,
};
use sotto_session::{
    Error,
    config::{self, Memory, Own, Peer, Source, default_memory, default_pool, dialling, is_hash},
    lexicon::Lexicon,
    shelf::{Place, Shelf},
    stop::Stop,
};

/// What is told how many bytes of masked or encrypted weights are here, of how many.
pub type Progress = Box<dyn Fn(u64, u64) + Send>;

/// What a client is told. No `Debug`: it holds the client's key.
#[non_exhaustive]
pub struct Config {
    /// Our name, certificate and key.
    pub identity: Identity,
    /// The server.
    pub server: Peer,
    /// The dealer; without one, server and client make correlated randomness by themselves. As at the server.
    pub dealer: Option<Peer>,
    /// What makes transfers without a dealer. As at the server.
    pub extension: Extension,
    /// The transport's settings.
    pub profile: Profile,
    /// How long a peer may be silent before it is given up, and about how long a connection is tried.
    pub deadline: Duration,
    /// The model: by its name at the server, or by its hash, which the client then insists on. Needed where the server has several.
    pub model: Option<String>,
    /// For texts: the tokenizer, and the tables of its words.
    pub lexicon: Option<Arc<Lexicon>>,
    /// File in which the masked weights are kept, so that they are not sent again after a restart; in memory alone without.
    pub weights_file: Option<PathBuf>,
    /// Without a dealer: folder in which batches wait that were made with the server, where it has one, too; in memory alone without. Keys of
    /// the server's part lie in a folder beside it, of the same name with `.keys`.
    pub pool_folder: Option<PathBuf>,
    /// That folder is the client's only one for this server: the server burns what it keeps for others, which are lost.
    pub only_folder: bool,
    /// What the server learns of texts' lengths; hidden ones need the same at the server.
    pub length: Lengths,
    /// Batches of correlated randomness got ready ahead of the evaluation, where more are to come.
    pub pool: usize,
    /// Memory for masked weights and batches, in MiB: a server's model that needs more is refused.
    pub memory: u64,
    /// Asks the client to stop, from another thread.
    pub stop: Stop,
    /// What is told of the weights as they come.
    pub progress: Progress,
}

impl Config {
    /// A client of this server and dealer, if there is one, in a local network.
    pub fn new(identity: Identity, server: Peer, dealer: Option<Peer>) -> Self {
        Self {
            identity,
            server,
            dealer,
            extension: Extension::Ferret,
            profile: Profile::lan(),
            deadline: Duration::from_secs(30),
            model: None,
            lexicon: None,
            weights_file: None,
            pool_folder: None,
            only_folder: false,
            length: Lengths::Public,
            pool: default_pool(),
            memory: default_memory(),
            stop: Stop::at_once(),
            progress: Box::new(|_, _| ()),
        }
    }

    /// Reads a `client.toml`, and the files that it names.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`] for a file that is none, or names files that are none.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let (told, base) = (config::load::<ClientConfig>(path)?, config::folder(path));
        let lexicon = told.lexicon(base)?.map(Arc::new);
        Ok(Self { lexicon, ..told.read(base)? })
    }

    /// Where correlated randomness comes from.
    pub fn source(&self) -> Source {
        match self.dealer {
            Some(_) => Source::Dealer,
            None => Source::alone(self.extension),
        }
    }

    /// The folder in which batches wait, if there is one.
    ///
    /// # Errors
    /// [`Error::Config`] with a dealer, and for a folder that is in use or another's; [`Error::Io`].
    pub(crate) fn shelf(&self) -> Result<Option<Arc<Shelf>>, Error> {
        let Some(folder) = &self.pool_folder else { return Ok(None) };
        if self.dealer.is_some() {
            let why = "`pool_folder` is for `source = \"peer\"`; a dealer gives a client each batch once: leave it out";
            return Err(Error::Config(why.into()));
        }
        let owner = format!("{} with {}", self.identity.name(), self.server.name);
        let secret = self.identity.secret("made batches");
        Ok(Some(Arc::new(Shelf::open(&Place::whole(folder), &owner, &secret)?)))
    }

    /// Binds an endpoint that dials server and dealer.
    pub(crate) fn bind(&self) -> Result<Endpoint, Error> {
        let dialled: Vec<&Peer> = [&self.server].into_iter().chain(&self.dealer).collect();
        dialling(&self.identity, self.profile.clone(), &dialled)
    }

    /// Batches of `plan` that there is memory for, beside the server's masked or encrypted weights.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none for the fewest; [`Error::Protocol`] where two parties cannot make the plan's batches.
    pub(crate) fn places(&self, plan: &Plan) -> Result<usize, Error> {
        let Some(extension) = self.source().extension() else {
            let weights = plan.setup_bytes() as u64;
            return Memory::of(plan, self.source())?.places(self.memory, weights);
        };
        let recipe = whole_recipe(plan, extension)?;
        Memory::made(plan, &recipe).places(self.memory, weights_len(&recipe) as u64)
    }
}

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
    /// The model: by its name at the server, or by its hash, which the client then insists on. Needed where the server has several.
    pub model: Option<String>,
    /// For texts: folder with arch.toml, tokenizer.json and tables.safetensors, as `sotto lexicon` writes it.
    pub lexicon: Option<PathBuf>,
    /// File in which the masked weights are kept, so that they are not sent again after a restart; in memory alone without.
    pub weights_file: Option<PathBuf>,
    /// Without a dealer: folder in which batches wait that were made with the server; in memory alone without.
    pub pool_folder: Option<PathBuf>,
    /// The lexicon that the client insists on, as `sotto lexicon` prints it: its tokenizer decides what lengths tell.
    pub lexicon_hash: Option<String>,
    /// Of texts: `public`, or `hidden`, which pads each to a bucket of 16, 32, 64, .. tokens and needs the same at the server.
    #[serde(default)]
    pub length: Lengths,
    /// Batches assigned ahead of the evaluation; 0 asks for each when it is needed.
    #[serde(default = "default_pool")]
    pub pool: usize,
    /// Memory for masked weights and batches, in MiB: a server's model that needs more is refused.
    #[serde(default = "default_memory")]
    pub memory: u64,
}

/// What a client says of the model that it asks for: its name, and the hash that it insists on.
pub fn asked(model: Option<&str>) -> [Option<String>; 2] {
    let (hash, name) = model.map(str::to_owned).into_iter().partition::<Vec<_>, _>(|m| is_hash(m));
    [name, hash].map(|found| found.into_iter().next())
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

    /// The same as a value, with the files of `base`, the configuration's folder; but for the lexicon, which is the larger part of them.
    ///
    /// # Errors
    /// As [`Source::dealer`]; [`Error::Net`] for keys and certificates that are none.
    pub fn read(&self, base: &Path) -> Result<Config, Error> {
        let dealer = self.source.dealer(&self.dealer)?.map(|dealer| dealer.held(base));
        let (identity, server) = (self.own.identity(base)?, self.server.held(base)?);
        Ok(Config {
            profile: self.own.profile()?,
            deadline: self.own.deadline(),
            model: self.model.clone(),
            weights_file: self.weights_file.as_ref().map(|file| base.join(file)),
            pool_folder: self.pool_folder.as_ref().map(|folder| base.join(folder)),
            length: self.length,
            pool: self.pool,
            memory: self.memory,
            extension: self.source.extension().unwrap_or(Extension::Ferret),
            ..Config::new(identity, server, dealer.transpose()?)
        })
    }
}

//! The models that a server's configuration names.

use std::{
    fmt::{self, Display, Formatter},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sotto_models::{
    format::MaxKind,
    private::{Lengths, Options, Reveal, Tables},
};
use sotto_session::{config::is_hash, shelf::Place};

use super::ServerConfig;
use crate::error::Error;

/// Largest pool.
const MAX_POOL: usize = 1024;

/// Most models of a server: the dealer keeps the plans of more.
const MAX_MODELS: usize = 16;

/// Longest name of a model.
const LONGEST: usize = 64;

/// Whether clients can ask for a model by this name: it is a folder's, too, and no hash.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=LONGEST).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(allowed)
        && !is_hash(name)
}

/// One of several models that a server has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedModel {
    /// What clients ask for; the folder's own name without.
    pub name: Option<String>,
    /// As [`ServerConfig::model`].
    pub model: PathBuf,
    /// As [`ServerConfig::batch`]; so are the others.
    pub batch: Option<usize>,
    /// What the client learns.
    pub reveal: Option<Reveal>,
    /// Whether lengths of texts may be hidden.
    pub length: Option<Lengths>,
    /// Whether softmax takes a calibrated public maximum.
    pub public_max: Option<bool>,
    /// Whether activations are looked up by row tables.
    pub row_tables: Option<bool>,
    /// Batches kept ready.
    pub pool: Option<usize>,
}

/// What a server is told of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// What clients ask for.
    pub name: String,
    /// Where it is.
    pub model: PathBuf,
    /// Images in one evaluation.
    pub batch: usize,
    /// What is chosen of the plan.
    pub options: Options,
    /// Batches kept ready.
    pub pool: usize,
    /// Where they wait, if not in memory.
    pub pool_folder: Option<Place>,
}

impl Display for Offer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "model `{}` ({})", self.name, self.model.display())
    }
}

impl ServerConfig {
    /// The models, each with all that the file says of it.
    ///
    /// # Errors
    /// [`Error::Config`] for none, for too many, for names that clients cannot ask for, and for clients of models that there are not.
    pub fn offers(&self) -> Result<Vec<Offer>, Error> {
        let refused = |why: String| Err(Error::Config(why));
        let models = match (&self.model, &self.models[..]) {
            (Some(model), []) => vec![self.offer(&ServedModel::only(model))],
            (None, []) => return refused("`model` is missing: a folder, or `demo`".into()),
            (None, models) => models.iter().map(|model| self.offer(model)).collect(),
            (Some(_), _) => {
                return refused("`model` beside [[models]]: write it as one of them".into());
            }
        };
        if models.len() > MAX_MODELS {
            return refused(format!("{} models; at most {MAX_MODELS}", models.len()));
        }
        for (i, Offer { name, pool, .. }) in models.iter().enumerate() {
            if !is_name(name) {
                return refused(format!(
                    "`{name}` is no name of a model: {LONGEST} letters, digits, `-`, `_` and `.` at most are accepted, \
                     no hash, no dot before them; give it a `name`"
                ));
            }
            if models[..i].iter().any(|other| other.name == *name) {
                return refused(format!("`{name}` is the name of two models; give each its own"));
            }
            if *pool > MAX_POOL {
                return refused(format!("a pool of {pool}; at most {MAX_POOL}"));
            }
        }
        for client in &self.clients {
            let Some(may) = &client.models else { continue };
            if may.is_empty() {
                let why =
                    "no model; `quota = 0` locks a client out, without `models` it may use all";
                return refused(format!("models = [] for `{}`: {why}", client.name));
            }
            let unknown = may.iter().find(|name| models.iter().all(|model| model.name != **name));
            if let Some(name) = unknown {
                let client = &client.name;
                return refused(format!(
                    "`{client}` may use `{name}`, which is none of the models"
                ));
            }
        }
        Ok(models)
    }

    /// Takes models, clients and limits of another reading, which may change while a server runs; whether nothing else is another.
    pub fn take(&mut self, now: Self) -> bool {
        let Self { clients, model, models, batch, reveal, length, .. } = now.clone();
        let Self { public_max, row_tables, pool, pool_folder, .. } = now.clone();
        *self = Self {
            clients,
            model,
            models,
            batch,
            reveal,
            length,
            public_max,
            row_tables,
            pool,
            pool_folder,
            ..self.clone()
        };
        *self == now
    }

    fn offer(&self, model: &ServedModel) -> Offer {
        let public_max = model.public_max.unwrap_or(self.public_max);
        let rows = model.row_tables.unwrap_or(self.row_tables);
        let own = || model.model.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = model.name.clone().or_else(own).unwrap_or_default();
        // A folder has one model's batches: what is not of this one is burnt.
        let several = !self.models.is_empty();
        let folder = |all: &PathBuf| match several {
            true => Place::of_model(all, &name),
            false => Place::whole(all),
        };
        Offer {
            pool_folder: self.pool_folder.as_ref().map(folder),
            name: name.clone(),
            model: model.model.clone(),
            batch: model.batch.unwrap_or(self.batch),
            options: Options {
                max: if public_max { MaxKind::Public } else { MaxKind::Coarse },
                reveal: model.reveal.unwrap_or(self.reveal),
                tables: if rows { Tables::Rows } else { Tables::Pieces },
                lengths: model.length.unwrap_or(self.length),
            },
            pool: model.pool.unwrap_or(self.pool),
        }
    }
}

impl ServedModel {
    /// The only one, whose file says nothing else of it. Its name need not be said.
    fn only(model: &Path) -> Self {
        let own = model.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
        Self {
            name: Some(own.unwrap_or("model").into()),
            model: model.into(),
            batch: None,
            reveal: None,
            length: None,
            public_max: None,
            row_tables: None,
            pool: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever models are called, none has its batches where another's keys lie, or its keys in the pool folder.
    #[test]
    fn several_models_have_their_folders_in_the_pool_folder() {
        let offers = |models: &str| {
            let text = format!(
                "{models}\npool_folder = \"pool\"\nclients = []\n[own]\nname = \"server\"\nkeys = \".\""
            );
            let config: ServerConfig = toml::from_str(&text).unwrap();
            let offers = config.offers().unwrap();
            offers.into_iter().map(|offer| offer.pool_folder.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(offers("model = \"demo\""), [Place::whole("pool")]);
        let of = |name: &str| format!("{{ name = \"{name}\", model = \"demo\" }}");
        let two = format!("models = [{}, {}]", of("x"), of("x.keys"));
        assert_eq!(offers(&two), ["x", "x.keys"].map(|name| Place::of_model("pool", name)));
    }
}

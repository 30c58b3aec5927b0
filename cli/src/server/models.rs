//! The models that a server has: read from their files, chosen by clients, compared with what the files say later.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sotto_models::{calibration::hex, length::Length, model::Input};
use sotto_protocols::weights::{Matrix, Weights};

use super::usage::Tariff;
use crate::{
    card::Card, config::Offer, error::Error, messages::ClientHello, model::Model, refusal::Refusal,
};

/// A model as it is served. No `Debug`: the weights are secret.
pub struct Loaded {
    /// What the configuration says of it.
    pub offer: Offer,
    /// Its description.
    pub card: Card,
    /// What it takes.
    pub input: Input,
    /// Salted hash of the matrices.
    pub commitment: [u8; 32],
    /// The matrices, which plans of all lengths share.
    pub weights: Arc<Weights>,
    /// Another has taken its place.
    pub over: AtomicBool,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.over.load(Ordering::Relaxed) {
            let hash = hex(&self.commitment);
            tracing::info!("model {} as it was, {hash}, is not used any more", self.name());
        }
    }
}

impl Loaded {
    /// Reads a model's files, with `base` the configuration's folder.
    ///
    /// # Errors
    /// Those of [`Model::find`], and [`Error::Model`] where there is no plan.
    pub fn read(offer: Offer, base: &Path, salt: &[u8; 32]) -> Result<Self, Error> {
        let named = Model::is_named(&offer.model);
        let model =
            Model::find(&if named { offer.model.clone() } else { base.join(&offer.model) })?;
        let card = model.card(offer.batch, offer.options);
        let input = model.arch.input.clone();
        // Plans of all lengths have the same matrices, in the same order.
        let length = matches!(input, Input::Words(_)).then_some(Length::Public(1));
        let matrices = card.trace(length)?.matrices(&model.weights);
        // What is left is in the matrices, packed.
        drop(model);
        let commitment = commit(salt, &matrices);
        let weights = Arc::new(Weights::Plain(matrices));
        Ok(Self { offer, card, input, commitment, weights, over: AtomicBool::new(false) })
    }

    /// What clients ask for.
    pub fn name(&self) -> &str {
        &self.offer.name
    }

    /// Whether it takes texts.
    pub fn is_of_texts(&self) -> bool {
        matches!(self.input, Input::Words(_))
    }

    /// Whether another reading of the files found the same.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.commitment, &self.offer, &self.card) == (other.commitment, &other.offer, &other.card)
    }

    /// What an evaluation costs.
    pub fn tariff(&self) -> Tariff<'_> {
        Tariff { model: self.name(), images: self.card.batch as u64 }
    }
}

/// A hash of the matrices that confirms no guess: `salt` is the server's secret, and the same after a restart.
fn commit(salt: &[u8; 32], matrices: &[Matrix]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    let mut bytes = Vec::new();
    let mut update = |words: &[u64]| {
        bytes.clear();
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        hasher.update(&bytes);
    };
    for matrix in matrices {
        let (entries, bias) = (matrix.entries(), matrix.bias.iter().map(|b| *b as u64));
        update(&[entries.count() as u64]);
        entries.each(&mut update);
        update(&[matrix.bias.len() as u64]);
        update(&bias.collect::<Vec<_>>());
    }
    *hasher.finalize().as_bytes()
}

/// The model that a client asks for, of those that it `may` use. A refusal names no others, whether there are any or not.
///
/// # Errors
/// [`Refusal::OtherModel`] where it is none of them, [`Refusal::WhichModel`] where it may be several.
pub fn choose(
    models: &[Arc<Loaded>],
    hello: &ClientHello,
    may: impl Fn(&str) -> bool,
) -> Result<Arc<Loaded>, Refusal> {
    let all = models.iter().filter(|model| may(model.name()));
    let (name, hash) = (hello.name.as_deref(), hello.model.as_deref());
    let named = all.clone().filter(|model| name.is_none_or(|name| name == model.name()));
    if let (Some(name), None) = (name, named.clone().next()) {
        let served = list(all.map(|model| model.name().to_owned()));
        return Err(Refusal::OtherModel { asked: cut(name), served });
    }
    let known = |model: &&Arc<Loaded>| hash.is_none_or(|hash| hash == hex(&model.commitment));
    let found: Vec<_> = named.clone().filter(known).collect();
    match (&found[..], hash) {
        ([one], _) => Ok(Arc::clone(one)),
        ([], Some(hash)) => {
            let told =
                |model: &Arc<Loaded>| format!("{} ({})", hex(&model.commitment), model.name());
            Err(Refusal::OtherModel { asked: cut(hash), served: list(named.map(told)) })
        }
        (several, _) => {
            let served = list(several.iter().map(|model| model.name().to_owned()));
            Err(Refusal::WhichModel { served })
        }
    }
}

/// As much of what a client wrote as a name or hash can be.
fn cut(asked: &str) -> String {
    asked.chars().take(64).collect()
}

fn list(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join(" or ")
}

/// Reads the files of all; one that is as `before` is that one.
///
/// # Errors
/// As [`Loaded::read`], with the model's name.
pub fn read_all(
    offers: Vec<Offer>,
    base: &Path,
    salt: &[u8; 32],
    before: &[Arc<Loaded>],
) -> Result<Vec<Arc<Loaded>>, Error> {
    let read = |offer: Offer| {
        let named = Error::of(&offer);
        let read = Arc::new(Loaded::read(offer.clone(), base, salt).map_err(named)?);
        let same = before.iter().find(|one| one.is_same(&read));
        Ok(same.map_or(read, Arc::clone))
    };
    offers.into_iter().map(read).collect()
}

/// What is another model than before, in words; nothing where none is.
pub fn compare(before: &[Arc<Loaded>], now: &[Arc<Loaded>]) -> String {
    let of =
        |all: &[Arc<Loaded>], name: &str| all.iter().find(|m| m.name() == name).map(Arc::clone);
    let mut said = Vec::new();
    for model in now {
        let (name, hash) = (model.name(), hex(&model.commitment));
        match of(before, name) {
            Some(old) if Arc::ptr_eq(&old, model) => {}
            Some(_) => said.push(format!("model {name} is replaced and is {hash} now, ")),
            None => said.push(format!("model {name} is new and is {hash}, ")),
        }
    }
    let gone = before.iter().filter(|model| of(now, model.name()).is_none());
    said.extend(gone.map(|model| format!("model {} is gone, ", model.name())));
    said.concat()
}

//! The account of each client.

use std::{collections::BTreeMap, time::Instant};

use super::{Tariff, file::Spent, stranger};
use crate::{config::ServedClient, refusal::Refusal};

/// Batches that a client may have assigned and leave unused, in a minute.
pub(super) const UNUSED: f64 = 32.0;

#[derive(Clone)]
pub(super) struct Account {
    /// Those that it may use; all without.
    pub(super) models: Option<Vec<String>>,
    pub(super) quota: Option<u64>,
    pub(super) rate: Option<u32>,
    pub(super) spent: Spent,
    /// Images that the file says.
    pub(super) charged: u64,
    /// Most bits that an image has revealed, of each model.
    most: BTreeMap<String, u64>,
    /// Images that may be asked for now.
    pub(super) tokens: f64,
    /// Batches that may be left unused now.
    pub(super) unused: f64,
    pub(super) filled: Instant,
}

impl Account {
    pub(super) fn new(client: &ServedClient, spent: Spent) -> Self {
        Self {
            models: client.models.clone(),
            quota: client.quota,
            rate: client.rate,
            charged: spent.images,
            spent,
            most: BTreeMap::new(),
            tokens: client.rate.unwrap_or(0).into(),
            unused: UNUSED,
            filled: Instant::now(),
        }
    }

    /// The quota, where `images` more would exceed it.
    pub(super) fn exceeds(&self, images: u64) -> Result<(), Refusal> {
        match self.quota {
            Some(quota) if self.spent.images.saturating_add(images) > quota => {
                Err(Refusal::Quota { used: self.spent.images, quota })
            }
            _ => Ok(()),
        }
    }

    /// Most bits that an image of a model has revealed.
    pub(super) fn most(&self, model: &str) -> u64 {
        self.most.get(model).copied().unwrap_or(0)
    }

    /// Notes bits that an image of a model reveals; whether none of it revealed so many.
    pub(super) fn is_dearer(&mut self, model: &str, bits: u64) -> bool {
        let dearer = self.most.get(model).is_none_or(|most| bits > *most);
        if dearer {
            self.most.insert(model.into(), bits);
        }
        dearer
    }

    /// Whether it has used most of what it asked for.
    pub(super) fn is_careful(&self) -> Result<(), Refusal> {
        match self.unused < 1.0 {
            true => Err(Refusal::Rate(((1.0 - self.unused) * 60.0 / UNUSED).ceil() as u64)),
            false => Ok(()),
        }
    }

    pub(super) fn fill(&mut self) {
        let minutes = self.filled.elapsed().as_secs_f64() / 60.0;
        self.filled = Instant::now();
        self.unused = (self.unused + minutes * UNUSED).min(UNUSED);
        if let Some(rate) = self.rate.map(f64::from) {
            self.tokens = (self.tokens + minutes * rate).min(rate);
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Accounts {
    pub(super) served: BTreeMap<String, Account>,
    /// What is known of those who are not served now.
    pub(super) others: BTreeMap<String, Spent>,
}

impl Accounts {
    /// The account of a client that may use a model.
    pub(super) fn of(&mut self, client: &str, of: Tariff<'_>) -> Result<&mut Account, Refusal> {
        let account = self.served.get_mut(client).ok_or_else(stranger)?;
        match &account.models {
            Some(models) if models.iter().all(|model| model != of.model) => {
                let (asked, served) = (of.model.into(), models.join(" or "));
                Err(Refusal::OtherModel { asked, served })
            }
            _ => Ok(account),
        }
    }

    /// Serves these clients and no others; who is served already keeps its tokens.
    pub(super) fn serve(&mut self, clients: &[ServedClient]) {
        let before = std::mem::take(&mut self.served);
        self.others.extend(before.iter().map(|(name, a)| (name.clone(), a.spent.clone())));
        let mut before = before;
        for client in clients {
            let spent = self.others.remove(&client.name).unwrap_or_default();
            let fresh = Account::new(client, spent);
            let account = match before.remove(&client.name) {
                Some(known) => {
                    let Account { charged, most, unused, rate, tokens, filled, .. } = known;
                    let fresh = Account { charged, most, unused, ..fresh };
                    if rate == fresh.rate { Account { tokens, filled, ..fresh } } else { fresh }
                }
                None => fresh,
            };
            self.served.insert(client.name.clone(), account);
        }
    }
}

//! The account of each client.

use std::{collections::BTreeMap, time::Instant};

use super::Used;
use crate::{config::ServedClient, refusal::Refusal};

/// Batches that a client may have assigned and leave unused, in a minute.
const UNUSED: f64 = 32.0;

pub(super) struct Account {
    pub(super) quota: Option<u64>,
    pub(super) rate: Option<u32>,
    pub(super) used: Used,
    /// Images that the file says.
    pub(super) charged: u64,
    /// Most bits that an image of its has revealed.
    pub(super) most: u64,
    /// Images that may be asked for now.
    pub(super) tokens: f64,
    /// Batches that may be left unused now.
    pub(super) unused: f64,
    pub(super) filled: Instant,
}

impl Account {
    pub(super) fn new(client: &ServedClient, used: Used) -> Self {
        Self {
            quota: client.quota,
            rate: client.rate,
            used,
            charged: used.images,
            most: 0,
            tokens: client.rate.unwrap_or(0).into(),
            unused: UNUSED,
            filled: Instant::now(),
        }
    }

    /// The quota, where `images` more would exceed it.
    pub(super) fn exceeds(&self, images: u64) -> Result<(), Refusal> {
        match self.quota {
            Some(quota) if self.used.images.saturating_add(images) > quota => {
                Err(Refusal::Quota { used: self.used.images, quota })
            }
            _ => Ok(()),
        }
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

#[derive(Default)]
pub(super) struct Accounts {
    pub(super) served: BTreeMap<String, Account>,
    /// What is known of those who are not served now.
    pub(super) others: BTreeMap<String, Used>,
}

impl Accounts {
    /// Serves these clients and no others; who is served already keeps its tokens.
    pub(super) fn serve(&mut self, clients: &[ServedClient]) {
        let before = std::mem::take(&mut self.served);
        self.others.extend(before.iter().map(|(name, a)| (name.clone(), a.used)));
        let mut before = before;
        for client in clients {
            let used = self.others.remove(&client.name).unwrap_or_default();
            let account = match before.remove(&client.name) {
                Some(known) if known.rate == client.rate => {
                    Account { quota: client.quota, ..known }
                }
                Some(known) => {
                    let Account { charged, unused, .. } = known;
                    Account { charged, unused, ..Account::new(client, used) }
                }
                None => Account::new(client, used),
            };
            self.served.insert(client.name.clone(), account);
        }
    }
}

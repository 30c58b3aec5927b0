//! What each client may ask for, and what it has learnt.
//!
//! Security: however a client deviates, it learns of the weights at most the bits that are revealed to it (SECURITY.md
//! has the proof). So images times revealed bits is a bound, and a quota of images is one of bits. It is one for all models of a
//! client together: so it is one for each, and for two names of the same weights. Images are charged before they are evaluated, in
//! the file before in memory: a crash charges a few more, never fewer.

mod account;
mod file;
#[cfg(test)]
mod tests;

use std::{fs::File, io::Write, path::PathBuf, sync::Mutex, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{config::ServedClient, error::Error, files, refusal::Refusal};
use account::{Accounts, UNUSED};
use file::{Charged, lock, read};

/// Most images that the file is ahead of what was used; less for a small quota.
const BLOCK: u64 = 64;

/// A client that would have to wait longer than this for its rate is refused.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What a client was charged, of one model or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Images.
    pub images: u64,
    /// Bits that were revealed for them, at the time.
    pub bits: u64,
}

/// What an evaluation is charged as.
#[derive(Clone, Copy, Debug)]
pub struct Tariff<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Images of an evaluation.
    pub images: u64,
}

/// The accounts of all clients.
pub struct Usage {
    accounts: Mutex<Accounts>,
    /// The server's name.
    server: String,
    /// Where it is written down, and the lock that makes it ours.
    file: Option<(PathBuf, File)>,
}

impl Usage {
    /// Reads what was charged before; the file is needed where a client has a quota.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Io`] when the file cannot be used, or is another server's or process's.
    pub fn open(
        clients: &[ServedClient],
        server: &str,
        file: Option<PathBuf>,
    ) -> Result<Self, Error> {
        no_rate_is_zero(clients)?;
        let mut known = Charged::default();
        let file = match file {
            None => None,
            Some(path) => {
                let path = files::written("usage_file", &path)?;
                let lock = lock(&path)?;
                known = read(&path)?;
                Some((path, lock))
            }
        };
        if !known.server.is_empty() && known.server != server {
            return Err(Error::Config(format!(
                "the usage file is that of `{}`, not of `{}`; give each server its own",
                sotto_net::printable(&known.server, 64),
                server
            )));
        }
        let mut accounts = Accounts { others: known.clients, ..Accounts::default() };
        accounts.serve(clients);
        let usage = Self { accounts: Mutex::new(accounts), server: server.into(), file };
        usage.save(&usage.lock())?;
        Ok(usage)
    }

    /// Whether these clients can be served from now on.
    ///
    /// # Errors
    /// [`Error::Config`] for a rate of none, and for a quota where nothing is written down.
    pub fn admits(&self, clients: &[ServedClient]) -> Result<(), Error> {
        no_rate_is_zero(clients)?;
        match clients.iter().find(|c| c.quota.is_some() && self.file.is_none()) {
            Some(client) => Err(Error::Config(format!(
                "a quota for `{}`: there was none at the start, so nothing is written down; restart the server",
                client.name
            ))),
            None => Ok(()),
        }
    }

    /// Serves these clients from now on, if that `takes` effect elsewhere, too; what each has used stays with its name.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written down, and those of `takes`; then those are served that were before.
    pub fn reload(
        &self,
        clients: &[ServedClient],
        takes: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut accounts = self.lock();
        let before = accounts.clone();
        accounts.serve(clients);
        // Who is served and who was before is all the same to the file.
        let taken = self.save(&accounts).and_then(|()| takes());
        if taken.is_err() {
            *accounts = before;
        }
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes the file, whole or not at all.
    fn save(&self, accounts: &Accounts) -> Result<(), Error> {
        let Some((path, _)) = &self.file else { return Ok(()) };
        let mut clients = accounts.others.clone();
        clients.extend(accounts.served.iter().map(|(name, a)| {
            let ahead = a.charged.saturating_sub(a.spent.images);
            (name.clone(), a.spent.ahead(ahead, |model| a.most(model)))
        }));
        let charged = Charged { server: self.server.clone(), clients };
        let text =
            serde_json::to_string_pretty(&charged).map_err(|e| Error::Config(e.to_string()))?;
        files::replace(path, |part| {
            let write = || File::create_new(part)?.write_all(text.as_bytes());
            write().map_err(Error::io(path))
        })
    }

    /// How many clients are served.
    pub fn clients(&self) -> usize {
        self.lock().served.len()
    }

    /// Which of the models a client may use.
    ///
    /// # Errors
    /// [`Refusal::NotYourRole`] for one who is no client.
    pub fn may(&self, client: &str) -> Result<impl Fn(&str) -> bool + use<>, Refusal> {
        let models = self.lock().served.get(client).ok_or_else(stranger)?.models.clone();
        Ok(move |model: &str| models.as_ref().is_none_or(|all| all.iter().any(|one| one == model)))
    }

    /// Whether a client may have a batch made for it, beside so many that wait for it: nothing is taken for that.
    ///
    /// # Errors
    /// [`Refusal::Quota`]; [`Refusal::Rate`] when too much was left unused; [`Refusal::OtherModel`] for one that it may not use.
    pub fn allows(&self, client: &str, of: Tariff<'_>, waiting: usize) -> Result<(), Refusal> {
        let mut accounts = self.lock();
        let account = accounts.of(client, of)?;
        account.fill();
        account.exceeds(of.images.saturating_mul(1 + waiting as u64))?;
        account.is_careful()
    }

    /// Whether a client may ask for `images` more, and how long it must wait for that at least.
    ///
    /// # Errors
    /// As [`Usage::allows`].
    pub fn admit(&self, client: &str, of: Tariff<'_>) -> Result<Duration, Refusal> {
        let images = of.images;
        let mut accounts = self.lock();
        let account = accounts.of(client, of)?;
        account.fill();
        account.exceeds(images)?;
        account.is_careful()?;
        let Some(rate) = account.rate.map(f64::from) else { return Ok(Duration::ZERO) };
        // A batch of more images than a minute's is let in with a full bucket.
        let missing = (images as f64).min(rate) - account.tokens;
        let wait = Duration::from_secs_f64((missing * 60.0 / rate).max(0.0));
        if wait <= LONGEST {
            account.tokens -= images as f64;
        }
        Ok(wait)
    }

    /// Charges an evaluation that reveals so many bits, before it begins; gives what the client has been charged of this model.
    ///
    /// # Errors
    /// [`Refusal::Quota`]; [`Error::Io`] when it cannot be written down, and then nothing is charged.
    pub fn charge(&self, client: &str, of: Tariff<'_>, bits: u64) -> Result<Used, Error> {
        let images = of.images;
        let mut accounts = self.lock();
        let refused = |why| Error::Refused { peer: "server".into(), why };
        let account = accounts.of(client, of).map_err(refused)?;
        account.exceeds(images).map_err(refused)?;
        let (before, charged) = (account.spent.clone(), account.charged);
        let used = account.spent.add(of.model, Used { images, bits });
        let dearer = account.is_dearer(of.model, bits.div_ceil(images.max(1)));
        let all = account.spent.images;
        if all > charged || (dearer && charged > all) {
            let block = account.quota.map_or(BLOCK, |quota| (quota / 16).clamp(1, BLOCK));
            account.charged = all.div_ceil(block).saturating_mul(block);
            if let Some(quota) = account.quota {
                account.charged = account.charged.min(quota.max(all));
            }
            let saved = self.save(&accounts);
            if let (Err(_), Some(account)) = (&saved, accounts.served.get_mut(client)) {
                (account.spent, account.charged) = (before, charged);
            }
            saved?;
        }
        Ok(used)
    }

    /// A clean end gives back what was charged ahead. Whatever is charged after it is written down at once.
    pub fn close(&self) {
        let mut accounts = self.lock();
        accounts.served.values_mut().for_each(|a| a.charged = a.spent.images);
        if let Err(e) = self.save(&accounts) {
            tracing::warn!("what was charged ahead stays charged: {e}");
        }
    }

    /// Notes batches that a client had assigned and did not use. However many they were, it may ask again after a minute: who lost a disk has a
    /// pool of them at once.
    pub fn unused(&self, client: &str, batches: usize) {
        if let Some(account) = self.lock().served.get_mut(client) {
            account.fill();
            account.unused = (account.unused - batches as f64).max(-UNUSED);
        }
    }
}

/// Of one who was a client, perhaps.
pub(super) fn stranger() -> Refusal {
    Refusal::NotYourRole("client".into())
}

fn no_rate_is_zero(clients: &[ServedClient]) -> Result<(), Error> {
    match clients.iter().find(|c| c.rate == Some(0)) {
        Some(client) => Err(Error::Config(format!(
            "rate = 0 for `{}`; `quota = 0` locks a client out",
            client.name
        ))),
        None => Ok(()),
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        self.close();
    }
}

//! What each client may ask for, and what it has learnt.
//!
//! Security: however a client deviates, it learns of the weights at most the bits that are revealed to it (SECURITY.md
//! has the proof). So images times revealed bits is a bound, and a quota of images is one of bits. Images are charged
//! before they are evaluated, in the file before in memory: a crash charges a few more, never fewer.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{config::ServedClient, error::Error, refusal::Refusal};

/// Images that the file is ahead of what was used.
const BLOCK: u64 = 64;

/// Batches that a client may have assigned and leave unused, in a minute.
const UNUSED: f64 = 32.0;

/// The file: images charged to each client.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Charged {
    images: BTreeMap<String, u64>,
}

struct Account {
    quota: Option<u64>,
    rate: Option<u32>,
    used: u64,
    charged: u64,
    /// Images that may be asked for now.
    tokens: f64,
    /// Batches that may be left unused now.
    unused: f64,
    filled: Instant,
}

impl Account {
    fn new(client: &ServedClient, used: u64) -> Self {
        Self {
            quota: client.quota,
            rate: client.rate,
            used,
            charged: used,
            tokens: client.rate.unwrap_or(0).into(),
            unused: UNUSED,
            filled: Instant::now(),
        }
    }

    fn fill(&mut self) {
        let minutes = self.filled.elapsed().as_secs_f64() / 60.0;
        self.filled = Instant::now();
        self.unused = (self.unused + minutes * UNUSED).min(UNUSED);
        if let Some(rate) = self.rate.map(f64::from) {
            self.tokens = (self.tokens + minutes * rate).min(rate);
        }
    }
}

/// The accounts of all clients.
pub struct Usage {
    accounts: Mutex<BTreeMap<String, Account>>,
    /// What the file says of those who are not served now.
    others: BTreeMap<String, u64>,
    file: Option<PathBuf>,
}

impl Usage {
    /// Reads what was charged before; the file is needed where a client has a quota.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Io`] when the file cannot be used.
    pub fn open(clients: &[ServedClient], file: Option<PathBuf>) -> Result<Self, Error> {
        let known: Charged = match &file {
            Some(path) if path.exists() => {
                let text = fs::read_to_string(path).map_err(Error::io(path))?;
                let bad = |e: serde_json::Error| Error::Config(format!("{}: {e}", path.display()));
                serde_json::from_str(&text).map_err(bad)?
            }
            _ => Charged::default(),
        };
        let used = |name: &str| known.images.get(name).copied().unwrap_or(0);
        let accounts = clients.iter().map(|c| (c.name.clone(), Account::new(c, used(&c.name))));
        let accounts = Mutex::new(accounts.collect());
        let usage = Self { accounts, others: known.images, file };
        usage.save(&usage.lock())?;
        Ok(usage)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes the file, whole or not at all.
    fn save(&self, accounts: &BTreeMap<String, Account>) -> Result<(), Error> {
        let Some(path) = &self.file else { return Ok(()) };
        let mut images = self.others.clone();
        images.extend(accounts.iter().map(|(name, a)| (name.clone(), a.charged)));
        let text = serde_json::to_string_pretty(&Charged { images })
            .map_err(|e| Error::Config(e.to_string()))?;
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, path)?;
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(Error::io(path))
    }

    /// Whether a client may ask for `images` more, and how long it must wait for that at least.
    ///
    /// # Errors
    /// [`Refusal::Quota`]; [`Refusal::Rate`] when too much was left unused.
    pub fn admit(&self, client: &str, images: u64) -> Result<Duration, Refusal> {
        let mut accounts = self.lock();
        let Some(account) = accounts.get_mut(client) else { return Ok(Duration::ZERO) };
        account.fill();
        if let Some(quota) =
            account.quota.filter(|quota| account.used.saturating_add(images) > *quota)
        {
            return Err(Refusal::Quota { used: account.used, quota });
        }
        if account.unused < 1.0 {
            return Err(Refusal::Rate(((1.0 - account.unused) * 60.0 / UNUSED).ceil() as u64));
        }
        let Some(rate) = account.rate.map(f64::from) else { return Ok(Duration::ZERO) };
        // A batch of more images than a minute's is let in with a full bucket.
        let missing = (images as f64).min(rate) - account.tokens;
        Ok(Duration::from_secs_f64((missing * 60.0 / rate.max(1.0)).max(0.0)))
    }

    /// Charges `images`, before they are evaluated; gives all that the client has been charged.
    ///
    /// # Errors
    /// [`Refusal::Quota`]; [`Error::Io`] when it cannot be written down.
    pub fn charge(&self, client: &str, images: u64) -> Result<u64, Error> {
        let mut accounts = self.lock();
        let account = accounts.get_mut(client);
        let Some(account) = account else { return Ok(0) };
        if let Some(quota) =
            account.quota.filter(|quota| account.used.saturating_add(images) > *quota)
        {
            let why = Refusal::Quota { used: account.used, quota };
            return Err(Error::Refused { peer: "server".into(), why });
        }
        account.used = account.used.saturating_add(images);
        account.tokens -= images as f64;
        let used = account.used;
        if used > account.charged {
            account.charged = used.div_ceil(BLOCK).saturating_mul(BLOCK);
            if let Some(quota) = account.quota {
                account.charged = account.charged.min(quota.max(used));
            }
            self.save(&accounts)?;
        }
        Ok(used)
    }

    /// Notes batches that a client had assigned and did not use.
    pub fn unused(&self, client: &str, batches: usize) {
        if let Some(account) = self.lock().get_mut(client) {
            account.fill();
            account.unused -= batches as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(quota: Option<u64>, rate: Option<u32>) -> Vec<ServedClient> {
        let (name, certificate) = ("client".into(), "client.cert".into());
        vec![ServedClient { name, certificate, quota, rate }]
    }

    #[test]
    fn a_quota_outlives_the_process_and_is_never_exceeded() {
        let dir = tempfile::tempdir().unwrap();
        let file = Some(dir.path().join("usage.json"));
        let clients = client(Some(200), None);
        let mut used = 0;
        // Each process charges 10 images and crashes.
        for _ in 0..20 {
            let usage = Usage::open(&clients, file.clone()).unwrap();
            for _ in 0..10 {
                if usage.admit("client", 1).is_ok() {
                    usage.charge("client", 1).unwrap();
                    used += 1;
                }
            }
        }
        assert!((30..=200).contains(&used), "{used} images");
        let usage = Usage::open(&clients, file.clone()).unwrap();
        assert_eq!(usage.admit("client", 1), Err(Refusal::Quota { used: 200, quota: 200 }));
        assert!(usage.charge("client", 1).is_err());
        // A larger one goes on from there.
        let usage = Usage::open(&client(Some(201), None), file).unwrap();
        assert_eq!(usage.charge("client", 1).unwrap(), 201);
        assert!(usage.charge("client", 1).is_err());
    }

    #[test]
    fn those_who_are_no_longer_served_stay_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usage.json");
        fs::write(&path, r#"{ "images": { "client": 3, "gone": 7 } }"#).unwrap();
        drop(Usage::open(&client(Some(10), None), Some(path.clone())).unwrap());
        assert!(fs::read_to_string(&path).unwrap().contains("\"gone\": 7"));
        fs::write(&path, "{ broken").unwrap();
        let broken = Usage::open(&client(Some(10), None), Some(path)).err().unwrap();
        assert!(broken.to_string().contains("usage.json"), "{broken}");
    }

    #[test]
    fn a_rate_makes_who_is_fast_wait() {
        let usage = Usage::open(&client(None, Some(6)), None).unwrap();
        for _ in 0..6 {
            assert_eq!(usage.admit("client", 1), Ok(Duration::ZERO));
            usage.charge("client", 1).unwrap();
        }
        let wait = usage.admit("client", 1).unwrap();
        assert!((9.0..=10.0).contains(&wait.as_secs_f64()), "{wait:?}");
    }

    #[test]
    fn who_leaves_batches_unused_is_refused() {
        let usage = Usage::open(&client(None, None), None).unwrap();
        usage.unused("client", 31);
        assert!(usage.admit("client", 1).is_ok());
        usage.unused("client", 1);
        assert!(matches!(usage.admit("client", 1), Err(Refusal::Rate(1..=2))));
    }
}

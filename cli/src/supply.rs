//! The supply of correlated randomness at a party: fetched from the dealer ahead of time, waiting in memory or
//! on disk, the next one staged.
//!
//! Single use: the dealer gives each batch number to each party once. In memory a crash loses what waits. On disk a
//! batch's file is unlinked and the folder synced before the batch is staged, so that no crash and no retry can
//! bring it back. Numbers that a party skips are burnt.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use sotto_crypto::Seed;
use sotto_models::calibration::hex;
use sotto_net::{Link, QuicLink};
use sotto_protocols::{
    Role,
    batch::{Batch, Staged},
    plan::Plan,
    weights::Weights,
};
use zeroize::Zeroize;

use crate::{
    error::Error,
    messages::{self, BatchHeader, Epoch, Next, step},
};

/// Connects to the dealer for batches of one pair; gives the link and the dealer's epoch.
pub type Connect = Box<dyn Fn() -> Result<(QuicLink, Epoch), Error> + Send>;

/// What a supply needs to know.
pub struct Terms {
    /// Which party.
    pub role: Role,
    /// The plan.
    pub plan: Arc<Plan>,
    /// The party's weights, for the offline products.
    pub weights: Arc<Weights>,
    /// The epoch of the weights' masks.
    pub epoch: Epoch,
    /// Batches kept ready; 0 fetches on demand.
    pub pool: usize,
    /// Where batches wait.
    pub folder: Option<PathBuf>,
}

/// A staged batch and the bytes that it cost this party offline.
pub struct Ready {
    /// For one evaluation.
    pub staged: Staged,
    /// Seed and corrections as received.
    pub bytes: u64,
}

enum Waiting {
    Memory(Batch),
    Disk { id: u64, path: PathBuf },
}

impl Waiting {
    fn id(&self) -> u64 {
        match self {
            Waiting::Memory(b) => b.id,
            Waiting::Disk { id, .. } => *id,
        }
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    staging: Option<u64>,
    staged: Option<Ready>,
    wanted: usize,
    closed: bool,
    /// The dealer has another epoch: nothing here fits any more.
    stale: bool,
    failure: Option<String>,
}

impl State {
    fn total(&self) -> usize {
        self.waiting.len() + usize::from(self.staging.is_some()) + usize::from(self.staged.is_some())
    }

    fn first(&self) -> Option<u64> {
        let staged = self.staged.as_ref().map(|r| r.staged.id);
        staged.or(self.staging).or(self.waiting.front().map(Waiting::id))
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A running supply.
pub struct Supply {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Supply {
    /// Starts fetching.
    pub fn start(terms: Terms, connect: Connect) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || fill(&terms, &connect, &theirs));
        Self { shared, thread: Some(thread) }
    }

    /// The number of the first batch here, fetched if there is none.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after `deadline`.
    pub fn first(&self, deadline: Duration) -> Result<u64, Error> {
        self.wait(deadline, |state| state.first())
    }

    /// The number of the first staged batch that is not below `from`; lower ones are burnt.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after `deadline`.
    pub fn prepare(&self, from: u64, deadline: Duration) -> Result<(u64, u64), Error> {
        self.wait(deadline, |state| {
            state.waiting.retain(|w| w.id() >= from);
            state.staged.take_if(|r| r.staged.id < from);
            state.staged.as_ref().map(|r| (r.staged.id, r.bytes))
        })
    }

    /// Takes the staged batch `id`, burning lower ones.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after `deadline`, or at once when `id` can no longer come.
    pub fn take(&self, id: u64, deadline: Duration) -> Result<Ready, Error> {
        let (got, _) = self.prepare(id, deadline)?;
        let mut state = self.shared.lock();
        match state.staged.take_if(|r| r.staged.id == id) {
            Some(ready) => {
                state.wanted = 0;
                self.shared.changed.notify_all();
                Ok(ready)
            }
            None => Err(Error::Exhausted {
                waited: 0,
                why: format!("batch {id} is gone, the next one is {got}"),
                remedy: "the evaluation is tried again with that one".into(),
            }),
        }
    }

    /// True when the dealer was restarted and this supply is of no use any more.
    pub fn is_stale(&self) -> bool {
        self.shared.lock().stale
    }

    fn wait<T>(
        &self,
        deadline: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            state.wanted = 1;
            self.shared.changed.notify_all();
            let left = deadline.checked_sub(start.elapsed());
            let (Some(left), false) = (left, state.stale || state.closed) else {
                return Err(Error::Exhausted {
                    waited: start.elapsed().as_secs(),
                    why: match (state.stale, &state.failure) {
                        (true, _) => "the dealer was restarted".into(),
                        (_, Some(f)) => f.clone(),
                        _ => "the dealer is slower than the deadline".into(),
                    },
                    remedy: "start the dealer, or raise `deadline` or `pool`".into(),
                });
            };
            state = match self.shared.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread sees `closed` at the latest when its link's deadline passes.
            drop(thread);
        }
    }
}

/// The filling thread.
fn fill(terms: &Terms, connect: &Connect, shared: &Shared) {
    let store = terms.folder.as_ref().map(|f| Store::new(f, terms));
    match store.as_ref().map(Store::recover) {
        Some(Ok(found)) => shared.lock().waiting.extend(found),
        Some(Err(e)) => shared.lock().failure = Some(e.to_string()),
        None => {}
    }
    let mut link: Option<QuicLink> = None;
    loop {
        let job = {
            let mut state = shared.lock();
            loop {
                if state.closed || state.stale {
                    return;
                }
                if state.staged.is_none() && !state.waiting.is_empty() {
                    let next = state.waiting.pop_front();
                    state.staging = next.as_ref().map(Waiting::id);
                    break next;
                }
                if state.total() < terms.pool.max(state.wanted) {
                    break None;
                }
                state = shared.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
        };
        let result = match job {
            Some(waiting) => stage(terms, store.as_ref(), waiting).map(|r| Some(Done::Staged(r))),
            None => fetch(terms, connect, &mut link, store.as_ref()).map(|w| w.map(Done::Fetched)),
        };
        let mut state = shared.lock();
        match result {
            Ok(Some(Done::Staged(ready))) => {
                state.staging = None;
                state.staged = Some(ready);
                state.failure = None;
            }
            Ok(Some(Done::Fetched(waiting))) => state.waiting.push_back(waiting),
            Ok(None) => state.stale = true,
            Err(e) => {
                tracing::warn!("supply of correlations: {e}");
                state.staging = None;
                state.failure = Some(e.to_string());
                link = None;
                shared.changed.notify_all();
                // Try again soon, or at once when closed.
                let pause = Duration::from_millis(200);
                drop(shared.changed.wait_timeout(state, pause));
                continue;
            }
        }
        shared.changed.notify_all();
    }
}

enum Done {
    Staged(Ready),
    Fetched(Waiting),
}

fn stage(terms: &Terms, store: Option<&Store>, waiting: Waiting) -> Result<Ready, Error> {
    let batch = match (waiting, store) {
        (Waiting::Memory(batch), _) => batch,
        (Waiting::Disk { id, path }, Some(store)) => store.take(id, &path)?,
        (Waiting::Disk { .. }, None) => unreachable!("only a store puts batches on disk"),
    };
    let bytes = 32 + batch.corrections.as_ref().map_or(0, |c| c.len() as u64);
    let staged = batch.stage(&terms.plan, terms.role, &terms.weights)?;
    Ok(Ready { staged, bytes })
}

/// Fetches one batch; `None` when the dealer's epoch is not ours.
fn fetch(
    terms: &Terms,
    connect: &Connect,
    link: &mut Option<QuicLink>,
    store: Option<&Store>,
) -> Result<Option<Waiting>, Error> {
    let link = match link {
        Some(link) => link,
        None => {
            let (fresh, epoch) = connect()?;
            if epoch != terms.epoch {
                return Ok(None);
            }
            link.insert(fresh)
        }
    };
    messages::send(link, step::REQUEST, &Next)?;
    let header: BatchHeader = messages::recv(link, step::REPLY)?;
    let expected = terms.plan.correction_bytes() as u64;
    if header.corrections != 0 && header.corrections != expected {
        return Err(Error::Refused {
            peer: link.peer().to_owned(),
            why: format!("{} bytes of corrections, the plan says {expected}", header.corrections),
        });
    }
    let corrections = match header.corrections {
        0 => None,
        n => Some(messages::recv_bytes(link, step::CORRECTIONS, n as usize)?),
    };
    let batch = Batch { id: header.id, seed: Seed::from_bytes(header.seed), corrections };
    Ok(Some(match store {
        None => Waiting::Memory(batch),
        Some(store) => store.put(batch)?,
    }))
}

/// Batches on disk, one file each, readable by us alone.
struct Store {
    folder: PathBuf,
    prefix: String,
}

impl Store {
    fn new(folder: &Path, terms: &Terms) -> Self {
        let prefix = format!(
            "{}-{}-{}-",
            terms.role.name(),
            hex(&terms.epoch),
            hex(&terms.plan.hash()[..8])
        );
        Self { folder: folder.to_owned(), prefix }
    }

    /// What an earlier process left; files of other epochs or plans are burnt.
    fn recover(&self) -> Result<Vec<Waiting>, Error> {
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io(&self.folder))? {
            let path = entry.map_err(Error::io(&self.folder))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let id = (name.strip_prefix(&self.prefix))
                .and_then(|rest| rest.strip_suffix(".batch"))
                .and_then(|id| id.parse().ok());
            match id {
                Some(id) => found.push(Waiting::Disk { id, path }),
                None if name.ends_with(".batch") || name.ends_with(".part") => {
                    fs::remove_file(&path).map_err(Error::io(&path))?;
                }
                None => {}
            }
        }
        found.sort_by_key(Waiting::id);
        Ok(found)
    }

    fn put(&self, batch: Batch) -> Result<Waiting, Error> {
        let path = self.folder.join(format!("{}{}.batch", self.prefix, batch.id));
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&part)?;
            file.write_all(batch.seed.expose())?;
            file.write_all(batch.corrections.as_deref().unwrap_or_default())?;
            file.sync_all()?;
            fs::rename(&part, &path)
        };
        write().map_err(|e| {
            // A full disk must not keep the half-written file.
            drop(fs::remove_file(&part));
            Error::Config(format!(
                "batch {} cannot be stored in {}: {e}; free space there or unset `pool_folder`",
                batch.id,
                self.folder.display()
            ))
        })?;
        Ok(Waiting::Disk { id: batch.id, path })
    }

    /// Reads a batch and burns its file, synced, before anybody can use it.
    fn take(&self, id: u64, path: &Path) -> Result<Batch, Error> {
        let mut seed = [0; 32];
        let mut corrections = Vec::new();
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(path)?;
            file.read_exact(&mut seed)?;
            file.read_to_end(&mut corrections)?;
            fs::remove_file(path)?;
            File::open(&self.folder)?.sync_all()
        };
        read().map_err(Error::io(path))?;
        let batch = Batch {
            id,
            seed: Seed::from_bytes(seed),
            corrections: (!corrections.is_empty()).then_some(corrections),
        };
        seed.zeroize();
        Ok(batch)
    }
}

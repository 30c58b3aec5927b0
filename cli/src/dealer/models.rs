//! The plans that servers announced, with the masks of their weights.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sotto_crypto::Seed;
use sotto_protocols::{plan::Plan, weights::SetupMasks};

use crate::messages::{Epoch, Masks};

/// Plans of one server that are kept: more than it has models and lengths of texts.
const MAX_PLANS: usize = 48;

/// Entries of all matrices of one server's plans: their masks are in memory, packed, 8 bytes each at most.
const MAX_ENTRIES: usize = 1 << 29;

/// A plan that no link has used for so long makes room for memory's sake. Who announces it again finds it as it was.
const IDLE: Duration = Duration::from_secs(600);

/// Hash of a plan.
pub type PlanHash = [u8; 32];

/// A plan that a server announced. Another model of the server may have the same plan: its weights, and with them masks and
/// batches, are of another epoch.
pub struct Registered {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Its hash.
    pub hash: PlanHash,
    /// The masks of its weights, which plans of other lengths share.
    pub setup: Arc<SetupMasks>,
    /// Of this server, these weights and this plan.
    pub epoch: Epoch,
    /// The name of the masks.
    pub masks: Masks,
    /// What the masks come from.
    pub seed: Seed,
    /// It has made room for others: links for it end.
    pub over: AtomicBool,
    /// Cloned by each link of the server's own: as long as there is one, the server has the model.
    pub held: Arc<()>,
    /// When it was announced last.
    pub since: Mutex<Instant>,
}

impl Registered {
    /// It was announced just now.
    pub fn touch(&self) {
        *self.since.lock().unwrap_or_else(|e| e.into_inner()) = Instant::now();
    }

    fn age(&self) -> Duration {
        self.since.lock().unwrap_or_else(|e| e.into_inner()).elapsed()
    }
}

fn entries(plan: &Plan) -> usize {
    plan.weights.iter().map(|w| w.outputs * w.inputs).sum()
}

/// All of them, by server and epoch.
#[derive(Default)]
pub struct Models {
    present: HashMap<(String, Epoch), Arc<Registered>>,
    /// What made room for others, as long as a link still uses it.
    past: Vec<(String, Weak<Registered>)>,
}

impl Models {
    /// What a server announced, of this epoch.
    pub fn find(&self, server: &str, epoch: &Epoch) -> Option<&Arc<Registered>> {
        self.present.get(&(server.to_owned(), *epoch))
    }

    /// Whether the server has announced a plan, of whatever epoch.
    pub fn knows(&self, server: &str, plan: &PlanHash) -> bool {
        self.present.iter().any(|((name, _), model)| name == server && model.hash == *plan)
    }

    /// The masks of this name, where a plan of the server has them.
    pub fn setup(&self, server: &str, masks: &Masks) -> Option<Arc<SetupMasks>> {
        let mut present = self.present.iter();
        let found = present.find(|((name, _), model)| name == server && model.masks == *masks);
        found.map(|(_, model)| Arc::clone(&model.setup))
    }

    /// Whether there is room for one more of this server, beside what it has and what its links still use. What no link of the
    /// server's uses makes room, the oldest first, and at once what nobody has used for long.
    pub fn has_room(&mut self, server: &str, masks: Masks, plan: &Plan) -> bool {
        self.present.retain(|(name, _), model| {
            name != server || Arc::strong_count(model) > 1 || model.age() < IDLE
        });
        while !self.room(server, masks, plan) {
            let idle = |((name, _), model): &(&(String, Epoch), &Arc<Registered>)| {
                name == server && Arc::strong_count(&model.held) == 1
            };
            let oldest = self.present.iter().filter(idle).max_by_key(|(_, model)| model.age());
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return false };
            if let Some(model) = self.present.remove(&key) {
                // A client may still have a link: it ends soon, and counts until then.
                model.over.store(true, Ordering::Relaxed);
                self.past.push((key.0, Arc::downgrade(&model)));
            }
        }
        true
    }

    fn room(&mut self, server: &str, masks: Masks, plan: &Plan) -> bool {
        self.past.retain(|(_, model)| model.strong_count() > 0);
        let present = self.present.iter().filter(|((name, _), _)| name == server);
        let present = present.map(|(_, model)| Arc::clone(model));
        let past = self.past.iter().filter(|(name, _)| name == server);
        let all: Vec<_> = present.chain(past.filter_map(|(_, model)| model.upgrade())).collect();
        // Masks that several plans share are there once.
        let mut kept = BTreeMap::from([(masks, entries(plan))]);
        kept.extend(all.iter().map(|model| (model.masks, entries(&model.plan))));
        all.len() < MAX_PLANS && kept.values().sum::<usize>() <= MAX_ENTRIES
    }

    /// Takes one in.
    pub fn insert(&mut self, server: &str, model: Registered) -> Arc<Registered> {
        let model = Arc::new(model);
        self.present.insert((server.to_owned(), model.epoch), Arc::clone(&model));
        model
    }
}

#[cfg(test)]
mod tests {
    use sotto_protocols::plan::{Trace, WeightSpec};

    use super::*;

    fn plan() -> Arc<Plan> {
        let mut trace = Trace::new();
        let input = trace.input(&[1, 2], 30, 4);
        let spec = WeightSpec { name: "w".into(), outputs: 2, inputs: 2, width: 30, scale: 4 };
        let weight = trace.weight(spec);
        let product = trace.linear(input, weight, 1);
        let revealed = trace.reveal(product, 20);
        Arc::new(trace.finish(&[revealed]))
    }

    fn registered(plan: &Arc<Plan>, epoch: u8, masks: u8) -> Registered {
        let seed = Seed::from_bytes([masks; 32]);
        Registered {
            plan: Arc::clone(plan),
            hash: [7; 32],
            setup: Arc::new(SetupMasks::expand(plan, &seed)),
            epoch: [epoch; 16],
            masks: [masks; 16],
            seed,
            over: AtomicBool::new(false),
            held: Arc::default(),
            since: Mutex::new(Instant::now()),
        }
    }

    #[test]
    fn models_of_one_plan_are_there_together_and_those_in_use_stay() {
        let (plan, mut models) = (plan(), Models::default());
        let mut links = Vec::new();
        for epoch in 0..MAX_PLANS as u8 {
            assert!(models.has_room("server", [99; 16], &plan), "model {epoch}");
            let model = models.insert("server", registered(&plan, epoch, epoch));
            links.push(Arc::clone(&model.held));
        }
        for epoch in 0..MAX_PLANS as u8 {
            assert!(
                models.find("server", &[epoch; 16]).is_some() && models.knows("server", &[7; 32])
            );
        }
        assert!(!models.has_room("server", [99; 16], &plan), "all are in use");
        assert!(models.has_room("other", [99; 16], &plan), "another server's are its own");
        // The server's last link that ends frees its model, whatever a client still holds.
        let client = Arc::clone(models.find("server", &[3; 16]).unwrap());
        links.remove(3);
        assert!(!models.has_room("server", [99; 16], &plan), "the client's link counts");
        assert!(client.over.load(Ordering::Relaxed), "and ends");
        assert!(
            models.find("server", &[3; 16]).is_none() && models.find("server", &[4; 16]).is_some()
        );
        drop(client);
        assert!(models.has_room("server", [99; 16], &plan) && models.past.is_empty());
    }

    #[test]
    fn what_nobody_uses_makes_room_the_oldest_first() {
        let (plan, mut models) = (plan(), Models::default());
        let age = |model: &Registered, by| {
            let mut since = model.since.lock().unwrap();
            *since = since.checked_sub(by).expect("a clock that has run for minutes");
        };
        for epoch in 0..MAX_PLANS as u8 {
            let model = models.insert("server", registered(&plan, epoch, epoch));
            age(&model, Duration::from_secs(u64::from(epoch)));
        }
        assert!(models.has_room("server", [99; 16], &plan));
        let last = MAX_PLANS as u8 - 1;
        assert!(models.find("server", &[last; 16]).is_none());
        assert!(models.find("server", &[last - 1; 16]).is_some());
        // Long before it is needed, where nobody has come for it again.
        age(models.find("server", &[0; 16]).unwrap(), IDLE);
        age(models.find("server", &[1; 16]).unwrap(), IDLE);
        models.find("server", &[1; 16]).unwrap().touch();
        assert!(models.has_room("server", [99; 16], &plan));
        assert!(models.find("server", &[0; 16]).is_none());
        assert!(models.find("server", &[1; 16]).is_some());
    }

    #[test]
    fn plans_of_other_lengths_share_masks() {
        let (plan, mut models) = (plan(), Models::default());
        assert!(models.setup("server", &[1; 16]).is_none());
        for length in 0..4 {
            let mut model = registered(&plan, length, 1);
            if let Some(setup) = models.setup("server", &[1; 16]) {
                model.setup = setup;
            }
            models.insert("server", model);
        }
        let setup = models.setup("server", &[1; 16]).unwrap();
        assert!(models.present.values().all(|model| Arc::ptr_eq(&model.setup, &setup)));
        assert!(models.setup("other", &[1; 16]).is_none());
    }
}

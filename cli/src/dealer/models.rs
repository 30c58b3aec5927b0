//! The plans that servers announced, with the masks of their weights.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use sotto_crypto::Seed;
use sotto_protocols::{plan::Plan, weights::SetupMasks};

use crate::messages::{Epoch, Masks};

/// Plans of one server that are kept.
const MAX_PLANS: usize = 16;

/// Entries of all matrices of one server's plans: their masks are in memory, packed, 8 bytes each at most.
const MAX_ENTRIES: usize = 1 << 29;

/// Hash of a plan.
pub type PlanHash = [u8; 32];

/// A plan that a server announced.
pub struct Registered {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The masks of its weights, which plans of other lengths share.
    pub setup: Arc<SetupMasks>,
    /// Differs from that of other weights, whose plan may be the same.
    pub epoch: Epoch,
    /// The name of the masks.
    pub masks: Masks,
    /// What the masks come from.
    pub seed: Seed,
    /// Another model has taken its place: links for it end.
    pub over: AtomicBool,
}

fn entries(plan: &Plan) -> usize {
    plan.weights.iter().map(|w| w.outputs * w.inputs).sum()
}

/// All of them, by server and plan.
#[derive(Default)]
pub struct Models {
    present: HashMap<(String, PlanHash), Arc<Registered>>,
    /// What is over, as long as a link still uses it.
    past: Vec<(String, Weak<Registered>)>,
}

impl Models {
    /// The model that a server announced last with this plan.
    pub fn find(&self, server: &str, plan: PlanHash) -> Option<&Arc<Registered>> {
        self.present.get(&(server.to_owned(), plan))
    }

    /// The masks of this name, where a plan of the server has them.
    pub fn setup(&self, server: &str, masks: &Masks) -> Option<Arc<SetupMasks>> {
        let mut present = self.present.iter();
        let found = present.find(|((name, _), model)| name == server && model.masks == *masks);
        found.map(|(_, model)| Arc::clone(&model.setup))
    }

    /// Whether there is room for one more of this server, beside what it has and what its links still use. Plans of the
    /// same matrices, for texts of other lengths, that no link uses make room.
    pub fn has_room(
        &mut self,
        server: &str,
        (hash, masks): (PlanHash, Masks),
        plan: &Plan,
    ) -> bool {
        if self.room(server, (hash, masks), plan) {
            return true;
        }
        let idle = |((name, other), model): (&(String, PlanHash), &mut Arc<Registered>)| {
            name == server
                && *other != hash
                && model.masks == masks
                && Arc::strong_count(model) == 1
        };
        self.present.retain(|key, model| !idle((key, model)));
        self.room(server, (hash, masks), plan)
    }

    fn room(&mut self, server: &str, (hash, masks): (PlanHash, Masks), plan: &Plan) -> bool {
        self.past.retain(|(_, model)| model.strong_count() > 0);
        let of_server = self.present.iter().filter(|((name, _), _)| name == server);
        // What it replaces counts where a link keeps it.
        let stays = |(key, model): &(&(String, PlanHash), &Arc<Registered>)| {
            key.1 != hash || Arc::strong_count(model) > 1
        };
        let present = of_server.filter(stays).map(|(_, model)| Arc::clone(model));
        let past = self.past.iter().filter(|(name, _)| name == server);
        let all: Vec<_> = present.chain(past.filter_map(|(_, model)| model.upgrade())).collect();
        // Masks that several plans share are there once.
        let mut kept = BTreeMap::from([(masks, entries(plan))]);
        kept.extend(all.iter().map(|model| (model.masks, entries(&model.plan))));
        all.len() < MAX_PLANS && kept.values().sum::<usize>() <= MAX_ENTRIES
    }

    /// Takes one in; the links of what it replaces end.
    pub fn insert(&mut self, server: &str, hash: PlanHash, model: Registered) -> Arc<Registered> {
        let model = Arc::new(model);
        if let Some(old) = self.present.insert((server.to_owned(), hash), Arc::clone(&model)) {
            old.over.store(true, Ordering::Relaxed);
            self.past.push((server.to_owned(), Arc::downgrade(&old)));
        }
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

    fn registered(plan: &Arc<Plan>, epoch: u8) -> Registered {
        let seed = Seed::from_bytes([epoch; 32]);
        Registered {
            plan: Arc::clone(plan),
            setup: Arc::new(SetupMasks::expand(plan, &seed)),
            epoch: [epoch; 16],
            masks: [epoch; 16],
            seed,
            over: AtomicBool::new(false),
        }
    }

    #[test]
    fn what_links_still_use_counts_until_they_end() {
        let (plan, mut models) = (plan(), Models::default());
        let mut links = Vec::new();
        for epoch in 0..MAX_PLANS as u8 {
            assert!(models.has_room("server", ([7; 32], [99; 16]), &plan), "model {epoch}");
            links.push(models.insert("server", [7; 32], registered(&plan, epoch)));
        }
        assert!(!models.has_room("server", ([7; 32], [99; 16]), &plan), "of one plan");
        assert!(!models.has_room("server", ([8; 32], [99; 16]), &plan), "of another");
        assert!(
            models.has_room("other", ([7; 32], [99; 16]), &plan),
            "another server's are its own"
        );
        assert!(links.iter().rev().skip(1).all(|link| link.over.load(Ordering::Relaxed)));
        // A link that ends frees one.
        links.remove(0);
        assert!(models.has_room("server", ([7; 32], [99; 16]), &plan));
        links.clear();
        assert!(models.past.iter().all(|(_, model)| model.upgrade().is_none()));
        assert!(models.has_room("server", ([8; 32], [99; 16]), &plan) && models.past.is_empty());
        assert_eq!(models.find("server", [7; 32]).map(|model| model.epoch), Some([15; 16]));
    }

    #[test]
    fn plans_of_other_lengths_share_masks_and_give_way_when_nobody_uses_them() {
        let (plan, mut models) = (plan(), Models::default());
        let masks = [1; 16];
        assert!(models.setup("server", &masks).is_none());
        let mut used = Vec::new();
        for length in 0..MAX_PLANS as u8 {
            let hash = [length; 32];
            assert!(models.has_room("server", (hash, masks), &plan), "length {length}");
            let mut model = registered(&plan, 1);
            if let Some(setup) = models.setup("server", &masks) {
                model.setup = setup;
            }
            let model = models.insert("server", hash, model);
            if length < 3 {
                used.push(model);
            }
        }
        let setup = models.setup("server", &masks).unwrap();
        assert!(models.present.values().all(|model| Arc::ptr_eq(&model.setup, &setup)));
        assert!(models.setup("other", &masks).is_none());
        assert!(!models.has_room("server", ([90; 32], [2; 16]), &plan), "of other weights");
        assert!(models.has_room("server", ([90; 32], masks), &plan));
        assert_eq!(models.present.len(), used.len(), "what links use stays");
    }
}

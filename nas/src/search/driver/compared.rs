//! The list of what is compared.

use sotto_models::Arch;

use super::{Driver, Priced};
use crate::Error;
use crate::search::baselines;
use crate::search::latency::{Latencies, Oracle};
use crate::search::manifest::Candidate;
use crate::search::space::Space;

impl Driver {
    /// Lists what is compared, once; returns every distinct model with its architecture.
    pub(super) fn candidates(&mut self, priced: &[Priced]) -> Result<Vec<(String, Arch)>, Error> {
        let base = self.manifest.base.clone();
        let of = |name, network, arch: Arch| {
            let hash: String = arch.hash()[..4].iter().map(|b| format!("{b:02x}")).collect();
            let model = format!("{}-{hash}", base.name);
            let arch = Arch { name: model.clone(), ..arch };
            let (searched, offered, budget) = (false, false, None);
            (Candidate { name, network, searched, offered, budget, model }, arch)
        };
        let mut all: Vec<(Candidate, Arch)> = Vec::new();
        for (name, arch) in baselines::plain(&base) {
            let (candidate, arch) = of(name, None, arch);
            all.push((Candidate { offered: true, ..candidate }, arch));
        }
        for one in priced {
            // By rising budget; what several budgets or a plain baseline have in common is offered once.
            for found in self.manifest.searches[&one.name].found.iter().rev() {
                for (i, finalist) in found.finalists.iter().enumerate() {
                    let (network, budget) = (Some(one.name.clone()), Some(found.budget));
                    let name = match i {
                        0 => format!("{} {:.3} s", one.name, found.budget),
                        _ => format!("{} {:.3} s #{}", one.name, found.budget, i + 1),
                    };
                    let (candidate, arch) = of(name, network.clone(), finalist.arch.clone());
                    let known = |(c, _): &(Candidate, Arch)| {
                        c.model == candidate.model && (c.network.is_none() || c.network == network)
                    };
                    if !all.iter().any(known) {
                        let (searched, offered) = (true, true);
                        all.push((Candidate { searched, offered, budget, ..candidate }, arch));
                    }
                }
            }
        }
        let alphas = self.manifest.mpcvit.as_ref().expect("searched before");
        let (name, arch) = baselines::mpcvit(&base, alphas, base.layers * base.heads / 2);
        all.push(of(name, None, arch));
        for one in priced {
            let found = &self.manifest.searches[&one.name].found;
            let Some(middle) = found.get(found.len() / 2) else { continue };
            let space = Space::default();
            let costs: (&Latencies, &dyn Oracle) = (&one.latencies, &one.oracle);
            let seed = self.settings.recipe.seed;
            if let Some(arch) = baselines::random((&space, &base), costs, middle.budget, seed)? {
                let name = format!("random, {}", one.name);
                let (candidate, arch) = of(name, Some(one.name.clone()), arch);
                all.push((Candidate { budget: Some(middle.budget), ..candidate }, arch));
            }
        }
        let mut archs: Vec<(String, Arch)> = Vec::new();
        let mut candidates = Vec::new();
        for (candidate, arch) in all {
            if !archs.iter().any(|(model, _)| *model == candidate.model) {
                archs.push((candidate.model.clone(), arch));
            }
            candidates.push(candidate);
        }
        self.manifest.candidates = candidates;
        self.manifest.save(&self.config.out)?;
        Ok(archs)
    }
}

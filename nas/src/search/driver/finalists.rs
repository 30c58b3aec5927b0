//! What is trained for every budget: one generation after the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use sotto_models::Arch;

use super::{Driver, Priced};
use crate::data::DataSet;
use crate::search::baselines;
use crate::search::correction::Correction;
use crate::search::judge::Judge;
use crate::search::manifest::Outcome;
use crate::search::polish::{Finalist, Limit, Pool};
use crate::search::space::Space;
use crate::weights::upload;
use crate::{Error, checkpoint};

/// Held images that the first of two judges looks at; the second one sees all, and where a GPU judges so does the first.
const FEW: usize = 1000;

impl Driver {
    /// Names the finalists of every budget, unless that generation has its own. The first one's are the best by the shared
    /// weights of what the shares chose and of changes of that and of the plain baselines, which are trained in any case.
    /// A later generation starts from all that was trained and offered, corrects what the shared weights say by what training said,
    /// and adds one to each budget where that promises to be better than anything trained within it.
    pub(super) fn name_finalists(
        &mut self,
        generation: usize,
        priced: &[Priced],
        data: &DataSet,
    ) -> Result<(), Error> {
        if self.manifest.generations > generation {
            return Ok(());
        }
        let (of, now) = (self.settings.generations, generation + 1);
        eprintln!("judging architectures with the shared weights, generation {now} of {of}");
        let base = &self.manifest.base;
        let mut searches = self.manifest.searches.clone();
        let (_, values) = checkpoint::import(&self.folder("supernet"))?;
        let judge = Judge::new(self.engine(base, None, true), upload(base, &values, &self.device))
            .on_trainers(&self.config.device, self.weights("supernet", base)?);
        let few = data.held.head(FEW);
        let space = Space::default();
        // What is fitted to is a start, too: it is judged once.
        let said: RefCell<BTreeMap<Vec<usize>, f64>> = RefCell::default();
        let all = |arch: &Arch| -> Result<f64, Error> {
            let choices = space.choices(arch);
            if let Some(entropy) = said.borrow().get(&choices) {
                return Ok(*entropy);
            }
            let entropy = judge.entropy(arch, &data.held)?;
            said.borrow_mut().insert(choices, entropy);
            Ok(entropy)
        };
        let first = generation == 0;
        let trained = if first { Vec::new() } else { self.trained() };
        let shared: Vec<f64> =
            trained.iter().map(|(arch, _)| all(arch)).collect::<Result<_, _>>()?;
        let seen: Vec<(&Arch, f64, f64)> =
            trained.iter().zip(&shared).map(|((arch, y), x)| (arch, *x, *y)).collect();
        let correction = (!first).then(|| Correction::fit(&space, &seen));
        let corrected = |arch: &Arch, shared: f64| match &correction {
            None => shared,
            Some(correction) => correction.of(&space, arch, shared),
        };
        let rough = |arch: &Arch| {
            let seen = if judge.sees_all() { all(arch) } else { judge.entropy(arch, &few) };
            Ok(corrected(arch, seen?))
        };
        let exact = |arch: &Arch| Ok(corrected(arch, all(arch)?));

        let plain: Vec<Arch> = baselines::plain(base).into_iter().map(|(_, arch)| arch).collect();
        let known: Vec<Arch> = match first {
            true => plain,
            false => trained.iter().map(|(arch, _)| arch.clone()).collect(),
        };
        let shares = searches.values().flat_map(|outcome| &outcome.found).map(|one| &one.arch);
        let starts: Vec<Arch> = known.iter().chain(shares).cloned().collect();
        let limits = self.limits(priced);
        let mut pool = Pool::new(&space, [&rough, &exact], &starts)?;
        pool.grow(&limits, self.settings.polish, self.settings.recipe.seed + generation as u64)?;
        let mut limits = limits.iter();
        for Priced { name, .. } in priced {
            for one in &mut searches.get_mut(name).expect("searched before").found {
                let limit = limits.next().expect("one for each budget");
                let count = if first { self.settings.finalists } else { 1 };
                let mut best = pool.best(limit, count, &known)?;
                let entropy = pool.entropy(&one.arch).expect("it was a start");
                if first && best.is_empty() {
                    let (arch, latency) = (one.arch.clone(), one.latency);
                    best.push(Finalist { arch, latency, entropy });
                }
                let within = trained.iter().filter(|(arch, _)| limit.holds(arch));
                let reached = within.map(|(_, trained)| *trained).fold(f64::INFINITY, f64::min);
                best.retain(|finalist| finalist.entropy < reached);
                let told: Vec<String> = best.iter().map(|f| format!("{:.4}", f.entropy)).collect();
                eprintln!(
                    "{name} {:.4} s: cross entropy of what the shares chose {entropy:.4}, best trained {reached:.4}, finalists {}",
                    one.budget,
                    if told.is_empty() { "none".into() } else { told.join(", ") }
                );
                one.finalists.extend(best);
            }
        }
        self.manifest.searches = searches;
        self.manifest.generations = generation + 1;
        self.manifest.save(&self.config.out)
    }

    /// A budget that is hardly met leaves no room for a margin.
    pub(super) fn limit(&self, budget: f64, (least, _): (f64, f64)) -> f64 {
        (budget - self.settings.margin).max(least)
    }

    /// Every network's, in its budgets' order.
    fn limits<'a>(&self, priced: &'a [Priced]) -> Vec<Limit<'a>> {
        let of = |one: &'a Priced| {
            let Outcome { found, range, .. } = &self.manifest.searches[&one.name];
            let seconds = found.iter().map(|found| self.limit(found.budget, *range));
            let limit = |seconds| Limit { oracle: &one.oracle, latencies: &one.latencies, seconds };
            seconds.map(limit).collect::<Vec<_>>()
        };
        priced.iter().flat_map(of).collect()
    }

    /// What was trained and may be chosen, with the cross entropy of the held images.
    fn trained(&self) -> Vec<(Arch, f64)> {
        let offered = self.manifest.candidates.iter().filter(|candidate| candidate.offered);
        let models: BTreeSet<&String> = offered.map(|candidate| &candidate.model).collect();
        let of = |model: &String| {
            let trained = &self.manifest.models[model];
            let name = self.manifest.base.name.clone();
            (Arch { name, ..trained.arch.clone() }, trained.validation())
        };
        models.into_iter().map(of).collect()
    }
}

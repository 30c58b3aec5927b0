//! One search a network, and MPCViT's own.

use std::path::PathBuf;

use sotto_models::Arch;

use super::{Driver, Priced};
use crate::data::DataSet;
use crate::recipe::Recipe;
use crate::search::baselines;
use crate::search::explore::{Goal, Search};
use crate::search::latency::{Latencies, Oracle};
use crate::search::manifest::Outcome;
use crate::search::polish::polish;
use crate::search::schedule::Pressure;
use crate::search::space::{Alphas, Relaxation, Space};
use crate::weights::upload;
use crate::{Error, checkpoint};

/// Architectures on which the relaxed latency is compared with the simulator's.
const CHECKED: u64 = 30;
/// Held images on which small changes of an architecture are judged.
const POLISHED: usize = 1000;
/// The pressure that a search starts with.
const LAMBDA: f64 = 0.01;
/// MPCViT's weight of the sum of its parameters, and the learning rate of them.
const MPCVIT: (f64, f64) = (1e-5, 1e-3);

impl Driver {
    pub(super) fn search(&mut self, priced: &Priced, data: &DataSet) -> Result<(), Error> {
        let Priced { name, oracle, latencies } = priced;
        if self.manifest.searches.contains_key(name) {
            return Ok(());
        }
        let space = Space::default();
        let differences = latencies.differences(oracle, CHECKED)?;
        let range = latencies.range();
        let base = self.manifest.base.clone();
        let plain: Vec<Arch> = baselines::plain(&base).into_iter().map(|(_, arch)| arch).collect();
        let equal: Vec<f64> =
            plain.iter().map(|arch| Oracle::latency(oracle, arch)).collect::<Result<_, _>>()?;
        let mut budgets = self.settings.budgets(range, &equal);
        budgets.sort_by(|a, b| b.total_cmp(a));
        eprintln!(
            "searching for {name}: {:.4} to {:.4} s, budgets {budgets:.4?}, relaxed latency within \
             {:.1e} of the simulator's on {CHECKED} architectures (tables alone {:.1e})",
            range.0, range.1, differences[0], differences[1]
        );
        let alphas = Alphas::new(&space.sites(&base), Relaxation::Softmax);
        let goal = Goal::Latency { oracle, latencies };
        // A budget that is hardly met leaves no room for a margin.
        let margin = self.settings.margin;
        let limits = budgets.iter().map(|b| (b - margin).max(range.0)).collect();
        let pressure = Pressure::new(LAMBDA, limits);
        let shares = (alphas, self.settings.alpha_lr);
        let folder = self.config.out.join(format!("search-{name}"));
        let mut search = self.explore(folder, space, shares, (goal, pressure))?;
        let mut found = search.run(&data.train, None)?.found.clone();
        let steps = search.step();
        let (_, values) = checkpoint::import(&self.folder("supernet"))?;
        let weights = upload(&base, &values, &self.device);
        let images = data.held.head(POLISHED);
        let engine = self.engine(&base, None, true);
        for (one, &budget) in found.iter_mut().zip(&budgets) {
            let limit = std::mem::replace(&mut one.budget, budget);
            if self.settings.polish == 0 {
                continue;
            }
            let costs: (&Latencies, &dyn Oracle) = (latencies, oracle);
            let effort = (self.settings.polish, self.settings.recipe.seed);
            let what = (&Space::default(), &one.arch, &plain[..], limit);
            let (arch, latency, entropy) =
                polish(what, costs, (&engine, &weights, &images), effort)?;
            (one.arch, one.latency, one.polished) = (arch, latency, Some(entropy));
        }
        let outcome = Outcome { range, found, steps, differences };
        self.manifest.searches.insert(name.clone(), outcome);
        self.manifest.save(&self.config.out)
    }

    pub(super) fn mpcvit(&mut self, data: &DataSet) -> Result<(), Error> {
        if self.manifest.mpcvit.is_some() {
            return Ok(());
        }
        eprintln!("searching as MPCViT's release does");
        let space = Space::mpcvit();
        let alphas = Alphas::new(&space.sites(&self.manifest.base), Relaxation::Clamped);
        let goal = (Goal::First(MPCVIT.0), Pressure::new(MPCVIT.0, Vec::new()));
        let folder = self.config.out.join("search-mpcvit");
        let mut search = self.explore(folder, space, (alphas, MPCVIT.1), goal)?;
        let alphas = search.run(&data.train, None)?.alphas.clone();
        self.manifest.mpcvit = Some(alphas);
        self.manifest.save(&self.config.out)
    }

    fn explore<'a>(
        &self,
        folder: PathBuf,
        space: Space,
        shares: (Alphas, f64),
        goal: (Goal<'a>, Pressure),
    ) -> Result<Search<'a>, Error> {
        std::fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
        let base = &self.manifest.base;
        let engine = self.engine(base, self.teacher.clone(), true);
        let recipe = Recipe {
            lr: self.settings.search_lr,
            distilled: true,
            inherited: true,
            ..self.recipe(self.settings.epochs.search)
        };
        Search::new(folder, engine, recipe, &self.folder("supernet"), space, shares, goal)
    }
}

//! One search a network, and MPCViT's own.

use std::path::PathBuf;

use super::{Driver, Priced};
use crate::Error;
use crate::data::DataSet;
use crate::recipe::Recipe;
use crate::search::baselines;
use crate::search::explore::{Goal, Search};
use crate::search::latency::Oracle;
use crate::search::manifest::Outcome;
use crate::search::schedule::Pressure;
use crate::search::space::{Alphas, Relaxation, Space};

/// Architectures on which the relaxed latency is compared with the simulator's.
const CHECKED: u64 = 30;
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
        let equal: Vec<f64> = (baselines::plain(&base).iter())
            .map(|(_, arch)| Oracle::latency(oracle, arch))
            .collect::<Result<_, _>>()?;
        let mut budgets = self.settings.budgets(range, &equal);
        budgets.sort_by(|a, b| b.total_cmp(a));
        eprintln!(
            "searching for {name}: {:.4} to {:.4} s, budgets {budgets:.4?}, relaxed latency within \
             {:.1e} of the simulator's on {CHECKED} architectures (tables alone {:.1e})",
            range.0, range.1, differences[0], differences[1]
        );
        let alphas = Alphas::new(&space.sites(&base), Relaxation::Softmax);
        let goal = Goal::Latency { oracle, latencies };
        let limits = budgets.iter().map(|b| self.limit(*b, range)).collect();
        let pressure = Pressure::new(LAMBDA, limits);
        let shares = (alphas, self.settings.alpha_lr);
        let folder = self.config.out.join(format!("search-{name}"));
        let mut search = self.explore(folder, space, shares, (goal, pressure))?;
        let mut found = search.run(&data.train, None)?.found.clone();
        found.iter_mut().zip(&budgets).for_each(|(one, budget)| one.budget = *budget);
        let steps = search.step();
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
        let start = self.folder("supernet");
        let mut search = Search::new(folder, engine, recipe, &start, space, shares, goal)?;
        search.until = self.config.until;
        Ok(search)
    }
}

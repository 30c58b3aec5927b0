//! Budgets that nothing in the search space meets are refused, as early as can be.

use sotto_models::Weights;

use super::{Driver, Priced};
use crate::checkpoint::encode;
use crate::data::DataSet;
use crate::search::page::words;
use crate::weights::initial;
use crate::{Error, presets};

/// Before anything is trained, the ranges of tensors are those of fresh weights, and latencies are rough: a budget
/// below this share of the least one is hopeless.
const HOPELESS: f64 = 0.5;

impl Driver {
    /// Refuses hopeless budgets before hours are spent on training.
    ///
    /// # Errors
    /// [`Error::Usage`] with the cheapest architecture.
    pub(super) fn affordable_untrained(&self, data: &DataSet) -> Result<(), Error> {
        let settings = &self.settings;
        if settings.budgets.is_empty() || self.manifest.models.contains_key("supernet") {
            return Ok(());
        }
        let base = &self.manifest.base;
        let fresh = encode(base, &initial(base, settings.recipe.seed));
        let weights = Weights::from_bytes(base, &fresh).map_err(|e| Error::Arch(e.to_string()))?;
        self.affordable(&self.price(&weights, data)?, HOPELESS)
    }

    /// Refuses budgets below `share` of what the cheapest architecture takes.
    ///
    /// # Errors
    /// [`Error::Usage`] with that architecture.
    pub(super) fn affordable(&self, priced: &[Priced], share: f64) -> Result<(), Error> {
        for Priced { name, latencies, .. } in priced {
            let low = latencies.range().0;
            if let Some(budget) = self.settings.budgets.iter().find(|b| **b < share * low) {
                let cheapest = words(&latencies.cheapest());
                let mut layers: Vec<&str> = cheapest.lines().collect();
                layers.dedup();
                return Err(Error::Usage(format!(
                    "--budget {budget} s: no architecture of {} heads in {} layers is that fast on {name}; the cheapest \
                     takes {low:.4} s there (heads | MLP of {}: {}). Take a larger budget, --pareto N or --equal, or \
                     a smaller --arch ({})",
                    self.manifest.base.heads,
                    self.manifest.base.layers,
                    if layers.len() == 1 { "every layer" } else { "the layers" },
                    layers.join("; "),
                    presets::NAMES.join(", ")
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use sotto_models::Arch;

    use super::*;
    use crate::search::settings::Settings;

    #[test]
    fn a_hopeless_budget_is_refused_before_anything_is_trained() {
        let out = std::env::temp_dir().join(format!("sotto-nas-budget-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let line = format!("--data d --out {} --net wan --budget 1ms", out.display());
        let words = line.split_whitespace().map(String::from);
        let (settings, config) = Settings::parse(words).unwrap();
        let data = DataSet::synthetic(10, 10);
        let base = Arch::vit(2, 2, 16, 32, 32, 8, 10);
        let mut driver = Driver::new(settings, config, base, Device::flex(), line).unwrap();
        let said = driver.run(&data).unwrap_err().to_string();
        for part in [
            "--budget 0.001 s",
            "2 heads in 2 layers",
            "the cheapest takes",
            "linear linear | none",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!out.join("models").exists());
        std::fs::remove_dir_all(out).unwrap();
    }
}

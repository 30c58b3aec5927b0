//! What a search has done so far: one JSON file, replaced in one go after every job, from which a
//! killed search goes on and from which the report is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sotto_models::Arch;

use crate::Error;
use crate::checkpoint::{differences, write};
use crate::search::explore::Found;
use crate::search::settings::Settings;
use crate::search::space::Alphas;
use crate::search::trained::Trained;

/// One network's search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The least and largest latency of the space, seconds.
    pub range: (f64, f64),
    /// Architectures by falling budget.
    pub found: Vec<Found>,
    /// Steps of the search.
    pub steps: usize,
    /// Largest relative difference from the simulator on random architectures: of the relaxed
    /// latency at the corner, and of its tables alone.
    pub differences: [f64; 2],
}

/// An architecture that takes part in the comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What it is called in the report.
    pub name: String,
    /// The network that it was searched or chosen for; none for one that knows no network.
    pub network: Option<String>,
    /// Whether the search found it; otherwise it is a baseline.
    pub searched: bool,
    /// Whether the search may choose it: what it found, and the plain baselines.
    pub offered: bool,
    /// The latency that it was to stay below, seconds.
    pub budget: Option<f64>,
    /// Its model's folder under `models`.
    pub model: String,
}

/// The state of a whole search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was asked for.
    pub settings: Settings,
    /// The softmax architecture that all others vary.
    pub base: Arch,
    /// The command lines so far.
    pub commands: Vec<String>,
    /// Searches that have ended, by network.
    pub searches: BTreeMap<String, Outcome>,
    /// MPCViT's parameters once they are learnt.
    pub mpcvit: Option<Alphas>,
    /// Generations of finalists that are named.
    pub generations: usize,
    /// What is compared; empty until all searches have ended.
    pub candidates: Vec<Candidate>,
    /// Models that are trained, by the folder of the first run.
    pub models: BTreeMap<String, Trained>,
}

impl Manifest {
    /// An empty one, or with `resume` the one in `folder`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the one there is another search's, or when there is one and
    /// `resume` is not set.
    pub fn open(
        folder: &Path,
        settings: &Settings,
        base: &Arch,
        resume: bool,
    ) -> Result<Self, Error> {
        let path = path(folder);
        if !path.exists() {
            let (settings, base) = (settings.clone(), base.clone());
            return Ok(Self {
                settings,
                base,
                commands: Vec::new(),
                searches: BTreeMap::new(),
                mpcvit: None,
                generations: 0,
                candidates: Vec::new(),
                models: BTreeMap::new(),
            });
        }
        let broken = |why: String| Error::Checkpoint(format!("{}: {why}", path.display()));
        if !resume {
            return Err(broken("a search is here already: --resume, or another --out".into()));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
        let mut found: Self = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
        let mut same = found.settings.clone();
        // As in training, where how a batch is cut orders additions alone; drawn kinds also follow from it.
        same.recipe.micro = settings.recipe.micro;
        same.measure = settings.measure.clone();
        // More seeds and generations go on where fewer ended.
        (same.seeds, same.generations) = (settings.seeds, settings.generations);
        if same != *settings || found.base != *base {
            let mut told = differences(&same, settings);
            if found.base != *base {
                let (then, now) = (&found.base.name, &base.name);
                told =
                    format!("architecture {then}, now {now}; {told}").trim_end_matches("; ").into();
            }
            return Err(broken(format!(
                "is another search's: {told}; take its options or another --out"
            )));
        }
        found.settings = settings.clone();
        Ok(found)
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Error::File`] when the disk refuses.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("plain data always serialises");
        write(&path(folder), text.as_bytes())
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("search.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_refuses_other_settings() {
        let out = std::env::temp_dir().join(format!("sotto-nas-manifest-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let words = |line: &str| line.split(' ').map(String::from).collect::<Vec<_>>();
        let (settings, _) = Settings::parse(words("--data d --out o")).unwrap();
        let base = Arch::vit(2, 2, 8, 16, 32, 8, 10);
        let mut manifest = Manifest::open(&out, &settings, &base, false).unwrap();
        manifest.commands.push("one".into());
        manifest.save(&out).unwrap();
        assert_eq!(Manifest::open(&out, &settings, &base, true).unwrap(), manifest);
        let error = Manifest::open(&out, &settings, &base, false).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        let (other, _) = Settings::parse(words("--data d --out o --epochs 3")).unwrap();
        let error = Manifest::open(&out, &other, &base, true).unwrap_err().to_string();
        assert!(error.contains("epochs.train was 10, now 3; take its options"), "{error}");
        let other = Arch::vit(3, 2, 8, 16, 32, 8, 10);
        let error = Manifest::open(&out, &settings, &other, true).unwrap_err().to_string();
        assert!(error.contains("architecture vit_2_2_32, now vit_3_2_32"), "{error}");
        std::fs::remove_dir_all(out).unwrap();
    }
}

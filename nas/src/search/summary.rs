//! What a search found, as numbers: for each network every point and baseline, and whether the front
//! of the points lies above every baseline. The page and the JSON file are both made from it.

mod verdict;

use serde::Serialize;
use sotto_models::Arch;

use crate::search::manifest::{Candidate, Manifest};
use crate::search::measure::Measured;
pub use crate::search::summary::verdict::Verdict;

/// One architecture on one network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether a search found it.
    pub searched: bool,
    /// The latency that it was to stay below, seconds.
    pub budget: Option<f64>,
    /// Folder of the model under `models`.
    pub model: String,
    /// Whether the search may choose it: what it found, and the plain baselines.
    pub offered: bool,
    /// Whether it is a point of the front: of what is offered, nothing that is no slower by prediction has a lower
    /// cross entropy on the held images.
    pub point: bool,
    /// The architecture.
    pub arch: Arch,
    /// Latency by the simulator, seconds.
    pub predicted: f64,
    /// Latency measured over the emulated network, seconds: the median of the rounds' medians.
    pub measured: Option<f64>,
    /// The whole measurement of that round.
    pub details: Option<Measured>,
    /// Mean cross entropy of the held training images, over the runs.
    pub validation: f64,
    /// Share of the test images that are right in plaintext, its mean over the runs.
    pub accuracy: f64,
    /// The same for each run.
    pub runs: Vec<f64>,
    /// Number of those images.
    pub images: usize,
    /// The measurement of private accuracy.
    pub private: Option<Measured>,
}

impl Row {
    /// Measured latency where there is one, else the predicted one.
    pub fn latency(&self) -> f64 {
        self.measured.unwrap_or(self.predicted)
    }
}

/// One network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// The network's name.
    pub network: String,
    /// The least and the largest predicted latency of the space, seconds.
    pub range: (f64, f64),
    /// Relative differences from the simulator: of the relaxed latency at corners, of its tables.
    pub differences: [f64; 2],
    /// Whether every latency in `rows` was measured.
    pub measured: bool,
    /// All that is compared, by latency.
    pub rows: Vec<Row>,
    /// One for each baseline.
    pub verdicts: Vec<Verdict>,
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Summary<'a> {
    /// Networks.
    pub networks: Vec<Section>,
    /// Everything else: settings, commands, searches, models.
    pub manifest: &'a Manifest,
}

/// Sums up a search that has ended.
pub fn summarise(manifest: &Manifest) -> Summary<'_> {
    let networks = manifest.searches.iter().map(|(network, outcome)| {
        let mut rows = rows(manifest, network);
        let measured = rows.iter().all(|r| r.measured.is_some());
        if !measured {
            // A mixture of measured and predicted times could not be compared.
            rows.iter_mut().for_each(|r| r.measured = None);
        }
        rows.sort_by(|a, b| a.latency().total_cmp(&b.latency()));
        let baselines = rows.iter().filter(|r| !r.searched);
        let verdicts = baselines.map(|r| Verdict::new(manifest, network, r, &rows)).collect();
        Section {
            network: network.clone(),
            range: outcome.range,
            differences: outcome.differences,
            measured,
            rows,
            verdicts,
        }
    });
    Summary { networks: networks.collect(), manifest }
}

/// What was searched or chosen for this network or for none, and of what was found for others the points of the front.
fn rows(manifest: &Manifest, network: &str) -> Vec<Row> {
    let here = |c: &&Candidate| c.network.as_deref().is_none_or(|n| n == network);
    let (own, others): (Vec<&Candidate>, Vec<_>) = manifest.candidates.iter().partition(here);
    let count = own.len();
    let offered = others.into_iter().filter(|c| c.offered);
    let rows = own.into_iter().chain(offered).filter_map(|c| row(manifest, c, network));
    let mut rows: Vec<Row> = rows.collect();
    mark_points(&mut rows);
    let kept = rows.into_iter().enumerate().filter(|(i, row)| *i < count || row.point);
    kept.map(|(_, row)| row).collect()
}

fn row(manifest: &Manifest, candidate: &Candidate, network: &str) -> Option<Row> {
    let trained = manifest.models.get(&candidate.model)?;
    let objective = &manifest.settings.objective;
    let mut rounds = trained.measured.get(network).cloned().unwrap_or_default();
    rounds.sort_by(|a, b| a.seconds(objective).total_cmp(&b.seconds(objective)));
    let details = rounds.get(rounds.len() / 2).cloned();
    Some(Row {
        name: candidate.name.clone(),
        searched: candidate.searched,
        offered: candidate.offered,
        point: false,
        budget: candidate.budget,
        model: candidate.model.clone(),
        arch: trained.arch.clone(),
        predicted: trained.latency.get(network).copied()?,
        measured: details.as_ref().map(|m| m.seconds(objective)),
        details,
        validation: trained.validation(),
        accuracy: trained.accuracy(),
        runs: trained.runs.iter().map(|run| run.accuracy).collect(),
        images: trained.images,
        private: trained.private.clone(),
    })
}

/// Chooses the front, without a look at the test images; of equal rows the first.
fn mark_points(rows: &mut [Row]) {
    let mut offered: Vec<&mut Row> = rows.iter_mut().filter(|r| r.offered).collect();
    offered.sort_by(|a, b| {
        a.predicted.total_cmp(&b.predicted).then(a.validation.total_cmp(&b.validation))
    });
    let mut best = f64::INFINITY;
    for row in offered {
        row.point = row.validation < best;
        best = best.min(row.validation);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::right::Right;
    use crate::search::manifest::Outcome;
    use crate::search::settings::Settings;
    use crate::search::trained::{Run, Trained};
    use sotto_models::arch::{Activation, Attention};
    use std::collections::BTreeMap;

    /// So many right images of 10,000, most of them the same for every model.
    pub(crate) fn right(model: usize, accuracy: f64) -> Right {
        let at = |image: usize| (7919 * image + 13 * model) % 10_000;
        Right((0..10_000).map(|image| (at(image) as f64) < 1e4 * accuracy).collect())
    }

    /// A finished search with two points and two baselines on one network.
    pub(crate) fn manifest() -> Manifest {
        let words = ["--data", "d", "--out", "o", "--net", "wan"].map(String::from);
        let base = Arch::vit(2, 2, 8, 16, 32, 8, 10);
        let mut mixed = base.clone().with_activation(Activation::None);
        mixed.attention[0][1] = Attention::Linear;
        let archs = [
            ("wan 0.5 s", true, mixed, 0.5, 0.80),
            ("wan 0.9 s", true, base.clone().with_activation(Activation::Relu), 0.9, 0.86),
            ("all softmax", false, base.clone(), 1.0, 0.85),
            ("all <linear>", false, base.clone().with_attention(Attention::Linear), 0.6, 0.81),
        ];
        let mut models = BTreeMap::new();
        let mut candidates = Vec::new();
        for (i, (name, searched, arch, seconds, accuracy)) in archs.into_iter().enumerate() {
            let model = format!("m{i}");
            candidates.push(Candidate {
                name: name.into(),
                network: searched.then(|| "wan".into()),
                searched,
                offered: searched,
                budget: searched.then_some(seconds),
                model: model.clone(),
            });
            let latency = [("wan".to_owned(), seconds)].into();
            let (validation, right) = (1.0 - accuracy, right(i, accuracy));
            let run = Run { seed: 1, accuracy, validation, right, seconds: 1.0 };
            let trained = Trained {
                arch,
                images: 10_000,
                epochs: 1,
                runs: vec![run],
                latency,
                private: None,
                measured: BTreeMap::new(),
            };
            models.insert(model, trained);
        }
        let outcome =
            Outcome { range: (0.4, 1.0), found: vec![], steps: 9, differences: [1e-15, 1e-4] };
        Manifest {
            settings: Settings::parse(words).unwrap().0,
            base,
            commands: vec!["sotto-nas search --net <wan>".into()],
            searches: [("wan".to_owned(), outcome)].into(),
            mpcvit: None,
            generations: 0,
            candidates,
            models,
        }
    }

    #[test]
    fn points_are_chosen_by_the_held_images_and_latency_alone() {
        let mut manifest = manifest();
        let points = |manifest: &Manifest| -> Vec<String> {
            let section = &summarise(manifest).networks[0];
            section.rows.iter().filter(|r| r.point).map(|r| r.name.clone()).collect()
        };
        assert_eq!(points(&manifest), ["wan 0.5 s", "wan 0.9 s"]);
        // A plain architecture is a point where the search may choose it and it is better on the held images.
        manifest.candidates[3].offered = true;
        assert_eq!(points(&manifest), ["wan 0.5 s", "all <linear>", "wan 0.9 s"]);
        let last = manifest.candidates[1].model.clone();
        manifest.models.get_mut(&last).unwrap().runs[0].validation = 0.195;
        assert_eq!(points(&manifest), ["wan 0.5 s", "all <linear>"]);
        manifest.models.get_mut(&last).unwrap().runs[0].validation = f64::NAN;
        assert_eq!(points(&manifest), ["wan 0.5 s", "all <linear>"]);
        // What was found for another network is listed where it is a point, and not twice.
        let found = manifest.candidates[0].clone();
        let (name, network) = ("lan 0.1 s".to_owned(), Some("lan".to_owned()));
        manifest.candidates.insert(0, Candidate { name, network, ..found });
        assert_eq!(points(&manifest), ["wan 0.5 s", "all <linear>"]);
        assert_eq!(summarise(&manifest).networks[0].rows.len(), 4);
        manifest.candidates.remove(1);
        assert_eq!(points(&manifest), ["lan 0.1 s", "all <linear>"]);
        manifest.candidates[0].offered = false;
        assert_eq!(points(&manifest), ["all <linear>"]);
    }
}

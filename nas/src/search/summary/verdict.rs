//! Whether the front of the points lies above a baseline.

use serde::Serialize;

use super::Row;
use crate::search::manifest::Manifest;
use crate::search::trained::Trained;

/// How a baseline compares with the front.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The baseline.
    pub baseline: String,
    /// The most accurate point of the front that is no slower by prediction, and in one round of the measurement or more;
    /// none when all are slower.
    pub point: Option<String>,
    /// That point's measured latency over the baseline's: the median of the rounds' ratios.
    pub ratio: Option<f64>,
    /// That point's accuracy minus the baseline's.
    pub gain: Option<f64>,
    /// The front's accuracy at the baseline's place in the plot minus the baseline's: by the medians of latencies alone.
    pub plotted: Option<f64>,
    /// Whether the point is at least as accurate.
    pub dominated: bool,
    /// Standard deviation of the gain over other test images like these ([`Trained::noise`]).
    pub noise: f64,
}

impl Verdict {
    pub(super) fn new(manifest: &Manifest, network: &str, baseline: &Row, rows: &[Row]) -> Self {
        let pair = |point| Pair::new(manifest, network, baseline, point);
        let points = rows.iter().filter(|row| row.point).map(|row| (row, pair(row)));
        let no_slower = points.filter(|(_, pair)| !pair.slower);
        let best = no_slower.max_by(|a, b| a.0.accuracy.total_cmp(&b.0.accuracy));
        let left = rows.iter().filter(|row| row.point && row.latency() <= baseline.latency());
        let line = left.map(|row| row.accuracy).max_by(f64::total_cmp);
        let gain = best.as_ref().map(|(point, _)| point.accuracy - baseline.accuracy);
        Self {
            baseline: baseline.name.clone(),
            point: best.as_ref().map(|(point, _)| point.name.clone()),
            ratio: best.as_ref().and_then(|(_, pair)| pair.ratio),
            gain,
            plotted: line.map(|accuracy| accuracy - baseline.accuracy),
            dominated: gain.is_some_and(|g| g >= 0.0),
            noise: best.map_or(0.0, |(point, _)| {
                manifest.models[&point.model].noise(&manifest.models[&baseline.model])
            }),
        }
    }
}

/// A point's latency beside a baseline's.
struct Pair {
    ratio: Option<f64>,
    slower: bool,
}

impl Pair {
    fn new(manifest: &Manifest, network: &str, baseline: &Row, point: &Row) -> Self {
        let [point, baseline] = [point, baseline].map(|row| &manifest.models[&row.model]);
        let seconds = |trained: &Trained| -> Vec<f64> {
            let rounds = trained.measured.get(network).into_iter().flatten();
            rounds.map(|m| m.seconds(&manifest.settings.objective)).collect()
        };
        let rounds = seconds(point).into_iter().zip(seconds(baseline));
        let mut ratios: Vec<f64> = rounds.map(|(point, baseline)| point / baseline).collect();
        ratios.sort_by(f64::total_cmp);
        let dearer = point.latency[network] > baseline.latency[network];
        Self {
            ratio: ratios.get(ratios.len() / 2).copied(),
            slower: dearer || ratios.first().is_some_and(|least| *least > 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::right::noise;
    use crate::search::measure::Measured;
    use crate::search::summary::summarise;
    use crate::search::summary::tests::{manifest, right};

    #[test]
    fn a_baseline_is_dominated_by_a_point_that_is_no_slower_and_no_worse() {
        let manifest = manifest();
        let summary = summarise(&manifest);
        let section = &summary.networks[0];
        assert!(section.rows.windows(2).all(|w| w[0].latency() <= w[1].latency()));
        let of = |name: &str| section.verdicts.iter().find(|v| v.baseline == name).unwrap();
        let softmax = of("all softmax");
        assert!(softmax.dominated && softmax.point.as_deref() == Some("wan 0.9 s"));
        let linear = of("all <linear>");
        assert!(!linear.dominated && (linear.gain.unwrap() + 0.01).abs() < 1e-9, "{linear:?}");
        assert_eq!(linear.noise, noise(&[&right(0, 0.80)], &[&right(3, 0.81)]));
        assert!((0.0005..0.002).contains(&linear.noise), "{}", linear.noise);
        assert!(serde_json::to_string(&summary).unwrap().contains("\"dominated\":false"));
    }

    #[test]
    fn a_point_that_is_slower_in_every_round_does_not_dominate() {
        let mut manifest = manifest();
        let mut measure = |model: &str, rounds: [f64; 3]| {
            let measured = |seconds| Measured {
                images: 1,
                correct: 1,
                agree_plaintext: 1,
                agree_simulator: 1,
                median_online_s: seconds,
                median_offline_s: 0.0,
                offline_bytes: 1,
                online_bytes: 1,
                flights: 1,
                plaintext: Vec::new(),
            };
            let trained = manifest.models.get_mut(model).unwrap();
            trained.measured.insert("wan".into(), rounds.map(measured).into());
        };
        measure("m0", [0.5; 3]);
        measure("m1", [0.9, 1.2, 0.95]);
        measure("m2", [1.0, 1.0, 0.9]);
        measure("m3", [0.6; 3]);
        let softmax = |manifest: &Manifest| {
            let verdicts = summarise(manifest).networks[0].verdicts.clone();
            verdicts.into_iter().find(|v| v.baseline == "all softmax").unwrap()
        };
        let verdict = softmax(&manifest);
        assert!(verdict.dominated && verdict.ratio == Some(0.95 / 0.9), "{verdict:?}");
        // By medians the point is no slower either: 0.95 and 1.0 s.
        assert!((verdict.plotted.unwrap() - 0.01).abs() < 1e-9, "{verdict:?}");
        manifest.models.get_mut("m1").unwrap().measured.get_mut("wan").unwrap()[0]
            .median_online_s = 1.01;
        let verdict = softmax(&manifest);
        assert!(!verdict.dominated && verdict.point.as_deref() == Some("wan 0.5 s"), "{verdict:?}");
        assert!((verdict.plotted.unwrap() + 0.05).abs() < 1e-9, "{verdict:?}");
    }
}

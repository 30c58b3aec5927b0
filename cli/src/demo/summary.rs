//! What the demo found: every image beside its references, and the costs.

use serde::Serialize;
use sotto_models::Private;
use sotto_protocols::cost::Cost;

use super::plaintext::Plaintext;
use crate::{
    client::{Classified, Costs},
    emulate::{self, PathLine},
    error::Error,
    infer::SetupLine,
    print,
    report::{bytes, table},
};

/// Logits that are this close may change places between two evaluations: truncations round at random.
const TIE: f64 = 0.05;

/// One image beside its references.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// File and position.
    pub name: String,
    /// True class.
    pub label: Option<u8>,
    /// Private top-1.
    pub private: usize,
    /// Float reference's top-1.
    pub plaintext: usize,
    /// Integer simulator's top-1.
    pub simulator: usize,
    /// By how much the simulated logit of its own top-1 exceeds that of the private one.
    pub simulator_gap: f64,
    /// Largest difference of a private and a float logit.
    pub max_logit_error: f64,
    /// Mean difference.
    pub mean_logit_error: f64,
}

/// What the demo found. Bytes, flights and seconds are per image.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Name of the network between the parties.
    pub network: String,
    /// What went over its paths where it was emulated.
    pub paths: Vec<PathLine>,
    /// Images classified.
    pub images: usize,
    /// Images in one evaluation.
    pub batch: u64,
    /// How many have the true class.
    pub correct: usize,
    /// How many agree with the float reference.
    pub agree_plaintext: usize,
    /// How many agree with the integer simulator.
    pub agree_simulator: usize,
    /// Largest logit error against float.
    pub max_logit_error: f64,
    /// Mean logit error against float.
    pub mean_logit_error: f64,
    /// Bytes of masked weights, once; without a dealer, of encrypted ones and keys.
    pub setup_bytes: u64,
    /// Bytes from the dealer; without one, between the two.
    pub offline_bytes: u64,
    /// Flights before the online phase, without a dealer.
    pub offline_flights: u64,
    /// Online bytes, both directions together.
    pub online_bytes: u64,
    /// Flights.
    pub flights: u64,
    /// Seconds of the setup, once.
    pub setup_s: f64,
    /// Offline seconds.
    pub offline_s: f64,
    /// Online seconds.
    pub online_s: f64,
    /// Their sum.
    pub total_s: f64,
    /// Median offline seconds of the images after the first, which also connects to the dealer.
    pub median_offline_s: f64,
    /// Median online seconds of the images after the first.
    pub median_online_s: f64,
    /// Median online and offline seconds of the images.
    pub median_total_s: f64,
    /// Smallest.
    pub min_total_s: f64,
    /// The plan's counts, of one evaluation.
    pub planned: Cost,
    /// The same images in the clear, on each device of this machine.
    pub plaintext: Vec<Plaintext>,
    /// Image by image.
    pub results: Vec<Compared>,
}

impl Summary {
    /// Sums up what the client said, beside the references.
    ///
    /// # Errors
    /// [`Error::Check`] when a count is not the plan's.
    pub(super) fn new(
        (private, planned): (&Private, Cost),
        (network, paths): (&str, Vec<PathLine>),
        setup: &SetupLine,
        lines: &[Classified],
        results: Vec<Compared>,
    ) -> Result<Self, Error> {
        let measured = |line: &Classified| Cost {
            setup_bytes: setup.setup_bytes,
            offline_bytes: line.costs.offline_bytes,
            offline_flights: line.costs.offline_flights,
            online_bytes: line.costs.from_server + line.costs.from_client,
            flights: line.costs.flights,
        };
        if let Some(measured) = lines.iter().map(measured).find(|m| *m != planned) {
            return Err(Error::Check(format!("measured {measured:?}, planned {planned:?}")));
        }
        let counted = lines.first().map_or(planned, measured);
        let n = results.len().max(1) as f64;
        let batch = private.batch as u64;
        let mean = |f: &dyn Fn(&Costs) -> f64| -> f64 {
            lines.iter().map(|l| f(&l.costs)).sum::<f64>() / n / batch as f64
        };
        let median = |f: &dyn Fn(&Costs) -> f64| -> f64 {
            let later = if lines.len() > 1 { &lines[1..] } else { lines };
            let mut all: Vec<f64> = later.iter().map(|l| f(&l.costs) / batch as f64).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(0.0)
        };
        let mut totals: Vec<f64> =
            (lines.iter()).map(|l| (l.costs.offline_s + l.costs.online_s) / batch as f64).collect();
        totals.sort_by(f64::total_cmp);
        let count = |f: &dyn Fn(&Compared) -> bool| results.iter().filter(|r| f(r)).count();
        Ok(Self {
            network: network.to_owned(),
            paths,
            images: results.len(),
            batch,
            correct: count(&|r| r.label.is_some_and(|l| usize::from(l) == r.private)),
            agree_plaintext: count(&|r| r.private == r.plaintext),
            agree_simulator: count(&|r| r.private == r.simulator),
            max_logit_error: results.iter().map(|r| r.max_logit_error).fold(0.0, f64::max),
            mean_logit_error: results.iter().map(|r| r.mean_logit_error).sum::<f64>() / n,
            setup_bytes: setup.setup_bytes,
            offline_bytes: counted.offline_bytes / batch,
            offline_flights: counted.offline_flights,
            online_bytes: counted.online_bytes / batch,
            flights: counted.flights,
            setup_s: setup.setup_s,
            offline_s: mean(&|c| c.offline_s),
            online_s: mean(&|c| c.online_s),
            total_s: mean(&|c| c.offline_s + c.online_s),
            median_offline_s: median(&|c| c.offline_s),
            median_online_s: median(&|c| c.online_s),
            median_total_s: totals.get(totals.len() / 2).copied().unwrap_or(0.0),
            min_total_s: totals.first().copied().unwrap_or(0.0),
            planned,
            plaintext: Vec::new(),
            results,
        })
    }

    /// Fails when a private class is not the simulator's and no tie: both round at random.
    ///
    /// # Errors
    /// [`Error::Check`].
    pub fn check(&self) -> Result<(), Error> {
        let wrong = self.results.iter().filter(|r| r.simulator_gap > TIE).count();
        if wrong == 0 {
            return Ok(());
        }
        Err(Error::Check(format!(
            "{wrong} of {} private classes differ from the simulator's",
            self.images
        )))
    }

    /// Prints the table and the four cost lines.
    ///
    /// # Errors
    /// Those of [`print::line`].
    pub fn print(&self, label: &dyn Fn(usize) -> String) -> Result<(), Error> {
        let header =
            ["image", "true class", "private", "plaintext", "simulator", "max logit error"];
        let mut t = table(&header, 5);
        for r in &self.results {
            t.add_row(vec![
                r.name.clone(),
                r.label.map_or("?".into(), |l| label(usize::from(l))),
                label(r.private),
                label(r.plaintext),
                label(r.simulator),
                format!("{:.1e}", r.max_logit_error),
            ]);
        }
        print::line(t)?;
        print::line(format!(
            "{} images, {} correct; private = plaintext on {}, = simulator on {}; largest logit error {:.1e}\n",
            self.images,
            self.correct,
            self.agree_plaintext,
            self.agree_simulator,
            self.max_logit_error
        ))?;
        print::line(format!("network: {}", self.network))?;
        if !self.paths.is_empty() {
            print::line(emulate::summary(&self.paths).replace(" | ", "\n"))?;
        }
        let p = &self.planned;
        let mut t = table(&["cost", "measured", "planned", "flights", "planned ", "seconds"], 1);
        let s = |x: f64| format!("{x:.3}");
        let flights = |n: u64| if n == 0 { String::new() } else { n.to_string() };
        t.add_row(vec![
            "model setup, once".into(),
            bytes(self.setup_bytes),
            bytes(p.setup_bytes),
            String::new(),
            String::new(),
            s(self.setup_s),
        ]);
        t.add_row(vec![
            "offline, per image".into(),
            bytes(self.offline_bytes),
            bytes(p.offline_bytes / self.batch),
            flights(self.offline_flights),
            flights(p.offline_flights),
            s(self.offline_s),
        ]);
        t.add_row(vec![
            "online, per image".into(),
            bytes(self.online_bytes),
            bytes(p.online_bytes / self.batch),
            self.flights.to_string(),
            p.flights.to_string(),
            s(self.online_s),
        ]);
        t.add_row(vec![
            "total, per image".into(),
            bytes(self.offline_bytes + self.online_bytes),
            bytes((p.offline_bytes + p.online_bytes) / self.batch),
            flights(self.offline_flights + self.flights),
            flights(p.offline_flights + p.flights),
            s(self.total_s),
        ]);
        print::line(t)?;
        self.plaintext.iter().try_for_each(|plaintext| print::line(plaintext.line()))
    }
}

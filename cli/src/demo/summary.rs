//! What the demo found: every image or text beside its references, and the costs.

mod table;

use std::collections::BTreeMap;

use serde::Serialize;
use sotto_protocols::cost::Cost;

use super::plaintext::Plaintext;
use crate::{
    client::{Answer, Costs},
    emulate::PathLine,
    error::Error,
    infer::SetupLine,
    inputs::Unread,
};

/// Embeddings whose angle has this cosine at least are alike; of private and simulated ones also those that rounding explains.
pub(super) const CLOSE: f64 = 0.9999;

/// Logits that are this close may change places between two evaluations: truncations round at random.
const TIE: f64 = 0.05;

/// One image or text beside its references.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// File and position, or the text's number and beginning.
    pub name: String,
    /// True class.
    pub label: Option<u8>,
    /// Words of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Private top-1, of a picture or a text as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private: Option<usize>,
    /// Float reference's top-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<usize>,
    /// Integer simulator's top-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulator: Option<usize>,
    /// Whether the private class, of all words, is the float reference's; of embeddings, whether the cosine is 0.9999 at least.
    pub like_plaintext: bool,
    /// The same of the simulator's.
    pub like_simulator: bool,
    /// By how much the simulated logit of its own top-1 exceeds that of the private one; embeddings have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulator_gap: Option<f64>,
    /// Cosine of the angle between the private numbers and the float ones.
    pub cosine: f64,
    /// Largest difference of a private and a float logit, or of two numbers of an embedding.
    pub max_logit_error: f64,
    /// Mean difference.
    pub mean_logit_error: f64,
}

/// What texts of one length cost. Bytes and seconds are per text.
#[derive(Clone, Debug, Serialize)]
pub struct Length {
    /// Words of each; of hidden lengths the bucket's.
    pub tokens: u32,
    /// How many.
    pub texts: usize,
    /// Bytes of masked or encrypted weights that came before them.
    pub setup_bytes: u64,
    /// Offline bytes.
    pub offline_bytes: u64,
    /// Online bytes, both directions together.
    pub online_bytes: u64,
    /// Flights.
    pub flights: u64,
    /// Median offline seconds.
    pub offline_s: f64,
    /// Median online seconds.
    pub online_s: f64,
    /// The plan's counts, of one evaluation.
    pub planned: Cost,
}

/// What the demo found. Bytes and seconds are per image or text, of texts of several lengths the mean; flights are those of the
/// longest.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Name of the network between the parties.
    pub network: String,
    /// What went over its paths where it was emulated.
    pub paths: Vec<PathLine>,
    /// Images or texts evaluated.
    pub images: usize,
    /// Images, or texts of one length, in one evaluation.
    pub batch: u64,
    /// How many have the true class.
    pub correct: usize,
    /// How many agree with the float reference.
    pub agree_plaintext: usize,
    /// How many agree with the integer simulator.
    pub agree_simulator: usize,
    /// Least cosine against float.
    pub min_cosine: f64,
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
    /// The plan's counts, of one evaluation (of the longest texts).
    pub planned: Cost,
    /// The same inputs in the clear, on each device of this machine.
    pub plaintext: Vec<Plaintext>,
    /// Length by length, of texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lengths: Vec<Length>,
    /// Image by image, or text by text; last what could not be evaluated.
    pub results: Vec<Line>,
}

/// What became of an image or text.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// It was evaluated.
    Done(Compared),
    /// It could not be.
    Unread(Unread),
}

impl Summary {
    /// Sums up what the client said, beside the references; `planned` has the counts of each length.
    ///
    /// # Errors
    /// [`Error::Check`] when a count is not the plan's.
    pub(super) fn new(
        (network, paths, batch): (&str, Vec<PathLine>, usize),
        planned: &BTreeMap<Option<u32>, Cost>,
        setup: &SetupLine,
        lines: &[Answer],
        (results, unread): (Vec<Compared>, Vec<Unread>),
    ) -> Result<Self, Error> {
        for (i, (rows, measured)) in evaluations(lines).into_iter().enumerate() {
            // It serves texts of all lengths.
            let setup_bytes = if i == 0 { planned[&rows].setup_bytes } else { 0 };
            let due = Cost { setup_bytes, ..planned[&rows] };
            if measured != due {
                return Err(Error::Check(format!("measured {measured:?}, planned {due:?}")));
            }
        }
        let lengths = lengths(planned, lines);
        let planned = planned.values().last().copied().unwrap_or_default();
        let batch = batch as u64;
        let n = results.len().max(1) as f64;
        let all: Vec<&Costs> = lines.iter().map(|line| &line.costs).collect();
        let mean = |f: &dyn Fn(&Costs) -> f64| mean(&all, f);
        let each = |f: &dyn Fn(&Costs) -> u64| each(&all, f);
        let later = if all.len() > 1 { &all[1..] } else { &all };
        let median = |f: &dyn Fn(&Costs) -> f64| median(later, f);
        let total = |l: &Answer| share(&l.costs, &|c| c.offline_s + c.online_s);
        let mut totals: Vec<f64> = lines.iter().map(total).collect();
        totals.sort_by(f64::total_cmp);
        let count = |f: &dyn Fn(&Compared) -> bool| results.iter().filter(|r| f(r)).count();
        let mut summary = Self {
            network: network.to_owned(),
            paths,
            images: results.len(),
            batch,
            correct: count(&|r| r.label.is_some_and(|l| Some(usize::from(l)) == r.private)),
            agree_plaintext: count(&|r| r.like_plaintext),
            agree_simulator: count(&|r| r.like_simulator),
            min_cosine: results.iter().map(|r| r.cosine).fold(1.0, f64::min),
            max_logit_error: results.iter().map(|r| r.max_logit_error).fold(0.0, f64::max),
            mean_logit_error: results.iter().map(|r| r.mean_logit_error).sum::<f64>() / n,
            setup_bytes: sum(&all, &|c| c.setup_bytes),
            offline_bytes: each(&|c| c.offline_bytes),
            offline_flights: planned.offline_flights,
            online_bytes: each(&|c| c.from_server + c.from_client),
            flights: planned.flights,
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
            lengths,
            results: Vec::new(),
        };
        summary.results.extend(results.into_iter().map(Line::Done));
        summary.results.extend(unread.into_iter().map(Line::Unread));
        Ok(summary)
    }

    /// What was evaluated.
    pub fn compared(&self) -> impl Iterator<Item = &Compared> {
        self.results.iter().filter_map(|line| match line {
            Line::Done(compared) => Some(compared),
            Line::Unread(_) => None,
        })
    }

    /// What could not be.
    pub fn unread(&self) -> impl Iterator<Item = &Unread> {
        self.results.iter().filter_map(|line| match line {
            Line::Done(_) => None,
            Line::Unread(unread) => Some(unread),
        })
    }

    /// Fails when a private class is not the simulator's and no tie: both round at random; and when something could not be evaluated.
    ///
    /// # Errors
    /// [`Error::Check`] and [`Error::Inputs`].
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |r: &&Compared| match r.simulator_gap {
            Some(gap) => gap > TIE,
            None => !r.like_simulator,
        };
        let wrong = self.compared().filter(wrong).count();
        let failed: Vec<_> = self.unread().map(|unread| unread.error.clone()).collect();
        if wrong == 0 && failed.is_empty() {
            return Ok(());
        }
        if wrong == 0 {
            let what = if self.lengths.is_empty() { "images" } else { "texts" };
            return Err(Error::Inputs { what, failed, of: self.results.len() });
        }
        Err(Error::Check(format!(
            "{wrong} of {} private results differ from the simulator's",
            self.images
        )))
    }
}

/// What each evaluation cost in all, with the rows of its texts: bytes are parted among those that it gave results of, which follow each
/// other.
fn evaluations(lines: &[Answer]) -> Vec<(Option<u32>, Cost)> {
    let (mut all, mut rest) = (Vec::new(), lines);
    while let Some(first) = rest.first() {
        let shared_by = (first.costs.shared_by as usize).clamp(1, rest.len());
        let (these, later) = rest.split_at(shared_by);
        rest = later;
        let costs: Vec<&Costs> = these.iter().map(|line| &line.costs).collect();
        let measured = Cost {
            setup_bytes: sum(&costs, &|c| c.setup_bytes),
            offline_bytes: sum(&costs, &|c| c.offline_bytes),
            offline_flights: first.costs.offline_flights,
            online_bytes: sum(&costs, &|c| c.from_server + c.from_client),
            flights: first.costs.flights,
        };
        all.push((first.rows(), measured));
    }
    all
}

/// All bytes of a kind.
fn sum(of: &[&Costs], f: &dyn Fn(&Costs) -> u64) -> u64 {
    of.iter().map(|c| f(c)).sum()
}

/// One input's share of the seconds that an evaluation took.
fn share(costs: &Costs, f: &dyn Fn(&Costs) -> f64) -> f64 {
    f(costs) / costs.shared_by.max(1) as f64
}

/// The mean of the inputs' shares.
fn mean(of: &[&Costs], f: &dyn Fn(&Costs) -> f64) -> f64 {
    of.iter().map(|c| share(c, f)).sum::<f64>() / of.len().max(1) as f64
}

/// The mean of bytes, to the next whole number: an evaluation costs as much for some inputs as for a whole batch of them.
fn each(of: &[&Costs], f: &dyn Fn(&Costs) -> u64) -> u64 {
    (sum(of, f) as f64 / of.len().max(1) as f64).round() as u64
}

/// The median of the inputs' shares.
fn median(of: &[&Costs], f: &dyn Fn(&Costs) -> f64) -> f64 {
    let mut all: Vec<f64> = of.iter().map(|c| share(c, f)).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

fn lengths(planned: &BTreeMap<Option<u32>, Cost>, lines: &[Answer]) -> Vec<Length> {
    let length = |(tokens, planned): (&Option<u32>, &Cost)| {
        let tokens = (*tokens)?;
        let of: Vec<&Costs> =
            lines.iter().filter(|l| l.rows() == Some(tokens)).map(|l| &l.costs).collect();
        let first = of.first()?;
        Some(Length {
            tokens,
            texts: of.len(),
            setup_bytes: sum(&of, &|c| c.setup_bytes),
            offline_bytes: each(&of, &|c| c.offline_bytes),
            online_bytes: each(&of, &|c| c.from_server + c.from_client),
            flights: first.flights,
            offline_s: median(&of, &|c| c.offline_s),
            online_s: median(&of, &|c| c.online_s),
            planned: *planned,
        })
    };
    planned.iter().filter_map(length).collect()
}

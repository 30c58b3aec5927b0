//! `sotto calibrate`: records the range of every tensor and writes it beside the weights.

mod command;

use std::{fs, path::Path};

use serde::Serialize;
use sotto_models::{
    Calibration, Model, Private, agreement::BOUND, format::MARGIN, model::Input, owner,
    private::Options, weights::Precision,
};

use crate::{
    error::Error,
    files,
    samples::{Loaded, Samples, what},
};

pub use command::{Calibrate, examples};

/// From so many images on a calibration is taken without a word.
const ENOUGH: usize = 256;

/// The same of texts: on 100 sentences the worst tensor of MiniLM is exceeded by 1.5 times on 800 others, of 4 that there
/// is room for.
const ENOUGH_TEXTS: usize = 100;

/// With fewer results are wrong without a sign of it: they are refused.
const LEAST: usize = 16;

/// How many samples a calibration wants, as everything that tells it says it.
pub fn wanted(what: &str) -> String {
    format!("{} {what} or more", enough(what))
}

fn enough(what: &str) -> usize {
    if what == "texts" { ENOUGH_TEXTS } else { ENOUGH }
}

/// Lengths of which a text's bytes are told.
const LENGTHS: [usize; 3] = [32, 128, 512];

/// What to say of a calibration on fewer images or texts than are enough.
pub fn thin(whose: &str, samples: usize, what: &str) -> Option<String> {
    let wanted = wanted(what);
    (samples < enough(what)).then(|| {
        format!(
            "{whose} is calibrated on {samples} {what}, where {wanted} are wanted: results may be wrong without a sign of it"
        )
    })
}

/// What to say of private results that are too far from plain ones, first in `tensor`.
pub fn too_far(error: f64, tensor: &str) -> String {
    format!(
        "private results differ from plain ones by {:.1} % (at most {:.0} are taken), first in {tensor}: the number format \
         does not hold this model",
        100.0 * error,
        100.0 * BOUND
    )
}

/// What a calibration found.
pub struct Calibrated {
    /// The ranges.
    pub calibration: Calibration,
    /// `images` or `texts`.
    pub what: &'static str,
    /// By what factor a tensor may exceed its range before results are wrong.
    pub margin: f64,
    /// By what factor all samples exceed the first half of them, in the tensor where it is the most, and that tensor.
    pub grown: (f64, String),
    /// How far private results of some samples are from plain ones, in parts of these.
    pub error: f64,
    /// The first tensor that is too far away, where the results are and `force` took them.
    pub far: Option<String>,
    /// The weights are written again: keys are centred, hidden channels or heads in another order.
    pub rewritten: bool,
    /// What texts of some lengths cost; empty for pictures.
    pub costs: Vec<TextCost>,
}

/// What a text of so many tokens costs.
#[derive(Clone, Debug, Serialize)]
pub struct TextCost {
    /// Its length.
    pub tokens: usize,
    /// Sequential message times.
    pub flights: u64,
    /// Online bytes, both directions together.
    pub online_bytes: u64,
    /// Bytes from the dealer.
    pub offline_bytes: u64,
}

/// Calibrates the model in `folder` on at most `limit` samples, and checks that a plan can be traced from the result whose
/// results are the plain ones on some of them, within [`BOUND`]. `force` takes any number of samples, and such results.
///
/// How is [`owner::calibrated`]'s: keys are centred and hidden channels sorted first, which changes no result; where that changes the weights,
/// their file is written again. `progress` is told how many forward passes are done, of how many.
///
/// # Errors
/// [`Error::Model`] for a model or sample that is wrong, for too few samples, or for ranges that need rings of more
/// than 64 bits; [`Error::Config`] where private results are too far from plain ones, which names the first tensor. Then
/// nothing was written.
pub fn calibrate(
    folder: &Path,
    samples: &Samples,
    limit: usize,
    force: bool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Calibrated, Error> {
    let Loaded { model, weights: before, inputs } = samples.load(folder, limit)?;
    let (count, what) = (inputs.len(), what(&model));
    if count < LEAST && !force {
        let wanted = wanted(what);
        let why = format!(
            "{count} {what} are too few: others leave their ranges, and results are wrong without a sign of it; give \
             {wanted}, or --force"
        );
        return Err(Error::Model(sotto_models::Error::Calibration(why)));
    }
    let mut progress = |done| progress(done, 2 * count);
    let owner::Calibrated { weights, calibration, grown, error, far } =
        owner::calibrated(&model, &before, &inputs, &mut progress)?;
    if let (Some(tensor), false) = (&far, force) {
        return Err(Error::Config(format!(
            "`{}`: {}; scale the weights that write it, or --force",
            folder.display(),
            too_far(error, tensor)
        )));
    }
    let rewritten = weights.hash() != before.hash();
    if rewritten {
        let path = files::real(&folder.join("weights.safetensors"))?;
        files::replace(&path, |part| Ok(weights.save(part, Precision::F32)?))?;
    }
    let path = folder.join("calibration.toml");
    fs::write(&path, calibration.to_toml()).map_err(Error::io(&path))?;
    let costs = costs(&model, &calibration)?;
    let margin = f64::from(1u32 << MARGIN);
    Ok(Calibrated { calibration, what, margin, grown, error, far, rewritten, costs })
}

/// What texts of some lengths cost.
fn costs(model: &Model, calibration: &Calibration) -> Result<Vec<TextCost>, Error> {
    let Input::Words(words) = &model.input else { return Ok(Vec::new()) };
    let mut lengths: Vec<usize> = LENGTHS.into_iter().filter(|&n| n <= words.positions).collect();
    if lengths.is_empty() {
        lengths.push(words.positions);
    }
    let each = |n: usize| {
        let plan = Private::of_lengths(model, calibration, &[n], Options::default())?.plan;
        let planned = plan.cost();
        Ok(TextCost {
            tokens: n,
            flights: planned.flights,
            online_bytes: planned.online_bytes,
            offline_bytes: plan.correction_bytes() as u64,
        })
    };
    lengths.into_iter().map(each).collect()
}

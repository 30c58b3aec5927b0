//! The same inputs in the clear, on each device of this machine: what privacy costs.

use serde::Serialize;
use sotto_gpu::{
    Device, Precision, devices,
    measure::{self, Effort},
    program, result,
};
use sotto_models::{Model, Weights, float::NoProbe, float::forward};

use crate::error::Error;

/// One input in the clear on one device.
#[derive(Clone, Debug, Serialize)]
pub struct Plaintext {
    /// `cpu` or `gpu`.
    pub device: &'static str,
    /// Its maker's name.
    pub name: String,
    /// Median seconds of one input.
    pub one_s: f64,
    /// The private one's median seconds, offline and online, by these.
    pub private_times: f64,
    /// Largest difference of a logit to the float reference's.
    pub max_logit_error: f64,
}

impl Plaintext {
    /// The line for a reader.
    pub(super) fn line(&self) -> String {
        let whose = if self.device == "cpu" { String::new() } else { format!(" on {}", self.name) };
        format!(
            "plaintext{whose}: {:.2} ms for one, private takes {:.0} times as long; largest logit error {:.1e}",
            1e3 * self.one_s,
            self.private_times,
            self.max_logit_error
        )
    }
}

/// Runs inputs of one length on this processor and, where the program and the machine have one, on a GPU; one that a processor plays is
/// none. `private` are the seconds of a private one.
///
/// # Errors
/// [`Error::Config`] of this processor; a GPU that fails is left out.
pub(super) fn run(
    model: &Model,
    weights: &Weights,
    inputs: &[Vec<f32>],
    private: f64,
) -> Result<Vec<Plaintext>, Error> {
    let Some(first) = inputs.first() else { return Ok(Vec::new()) };
    let program = program(model, weights, model.rows_of(first));
    let plain: Vec<f32> =
        inputs.iter().flat_map(|input| forward(model, weights, input, &mut NoProbe)).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(|input| &input[..]).collect();
    let effort = Effort { runs: 5, time: std::time::Duration::ZERO };
    let on = |device: &dyn Device| -> Result<Plaintext, sotto_gpu::Error> {
        let found = measure::results(device, &program, Precision::F32, 1, &inputs)?;
        let found = found.into_iter().flat_map(|row| result(model, row));
        let errors = found.zip(&plain).map(|(a, b)| f64::from((a - b).abs()));
        let max_logit_error = errors.fold(0.0, f64::max);
        let one_s = measure::seconds(device, &program, Precision::F32, 1, first, effort)?;
        let (device, name) = (device.info().device, device.info().name.clone());
        Ok(Plaintext { device, name, one_s, private_times: private / one_s, max_logit_error })
    };
    let mut all = Vec::new();
    for name in devices::NAMES {
        let Ok(device) = devices::open(name) else { continue };
        if device.info().software {
            continue;
        }
        match on(&*device) {
            Ok(found) => all.push(found),
            Err(e) if name == "cpu" => return Err(Error::unusable(e)),
            Err(e) => tracing::warn!("{e}"),
        }
    }
    Ok(all)
}

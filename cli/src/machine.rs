//! `sotto calibrate-machine`: seconds of every gate and message on this machine.

use std::{fs, path::PathBuf};

use clap::Args;
use serde::Serialize;
use sotto_netsim::{Check, Machine, TRUSTED, Through, calibrate, deviation};
use tracing::Level;

use crate::{error::Error, print, progress};

/// What `sotto calibrate-machine` is told.
#[derive(Args)]
pub struct CalibrateMachine {
    /// Where to write the profile.
    #[arg(long, default_value = "machine.json")]
    out: PathBuf,
    /// Messages go through the emulator, whose work shares this machine's cores: for predictions of what is then
    /// measured through it here, as in `sotto demo --net` and `sotto search`.
    #[arg(long)]
    emulated: bool,
    /// What was measured as one JSON object instead of lines; the profile itself is the file.
    #[arg(long)]
    json: bool,
}

/// The JSON object.
#[derive(Serialize)]
struct Measured<'a> {
    out: String,
    processor: &'a str,
    /// How many there are rates of.
    gates: usize,
    /// How far the profile is from the models that it was made from, at most, as a share.
    deviation: f64,
    models: Vec<Whole<'a>>,
}

/// Seconds of a model's online part.
#[derive(Serialize)]
struct Whole<'a> {
    model: &'a str,
    measured_s: f64,
    predicted_s: f64,
}

impl CalibrateMachine {
    /// Measures, writes the profile and says how well it gives back what was measured.
    ///
    /// # Errors
    /// [`Error::Config`] where loopback does not work; [`Error::Io`].
    pub fn run(&self) -> Result<(), Error> {
        let through = if self.emulated { Through::Emulator } else { Through::Loopback };
        let bar = progress::bar("measuring messages and gates", None);
        let (machine, checks) = calibrate(through, |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        })
        .map_err(Error::unusable)?;
        bar.finish_and_clear();
        fs::write(&self.out, machine.to_json()).map_err(Error::io(&self.out))?;
        let measured = measured(self.out.display().to_string(), &machine, &checks);
        let off = measured.deviation;
        match self.json {
            true => print::json(&measured)?,
            false => {
                let Measured { out, processor, gates, .. } = &measured;
                print::line(format!("{out}: {processor}, {gates} gates"))?;
                print::line(format!(
                    "the {} measured models come out within {:.0} %",
                    checks.len(),
                    100.0 * off
                ))?;
            }
        }
        if off > TRUSTED {
            print::say(
                Level::WARN,
                "such a profile predicts badly; measure again when no other program is busy on this machine",
            );
        }
        Ok(())
    }
}

fn measured<'a>(out: String, machine: &'a Machine, checks: &'a [Check]) -> Measured<'a> {
    let models = checks.iter().map(|check| Whole {
        model: &check.model,
        measured_s: check.measured,
        predicted_s: check.predicted,
    });
    let (processor, gates) = (&machine.processor[..], machine.gates.len());
    Measured { out, processor, gates, deviation: deviation(checks), models: models.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_told_to_programs() {
        let machine = Machine::reference();
        let checks = [("a", 1.0), ("b", 1.25)].map(|(model, predicted)| Check {
            model: model.into(),
            measured: 1.0,
            predicted,
        });
        let said = serde_json::to_value(measured("m.json".into(), &machine, &checks)).unwrap();
        assert_eq!((&said["out"], &said["deviation"]), (&"m.json".into(), &0.25.into()));
        assert_eq!(said["processor"], machine.processor);
        assert_eq!(said["gates"], machine.gates.len());
        let second = serde_json::json!({ "model": "b", "measured_s": 1.0, "predicted_s": 1.25 });
        assert_eq!(said["models"][1], second);
    }
}

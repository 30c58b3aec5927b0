//! What `sotto reference` prints.

use serde::Serialize;
use sotto_gpu::{Info, Precision, Program, devices::Named, measure::Times};
use sotto_models::{Model, model::Output};

use crate::{
    client::top,
    report::{bytes, table},
    samples::what,
};

/// One launch of a batch.
#[derive(Clone, Debug, Serialize)]
struct Line {
    section: String,
    kernel: &'static str,
    seconds: f64,
    operations: u64,
    bytes: u64,
    /// Fewest seconds that the device needs.
    floor_s: f64,
}

/// What a model in the clear took, and how far its results are from the float reference's.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the model calls itself.
    pub model: String,
    device: &'static str,
    /// The device's name by its maker.
    pub name: String,
    driver: String,
    /// Whether a processor plays the device.
    software: bool,
    /// What numbers are stored as.
    pub precision: &'static str,
    /// Floating-point operations for one input.
    operations: u64,
    /// Bytes on the device for a batch.
    memory_bytes: u64,
    /// Seconds of one input.
    pub one_s: f64,
    /// The same where picture and result stay on the device; none where nothing moves.
    one_device_s: Option<f64>,
    /// Share of the floor: the fewest seconds that the device allows, by those that it took.
    one_share: f64,
    /// Inputs at once.
    pub batch: usize,
    /// Seconds of a batch.
    batch_s: f64,
    /// The same where inputs and results stay on the device.
    batch_device_s: Option<f64>,
    /// Share of the floor.
    pub batch_share: f64,
    /// Inputs in a second, at the batch.
    pub per_second: f64,
    /// What the device reaches at best, measured.
    bytes_per_second: f64,
    operations_per_second: f64,
    /// Seconds of one input in the float reference, on one core.
    pub float_s: f64,
    /// Inputs whose results were compared.
    inputs: usize,
    /// Largest difference of a number of a result to the float reference's.
    pub largest_error: f64,
    /// Mean difference.
    mean_error: f64,
    /// Results whose largest number, in each row of classes, is at the same place; embeddings have none.
    same: Option<usize>,
    results: Vec<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launches: Option<Vec<Line>>,
    #[serde(skip)]
    what: &'static str,
}

impl Report {
    pub(super) fn new(
        model: &Model,
        info: &Info,
        precision: Precision,
        program: &Program,
        times: Times,
        float_s: f64,
        (results, plain): (Vec<Vec<f32>>, Vec<Vec<f32>>),
    ) -> Self {
        let pairs = results.iter().flatten().zip(plain.iter().flatten());
        let errors: Vec<f64> = pairs.map(|(a, b)| f64::from((a - b).abs())).collect();
        // A number that is none must not pass for a small error.
        let worst = |worst: f64, &e: &f64| if e.is_nan() || e > worst { e } else { worst };
        let classes = match &model.output {
            Output::Embedding { .. } => None,
            output => Some(output.classes()),
        };
        let place = |row: &[f32]| top(&row.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let same = classes.map(|n| {
            let same = |(a, b): &(&Vec<f32>, &Vec<f32>)| {
                a.chunks(n).zip(b.chunks(n)).all(|(a, b)| place(a) == place(b))
            };
            results.iter().zip(&plain).filter(same).count()
        });
        let launches = times.launches.map(|all| {
            let line = all.into_iter().map(|l| Line {
                section: l.section.to_string(),
                kernel: l.kernel,
                seconds: l.seconds,
                operations: l.operations,
                bytes: l.bytes,
                floor_s: l.floor,
            });
            line.collect()
        });
        Self {
            model: model.name.clone(),
            device: info.device,
            name: info.name.clone(),
            driver: info.driver.clone(),
            software: info.software,
            precision: precision.name(),
            operations: program.operations(1),
            memory_bytes: program.memory(times.batch, precision.width()),
            one_s: times.one,
            one_device_s: times.one_inside,
            one_share: times.one_floor / times.one_inside.unwrap_or(times.one),
            batch: times.batch,
            batch_s: times.all,
            batch_device_s: times.all_inside,
            batch_share: times.all_floor / times.all_inside.unwrap_or(times.all),
            per_second: times.batch as f64 / times.all,
            bytes_per_second: times.ceilings.bytes,
            operations_per_second: times.ceilings.operations,
            float_s,
            inputs: results.len(),
            largest_error: errors.iter().fold(0.0, worst),
            mean_error: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
            same,
            results,
            launches,
            what: what(model),
        }
    }

    /// Without the launches where nobody asked for them.
    pub(super) fn with_profile(mut self, profile: bool) -> Self {
        self.launches = self.launches.filter(|_| profile);
        self
    }

    pub(super) fn lines(&self, profile: bool) -> Vec<String> {
        let player = if self.software { ", played by this processor: no GPU's speed" } else { "" };
        let share = |share: f64| format!("{:.0} % of what the device allows", 100.0 * share);
        let inside = |seconds: Option<f64>| {
            seconds.map_or(String::new(), |s| format!(" ({:.3} ms of it on the device)", 1e3 * s))
        };
        let mut all = vec![
            format!(
                "{} in {} on {} ({}){player}",
                self.model, self.precision, self.name, self.driver
            ),
            format!(
                "one input   {:.3} ms{}, {}",
                1e3 * self.one_s,
                inside(self.one_device_s),
                share(self.one_share)
            ),
            format!(
                "batch of {}  {:.3} ms{}, {:.1} {} a second, {}",
                self.batch,
                1e3 * self.batch_s,
                inside(self.batch_device_s),
                self.per_second,
                self.what,
                share(self.batch_share)
            ),
            format!(
                "the device  {:.1} GB/s and {:.1} GFLOP/s at best; an input is {:.3} GFLOP; {} for a batch",
                1e-9 * self.bytes_per_second,
                1e-9 * self.operations_per_second,
                1e-9 * self.operations as f64,
                bytes(self.memory_bytes)
            ),
            format!(
                "against the float reference ({:.3} ms an input on one core): largest difference {:.1e}, mean {:.1e}, of {} {}",
                1e3 * self.float_s,
                self.largest_error,
                self.mean_error,
                self.inputs,
                self.what
            ),
        ];
        if let Some(same) = self.same {
            all.push(format!("the same classes in {same} of {}", self.inputs));
        }
        if profile {
            all.push(self.profile());
        }
        all
    }

    fn profile(&self) -> String {
        let Some(launches) = &self.launches else {
            return "this device has no clock for its launches".into();
        };
        let header = ["section", "kernel", "us", "MFLOP", "MB", "floor us", "share"];
        let mut t = table(&header, 2);
        let total: f64 = launches.iter().map(|l| l.seconds).sum();
        for l in launches {
            t.add_row(vec![
                l.section.clone(),
                l.kernel.to_owned(),
                format!("{:.0}", 1e6 * l.seconds),
                format!("{:.1}", 1e-6 * l.operations as f64),
                format!("{:.2}", 1e-6 * l.bytes as f64),
                format!("{:.1}", 1e6 * l.floor_s),
                format!("{:.0} %", 100.0 * l.floor_s / l.seconds),
            ]);
        }
        format!("Launches of a batch of {}, {:.0} us in all\n{t}", self.batch, 1e6 * total)
    }
}

/// A device in JSON.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    device: &'static str,
    name: Option<&'a str>,
    driver: Option<&'a str>,
    software: Option<bool>,
    precisions: Vec<&'static str>,
    /// Why it is not there.
    missing: Option<String>,
}

pub(super) fn listed(all: &[Named]) -> Vec<Listed<'_>> {
    let one = all.iter().map(|(device, found)| {
        let info = found.as_ref().ok();
        Listed {
            device,
            name: info.map(|i| &i.name[..]),
            driver: info.map(|i| &i.driver[..]),
            software: info.map(|i| i.software),
            precisions: info
                .map_or(Vec::new(), |i| i.precisions.iter().map(|p| p.name()).collect()),
            missing: found.as_ref().err().map(ToString::to_string),
        }
    });
    one.collect()
}

/// A line for each device.
pub fn device_lines(all: &[Named]) -> Vec<String> {
    let line = |(device, found): &Named| match found {
        Ok(info) => {
            let formats: Vec<&str> = info.precisions.iter().map(|p| p.name()).collect();
            let player = if info.software { ", played by this processor" } else { "" };
            format!("{device:<5} {} ({}){player}: {}", info.name, info.driver, formats.join(", "))
        }
        Err(e) => format!("{device:<5} not here: {e}"),
    };
    all.iter().map(line).collect()
}

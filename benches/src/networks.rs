//! Predicted against measured: the CIFAR model in every kind of attention, through the emulator.
//!
//! This machine is calibrated first, then each model runs as three processes with each network between them,
//! and the simulator says from the plan alone what that should have taken.

use std::path::Path;

use indicatif::ProgressBar;
use sotto::{
    config::Source,
    demo::{self, Demo},
    emulate,
    model::Model,
    report::table,
    stop::Stop,
    texts::TextArgs,
};
use sotto_models::{
    Private,
    private::{Lengths, Options},
};
use sotto_netsim::{Machines, Priced, Through, predict};
use sotto_protocols::{Role, plan::Plan};

use crate::{error::Error, record::Records};

/// Models: the paper's CIFAR model with softmax, ReLU-softmax and linear attention and random weights; a trained one.
pub const MODELS: [&str; 4] = ["vit_cifar", "vit_cifar_relu", "vit_cifar_linear", "demo"];

/// Networks, each with the largest deviation allowed. On loopback the parties compute on shared cores.
const NETWORKS: [(&str, f64); 6] = [
    ("loopback", 0.15),
    ("lan", 0.10),
    ("lan-cheetah", 0.10),
    ("wan-cheetah", 0.10),
    ("wan", 0.10),
    ("mobile", 0.10),
];

/// Seconds of inference that a model is measured for on a fast network.
const SECONDS: f64 = 3.0;
/// The most images of a measurement.
pub const MOST: usize = 15;

/// One model on one network.
#[derive(Clone, Debug)]
pub struct Compared {
    model: &'static str,
    network: &'static str,
    /// Predicted and measured seconds.
    online: [f64; 2],
    offline: [f64; 2],
    allowed: f64,
}

impl Compared {
    fn total(&self) -> [f64; 2] {
        [0, 1].map(|i| self.online[i] + self.offline[i])
    }

    /// Whether online and total are as close as they should be.
    fn holds(&self) -> bool {
        [self.online, self.total()].iter().all(|&both| deviation(both).abs() <= self.allowed)
    }
}

fn deviation([predicted, measured]: [f64; 2]) -> f64 {
    predicted / measured - 1.0
}

/// A network, and the largest deviation allowed.
pub type Allowed = (&'static str, f64);

/// The networks of these names; all where none is named.
///
/// # Errors
/// [`Error::Usage`] that lists the names.
pub fn choose(names: &[String]) -> Result<Vec<Allowed>, Error> {
    if names.is_empty() {
        return Ok(NETWORKS.to_vec());
    }
    let find = |name: &String| {
        NETWORKS.into_iter().find(|n| n.0 == name).ok_or_else(|| {
            let known: Vec<&str> = NETWORKS.iter().map(|n| n.0).collect();
            Error::Usage(format!("`{name}` is not measured; there are {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

/// Calibrates, then runs and predicts each model on each network: from the least to the most `images` after the first.
///
/// # Errors
/// Those of the processes.
pub fn measure(
    program: &Path,
    (models, networks): (&[&'static str], &[Allowed]),
    images: [usize; 2],
    bar: &ProgressBar,
    records: &mut Records,
) -> Result<Vec<Compared>, Error> {
    bar.set_message("calibrating this machine");
    // Through the emulator, every message costs its work, too, on the same cores.
    let calibrate = |through| -> Result<Machines, Error> {
        let (machine, _) =
            sotto_netsim::calibrate(through, |_, _| ()).map_err(sotto::Error::unusable)?;
        Ok(Machines::one(&machine))
    };
    let (direct, emulated) = (calibrate(Through::Loopback)?, calibrate(Through::Emulator)?);
    bar.inc(1);
    let mut plans = Vec::new();
    for &model in models {
        let found = Model::find(Path::new(model))?;
        let private = Private::new(&found.arch, &found.calibration, 1, Options::default());
        plans.push((model, private.map_err(sotto::Error::from)?.plan));
    }
    let mut all = Vec::new();
    for &(network, allowed) in networks {
        for (model, plan) in &plans {
            bar.set_message(format!("{model}, {network}"));
            let machines = if network == "loopback" { &direct } else { &emulated };
            all.push(one(program, (model, plan), (network, allowed), images, machines)?);
            bar.inc(1);
        }
    }
    for c in &all {
        let mut add = |what: &str, [predicted, measured]: [f64; 2]| {
            records.add(format!("{}_{}_{what}_predicted_s", c.model, c.network), predicted, "s");
            records.add(format!("{}_{}_{what}_measured_s", c.model, c.network), measured, "s");
        };
        add("online", c.online);
        add("offline", c.offline);
        add("total", c.total());
    }
    Ok(all)
}

fn one(
    program: &Path,
    (model, plan): (&'static str, &Plan),
    (network, allowed): Allowed,
    [least, most]: [usize; 2],
    machines: &Machines,
) -> Result<Compared, Error> {
    let between = emulate::network(network, Path::new(""))?;
    let priced = Priced::new(plan, machines).map_err(sotto::Error::unusable)?;
    let predicted =
        predict(&priced, machines, &between, sotto_netsim::Source::Dealer(Role::Server), 0);
    // Short runs vary the most: as many images as take some seconds.
    let more = (SECONDS / (predicted.online_s + predicted.offline_s)) as usize;
    let demo = Demo {
        source: Source::Dealer,
        lengths: Lengths::Public,
        model: model.into(),
        images: Vec::new(),
        resize: false,
        texts: TextArgs::default(),
        limit: more.clamp(least, most) + 1,
        batch: 1,
        network: between,
    };
    let measured = demo::run(&demo, program, &Stop::default())?;
    measured.check()?;
    Ok(Compared {
        model,
        network,
        online: [predicted.online_s, measured.median_online_s],
        offline: [predicted.offline_s, measured.median_offline_s],
        allowed,
    })
}

/// The table, and how many rows are as close as they should be.
pub fn text(all: &[Compared]) -> String {
    let header = [
        "model",
        "network",
        "online predicted",
        "measured",
        "",
        "total predicted",
        "measured ",
        " ",
        "allowed",
    ];
    let mut t = table(&header, 2);
    let s = |x: f64| format!("{x:.3} s");
    let percent = |both: [f64; 2]| format!("{:+.1} %", 100.0 * deviation(both));
    for c in all {
        let total = c.total();
        t.add_row(vec![
            c.model.to_owned(),
            c.network.to_owned(),
            s(c.online[0]),
            s(c.online[1]),
            percent(c.online),
            s(total[0]),
            s(total[1]),
            percent(total),
            format!("{:.0} %{}", 100.0 * c.allowed, if c.holds() { "" } else { ", missed" }),
        ]);
    }
    let close = all.iter().filter(|c| c.holds()).count();
    format!(
        "Predicted from the plan, measured through the emulator (three processes, one machine).\n{t}\n\
         {close} of {} are as close as they should be, online and in all.",
        all.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_chosen_by_name() {
        assert_eq!(choose(&[]).unwrap().len(), NETWORKS.len());
        assert_eq!(choose(&["wan".into()]).unwrap(), [("wan", 0.10)]);
        assert!(choose(&["wlan".into()]).unwrap_err().to_string().contains("wan-cheetah"));
    }

    #[test]
    fn a_row_holds_when_online_and_total_do() {
        let row =
            |online, offline| Compared { model: "m", network: "n", online, offline, allowed: 0.1 };
        assert!(row([1.05, 1.0], [2.0, 2.0]).holds());
        assert!(!row([1.2, 1.0], [20.0, 20.0]).holds(), "online is off");
        assert!(!row([1.0, 1.0], [2.0, 3.0]).holds(), "the total is off");
        assert!(text(&[row([1.2, 1.0], [2.0, 2.0])]).contains("missed"));
    }
}

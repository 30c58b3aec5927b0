//! `sotto demo`: three processes on loopback classify real images; every result and count is checked.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use sotto_crypto::Seed;
use sotto_models::{
    Private,
    float::{NoProbe, forward},
    images::{Fit, Picture, load, normalise},
};
use sotto_netsim::Network;
use sotto_protocols::{
    simulate::{Coins, simulate},
    weights::Matrix,
};

use crate::{
    card::Card,
    emulate::{self, Between, PathLine, Paths},
    error::Error,
    model::{DEMO_IMAGES, Model},
    processes::{Deployment, LOCAL, Settings},
    report::{Counts, bytes, table},
};

/// What to run.
pub struct Demo {
    /// `demo`, a preset or a folder.
    pub model: PathBuf,
    /// Pictures instead of the embedded ones.
    pub images: Option<PathBuf>,
    /// At most so many.
    pub limit: usize,
    /// Images in one evaluation.
    pub batch: usize,
    /// What lies between the parties.
    pub network: Network,
}

/// The first line that the client process prints.
#[derive(Serialize, Deserialize)]
pub struct SetupLine {
    /// Masked weights received.
    pub setup_bytes: u64,
    /// Seconds from connecting to having them.
    pub setup_s: f64,
}

/// A following line: one image.
#[derive(Serialize, Deserialize)]
pub struct ImageLine {
    /// Private top-1.
    pub class: usize,
    /// Private logits.
    pub logits: Vec<f64>,
    /// Costs of its evaluation.
    pub costs: CostLine,
}

/// Costs as the client process prints them.
#[derive(Clone, Serialize, Deserialize)]
pub struct CostLine {
    offline_bytes: u64,
    offline_s: f64,
    from_server: u64,
    from_client: u64,
    flights: u64,
    online_s: f64,
}

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
    /// Bytes of masked weights, once.
    pub setup_bytes: u64,
    /// Bytes from the dealer.
    pub offline_bytes: u64,
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
    /// The plan's counts.
    pub planned: Counts,
    /// Image by image.
    pub results: Vec<Compared>,
}

fn top(logits: impl Iterator<Item = f64>) -> usize {
    let best = logits.enumerate().fold(
        (0, f64::MIN),
        |best, (i, x)| {
            if x > best.1 { (i, x) } else { best }
        },
    );
    best.0
}

/// References of the demo: float model, simulator and the fixed-point weights.
struct References {
    model: Model,
    private: Private,
    matrices: Vec<Matrix>,
}

impl References {
    /// Up to a batch of pictures beside what the client said of them.
    fn compare(&self, pictures: &[Picture], lines: &[ImageLine]) -> Vec<Compared> {
        let arch = &self.model.arch;
        let mut images: Vec<Vec<f32>> = pictures.iter().map(|p| normalise(arch, p)).collect();
        let floats: Vec<Vec<f32>> = (images.iter())
            .map(|image| forward(arch, &self.model.weights, image, &mut NoProbe))
            .collect();
        let size = arch.channels * arch.image * arch.image;
        images.resize(self.private.batch, vec![0.0; size]);
        let input = self.private.encode(&images);
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([5; 32]).stream(0)));
        let values = simulate(&self.private.plan, &self.matrices, &[input], &mut coins);
        let output = self.private.plan.outputs[0].index();
        let simulated = self.private.decode(&values[output]);
        let each = pictures.iter().zip(lines).zip(floats.iter().zip(&simulated));
        each.map(|((picture, line), (float, simulated))| {
            let errors = float.iter().zip(&line.logits).map(|(a, b)| (f64::from(*a) - b).abs());
            let errors: Vec<f64> = errors.collect();
            let simulator = top(simulated.iter().copied());
            let private = simulated.get(line.class).copied().unwrap_or(f64::NEG_INFINITY);
            Compared {
                name: picture.name.clone(),
                label: picture.label,
                private: line.class,
                plaintext: top(float.iter().map(|&x| f64::from(x))),
                simulator,
                simulator_gap: simulated[simulator] - private,
                max_logit_error: errors.iter().copied().fold(0.0, f64::max),
                mean_logit_error: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
            }
        })
        .collect()
    }
}

fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<28} {bar:30} {pos}/{len} {eta}");
    let bar = ProgressBar::new(length as u64).with_message(what);
    bar.with_style(style.expect("a fixed template"))
}

/// Runs the demo; `program` is the `sotto` binary.
///
/// # Errors
/// Those of the processes, and [`Error::Check`] when a private class is not the simulator's (but for ties) or a count
/// is not the plan's.
pub fn run(demo: &Demo, program: &Path) -> Result<Summary, Error> {
    let model = Model::find(&demo.model)?;
    let card = Card {
        arch: model.arch.to_toml(),
        calibration: model.calibration.to_toml(),
        batch: demo.batch,
        public_max: false,
        class_only: false,
        row_tables: false,
    };
    let private = card.trace()?;
    let matrices = private.matrices(&model.weights);
    let network = &demo.network;
    let deployment = Deployment::new(program.to_owned())?.with_profile(emulate::profile(network));
    let (file, fit) = match &demo.images {
        Some(path) => (path.clone(), Fit::Exact),
        None => {
            let path = deployment.folder.path().join("images.bin");
            fs::write(&path, DEMO_IMAGES).map_err(Error::io(&path))?;
            (path, Fit::Resize)
        }
    };
    let pictures = load(&file, &model.arch, fit, demo.limit)?;
    let references = References { model, private, matrices };

    let named = !demo.model.is_dir();
    let folder = if named { demo.model.clone() } else { absolute(&demo.model)? };
    let settings = Settings {
        model: folder.display().to_string(),
        batch: demo.batch,
        pool: 0,
        deadline: emulate::deadline(network, 30),
        server_lines: String::new(),
    };
    let mut paths = Paths::new(network.clone(), 1);
    let mut between = |pair: &str, target: SocketAddr| match emulate::is_free(network) {
        true => Ok(target),
        false => paths.add(pair, Between { listen: LOCAL, target }),
    };
    let (_dealer, dealer_at) = deployment.dealer(settings.deadline, None)?;
    let servers_dealer = between("server_dealer", dealer_at)?;
    let (_server, server_at) = deployment.server(&settings, servers_dealer, None)?;
    let dealer_at = between("client_dealer", dealer_at)?;
    let server_at = between("client_server", server_at)?;
    let mut client = deployment.client_limited(
        &settings,
        server_at,
        dealer_at,
        &absolute(&file)?,
        (demo.limit, fit),
    )?;
    let setup: SetupLine = parse(&client.line()?)?;
    let progress = bar(pictures.len(), "private inference");
    let mut lines = Vec::with_capacity(pictures.len());
    while lines.len() < pictures.len() {
        lines.push(parse::<ImageLine>(&client.line()?)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if client.wait()? != 0 {
        return Err(Error::Check("the client process failed; its messages are above".into()));
    }
    let overrun = paths.overrun();
    if overrun > 0 {
        tracing::warn!(overrun, "this machine is too busy for the network: packets were dropped");
    }
    let paths = paths.lines();
    let progress = bar(pictures.len(), "float and integer references");
    let mut results = Vec::new();
    for (pictures, lines) in pictures.chunks(demo.batch).zip(lines.chunks(demo.batch)) {
        results.extend(references.compare(pictures, lines));
        progress.inc(pictures.len() as u64);
    }
    progress.finish_and_clear();
    summarise(&references.private, (&network.name, paths), &setup, &lines, results)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::io(path))
}

fn parse<T: for<'a> Deserialize<'a>>(line: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|_| {
        Error::Check("the client process stopped early; its messages are above".into())
    })
}

fn summarise(
    private: &Private,
    (network, paths): (&str, Vec<PathLine>),
    setup: &SetupLine,
    lines: &[ImageLine],
    results: Vec<Compared>,
) -> Result<Summary, Error> {
    let planned = Counts::planned(&private.plan);
    for line in lines {
        let measured = Counts {
            setup_bytes: setup.setup_bytes,
            offline_bytes: line.costs.offline_bytes,
            online_bytes: line.costs.from_server + line.costs.from_client,
            flights: line.costs.flights,
        };
        if measured != planned {
            return Err(Error::Check(format!("measured {measured:?}, planned {planned:?}")));
        }
    }
    let n = results.len().max(1) as f64;
    let batch = private.batch as u64;
    let mean = |f: &dyn Fn(&CostLine) -> f64| -> f64 {
        lines.iter().map(|l| f(&l.costs)).sum::<f64>() / n / batch as f64
    };
    let median = |f: &dyn Fn(&CostLine) -> f64| -> f64 {
        let later = if lines.len() > 1 { &lines[1..] } else { lines };
        let mut all: Vec<f64> = later.iter().map(|l| f(&l.costs) / batch as f64).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    };
    let mut totals: Vec<f64> =
        (lines.iter()).map(|l| (l.costs.offline_s + l.costs.online_s) / batch as f64).collect();
    totals.sort_by(f64::total_cmp);
    let count = |f: &dyn Fn(&Compared) -> bool| results.iter().filter(|r| f(r)).count();
    let summary = Summary {
        network: network.to_owned(),
        paths,
        images: results.len(),
        correct: count(&|r| r.label.is_some_and(|l| usize::from(l) == r.private)),
        agree_plaintext: count(&|r| r.private == r.plaintext),
        agree_simulator: count(&|r| r.private == r.simulator),
        max_logit_error: results.iter().map(|r| r.max_logit_error).fold(0.0, f64::max),
        mean_logit_error: results.iter().map(|r| r.mean_logit_error).sum::<f64>() / n,
        setup_bytes: setup.setup_bytes,
        offline_bytes: planned.offline_bytes / batch,
        online_bytes: planned.online_bytes / batch,
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
        results,
    };
    Ok(summary)
}

impl Summary {
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
    pub fn print(&self, label: &dyn Fn(usize) -> String) {
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
        println!("{t}");
        println!(
            "{} images, {} correct; private = plaintext on {}, = simulator on {}; largest logit error {:.1e}\n",
            self.images,
            self.correct,
            self.agree_plaintext,
            self.agree_simulator,
            self.max_logit_error
        );
        println!("network: {}", self.network);
        if !self.paths.is_empty() {
            println!("{}", emulate::summary(&self.paths).replace(" | ", "\n"));
        }
        let p = &self.planned;
        let mut t = table(&["cost", "measured", "planned", "flights", "planned ", "seconds"], 1);
        let s = |x: f64| format!("{x:.3}");
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
            bytes(p.offline_bytes * self.offline_bytes / p.offline_bytes.max(1)),
            String::new(),
            String::new(),
            s(self.offline_s),
        ]);
        t.add_row(vec![
            "online, per image".into(),
            bytes(self.online_bytes),
            bytes(p.online_bytes * self.online_bytes / p.online_bytes.max(1)),
            self.flights.to_string(),
            p.flights.to_string(),
            s(self.online_s),
        ]);
        t.add_row(vec![
            "total, per image".into(),
            bytes(self.offline_bytes + self.online_bytes),
            bytes(self.offline_bytes + self.online_bytes),
            self.flights.to_string(),
            p.flights.to_string(),
            s(self.total_s),
        ]);
        println!("{t}");
    }
}

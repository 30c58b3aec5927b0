//! `sotto demo`: three processes on loopback classify real images; every result and count is checked.

mod plaintext;
mod summary;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use sotto_crypto::Seed;
use sotto_models::{
    Private,
    float::{NoProbe, forward},
    images::{Fit, Picture, normalise},
    private::Options,
};
use sotto_netsim::Network;
use sotto_protocols::{
    simulate::{Coins, simulate},
    weights::Matrix,
};

use crate::{
    card::Card,
    client::{Classified, top},
    config::Source,
    emulate::{self, Between, Paths},
    error::Error,
    infer::SetupLine,
    inputs::Inputs,
    model::{DEMO_IMAGES, Model},
    processes::{Deployment, LOCAL, Settings},
    report,
    stop::Stop,
};

pub use plaintext::Plaintext;
pub use summary::{Compared, Summary};

/// What to run.
pub struct Demo {
    /// `demo`, a preset or a folder.
    pub model: PathBuf,
    /// Pictures instead of the embedded ones, which it takes where there are none.
    pub images: Vec<PathBuf>,
    /// What to do with those of another size.
    pub fit: Fit,
    /// At most so many.
    pub limit: usize,
    /// Images in one evaluation.
    pub batch: usize,
    /// What lies between the parties.
    pub network: Network,
    /// Where correlations come from.
    pub source: Source,
}

/// References of the demo: float model, simulator and the fixed-point weights.
struct References {
    model: Model,
    private: Private,
    matrices: Vec<Matrix>,
}

impl References {
    /// Up to a batch of pictures beside what the client said of them.
    fn compare(&self, pictures: &[Picture], lines: &[Classified]) -> Vec<Compared> {
        let arch = &self.model.arch;
        let mut images: Vec<Vec<f32>> = pictures.iter().map(|p| normalise(arch, p)).collect();
        let floats: Vec<Vec<f32>> = (images.iter())
            .map(|image| forward(arch, &self.model.weights, image, &mut NoProbe))
            .collect();
        let size = arch.channels * arch.image * arch.image;
        images.resize(self.private.batch, vec![0.0; size]);
        let input = self.private.encode(&images);
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([5; 32]).stream(0)));
        let values = simulate(&self.private.plan, &self.matrices, &input, &mut coins);
        let output = self.private.plan.outputs[0].index();
        let simulated = self.private.decode(&values[output]);
        let each = pictures.iter().zip(lines).zip(floats.iter().zip(&simulated));
        each.map(|((picture, line), (float, simulated))| {
            let errors = float.iter().zip(&line.logits).map(|(a, b)| (f64::from(*a) - b).abs());
            let errors: Vec<f64> = errors.collect();
            let simulator = top(simulated);
            let private = simulated.get(line.class).copied().unwrap_or(f64::NEG_INFINITY);
            Compared {
                name: picture.name.clone(),
                label: picture.label,
                private: line.class,
                plaintext: top(&float.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()),
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
/// is not the plan's; [`Error::Stopped`] after a signal. No process and no key stays behind.
pub fn run(demo: &Demo, program: &Path, stop: &Stop) -> Result<Summary, Error> {
    let summary = run_all(demo, program, stop);
    // Processes that were ended are no failure of theirs.
    if stop.asked() { Err(Error::Stopped) } else { summary }
}

fn run_all(demo: &Demo, program: &Path, stop: &Stop) -> Result<Summary, Error> {
    let model = Model::find(&demo.model)?;
    let private = Card::new(&model, demo.batch, Options::default()).trace()?;
    let matrices = private.matrices(&model.weights);
    let network = &demo.network;
    let deployment = Deployment::new(program.to_owned())?
        .with_profile(emulate::profile(network))
        .stopped_by(stop);
    let (files, fit) = match demo.images.is_empty() {
        false => {
            let files = demo.images.iter().map(|path| absolute(path));
            (files.collect::<Result<Vec<_>, _>>()?, demo.fit)
        }
        true => {
            let path = deployment.folder.path().join("images.bin");
            fs::write(&path, DEMO_IMAGES).map_err(Error::io(&path))?;
            (vec![path], Fit::Resize)
        }
    };
    let pictures = Inputs::find(&files, fit, demo.limit)?.load_all(&model.arch)?;
    let references = References { model, private, matrices };

    let named = !demo.model.is_dir();
    let folder = if named { demo.model.clone() } else { absolute(&demo.model)? };
    let settings = Settings {
        model: folder.display().to_string(),
        batch: demo.batch,
        pool: 0,
        source: demo.source,
        deadline: emulate::deadline(network, 30),
        server_lines: String::new(),
    };
    let mut paths = Paths::new(network.clone(), 1);
    let mut between = |pair: &str, target: SocketAddr| match emulate::is_free(network) {
        true => Ok(target),
        false => paths.add(pair, Between { listen: LOCAL, target }),
    };
    let dealer = match demo.source {
        Source::Dealer => Some(deployment.dealer(settings.deadline, None)?),
        Source::Peer => None,
    };
    let dealer_at = dealer.as_ref().map_or(LOCAL, |(_, at)| *at);
    let mut dealers = |pair: &str| match dealer {
        Some(_) => between(pair, dealer_at),
        None => Ok(dealer_at),
    };
    let (servers_dealer, dealer_at) = (dealers("server_dealer")?, dealers("client_dealer")?);
    let (_server, server_at) = deployment.server(&settings, servers_dealer, None)?;
    let server_at = between("client_server", server_at)?;
    let limited = (demo.limit, fit);
    let mut client = deployment.client(&settings, [server_at, dealer_at], &files, limited)?;
    let setup: SetupLine = parse(&client.line()?)?;
    let progress = bar(pictures.len(), "private inference");
    let mut lines = Vec::with_capacity(pictures.len());
    while lines.len() < pictures.len() {
        lines.push(parse::<Classified>(&client.line()?)?);
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
        if stop.asked() {
            return Err(Error::Stopped);
        }
        results.extend(references.compare(pictures, lines));
        progress.inc(pictures.len() as u64);
    }
    progress.finish_and_clear();
    let plan = &references.private.plan;
    let planned = report::planned(plan, demo.source)?;
    let mut summary = Summary::new(
        (&references.private, planned),
        (&network.name, paths),
        &setup,
        &lines,
        results,
    )?;
    let model = &references.model;
    let images: Vec<_> = pictures.iter().map(|p| normalise(&model.arch, p)).collect();
    let private = summary.median_total_s;
    summary.plaintext = plaintext::run(&(&model.arch).into(), &model.weights, &images, private)?;
    Ok(summary)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::io(path))
}

fn parse<T: for<'a> Deserialize<'a>>(line: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|_| {
        Error::Check("the client process stopped early; its messages are above".into())
    })
}

//! `sotto-bench`: measures sottovoce against its bars and beside its peers.

mod accuracy;
mod agreement;
mod bars;
mod clients;
mod error;
mod gemm;
mod local;
mod machine;
mod memory;
mod micro;
mod networks;
mod pictures;
mod program;
mod record;
mod reference;
mod three;

use std::{env, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sotto::{choices, config::Source, model::Model, report::table};
use sotto_models::Arch;

use crate::{
    agreement::Agreement, error::Error, gemm::Speed, machine::Machine, record::Records,
    three::Timing,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures sottovoce: whole models in three processes over QUIC, gate by gate, and the matrix kernels.
///
/// Without options everything but networks, clients and agreement is measured, in a few minutes: the table of bars first, then the
/// gates beside the peers' figures, then the kernels. Times are worth something on an idle machine alone; bytes,
/// flights and errors always.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    /// Also write all numbers as a JSON list of {name, value, unit}.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure these alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Every part in a small form, to see that all works: few images and repetitions, one model on two networks, an
    /// agreement on random pictures.
    #[arg(long)]
    quick: bool,
    /// Timed images of the CIFAR model, after the first.
    #[arg(long, default_value_t = 12)]
    images: usize,
    /// Clients at a time, where several are compared with one.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Repetitions of each gate, and rounds of clients.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Also compare private with plaintext classes on so many real images, through the three processes.
    #[arg(long, value_name = "N", requires = "data")]
    agreement: Option<usize>,
    /// CIFAR-10's archive (its test split) or one of its .bin files.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Images in one evaluation of the agreement.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Where the agreement's correlations come from; with several, the same images once with each, and whether the classes are
    /// the same.
    #[arg(long, value_delimiter = ',', value_parser = choices::source(), default_value = "dealer")]
    source: Vec<Source>,
    /// Of the networks these alone.
    #[arg(long, value_delimiter = ',')]
    networks: Vec<String>,
    /// Model of the agreement: `demo` or a folder.
    #[arg(long, default_value = "demo")]
    model: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p sotto-bench -- --json bench.json
      everything, with all numbers in bench.json
  cargo run --release -p sotto-bench -- --quick
      a little of everything, agreement and networks included, in a minute
  cargo run --release -p sotto-bench -- --quick --only models
      the table of bars from a few images
  cargo run --release -p sotto-bench -- --only networks
      predicted against measured seconds on six networks, through the emulator; takes about ten minutes
  cargo run --release -p sotto-bench -- --only clients --clients 8
      images a second of one client, of eight at once, and of one with --batch 8; takes minutes
  cargo run --release -p sotto-bench -- --only micro --repeats 11
      gates alone, more often
  cargo run --release -p sotto-bench --features gpu -- --only reference
      the models in the clear: what private inference is compared with
  cargo run --release -p sotto-bench -- --only agreement --agreement 1000 --data cifar-10-binary.tar.gz
      private against plaintext top-1 on the first 1,000 CIFAR-10 test images; takes minutes
  cargo run --release -p sotto-bench -- --only agreement --agreement 200 --data cifar-10-binary.tar.gz --source dealer,peer
      the same images with a dealer and without one: whether the classes are the same; takes a quarter of an hour";

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Whole models in three processes over QUIC, and their logit errors.
    Models,
    /// Gates one by one, in process.
    Micro,
    /// Matrix kernels.
    Gemm,
    /// Models in the clear, on this processor and, with the feature `gpu`, on a GPU.
    Reference,
    /// Predicted against measured seconds through the network emulator; takes minutes.
    Networks,
    /// Images a second of one client, of several, and of one with a batch.
    Clients,
    /// Private against plaintext classes; needs --agreement and --data.
    Agreement,
}

impl Cli {
    fn has(&self, part: Part) -> bool {
        let named = self.only.contains(&part);
        match part {
            Part::Networks | Part::Clients => named || self.quick && self.only.is_empty(),
            Part::Agreement => {
                self.agreement.is_some() || self.quick && (named || self.only.is_empty())
            }
            _ => named || self.only.is_empty(),
        }
    }

    /// The agreement that is asked for; a quick one is on random pictures where none is.
    fn agreement(&self) -> Result<Option<Agreement>, Error> {
        let of = |images, data| Agreement {
            images,
            data,
            batch: self.batch,
            sources: self.source.clone(),
            model: self.model.clone(),
        };
        match (self.agreement, &self.data) {
            (Some(images), Some(data)) => Ok(Some(of(images, Some(data.clone())))),
            _ if self.quick && self.has(Part::Agreement) => Ok(Some(of(4, None))),
            _ if self.only.contains(&Part::Agreement) => {
                Err(Error::Usage("--only agreement needs --agreement N --data PATH".into()))
            }
            _ => Ok(None),
        }
    }

    /// The networks that are asked for, and the models on them.
    fn networks(&self) -> Result<(Vec<networks::Allowed>, &'static [&'static str]), Error> {
        let models = if self.quick { &networks::MODELS[3..] } else { &networks::MODELS[..] };
        let quick = || vec!["loopback".to_owned(), "wan-cheetah".to_owned()];
        match self.quick && self.networks.is_empty() {
            true => Ok((networks::choose(&quick())?, models)),
            false => Ok((networks::choose(&self.networks)?, models)),
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<28} {bar:30} {pos}/{len} {eta}");
    let bar = ProgressBar::new(length as u64).with_message(what);
    bar.with_style(style.expect("a fixed template"))
}

fn run(cli: &Cli) -> Result<(), Error> {
    let agreement = cli.agreement()?;
    let machine = Machine::here(command());
    println!("{machine}\n");
    if cfg!(debug_assertions) {
        eprintln!("warning: not optimised, so the times mean nothing: use cargo run --release");
    }
    let mut records = Records::default();
    let parts = [Part::Models, Part::Networks, Part::Clients];
    let processes = parts.iter().any(|&part| cli.has(part)) || agreement.is_some();
    let program = match processes {
        true => Some(program::find()?),
        false => None,
    };
    if let (Some(program), true) = (&program, cli.has(Part::Models)) {
        models(cli, program, &mut records)?;
    }
    if let (Some(program), Some(agreement)) = (&program, &agreement) {
        agreement.run(program, &mut records)?;
        println!();
    }
    if cli.has(Part::Models) || agreement.is_some() {
        println!("{}", bars::text(&records));
    }
    if let (Some(program), true) = (&program, cli.has(Part::Networks)) {
        let (chosen, models) = cli.networks()?;
        let bar = bar(1 + models.len() * chosen.len(), "networks");
        let images = if cli.quick { [1, 1] } else { [3, networks::MOST] };
        let compared = networks::measure(program, (models, &chosen), images, &bar, &mut records)?;
        bar.finish_and_clear();
        println!("{}", networks::text(&compared));
    }
    if let (Some(program), true) = (&program, cli.has(Part::Clients)) {
        let (images, rounds) = if cli.quick { (8, 1) } else { (64, cli.repeats.max(1)) };
        let bar = bar(3 * (rounds + 1), "clients");
        let clients = clients::Clients { clients: cli.clients.max(1), images, rounds };
        let text = clients.run(program, &bar, &mut records)?;
        bar.finish_and_clear();
        println!("{text}");
    }
    if cli.has(Part::Micro) {
        let repeats = if cli.quick { cli.repeats.min(2) } else { cli.repeats };
        let bar = bar(micro::count(), "gates");
        let measured = micro::measure(repeats, &bar, &mut records)?;
        bar.finish_and_clear();
        println!("{}", micro::text(&measured));
    }
    if cli.has(Part::Gemm) {
        println!("{}", kernels(&gemm::measure(&mut records)));
    }
    if cli.has(Part::Reference) {
        let bar = ProgressBar::new_spinner();
        let measured = reference::measure(cli.quick, &bar, &mut records)?;
        bar.finish_and_clear();
        println!("{}", reference::text(&measured));
    }
    match &cli.json {
        Some(path) => records.write(&machine, path),
        None => Ok(()),
    }
}

/// How this run was started, as one would start it again.
fn command() -> String {
    let program = match env::var_os("CARGO") {
        Some(_) if cfg!(debug_assertions) => "cargo run -p sotto-bench --",
        Some(_) => "cargo run --release -p sotto-bench --",
        None => "sotto-bench",
    };
    let words = std::iter::once(program.to_owned()).chain(env::args().skip(1));
    words.collect::<Vec<_>>().join(" ")
}

fn models(cli: &Cli, program: &std::path::Path, records: &mut Records) -> Result<(), Error> {
    let (cifar, tiny, errors) = if cli.quick { (3, 1, 8) } else { (cli.images.max(1), 3, 16) };
    let bar = bar(cifar + 1 + errors + tiny + 1, "CIFAR ViT, three processes");
    let model = Model::random(Arch::vit_cifar());
    Timing { preset: "vit_cifar", model: &model, images: cifar }.run(program, &bar, records)?;
    bar.set_message("CIFAR ViT, logit errors");
    accuracy::measure("vit_cifar", &model, errors, &bar, records)?;
    bar.set_message("Tiny ViT, three processes");
    let model = Model::random(Arch::vit_tiny());
    Timing { preset: "vit_tiny", model: &model, images: tiny }.run(program, &bar, records)?;
    bar.finish_and_clear();
    Ok(())
}

fn kernels(speeds: &[Speed]) -> String {
    let mut t = table(&["matrix product", "ring bits", "kernel", "GMAC/s"], 3);
    for s in speeds {
        let (m, k, n) = s.shape;
        t.add_row(vec![
            format!("{m}x{k}x{n}"),
            format!("up to {}", s.width),
            s.kernel.to_owned(),
            format!("{:.1}", s.gmac_s),
        ]);
    }
    format!(
        "Kernels, one core, best of several (SPU's reaches about 2, torch's int64 about 5).\n{t}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn parts_are_all_or_those_that_are_named() {
        Cli::command().debug_assert();
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let all = parse("sotto-bench").expect("no options");
        assert!(all.has(Part::Models) && all.has(Part::Micro) && all.has(Part::Gemm));
        assert!(!all.has(Part::Agreement));
        let some = parse("sotto-bench --only gemm,micro").expect("two parts");
        assert!(!some.has(Part::Models) && some.has(Part::Micro) && some.has(Part::Gemm));
        assert!(parse("sotto-bench --agreement 10").is_err(), "the images are missing");
        let quick = parse("sotto-bench --quick").expect("no data");
        let processes = [Part::Models, Part::Networks, Part::Agreement, Part::Clients];
        let parts = processes.into_iter().chain([Part::Micro, Part::Gemm]).collect::<Vec<_>>();
        assert!(parts.iter().all(|&part| quick.has(part)), "everything");
        assert!(quick.agreement().is_ok_and(|a| a.is_some_and(|a| a.data.is_none())));
        assert!(quick.networks().is_ok_and(|(n, models)| n.len() == 2 && models == ["demo"]));
        let one = parse("sotto-bench --quick --only micro").expect("one part");
        assert!(!one.has(Part::Networks) && one.agreement().is_ok_and(|a| a.is_none()));
        let only = parse("sotto-bench --only agreement").expect("parsed");
        assert!(only.agreement().is_err(), "nothing to compare");
        let only = parse("sotto-bench --only agreement --agreement 9 --data a.bin").expect("whole");
        assert!(!only.has(Part::Models) && only.agreement().is_ok_and(|a| a.is_some()));
    }
}

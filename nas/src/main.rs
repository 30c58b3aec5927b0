//! `sotto-nas`: the training program.

use std::process::ExitCode;

use sotto_nas::config::{Config, USAGE};
use sotto_nas::data::DataSet;
use sotto_nas::engine::Engine;
use sotto_nas::search::driver::Driver;
use sotto_nas::search::settings::{self, Settings};
use sotto_nas::train::Trainer;
use sotto_nas::weights::upload;
use sotto_nas::{Error, checkpoint, device, presets};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let result = match words.next().as_deref() {
        Some("train") => Config::parse(words).and_then(train),
        Some("eval") => Config::parse(words).and_then(eval),
        Some("search") => search(words.collect()),
        Some("--help" | "help") => {
            println!("{USAGE}\n\n{}", settings::USAGE);
            Ok(())
        }
        _ => Err(Error::Usage(USAGE.to_owned())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sotto-nas: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train(config: Config) -> Result<(), Error> {
    let data = DataSet::read(&config.data)?;
    let arch = presets::fit(presets::find(&config.arch)?, &data)?;
    let device = device::find(&config.device)?;
    std::fs::create_dir_all(&config.out).map_err(|e| Error::file(&config.out, e))?;
    let pid = config.out.join("pid");
    std::fs::write(&pid, std::process::id().to_string()).map_err(|e| Error::file(&pid, e))?;
    eprintln!(
        "{}: {} parameters, {} training and {} test images",
        arch.name,
        arch.parameters(),
        data.train.len(),
        data.test.len()
    );
    Trainer::new(config, arch, device)?.run(&data, None)
}

fn search(words: Vec<String>) -> Result<(), Error> {
    let command = std::iter::once("sotto-nas search").chain(words.iter().map(String::as_str));
    let command = command.collect::<Vec<_>>().join(" ");
    let (settings, config) = Settings::parse(words)?;
    let data = DataSet::read(&config.data)?;
    let base = presets::fit(presets::find(&config.arch)?, &data)?;
    let device = device::find(&config.device)?;
    std::fs::create_dir_all(&config.out).map_err(|e| Error::file(&config.out, e))?;
    Driver::new(settings, config, base, device, command)?.run(&data)?;
    Ok(())
}

/// Measures the exported model in `--out` on the test images, in float32.
fn eval(config: Config) -> Result<(), Error> {
    let (arch, values) = checkpoint::import(&config.out)?;
    let device = device::find(&config.device)?;
    let data = DataSet::read(&config.data)?;
    let weights = upload(&arch, &values, &device);
    let engine = Engine {
        teacher: None,
        arch,
        precision: config.recipe.precision(),
        device,
        micro: config.recipe.micro,
        workers: config.workers,
    };
    let accuracy = engine.accuracy(&weights, &data.test);
    println!("{:.2} % of {} test images ({})", 100.0 * accuracy, data.test.len(), engine.arch.name);
    Ok(())
}

//! `sotto-nas`: the training program.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use sotto_nas::calibrate::{IMAGES, calibrate};
use sotto_nas::config::{self, Config};
use sotto_nas::data::DataSet;
use sotto_nas::engine::Engine;
use sotto_nas::search::driver::Driver;
use sotto_nas::search::settings::{self, Settings};
use sotto_nas::train::Trainer;
use sotto_nas::weights::upload;
use sotto_nas::{Error, checkpoint, device, presets};

/// Trains vision transformers that run privately, and searches for such as are fast
#[derive(Parser)]
enum Job {
    Train(config::Options),
    Search(settings::Options),
    /// Measure the trained model in DIR on the test images, in the clear
    Eval(config::Run),
}

/// The `sotto` that started this program, where one did: then its subcommands are what a user knows.
fn caller() -> Option<PathBuf> {
    std::env::var_os("SOTTO").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The command that a user knows.
fn name() -> &'static str {
    if caller().is_some() { "sotto" } else { "sotto-nas" }
}

fn main() -> ExitCode {
    let told = Job::command().name(name()).bin_name(name()).get_matches();
    let job = Job::from_arg_matches(&told).unwrap_or_else(|e| e.exit());
    let result = match job {
        Job::Train(options) => Config::new(options).and_then(train),
        Job::Search(options) => Settings::new(options).and_then(search),
        Job::Eval(run) => eval(&run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(paused @ Error::Paused { .. }) => {
            eprintln!("{paused}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn train(config: Config) -> Result<(), Error> {
    let data = read(&config)?;
    let arch = presets::fit(presets::find(&config.arch)?, &data)?;
    let device = device::find(&config.device)?;
    let _owned = own(&config.out)?;
    eprintln!(
        "{}: {} parameters, {} training and {} test images",
        arch.name,
        arch.parameters(),
        data.train.len(),
        data.test.len()
    );
    let steps = config.steps;
    let out = config.out.clone();
    let mut trainer = Trainer::new(config, arch.clone(), device)?;
    trainer.run(&data, steps)?;
    if steps.is_some() {
        eprintln!("\nstopped after step {} ({:.1} s)", trainer.step(), trainer.seconds());
        return Ok(());
    }
    calibrate(&out, &arch, &data, IMAGES)
}

/// Creates the output folder and keeps other processes out of it for as long as the file that is returned lives, also
/// through a kill: the system gives a lock back. The file tells who it is.
fn own(out: &Path) -> Result<File, Error> {
    std::fs::create_dir_all(out).map_err(|e| Error::file(out, e))?;
    let path = out.join("pid");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let mut file = open.map_err(|e| Error::file(&path, e))?;
    file.try_lock().map_err(|e| match e {
        TryLockError::WouldBlock => Error::Usage(format!(
            "--out {}: another process works there (its number is in {}): wait for it, stop it, or take another --out",
            out.display(),
            path.display()
        )),
        TryLockError::Error(e) => Error::file(&path, e),
    })?;
    let told = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    told.map_err(|e| Error::file(&path, e))?;
    Ok(file)
}

/// The data set, if it is what a preset is for.
fn read(config: &Config) -> Result<DataSet, Error> {
    let data = DataSet::read(&config.data)?;
    config.preset.map_or(Ok(()), |preset| preset.check(&data))?;
    Ok(data)
}

fn search((mut settings, config): (Settings, Config)) -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("{} {}", name(), words.join(" "));
    settings.measure.sotto = settings.measure.sotto.or_else(caller);
    let data = read(&config)?.hold(settings.validate)?;
    let base = presets::fit(presets::find(&config.arch)?, &data)?;
    let device = device::find(&config.device)?;
    let _owned = own(&config.out)?;
    Driver::new(settings, config, base, device, command)?.run(&data)?;
    Ok(())
}

/// Measures the exported model in `--out` on the test images.
fn eval(run: &config::Run) -> Result<(), Error> {
    let (arch, values) = checkpoint::import(&run.out)?;
    let device = device::find(&run.device)?;
    let data = DataSet::read(&run.data)?;
    let weights = upload(&arch, &values, &device);
    let engine = Engine {
        teacher: None,
        arch,
        precision: run.precision(),
        device,
        micro: run.micro(),
        workers: run.workers,
    };
    let accuracy = engine.accuracy(&weights, &data.test);
    println!("{:.2} % of {} test images ({})", 100.0 * accuracy, data.test.len(), engine.arch.name);
    Ok(())
}

//! `sotto-nas`: the training program.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sotto_nas::calibrate::{IMAGES, calibrate};
use sotto_nas::config::{self, Config};
use sotto_nas::data::DataSet;
use sotto_nas::engine::Engine;
use sotto_nas::search::driver::Driver;
use sotto_nas::search::settings::{self, Settings};
use sotto_nas::train::Trainer;
use sotto_nas::weights::upload;
use sotto_nas::{Error, checkpoint, device, presets};

/// The `sotto` that started this program, where one did: then its subcommands are what a user knows.
fn caller() -> Option<PathBuf> {
    std::env::var_os("SOTTO").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `text` with the names of the commands that the user called.
fn named(text: &str) -> String {
    match caller() {
        None => text.to_owned(),
        Some(_) => ["train", "search"].iter().fold(text.to_owned(), |text, word| {
            text.replace(&format!("sotto-nas {word}"), &format!("sotto {word}"))
        }),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (job, rest) = words.split_first().map_or(("", &[][..]), |(job, rest)| (job, rest));
    let asked = rest.iter().any(|word| word == "--help" || word == "-h");
    let rest = rest.to_vec();
    let result = match job {
        "--help" | "-h" | "help" => help(&[config::USAGE, settings::USAGE]),
        "train" | "eval" if asked => help(&[config::USAGE]),
        "search" if asked => help(&[settings::USAGE]),
        "train" => Config::parse(rest).and_then(train),
        "eval" => Config::parse(rest).and_then(eval),
        "search" => search(rest),
        _ => Err(Error::Usage(format!("wants train, search or eval\n{}", config::USAGE))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(paused @ Error::Paused { .. }) => {
            eprintln!("{paused}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", named(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

fn help(texts: &[&str]) -> Result<(), Error> {
    println!("{}", named(&texts.join("\n\n")));
    Ok(())
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

fn search(words: Vec<String>) -> Result<(), Error> {
    let command = named(&format!("sotto-nas search {}", words.join(" ")));
    let (mut settings, config) = Settings::parse(words)?;
    settings.measure.sotto = settings.measure.sotto.or_else(caller);
    let data = read(&config)?.hold(settings.validate)?;
    let base = presets::fit(presets::find(&config.arch)?, &data)?;
    let device = device::find(&config.device)?;
    let _owned = own(&config.out)?;
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

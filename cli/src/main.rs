//! The `sotto` command.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod allocator;
mod arguments;

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use arguments::{Cli, Command};
use clap::{CommandFactory, Parser};
use indicatif::ProgressBar;
use sotto::{
    calibrate, choices, dealer,
    demo::{self, Demo},
    dumps,
    emulate::{self, Said},
    error::Error,
    logs,
    model::Model,
    notify, print, processes, server,
    stop::{self, Stop},
    trainer,
};
use sotto_models::calibration::hex;
use sotto_net::{Certificate, Identity};
use sotto_netsim::Through;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::keep_freed();
    dumps::none();
    processes::end_with_parent();
    let command = Cli::parse().command;
    let service = matches!(command, Command::Serve { .. } | Command::Deal { .. });
    match logs::start(service).and_then(|()| run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if !matches!(e, Error::Closed) {
                print::say(format!("error: {e}"));
            }
            ExitCode::from(e.exit_code())
        }
    }
}

/// Tells that a service listens, and an orchestrator when it stops.
fn announce(stop: &Stop) -> impl FnOnce(std::net::SocketAddr) {
    move |address| {
        // A parent process reads this line; if it has gone, there is nobody to tell.
        drop(print::line(format!("listening on {address}")));
        notify::ready(stop);
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Demo {
            model,
            images,
            resize,
            texts,
            limit,
            batch,
            net,
            source,
            hidden_length,
            json,
        } => {
            let program = std::env::current_exe().map_err(Error::io(Path::new("sotto")))?;
            let network = emulate::network(&net, Path::new(""))?;
            let lengths = choices::lengths(hidden_length);
            let demo =
                Demo { model, images, resize, texts, limit, batch, network, source, lengths };
            let summary = demo::run(&demo, &program, &stop::on_signal()?)?;
            if json {
                print::json(&summary)?;
            } else {
                let arch = Model::find(&demo.model)?.arch;
                summary.print(&arch)?;
            }
            summary.check()
        }
        Command::Emulate { config, json: as_json } => {
            let (stop, stopped) = std::sync::mpsc::channel();
            // Whoever receives it may have ended meanwhile.
            stop::on_signal()?.then(move || stop.send(()).unwrap_or(()));
            let bar = ProgressBar::new_spinner();
            let lines = emulate::run(&config, &stopped, &mut |said| {
                match said {
                    // The standard output is the object's alone.
                    Said::Event(line) if as_json => print::say(line),
                    Said::Event(line) => print::line(line)?,
                    Said::Progress(line) => {
                        bar.set_message(line);
                        bar.tick();
                    }
                }
                Ok(())
            })?;
            bar.finish_and_clear();
            match as_json {
                true => print::json(&lines),
                false => print::line(emulate::summary(&lines).replace(" | ", "\n")),
            }
        }
        Command::Keygen { name, out, after } => {
            let before = after.map(|folder| Identity::load(&folder, &name)).transpose()?;
            std::fs::create_dir_all(&out).map_err(Error::io(&out))?;
            let identity = Identity::generate(&name)?;
            let identity = match before {
                Some(before) => identity.after(&before),
                None => identity,
            };
            identity.save(&out)?;
            print::line(out.join(format!("{name}.key")).display())?;
            print::line(out.join(format!("{name}.cert")).display())?;
            print::line(format!("fingerprint {}", identity.certificate().fingerprint()))
        }
        Command::Fingerprint { certificates, json: as_json } => {
            let read = |path: &std::path::PathBuf| -> Result<(String, String), Error> {
                Ok((path.display().to_string(), Certificate::load(path)?.fingerprint()))
            };
            let all: Vec<_> = certificates.iter().map(read).collect::<Result<_, _>>()?;
            match (as_json, &all[..]) {
                (true, all) => print::json(&all.iter().cloned().collect::<BTreeMap<_, _>>()),
                (false, [(_, one)]) => print::line(one),
                (false, all) => {
                    all.iter().try_for_each(|(path, one)| print::line(format!("{one}  {path}")))
                }
            }
        }
        Command::Init(init) => init.run(),
        Command::Serve { config } => {
            let stop = stop::on_signal()?;
            server::run(&config, &stop, |at, models| {
                announce(&stop)(at);
                // As above; clients may insist on a hash.
                let line =
                    |(name, hash): &(String, String)| print::line(format!("model {name} {hash}"));
                drop(models.iter().try_for_each(line));
            })
        }
        Command::Deal { config } => {
            let stop = stop::on_signal()?;
            dealer::run(&config, &stop, announce(&stop))
        }
        Command::Infer(infer) => infer.run(&stop::on_signal()?),
        Command::Embed(embed) => embed.run(&stop::on_signal()?),
        Command::Plan(plan) => plan.run(),
        Command::Lexicon { model, out } => {
            let found = Model::find(&model)?;
            let lexicon = found.lexicon.ok_or_else(|| {
                Error::Config(format!(
                    "`{}` takes pictures: a client needs no files",
                    found.arch.name
                ))
            })?;
            lexicon.save(&model, &out)?;
            print::line(format!("{}: {}", out.display(), hex(&lexicon.hash())))
        }
        Command::Import(import) => import.run(),
        Command::Calibrate { model, samples, count, force } => {
            let bar = ProgressBar::new(count as u64).with_message("calibrating");
            let progress = |done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            };
            let done = calibrate::calibrate(&model, &samples, count, force, progress)?;
            bar.finish_and_clear();
            let (path, n) = (model.join("calibration.toml"), done.calibration.images);
            if let Some(warning) = calibrate::thin("this model", n, done.what) {
                print::say(warning);
            }
            if let Some(tensor) = &done.far {
                print::say(format!("warning: {}", calibrate::too_far(done.error, tensor)));
            }
            print::line(format!(
                "{}: ranges of {n} {}; on others a tensor may be {} times as large (all of these exceed the \
                 first half of them {:.2} times at most, in {})",
                path.display(),
                done.what,
                done.margin,
                done.grown.0,
                done.grown.1
            ))?;
            print::line(format!(
                "private results differ from plain ones by {:.2} %",
                100.0 * done.error
            ))?;
            if done.rewritten {
                print::line(format!(
                    "{}: written again, as f32: keys are centred, hidden channels and heads in another order, which changes no result",
                    model.join("weights.safetensors").display()
                ))?;
            }
            done.costs.into_iter().try_for_each(print::line)
        }
        Command::Check(check) => check.run(),
        Command::Reference(reference) => reference.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::CalibrateMachine { out, emulated } => {
            let through = if emulated { Through::Emulator } else { Through::Loopback };
            let bar = ProgressBar::new(0).with_message("measuring messages and gates");
            bar.enable_steady_tick(std::time::Duration::from_millis(200));
            let (machine, checks) = sotto_netsim::calibrate(through, |done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            })
            .map_err(Error::unusable)?;
            bar.finish_and_clear();
            std::fs::write(&out, machine.to_json()).map_err(Error::io(&out))?;
            let gates = machine.gates.len();
            print::line(format!("{}: {}, {gates} gates", out.display(), machine.processor))?;
            let off = sotto_netsim::deviation(&checks);
            print::line(format!(
                "the {} measured models come out within {:.0} %",
                checks.len(),
                100.0 * off
            ))?;
            if off > sotto_netsim::TRUSTED {
                print::say(
                    "warning: such a profile predicts badly; measure again when no other program is busy on this machine",
                );
            }
            Ok(())
        }
        Command::Train { arguments } => Err(trainer::become_it("train", &arguments)),
        Command::Search { arguments } => Err(trainer::become_it("search", &arguments)),
        Command::Completions { shell } => {
            // Into memory first: it panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sotto", &mut script);
            print::bytes(&script)
        }
    }
}

//! The `sotto` command.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod allocator;
mod arguments;

use std::{path::Path, process::ExitCode};

use arguments::{Cli, Command};
use clap::{CommandFactory, Parser};
use indicatif::ProgressBar;
use sotto::{
    choices, dealer,
    demo::{self, Demo},
    dumps,
    emulate::{self, Said},
    ending::{self, Failed},
    error::Error,
    infer::Show,
    logs,
    model::Model,
    notify, print, processes, server,
    stop::{self, Stop},
    trainer,
};
use tracing::Level;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::keep_freed();
    dumps::none();
    processes::end_with_parent();
    let program = ending::is_read_by_a_program(std::env::args_os());
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(e) => return ending::unparsed(&e, program),
    };
    let service = matches!(command, Command::Serve { .. } | Command::Deal { .. });
    match logs::start(service).map_err(Failed::from).and_then(|()| run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => ending::failed(&e, program),
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

fn run(command: Command) -> Result<(), Failed> {
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
                return ending::document(&summary, summary.check());
            }
            summary.print(&Model::find(&demo.model)?.arch)?;
            summary.check()?;
        }
        Command::Emulate { config, json: as_json } => {
            let (stop, stopped) = std::sync::mpsc::channel();
            // Whoever receives it may have ended meanwhile.
            stop::on_signal()?.then(move || stop.send(()).unwrap_or(()));
            let bar = ProgressBar::new_spinner();
            let lines = emulate::run(&config, &stopped, &mut |said| {
                match said {
                    // The standard output is the object's alone.
                    Said::Event(line) if as_json => print::say(Level::INFO, line),
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
                true => print::json(&lines)?,
                false => print::line(emulate::summary(&lines).replace(" | ", "\n"))?,
            }
        }
        Command::Keygen(keygen) => keygen.run()?,
        Command::Fingerprint(fingerprint) => fingerprint.run()?,
        Command::Init(init) => init.run()?,
        Command::Serve { config } => {
            let stop = stop::on_signal()?;
            server::run(&config, &stop, |at, models| {
                announce(&stop)(at);
                // As above; clients may insist on a hash.
                let line =
                    |(name, hash): &(String, String)| print::line(format!("model {name} {hash}"));
                drop(models.iter().try_for_each(line));
            })?;
        }
        Command::Deal { config } => {
            let stop = stop::on_signal()?;
            dealer::run(&config, &stop, announce(&stop))?;
        }
        Command::Infer(infer) => infer.run(Show::Table, &stop::on_signal()?)?,
        Command::Embed(infer) => infer.run(Show::Embeddings, &stop::on_signal()?)?,
        Command::Plan(plan) => plan.run()?,
        Command::Lexicon(lexicon) => lexicon.run()?,
        Command::Import(import) => import.run()?,
        Command::Calibrate(calibrate) => calibrate.run()?,
        Command::Check(check) => check.run()?,
        Command::Reference(reference) => reference.run()?,
        Command::Simulate(simulate) => simulate.run()?,
        Command::CalibrateMachine(machine) => machine.run()?,
        Command::Train { arguments } => return Err(trainer::become_it("train", &arguments).into()),
        Command::Search { arguments } => {
            return Err(trainer::become_it("search", &arguments).into());
        }
        Command::Completions { shell } => {
            // Into memory first: it panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sotto", &mut script);
            print::bytes(&script)?;
        }
    }
    Ok(())
}

//! The `sotto` command.

mod arguments;

use std::{io::Write, path::Path, process::ExitCode};

use arguments::{Cli, Command};
use clap::{CommandFactory, Parser};
use indicatif::ProgressBar;
use sotto::{
    calibrate, config, dealer,
    demo::{self, Demo},
    emulate,
    error::Error,
    model::Model,
    print, processes, report, server,
    stop::Stop,
    trainer,
};
use sotto_net::Identity;
use sotto_netsim::Through;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SOTTO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    processes::end_with_parent();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if !matches!(e, Error::Closed) {
                print::say(format!("error: {e}"));
            }
            ExitCode::from(e.exit_code())
        }
    }
}

fn announce(address: std::net::SocketAddr) {
    println!("listening on {address}");
    // A parent process reads this line; if it has gone, there is nobody to tell.
    drop(std::io::stdout().flush());
}

fn json<T: serde::Serialize>(value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Check(e.to_string()))?;
    println!("{text}");
    Ok(())
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Demo { model, images, limit, batch, net, json: as_json } => {
            let program = std::env::current_exe().map_err(Error::io(Path::new("sotto")))?;
            let network = emulate::network(&net, Path::new(""))?;
            let demo = Demo { model, images, limit, batch, network };
            let summary = demo::run(&demo, &program, &Stop::on_signal()?)?;
            if as_json {
                json(&summary)?;
            } else {
                let arch = Model::find(&demo.model)?.arch;
                summary.print(&|class| arch.label(class));
            }
            summary.check()
        }
        Command::Emulate { config, json: as_json } => {
            let (stop, stopped) = std::sync::mpsc::channel();
            // Whoever receives it may have ended meanwhile.
            Stop::on_signal()?.then(move || stop.send(()).unwrap_or(()));
            let bar = ProgressBar::new_spinner();
            let lines = emulate::run(&config, &stopped, &mut |line| {
                if line.contains(" is ") {
                    println!("{line}");
                    // A parent process may read it; if it has gone, there is nobody to tell.
                    drop(std::io::stdout().flush());
                } else {
                    bar.set_message(line);
                    bar.tick();
                }
            })?;
            bar.finish_and_clear();
            if as_json {
                return json(&lines);
            }
            println!("{}", emulate::summary(&lines).replace(" | ", "\n"));
            Ok(())
        }
        Command::Keygen { name, out } => {
            std::fs::create_dir_all(&out).map_err(Error::io(&out))?;
            let identity = Identity::generate(&name)?;
            identity.save(&out)?;
            println!("{}", out.join(format!("{name}.key")).display());
            println!("{}", out.join(format!("{name}.cert")).display());
            println!("fingerprint {}", identity.certificate().fingerprint());
            Ok(())
        }
        Command::Serve { config } => {
            let loaded: config::ServerConfig = config::load(&config)?;
            server::run(&loaded, config::folder(&config), &Stop::on_signal()?, announce)
        }
        Command::Deal { config } => {
            let loaded: config::DealerConfig = config::load(&config)?;
            dealer::run(&loaded, config::folder(&config), &Stop::on_signal()?, announce)
        }
        Command::Infer(infer) => infer.run(&Stop::on_signal()?),
        Command::Plan { model, choices, json: as_json } => {
            let model = Model::find(&model)?;
            let private = choices.private(&model)?;
            if as_json {
                return json(&serde_json::json!({
                    "model": model.arch.name,
                    "batch": choices.batch,
                    "plan": sotto_models::calibration::hex(&private.plan.hash()),
                    "planned": private.plan.cost(),
                    "revealed_bits": private.plan.revealed_bits(),
                    "gates": report::plan_lines(&private.plan),
                }));
            }
            println!(
                "{}\n{}",
                report::plan_table(&private.plan),
                report::plan_summary(&private.plan)
            );
            Ok(())
        }
        Command::Calibrate { model, images, count } => {
            let bar = ProgressBar::new(count as u64).with_message("calibrating");
            let calibration = calibrate::calibrate(&model, &images, count, |n| {
                bar.set_position(n as u64);
            })?;
            bar.finish_and_clear();
            let path = model.join("calibration.toml");
            println!("{}: ranges of {} images", path.display(), calibration.images);
            Ok(())
        }
        Command::Simulate(simulate) => simulate.run(),
        Command::CalibrateMachine { out, emulated } => {
            let through = if emulated { Through::Emulator } else { Through::Loopback };
            let bar = ProgressBar::new(0).with_message("measuring messages and gates");
            bar.enable_steady_tick(std::time::Duration::from_millis(200));
            let (machine, checks) = sotto_netsim::calibrate(through, |done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            })?;
            bar.finish_and_clear();
            std::fs::write(&out, machine.to_json()).map_err(Error::io(&out))?;
            println!("{}: {}, {} gates", out.display(), machine.processor, machine.gates.len());
            let off = checks.iter().map(|c| (c.predicted / c.measured - 1.0).abs());
            println!(
                "the {} measured models come out within {:.0} %",
                checks.len(),
                100.0 * off.fold(0.0, f64::max)
            );
            Ok(())
        }
        Command::Train { arguments } => Err(trainer::become_it("train", &arguments)),
        Command::Search { arguments } => Err(trainer::become_it("search", &arguments)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sotto", &mut std::io::stdout());
            Ok(())
        }
    }
}

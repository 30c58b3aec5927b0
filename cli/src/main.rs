//! The `sotto` command.

mod arguments;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use arguments::{Cli, Command};
use clap::{CommandFactory, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use sotto::{
    calibrate, client, config, dealer,
    demo::{self, Demo},
    emulate,
    error::Error,
    model::Model,
    report, server, trainer,
};
use sotto_models::{
    Private,
    images::{Fit, load},
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
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn folder(config: &Path) -> &Path {
    config.parent().unwrap_or(Path::new("."))
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
            let summary = demo::run(&demo, &program)?;
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
            let handler = move || {
                // Whoever receives it may have ended meanwhile.
                let _ = stop.send(());
            };
            ctrlc::set_handler(handler)
                .map_err(|e| Error::Config(format!("Ctrl-C cannot be caught: {e}")))?;
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
            server::run(&loaded, folder(&config), announce)
        }
        Command::Deal { config } => {
            let loaded: config::DealerConfig = config::load(&config)?;
            dealer::run(&loaded, folder(&config), announce)
        }
        Command::Infer { config, images, resize, limit, json, json_lines } => {
            infer(&config, &images, resize, limit, json, json_lines)
        }
        Command::Plan { model, choices, json: as_json } => {
            let model = Model::find(&model)?;
            let private = choices.private(&model)?;
            if as_json {
                return json(&serde_json::json!({
                    "model": model.arch.name,
                    "batch": choices.batch,
                    "plan": sotto_models::calibration::hex(&private.plan.hash()),
                    "planned": report::Counts::planned(&private.plan),
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

fn infer(
    config: &Path,
    images: &[PathBuf],
    resize: bool,
    limit: usize,
    as_json: bool,
    json_lines: bool,
) -> Result<(), Error> {
    let loaded: config::ClientConfig = config::load(config)?;
    let fit = if resize { Fit::Resize } else { Fit::Exact };
    let style = ProgressStyle::with_template("{msg:<16} {bar:30} {pos}/{len} {eta}");
    let bar = ProgressBar::no_length().with_style(style.expect("a fixed template"));
    bar.set_message("masked weights");
    let progress = |got: u64, all: u64| {
        bar.set_length(all);
        bar.set_position(got);
    };
    let mut setup = None;
    let load_all = |private: &Private| {
        let mut pictures = Vec::new();
        for path in images {
            pictures.extend(load(path, &private.arch, fit, limit)?);
        }
        Ok(pictures)
    };
    let mut failed = None;
    let results =
        client::run(&loaded, folder(config), load_all, &progress, |client, results, all| {
            if setup.is_none() {
                bar.set_message("images");
                bar.set_position(0);
                bar.set_length(all as u64);
            }
            let first = setup.is_none();
            let line = setup.get_or_insert(demo::SetupLine {
                setup_bytes: client.setup_bytes,
                setup_s: client.setup_s,
            });
            bar.inc(results.len() as u64);
            if json_lines {
                let print = || -> Result<(), Box<dyn std::error::Error>> {
                    let mut out = std::io::stdout().lock();
                    if first {
                        writeln!(out, "{}", serde_json::to_string(line)?)?;
                    }
                    for r in results {
                        writeln!(out, "{}", serde_json::to_string(r)?)?;
                    }
                    Ok(out.flush()?)
                };
                failed = failed.take().or(print().err().map(|e| e.to_string()));
            }
        })?;
    bar.finish_and_clear();
    if let Some(why) = failed {
        return Err(Error::Config(format!("results cannot be printed: {why}")));
    }
    if json_lines {
        return Ok(());
    }
    let setup = setup.unwrap_or(demo::SetupLine { setup_bytes: 0, setup_s: 0.0 });
    if as_json {
        return json(&serde_json::json!({ "setup": setup, "results": results }));
    }
    let mut t = report::table(
        &["image", "class", "logit", "offline s", "online s", "online", "flights"],
        2,
    );
    for r in &results {
        t.add_row(vec![
            r.name.clone(),
            r.class_name.clone(),
            format!("{:.3}", r.logits.get(r.class).copied().unwrap_or(0.0)),
            format!("{:.3}", r.costs.offline_s),
            format!("{:.3}", r.costs.online_s),
            report::bytes(r.costs.from_server + r.costs.from_client),
            r.costs.flights.to_string(),
        ]);
    }
    println!("{t}");
    println!(
        "setup {} in {:.2} s, once; offline and online are per evaluation of {} image(s)",
        report::bytes(setup.setup_bytes),
        setup.setup_s,
        results.first().map_or(1, |r| r.batch)
    );
    Ok(())
}

//! `emulate.toml`, and running what it says.

use std::{
    path::{Path as File, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{Between, PAIRS, PathLine, Paths, network, summary};
use crate::error::Error;

/// `emulate.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmulateConfig {
    /// A preset, or a TOML file beside this one.
    pub network: String,
    /// Losses and jitter follow from it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The client connects to the server.
    pub client_server: Option<Between>,
    /// The client connects to the dealer.
    pub client_dealer: Option<Between>,
    /// The server connects to the dealer.
    pub server_dealer: Option<Between>,
    /// Cuts of a path.
    #[serde(default)]
    pub partition: Vec<Partition>,
}

fn default_seed() -> u64 {
    1
}

/// A time in which nothing passes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// `client_server`, `client_dealer` or `server_dealer`.
    pub path: String,
    /// From the start, seconds.
    pub after: f64,
    /// How long, seconds.
    pub lasts: f64,
}

/// What is said while paths are emulated.
pub enum Said {
    /// An address that is listened on, or a cut.
    Event(String),
    /// What has gone over the paths so far, each second.
    Progress(String),
}

/// Emulates what the file says until `stopped` says something or is dropped; `say` gets the addresses first.
///
/// # Errors
/// [`Error::Config`] and [`Error::Io`] for what cannot be used; those of `say`.
pub fn run(
    config: &File,
    stopped: &mpsc::Receiver<()>,
    say: &mut dyn FnMut(Said) -> Result<(), Error>,
) -> Result<Vec<PathLine>, Error> {
    let base = config.parent().map_or_else(PathBuf::new, File::to_path_buf);
    let config: EmulateConfig = crate::config::load(config)?;
    let network = network(&config.network, &base)?;
    let mut paths = Paths::new(network, config.seed);
    let betweens = [config.client_server, config.client_dealer, config.server_dealer];
    for ((name, ..), between) in PAIRS.into_iter().zip(betweens) {
        let Some(between) = between else { continue };
        let address = paths.add(name, between)?;
        say(Said::Event(format!("{name} to {} is listening on {address}", between.target)))?;
    }
    if paths.links.is_empty() {
        return Err(Error::Config(
            "nothing to emulate: give [client_server], [client_dealer] or [server_dealer] with listen and target".into(),
        ));
    }
    let time = |seconds: f64| {
        Duration::try_from_secs_f64(seconds).map_err(|_| {
            Error::Config(format!("a partition's `{seconds}` is not a time: seconds, 0 or more"))
        })
    };
    let mut cuts = Vec::new();
    for p in &config.partition {
        // Says at once when there is no such path.
        paths.partition(&p.path, Duration::ZERO)?;
        cuts.push((time(p.after)?, p.path.as_str(), time(p.lasts)?));
    }
    cuts.sort();
    let start = Instant::now();
    let mut report_at = Duration::from_secs(1);
    loop {
        let next = cuts.first().map_or(report_at, |c| c.0.min(report_at));
        match stopped.recv_timeout(next.saturating_sub(start.elapsed())) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            _ => return Ok(paths.lines()),
        }
        let now = start.elapsed();
        while cuts.first().is_some_and(|c| c.0 <= now) {
            let (_, pair, lasts) = cuts.remove(0);
            paths.partition(pair, lasts)?;
            say(Said::Event(format!("{pair} is cut for {lasts:?}")))?;
        }
        if now >= report_at {
            report_at = now + Duration::from_secs(1);
            say(Said::Progress(summary(&paths.lines())))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_starts_its_paths_and_cuts_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("emulate.toml");
        let text = "network = \"wan\"\n[client_server]\nlisten = \"127.0.0.1:0\"\ntarget = \"127.0.0.1:9\"\n\
                    [[partition]]\npath = \"client_server\"\nafter = 0.01\nlasts = 2\n";
        fs::write(&file, text).unwrap();
        let (stop, stopped) = mpsc::channel();
        let mut seen = Vec::new();
        let lines = run(&file, &stopped, &mut |said| {
            if let Said::Event(line) = said {
                if line.contains("is cut for 2s") {
                    stop.send(()).unwrap();
                }
                seen.push(line);
            }
            Ok(())
        })
        .unwrap();
        assert!(seen[0].starts_with("client_server to 127.0.0.1:9 is listening on 127.0.0.1:"));
        assert_eq!(lines.len(), 1);

        for (text, hint) in [
            ("network = \"wan\"\n", "nothing to emulate"),
            ("network = \"lan\"\n[[partition]]\npath = \"x\"\nafter = 1\nlasts = 1\n", "nothing"),
            (&text.replace("lasts = 2", "lasts = -2"), "0 or more"),
            (&text.replace("path = \"client_server\"", "path = \"server_dealer\""), "no path"),
            (&text.replace("wan", "wlan"), "mobile"),
        ] {
            fs::write(&file, text).unwrap();
            let error = run(&file, &stopped, &mut |_| Ok(())).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}

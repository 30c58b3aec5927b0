//! Three processes on loopback over QUIC, timed image by image.
//!
//! `sotto::demo::run` gives the mean of its images; medians, both ends and the first image apart need each image's
//! line, so this drives the same [`Deployment`] and reads the client's lines itself. What comes back is
//! checked before it counts: classes and logits against the float reference, counts against the plan.

use std::{fs, path::Path};

use indicatif::ProgressBar;
use serde::de::DeserializeOwned;
use sotto::{
    client::{Answer, Costs},
    config::Source,
    infer::SetupLine,
    model::Model,
    processes::{Deployment, Running, Settings},
};
use sotto_models::{
    Private,
    float::{NoProbe, forward},
    images::{Fit, load, normalise},
    private::Options,
};
use sotto_protocols::cost::Cost;

use crate::{
    error::Error,
    memory::Peaks,
    pictures,
    record::{Records, Spread},
};

/// Largest logit error that still is this model's result and not garbage.
const SANE: f64 = 0.1;

/// A model to be timed.
pub struct Timing<'a> {
    /// Its name for `sotto`, a preset's.
    pub preset: &'a str,
    /// The same model here.
    pub model: &'a Model,
    /// Timed images, after the first.
    pub images: usize,
}

/// Seconds of the images after the first.
#[derive(Debug, PartialEq)]
struct Seconds {
    offline: Spread,
    online: Spread,
    total: Spread,
}

impl Seconds {
    fn of(costs: &[Costs]) -> Self {
        let spread = |f: fn(&Costs) -> f64| Spread::of(costs.iter().map(f));
        Self {
            offline: spread(|c| c.offline_s),
            online: spread(|c| c.online_s),
            total: spread(|c| c.offline_s + c.online_s),
        }
    }
}

impl Timing<'_> {
    /// Runs one image more than are timed and adds `PRESET_*` to `records`.
    ///
    /// # Errors
    /// [`Error::Sotto`] when a process fails; [`Error::Check`] when a logit or a count is wrong.
    pub fn run(
        &self,
        program: &Path,
        bar: &ProgressBar,
        records: &mut Records,
    ) -> Result<(), Error> {
        let arch = &self.model.arch;
        let pixels = arch.pixels().expect("a model of pictures");
        let private = Private::new(arch, &self.model.calibration, 1, Options::default())?;
        let deployment = Deployment::new(program.to_owned())?;
        let files = pictures::write(pixels, self.images + 1, deployment.folder.path())?;
        let settings = Settings {
            source: Source::Dealer,
            model: self.preset.to_owned(),
            batch: 1,
            // Nothing is made ahead of time: the offline seconds are those of a whole batch.
            pool: 0,
            deadline: 60,
            server_lines: String::new(),
            client_lines: String::new(),
        };
        let (dealing, dealer) = deployment.dealer(settings.deadline, None)?;
        let (serving, server) = deployment.server(&settings, dealer, None)?;
        let config = deployment.folder.path().join("client.toml");
        let text = format!(
            "pool = 0\n\
             [own]\nname = \"client\"\nkeys = \".\"\nnetwork = \"loopback\"\ndeadline = {}\n\
             [server]\nname = \"server\"\ncertificate = \"server.cert\"\naddress = \"{server}\"\n\
             [dealer]\nname = \"dealer\"\ncertificate = \"dealer.cert\"\naddress = \"{dealer}\"\n",
            settings.deadline
        );
        fs::write(&config, text).map_err(Error::io(&config))?;
        let paths = std::iter::once(&config).chain(&files).map(|p| p.display().to_string());
        let paths: Vec<String> = paths.collect();
        let mut args = vec!["infer", "--json-lines", "--config"];
        args.extend(paths.iter().map(String::as_str));
        let mut client = Running::start(program, "client", &args)?;

        let setup: SetupLine = parse(&client.line()?)?;
        let (mut lines, mut peaks) = (Vec::<Answer>::new(), Peaks::default());
        for _ in &files {
            lines.push(parse(&client.line()?)?);
            let all = [("dealer", &dealing), ("server", &serving), ("client", &client)];
            all.iter().for_each(|(name, process)| peaks.look(name, process));
            bar.inc(1);
        }
        if client.wait()? != 0 {
            return Err(Error::Check("the client process failed; its messages are above".into()));
        }
        let mut worst = 0f64;
        for (file, line) in files.iter().zip(&lines) {
            worst = worst.max(self.error(file, &line.found.numbers())?);
        }
        if worst > SANE {
            return Err(Error::Check(format!("{}: a logit is off by {worst}", self.preset)));
        }
        let costs: Vec<Costs> = lines.iter().map(|l| l.costs.clone()).collect();
        let planned = private.plan.cost();
        check_counts(setup.setup_bytes, &costs, &planned)?;
        self.record(&setup, &costs, &planned, worst, records);
        for (name, bytes) in peaks.all() {
            records.add(format!("{}_{name}_peak_bytes", self.preset), bytes as f64, "bytes");
        }
        Ok(())
    }

    fn error(&self, file: &Path, logits: &[f64]) -> Result<f64, Error> {
        let Model { arch, weights, .. } = self.model;
        let pixels = arch.pixels().expect("a model of pictures");
        let pictures = load(file, arch, Fit::Exact, 1)?;
        let float = forward(arch, weights, &normalise(pixels, &pictures[0]), &mut NoProbe);
        if float.len() != logits.len() {
            return Err(Error::Check(format!("{} logits of {}", logits.len(), float.len())));
        }
        let errors = float.iter().zip(logits).map(|(a, b)| (f64::from(*a) - b).abs());
        Ok(errors.fold(0.0, f64::max))
    }

    fn record(
        &self,
        setup: &SetupLine,
        costs: &[Costs],
        planned: &Cost,
        worst: f64,
        records: &mut Records,
    ) {
        let name = |what: &str| format!("{}_{what}", self.preset);
        let (first, timed) = costs.split_first().expect("one image more than are timed");
        let seconds = Seconds::of(timed);
        records.add(name("images"), timed.len() as f64, "images");
        records.add_seconds(&name("total"), seconds.total);
        records.add_seconds(&name("online"), seconds.online);
        records.add_seconds(&name("offline"), seconds.offline);
        records.add(name("first_offline_s"), first.offline_s, "s");
        records.add(name("first_online_s"), first.online_s, "s");
        records.add(name("setup_s"), setup.setup_s, "s");
        records.add(name("online_bytes"), planned.online_bytes as f64, "bytes");
        records.add(name("flights"), planned.flights as f64, "flights");
        records.add(name("offline_bytes"), planned.offline_bytes as f64, "bytes");
        records.add(name("setup_bytes"), planned.setup_bytes as f64, "bytes");
        records.add(name("picture_max_error"), worst, "logits");
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|_| {
        Error::Check("the client process stopped early; its messages are above".into())
    })
}

/// Every image's measured counts are the plan's.
fn check_counts(setup_bytes: u64, costs: &[Costs], planned: &Cost) -> Result<(), Error> {
    for cost in costs {
        let measured = Cost {
            setup_bytes,
            offline_bytes: cost.offline_bytes,
            offline_flights: cost.offline_flights,
            online_bytes: cost.from_server + cost.from_client,
            flights: cost.flights,
        };
        if measured != *planned {
            return Err(Error::Check(format!("measured {measured:?}, planned {planned:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(offline_s: f64, online_s: f64) -> Costs {
        Costs {
            shared_by: 1,
            setup_bytes: 9,
            offline_bytes: 70,
            offline_flights: 0,
            waited: false,
            offline_s,
            from_server: 4,
            from_client: 6,
            flights: 3,
            online_s,
        }
    }

    #[test]
    fn totals_are_spread_by_image() {
        let seconds = Seconds::of(&[costs(1.0, 0.3), costs(2.0, 0.1), costs(0.5, 0.2)]);
        assert_eq!(seconds.online.median, 0.2);
        assert_eq!(seconds.offline.max, 2.0);
        assert_eq!(seconds.total, Spread { min: 0.7, median: 1.3, max: 2.1 });
    }

    #[test]
    fn a_count_that_is_not_the_plans_is_an_error() {
        let planned = Cost {
            setup_bytes: 9,
            offline_bytes: 70,
            offline_flights: 0,
            online_bytes: 10,
            flights: 3,
        };
        assert!(check_counts(9, &[costs(1.0, 1.0)], &planned).is_ok());
        let more = Cost { flights: 4, ..planned };
        let error = check_counts(9, &[costs(1.0, 1.0)], &more).expect_err("one flight less");
        assert!(error.to_string().contains("flights: 3"), "{error}");
    }

    #[test]
    fn lines_of_the_client_are_read() {
        let line = r#"{"name":"a","label":null,"class":1,"class_name":"1","logits":[0.5,1.5],"costs":
            {"offline_bytes":1,"offline_flights":0,"offline_s":0.5,"from_server":2,"from_client":3,"flights":4,"online_s":0.25},
            "batch":1}"#;
        let line: Answer = parse(line).expect("a line");
        assert_eq!((line.found.numbers().len(), line.costs.flights), (2, 4));
        assert!(parse::<Answer>("").is_err());
    }
}

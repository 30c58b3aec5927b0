//! Images a second of one client, of several at once, and of one with a batch, by one server that has the model under two names; and the
//! processors' seconds that an image takes of each party.
//!
//! All three parties share this machine. The rounds alternate, so that what else the machine does falls on all alike.

use std::{fs, path::Path, thread, time::Instant};

use indicatif::ProgressBar;
use sotto::{
    client::{Client, Config, Query},
    model::DEMO_IMAGES,
    processes::{Deployment, LOCAL, Running},
    report::table,
};

use crate::{
    error::Error,
    record::{Records, Spread},
};

/// Images in one evaluation of the client with a batch.
const BATCH: usize = 8;

/// Seconds before a silent peer is given up.
const DEADLINE: u64 = 60;

/// Bytes of a CIFAR-10 record, whose first is the class.
const RECORD: usize = 3073;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    name: &'static str,
    clients: usize,
    model: &'static str,
}

/// What is measured: of each round.
pub struct Clients {
    /// Clients at once.
    pub clients: usize,
    /// Images of each round and way.
    pub images: usize,
    /// Rounds.
    pub rounds: usize,
}

/// What one way took in one round.
struct Took {
    images_s: f64,
    /// The processors' seconds an image: server, dealer, clients.
    processor_s: [f64; 3],
}

impl Clients {
    fn ways(&self) -> [Way; 3] {
        [
            Way { name: "one", clients: 1, model: "single" },
            Way { name: "several", clients: self.clients, model: "single" },
            Way { name: "batch", clients: 1, model: "batch" },
        ]
    }

    /// Measures, prints, and adds `clients_*` to `records`.
    ///
    /// # Errors
    /// [`Error::Sotto`] when a party fails.
    pub fn run(
        &self,
        program: &Path,
        bar: &ProgressBar,
        records: &mut Records,
    ) -> Result<String, Error> {
        let deployment = Deployment::new(program.to_owned())?;
        let (dealing, dealer) = deployment.dealer(DEADLINE, None)?;
        let own = |name: &str, listen: &str| {
            format!(
                "[own]\nname = \"{name}\"\nkeys = \".\"\nnetwork = \"loopback\"\ndeadline = {DEADLINE}\n{listen}"
            )
        };
        let peer = |table: &str, name: &str, at: &str| {
            format!("{table}\nname = \"{name}\"\ncertificate = \"{name}.cert\"\n{at}")
        };
        let at_dealer = peer("[dealer]", "dealer", &format!("address = \"{dealer}\"\n"));
        let write = |file: &str, text: &str| -> Result<String, Error> {
            let path = deployment.folder.path().join(file);
            fs::write(&path, text).map_err(Error::io(&path))?;
            Ok(path.display().to_string())
        };
        let text = format!(
            "[[models]]\nname = \"single\"\nmodel = \"demo\"\n\
             [[models]]\nname = \"batch\"\nmodel = \"demo\"\nbatch = {BATCH}\n"
        ) + &own("server", &format!("listen = \"{LOCAL}\"\n"))
            + &at_dealer
            + &peer("[[clients]]", "client", "");
        let config = write("server.toml", &text)?;
        let mut serving = Running::start(program, "server", &["serve", "--config", &config])?;
        let server = serving.address()?;
        let mut configs = Vec::new();
        for way in self.ways() {
            let text = format!("model = \"{}\"\n", way.model)
                + &own("client", "")
                + &peer("[server]", "server", &format!("address = \"{server}\"\n"))
                + &at_dealer;
            configs.push((way, write(&format!("{}.toml", way.name), &text)?));
        }
        let mut took: Vec<Vec<Took>> = self.ways().iter().map(|_| Vec::new()).collect();
        for round in 0..=self.rounds {
            for ((way, config), took) in configs.iter().zip(&mut took) {
                let one = self.once(*way, config, [&serving, &dealing])?;
                // The first round warms up.
                if round > 0 {
                    took.push(one);
                }
                bar.inc(1);
            }
        }
        Ok(self.text(&took, records))
    }

    /// Classifies the images of one round.
    fn once(&self, way: Way, config: &str, services: [&Running; 2]) -> Result<Took, Error> {
        let mut clients = Vec::new();
        for _ in 0..way.clients {
            let mut client = Client::new(Config::load(Path::new(config))?)?;
            client.wait_until_ready(None)?;
            let each = self.images / way.clients;
            let records = DEMO_IMAGES.chunks(RECORD).cycle().take(each);
            let queries = records.map(|record| client.pixels("picture", record[1..].to_vec()));
            let queries = queries.collect::<Result<Vec<Query>, _>>()?;
            clients.push((client, queries));
        }
        let images: usize = clients.iter().map(|(_, queries)| queries.len()).sum();
        let all = || {
            [services[0].child().id(), services[1].child().id(), std::process::id()].map(seconds)
        };
        let (start, before) = (Instant::now(), all());
        let asked = clients.into_iter().map(|(mut client, queries)| {
            thread::spawn(move || {
                let answered = client.answer(&queries);
                (client, answered.map(|answers| answers.len()))
            })
        });
        let asked: Vec<_> = asked.collect();
        let mut left = Vec::new();
        for one in asked {
            let (client, answered) =
                one.join().map_err(|_| Error::Check("a client panicked".into()))?;
            answered?;
            left.push(client);
        }
        let (took, after) = (start.elapsed().as_secs_f64(), all());
        left.into_iter().for_each(Client::leave);
        let each = |i: usize| (after[i] - before[i]) / images as f64;
        Ok(Took { images_s: images as f64 / took, processor_s: [0, 1, 2].map(each) })
    }

    fn text(&self, took: &[Vec<Took>], records: &mut Records) -> String {
        let header =
            ["clients", "batch", "images/s", "from", "to", "server s", "dealer s", "clients s"];
        let mut t = table(&header, 2);
        let mut medians = Vec::new();
        for (way, took) in self.ways().iter().zip(took) {
            let spread = Spread::of(took.iter().map(|one| one.images_s));
            let of = |i: usize| Spread::of(took.iter().map(|one| one.processor_s[i])).median;
            let batch = if way.model == "batch" { BATCH } else { 1 };
            let row = [spread.median, spread.min, spread.max].map(|x| format!("{x:.2}"));
            let processors = [0, 1, 2].map(|i| format!("{:.3}", of(i)));
            let first = [way.clients.to_string(), batch.to_string()];
            t.add_row(first.into_iter().chain(row).chain(processors));
            records.add(format!("clients_{}_images_s", way.name), spread.median, "images/s");
            for (i, party) in ["server", "dealer", "clients"].iter().enumerate() {
                records.add(format!("clients_{}_{party}_processor_s", way.name), of(i), "s");
            }
            medians.push(spread.median);
        }
        let ratio = medians[1] / medians[2];
        records.add("clients_ratio", ratio, "");
        format!(
            "The demo's model by one server, all parties here; processors' seconds an image. Several clients reach {:.0} % of one with a batch.\n{t}",
            100.0 * ratio
        )
    }
}

/// Seconds that a process has had of the processors, in the kernel too; 0 where the system does not say.
fn seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may have spaces: user and system are the 12th and 13th; in hundredths on every Linux.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    fields.take(2).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
}

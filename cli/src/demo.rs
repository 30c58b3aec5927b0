//! `sotto demo`: three processes on loopback evaluate real images or texts; every result and count is checked.

mod plaintext;
mod references;
mod summary;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sotto_models::{images::Fit, private::Lengths};
use sotto_netsim::Network;
use sotto_protocols::cost::Cost;

use crate::{
    client::{Answer, Query},
    config::Source,
    emulate::{self, Between, Paths},
    error::Error,
    infer::SetupLine,
    inputs::{Inputs, Unread},
    model::{DEMO_IMAGES, Model},
    processes::{Deployment, LOCAL, Settings},
    progress, report,
    stop::Stop,
    texts::TextArgs,
};
use references::References;

pub use plaintext::Plaintext;
pub use summary::{Compared, Length, Line, Summary};

/// What to run.
pub struct Demo {
    /// `demo`, a preset or a folder.
    pub model: PathBuf,
    /// Pictures instead of the embedded ones, which it takes where there are none.
    pub images: Vec<PathBuf>,
    /// Whether to cut and scale those of another size, where the model does not say what becomes of them.
    pub resize: bool,
    /// Texts, for a model of texts.
    pub texts: TextArgs,
    /// At most so many.
    pub limit: usize,
    /// Images, or texts of one length, in one evaluation.
    pub batch: usize,
    /// What the server learns of texts' lengths.
    pub lengths: Lengths,
    /// What lies between the parties.
    pub network: Network,
    /// Where correlations come from.
    pub source: Source,
}

/// Runs the demo; `program` is the `sotto` binary.
///
/// # Errors
/// Those of the processes, and [`Error::Check`] when a private class is not the simulator's (but for ties) or a count
/// is not the plan's; [`Error::Stopped`] after a signal. No process and no key stays behind.
pub fn run(demo: &Demo, program: &Path, stop: &Stop) -> Result<Summary, Error> {
    let summary = run_all(demo, program, stop);
    // Processes that were ended are no failure of theirs.
    if stop.asked() { Err(Error::Stopped) } else { summary }
}

/// The client's arguments, what it will ask in its order, and what cannot be asked.
type Asked = (Vec<String>, Vec<Query>, Vec<Unread>);

fn asked(demo: &Demo, model: &Model, folder: &Path) -> Result<Asked, Error> {
    let mut arguments = vec!["--limit".to_owned(), demo.limit.to_string()];
    if let Some(lexicon) = &model.lexicon {
        if !demo.images.is_empty() {
            return Err(Error::OtherInput { model: model.arch.name.clone(), takes: "texts" });
        }
        if !demo.texts.are_given() {
            let why = format!("`{}` takes texts: give --text or --file", model.arch.name);
            return Err(Error::Config(why));
        }
        lexicon.save(&demo.model, &folder.join("lexicon"))?;
        let asked = demo.texts.read(demo.limit)?.queries(lexicon, demo.texts.long(), demo.lengths);
        let (mut queries, mut unread) = (Vec::new(), Vec::new());
        for one in asked {
            match one {
                Ok(query) => queries.push(query),
                Err(one) => unread.push(one),
            }
        }
        // All of one length, the shortest first, as the client asks them.
        queries.sort_by_key(Query::length);
        arguments.extend(demo.texts.arguments()?);
        return Ok((arguments, queries, unread));
    }
    if demo.texts.are_given() {
        return Err(Error::OtherInput { model: model.arch.name.clone(), takes: "pictures" });
    }
    let (files, resize) = match demo.images.is_empty() {
        false => {
            // One that is not there has its error with the others.
            let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Error::io(path));
            let files = demo.images.iter().map(absolute);
            (files.collect::<Result<Vec<_>, _>>()?, demo.resize)
        }
        true => {
            let path = folder.join("images.bin");
            fs::write(&path, DEMO_IMAGES).map_err(Error::io(&path))?;
            (vec![path], true)
        }
    };
    let fit: Fit = model.fit(resize);
    let (pictures, unread) = Inputs::find(&files, fit, demo.limit)?.load(&model.arch);
    arguments.extend(resize.then(|| "--resize".to_owned()));
    arguments.extend(files.iter().map(|file| file.display().to_string()));
    Ok((arguments, pictures.into_iter().map(Query::Picture).collect(), unread))
}

/// What the three processes are asked is our own: whatever it takes, in MiB.
const MEMORY: &str = "memory = 1048576\n";

fn run_all(demo: &Demo, program: &Path, stop: &Stop) -> Result<Summary, Error> {
    let model = Model::find(&demo.model)?;
    let network = &demo.network;
    let deployment = Deployment::new(program.to_owned())?
        .with_profile(emulate::profile(network))
        .stopped_by(stop);
    let (arguments, queries, mut unread) = asked(demo, &model, deployment.folder.path())?;
    let is_text = model.lexicon.is_some();
    let what = if is_text { "texts" } else { "images" };
    let lengths = queries.iter().map(Query::length);
    let references = References::new(model, (demo.batch, demo.lengths), lengths)?;
    let (queries, out_of_range) = references.take(queries)?;
    unread.extend(out_of_range);
    if queries.is_empty() {
        let (failed, of) = (unread.iter().map(|one| one.error.clone()).collect(), unread.len());
        return Err(Error::Inputs { what, failed, of });
    }

    let named = !demo.model.is_dir();
    let folder = if named { demo.model.clone() } else { absolute(&demo.model)? };
    let hidden = match demo.lengths {
        Lengths::Public => "",
        Lengths::Hidden => "length = \"hidden\"\n",
    };
    let settings = Settings {
        model: folder.display().to_string(),
        batch: demo.batch,
        pool: 0,
        source: demo.source,
        deadline: emulate::deadline(network, 30),
        server_lines: format!("{MEMORY}{hidden}"),
        client_lines: match is_text {
            true => format!("{MEMORY}lexicon = \"lexicon\"\n{hidden}"),
            false => MEMORY.into(),
        },
    };
    let mut paths = Paths::new(network.clone(), 1);
    let mut between = |pair: &str, target: SocketAddr| match emulate::is_free(network) {
        true => Ok(target),
        false => paths.add(pair, Between { listen: LOCAL, target }),
    };
    let dealer = match demo.source {
        Source::Dealer => Some(deployment.dealer(settings.deadline, None)?),
        Source::Peer | Source::SoftSpoken => None,
    };
    let dealer_at = dealer.as_ref().map_or(LOCAL, |(_, at)| *at);
    let mut dealers = |pair: &str| match dealer {
        Some(_) => between(pair, dealer_at),
        None => Ok(dealer_at),
    };
    let (servers_dealer, dealer_at) = (dealers("server_dealer")?, dealers("client_dealer")?);
    let (_server, server_at) = deployment.server(&settings, servers_dealer, None)?;
    let server_at = between("client_server", server_at)?;
    let mut client = deployment.client(&settings, [server_at, dealer_at], &arguments)?;
    let setup: SetupLine = parse(&client.line()?)?;
    let progress = progress::bar("private inference", Some(queries.len()));
    let mut lines = Vec::with_capacity(queries.len());
    while lines.len() < queries.len() {
        if let Said::Answer(answer) = parse(&client.line()?)? {
            lines.push(*answer);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let left_out = Error::Inputs { what, failed: Vec::new(), of: 0 };
    let due = if unread.is_empty() { 0 } else { left_out.exit_code() };
    if client.wait()? != i32::from(due) {
        return Err(Error::Check("the client process failed; its messages are above".into()));
    }
    let overrun = paths.overrun();
    if overrun > 0 {
        tracing::warn!(overrun, "this machine is too busy for the network: packets were dropped");
    }
    let paths = paths.lines();
    let progress = progress::bar("float and integer references", Some(queries.len()));
    let mut results = Vec::new();
    let mut rest = &lines[..];
    for same in queries.chunk_by(|a, b| a.length() == b.length()) {
        for queries in same.chunks(demo.batch) {
            if stop.asked() {
                return Err(Error::Stopped);
            }
            let (now, later) = rest.split_at(queries.len());
            rest = later;
            results.extend(references.compare(queries, now)?);
            progress.inc(queries.len() as u64);
        }
    }
    progress.finish_and_clear();
    let planned =
        references.plans().map(|(rows, plan)| Ok((rows, report::planned(plan, demo.source)?)));
    let planned = planned.collect::<Result<BTreeMap<Option<u32>, Cost>, Error>>()?;
    let measured = (&network.name[..], paths, demo.batch);
    let mut summary = Summary::new(measured, &planned, &setup, &lines, (results, unread))?;
    let longest = summary.lengths.last().map(|length| length.offline_s + length.online_s);
    let private = longest.unwrap_or(summary.median_total_s);
    summary.plaintext = references.plaintext(&queries, private)?;
    Ok(summary)
}

/// A line of the client's.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Answer(Box<Answer>),
    /// It could not be asked, as we know already.
    #[expect(dead_code, reason = "read to tell it from an answer")]
    Unread(Unread),
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::io(path))
}

fn parse<T: for<'a> Deserialize<'a>>(line: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|_| {
        Error::Check("the client process stopped early; its messages are above".into())
    })
}

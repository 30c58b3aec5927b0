//! `sotto infer` and `sotto embed`: what they are told, and in which order they ask it.

mod results;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::Args;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sotto_models::{Private, images::Fit, length::Length, model::Output};
use tracing::Level;

use crate::{
    calibrate,
    client::{Client, Query, label},
    config::{self, ClientConfig},
    ending::Failed,
    error::Error,
    inputs::{Inputs, Unread},
    lexicon::Lexicon,
    model::fit,
    print, progress,
    report::Columns,
    stop::Stop,
    texts::TextArgs,
};
use results::{Document, Form, Line, Results};

/// What `sotto infer` and `sotto embed` are told.
#[derive(Args)]
pub struct Infer {
    /// client.toml
    #[arg(long)]
    config: PathBuf,
    /// PNG or JPEG, folders of these, CIFAR .bin or .tar.gz, or the folder of CIFAR or Tiny-ImageNet.
    #[arg(required_unless_present_any = ["text", "file", "fill"], conflicts_with_all = ["text", "file"])]
    images: Vec<PathBuf>,
    /// Centre-crop and resize pictures of another size, where the model does not say what becomes of them.
    #[arg(long)]
    resize: bool,
    #[command(flatten)]
    texts: TextArgs,
    /// Without a dealer: makes batches of correlations in the end, after the pictures or texts, if there are any, until as many wait in
    /// `pool_folder` as `pool` says, of texts for each of their lengths. The next runs then need not wait for them.
    #[arg(long)]
    fill: bool,
    /// Of a model of texts, with --fill: numbers of words for which batches are to wait, beside those of the texts that are given.
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        requires = "fill",
        conflicts_with = "images"
    )]
    lengths: Vec<usize>,
    /// Without a dealer: `pool_folder` is this client's only one for this server. Batches that the server keeps for others, which were
    /// lost, are burnt.
    #[arg(long)]
    only_folder: bool,
    /// At most so many pictures or texts.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// One JSON object at the end, with all results and costs, instead of lines for people.
    #[arg(long)]
    json: bool,
    /// One JSON object a line as results come.
    #[arg(long, conflicts_with = "json")]
    json_lines: bool,
}

/// What is printed of results where no program asks for JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A table of classes: `sotto infer`.
    Table,
    /// An embedding on each line, in the order of the inputs: its numbers with spaces between them, and an empty line for what was not
    /// evaluated: `sotto embed`.
    Embeddings,
}

/// The first line with `--json-lines`; a line for each picture or text follows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupLine {
    /// Masked weights received.
    pub setup_bytes: u64,
    /// Seconds from connecting to having them.
    pub setup_s: f64,
    /// The model's name at the server.
    pub model: String,
    /// The model's hash, as the server's log has it.
    pub model_hash: String,
    /// Images that it was calibrated on.
    pub calibrated_on: usize,
}

/// What can be asked, or why it cannot, in the order in which it was given.
pub(crate) type Asked = Result<Query, Unread>;

/// What was given, before anybody is asked.
enum Given {
    Pictures(Inputs),
    Texts(Arc<Lexicon>, Vec<Asked>),
}

impl Infer {
    /// Evaluates and prints.
    ///
    /// # Errors
    /// [`Error::Inputs`] for pictures or texts that could not be evaluated while others were; [`Error::Stopped`] after a
    /// signal; [`Error::Config`] for embeddings of a model that has none; those of [`Client`]. What was found before is printed.
    pub fn run(&self, show: Show, stop: &Stop) -> Result<(), Failed> {
        let form = match (self.json, self.json_lines, show) {
            (true, ..) => Form::Document,
            (_, true, _) => Form::Lines,
            (.., Show::Embeddings) => Form::Rows,
            (.., Show::Table) => {
                let input = if self.texts.are_given() { "text" } else { "image" };
                Form::Table(Columns::new(
                    &[input, "class", "logit", "offline s", "online s", "online", "flights"],
                    2,
                ))
            }
        };
        let config: ClientConfig = config::load(&self.config)?;
        let given = self.given(&config)?;
        // Lines that come show how far it is.
        let bar = match form {
            Form::Lines => ProgressBar::hidden(),
            _ => progress::bar("connecting", None),
        };
        let (document, places, unread) = (Document::default(), Vec::new(), Vec::new());
        let what = if self.are_texts() { "texts" } else { "images" };
        let mut results = Results { form, document, places, unread, what, bar };
        let done = self.evaluate(&config, given, show, stop, &mut results);
        results.end(done)
    }

    /// Whether the model is one of texts, by what is asked.
    fn are_texts(&self) -> bool {
        self.texts.are_given() || !self.lengths.is_empty()
    }

    fn given(&self, config: &ClientConfig) -> Result<Given, Error> {
        if !self.are_texts() {
            return Ok(Given::Pictures(Inputs::find(&self.images, Fit::Exact, self.limit)?));
        }
        let lexicon = config.lexicon(config::folder(&self.config))?.ok_or_else(|| {
            let why = "texts need `lexicon = FOLDER`, the folder that `sotto lexicon` writes where the model is";
            Error::Config(format!("{}: {why}", self.config.display()))
        })?;
        let texts = self.texts.read(self.limit)?;
        let asked = texts.queries(&lexicon, self.texts.long(), config.length);
        Ok(Given::Texts(Arc::new(lexicon), asked))
    }

    fn evaluate(
        &self,
        config: &ClientConfig,
        given: Given,
        show: Show,
        stop: &Stop,
        results: &mut Results,
    ) -> Result<(), Error> {
        let (lexicon, none) = match &given {
            Given::Pictures(_) if self.images.is_empty() => (None, None),
            Given::Pictures(inputs) => (None, inputs.all_wrong()),
            Given::Texts(lexicon, asked) => {
                let all = asked.iter().map(|one| one.as_ref().err().cloned());
                let none = all.collect::<Option<Vec<_>>>().filter(|_| self.texts.are_given());
                (Some(Arc::clone(lexicon)), none)
            }
        };
        let what = results.what;
        if let Some(all) = none {
            let mut all = all.into_iter().enumerate();
            return all.try_for_each(|(i, unread)| results.add(i, Line::Unread(unread)));
        }
        let lengths = match &given {
            Given::Pictures(_) => BTreeSet::new(),
            Given::Texts(lexicon, asked) => self.all_lengths(config, lexicon, asked)?,
        };
        let length = lengths.first().copied();
        let bar = results.bar.clone();
        bar.set_message("masked weights");
        let mut told = config.read(config::folder(&self.config))?;
        (told.lexicon, told.stop) = (lexicon.clone(), stop.clone());
        told.only_folder = self.only_folder;
        let received = bar.clone();
        told.progress = Box::new(move |got, all| {
            received.set_length(all);
            received.set_position(got);
        });
        let mut client = Client::connect(told, length)?;
        let setup = client.connection().map(|connection| SetupLine {
            setup_bytes: connection.setup_bytes,
            setup_s: connection.setup_s,
            model: connection.name().to_owned(),
            model_hash: connection.model(),
            calibrated_on: connection.calibrated_on(),
        });
        let setup = setup.unwrap_or_default();
        let warning = calibrate::thin("the server's model", setup.calibrated_on, what);
        if let Some(warning) = warning {
            print::say(Level::WARN, warning);
        }
        results.setup(setup)?;
        let private = client.private()?;
        let embeds = matches!(private.model.output, Output::Embedding { .. });
        if show == Show::Embeddings && !embeds {
            let why = "the server's model gives classes, no embedding: use `sotto infer`";
            return Err(Error::Config(why.into()));
        }
        let asked = match given {
            Given::Texts(_, asked) => asked,
            Given::Pictures(inputs) => {
                let inputs = inputs.fitted(fit(client.card()?.framing, self.resize));
                let (pictures, unread) = inputs.load(&private.model);
                let pictures = pictures.into_iter().map(|picture| Ok(Query::Picture(picture)));
                pictures.chain(unread.into_iter().map(Err)).collect()
            }
        };
        let checked = asked.into_iter().map(|one| takes(&private, lexicon.as_deref(), one));
        let asked: Vec<Asked> = checked.collect::<Result<_, Error>>()?;
        bar.set_message(what);
        bar.set_position(0);
        bar.set_length(asked.len() as u64);
        if let Form::Table(columns) = &mut results.form
            && !asked.is_empty()
        {
            let labels = (0..private.model.output.classes()).map(|c| label(&private.model, c));
            columns.fit(0, asked.iter().flatten().map(Query::name));
            columns.fit(1, labels.collect::<Vec<_>>().iter().map(String::as_str));
            let header = columns.header();
            bar.suspend(|| print::line(header))?;
        }
        let (mut places, mut queries) = (Vec::new(), Vec::new());
        for (place, one) in asked.into_iter().enumerate() {
            match one {
                Ok(query) => {
                    places.push(place);
                    queries.push(query);
                }
                Err(unread) => results.add(place, Line::Unread(unread))?,
            }
        }
        client
            .answer_each(&queries, &mut |i, answer| results.add(places[i], Line::Done(answer)))?;
        if self.fill {
            bar.set_message("batches");
            bar.set_length((config.pool * lengths.len().max(1)) as u64);
            let mut all = 0;
            // The longest was asked last.
            let each = lengths.iter().rev().copied().map(Some);
            for length in each.chain(lengths.is_empty().then_some(None)) {
                all += client.fill(length, &mut |now| bar.set_position((all + now) as u64))?;
            }
            results.document.waiting = Some(all);
        }
        client.leave();
        Ok(())
    }
}

impl Infer {
    /// Lengths of all texts that can be asked, and those that are named.
    fn all_lengths(
        &self,
        config: &ClientConfig,
        lexicon: &Lexicon,
        asked: &[Asked],
    ) -> Result<BTreeSet<Length>, Error> {
        let most = lexicon.model().tokens();
        let named = self.lengths.iter().map(|words| config.length.of(*words, most));
        let mut all = named.collect::<Result<BTreeSet<_>, _>>()?;
        all.extend(asked.iter().flatten().filter_map(Query::length));
        Ok(all)
    }
}

/// Whether the model takes it.
pub(crate) fn takes(
    private: &Private,
    lexicon: Option<&Lexicon>,
    one: Asked,
) -> Result<Asked, Error> {
    let Ok(query) = one else { return Ok(one) };
    let input = query.input(&private.model, lexicon)?;
    Ok(match private.check_input(&input) {
        Ok(()) => Ok(query),
        Err(e) => {
            let name = query.name().to_owned();
            Err(Unread { error: format!("{name}: {e}"), name })
        }
    })
}

//! `sotto infer` and `sotto embed`: what they are told, and what they print.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use sotto_models::{Private, images::Fit, model::Output, private::Reveal};

use crate::{
    calibrate,
    client::{Answer, Found, Query, Stream, Wanted, label},
    config::{self, ClientConfig},
    error::Error,
    inputs::{Inputs, Unread},
    lexicon::Lexicon,
    model::fit,
    print,
    report::{self, Columns},
    stop::Stop,
    texts::TextArgs,
};

/// What `sotto infer` is told.
#[derive(Args)]
pub struct Infer {
    /// client.toml
    #[arg(long)]
    config: PathBuf,
    /// PNG or JPEG, folders of these, CIFAR .bin or .tar.gz, or the folder of CIFAR or Tiny-ImageNet.
    #[arg(required_unless_present_any = ["text", "file"], conflicts_with_all = ["text", "file"])]
    images: Vec<PathBuf>,
    /// Centre-crop and resize pictures of another size, where the model does not say what becomes of them.
    #[arg(long)]
    resize: bool,
    #[command(flatten)]
    texts: TextArgs,
    /// At most so many pictures or texts.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// One JSON object at the end instead of a table.
    #[arg(long)]
    json: bool,
    /// One JSON object a line as results come.
    #[arg(long, conflicts_with = "json")]
    json_lines: bool,
}

/// What `sotto embed` is told.
#[derive(Args)]
pub struct Embed {
    /// client.toml
    #[arg(long)]
    config: PathBuf,
    /// PNG or JPEG, folders of these, CIFAR .bin or .tar.gz, for a model of pictures.
    #[arg(required_unless_present_any = ["text", "file"], conflicts_with_all = ["text", "file"])]
    images: Vec<PathBuf>,
    /// Centre-crop and resize pictures of another size, where the model does not say what becomes of them.
    #[arg(long)]
    resize: bool,
    #[command(flatten)]
    texts: TextArgs,
    /// One JSON object with all results and costs instead of lines of numbers.
    #[arg(long)]
    json: bool,
}

impl Embed {
    /// Prints an embedding on each line, in the order of the inputs: its numbers with spaces between them.
    ///
    /// # Errors
    /// As [`Infer::run`]; [`Error::Config`] for a model whose result is no embedding.
    pub fn run(self, stop: &Stop) -> Result<(), Error> {
        let Self { config, images, resize, texts, json } = self;
        let form = if json { Form::Document } else { Form::Rows };
        let infer =
            Infer { config, images, resize, texts, limit: usize::MAX, json, json_lines: false };
        infer.all(form, true, stop)
    }
}

/// The first line with `--json-lines`; a line for each picture or text follows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupLine {
    /// Masked weights received.
    pub setup_bytes: u64,
    /// Seconds from connecting to having them.
    pub setup_s: f64,
    /// The model, as the server's log names it.
    pub model: String,
    /// Images that it was calibrated on.
    pub calibrated_on: usize,
}

/// What became of a picture or text.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Done(Answer),
    Unread(Unread),
}

/// The JSON object; with an error and the exit code where not all was done.
#[derive(Default, Serialize)]
struct Document {
    setup: SetupLine,
    results: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

enum Form {
    Table(Columns),
    Document,
    Lines,
    /// Embeddings alone.
    Rows,
}

/// Prints results as they come.
struct Results {
    form: Form,
    document: Document,
    /// Where each result belongs: texts of one length are evaluated together.
    places: Vec<usize>,
    unread: Vec<String>,
    /// There are no logits to show.
    class_only: bool,
    bar: ProgressBar,
}

impl Results {
    fn setup(&mut self, setup: SetupLine) -> Result<(), Error> {
        self.document.setup = setup;
        match &self.form {
            Form::Lines => print::json_line(&self.document.setup),
            _ => Ok(()),
        }
    }

    fn add(&mut self, place: usize, line: Line) -> Result<(), Error> {
        if let Line::Unread(unread) = &line {
            self.unread.push(unread.error.clone());
        }
        match &mut self.form {
            Form::Lines => print::json_line(&line)?,
            Form::Table(columns) => {
                let text = match &line {
                    Line::Done(r) => columns.line(&cells(r, self.class_only)),
                    Line::Unread(r) => format!("{}: {}", r.name, r.error),
                };
                self.bar.suspend(|| print::line(text))?;
            }
            Form::Document | Form::Rows => {}
        }
        self.bar.inc(1);
        self.places.push(place);
        self.document.results.push(line);
        Ok(())
    }

    /// Prints what is due at the end.
    fn end(mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.bar.finish_and_clear();
        let of = self.document.results.len();
        let result = match result {
            Ok(()) if !self.unread.is_empty() => Err(Error::Inputs { failed: self.unread, of }),
            result => result,
        };
        let results = std::mem::take(&mut self.document.results);
        let mut placed: Vec<(usize, Line)> = self.places.into_iter().zip(results).collect();
        placed.sort_by_key(|(place, _)| *place);
        self.document.results = placed.into_iter().map(|(_, line)| line).collect();
        if let Err(e) = &result {
            self.document.error = Some(e.to_string());
            self.document.exit_code = Some(e.exit_code());
        }
        let batch = self.document.results.iter().find_map(|line| match line {
            Line::Done(r) => Some(r.batch),
            Line::Unread(_) => None,
        });
        match (self.form, batch) {
            (Form::Document, _) => print::json(&self.document)?,
            (Form::Rows, _) => {
                for line in &self.document.results {
                    if let Line::Done(Answer { found: Found::Embedding { embedding }, .. }) = line {
                        let numbers = embedding.iter().map(f64::to_string);
                        print::line(numbers.collect::<Vec<_>>().join(" "))?;
                    }
                }
            }
            (Form::Table(_), Some(batch)) => print::line(format!(
                "setup {} in {:.2} s, once; offline and online are per evaluation of {batch} image(s) or text(s)",
                report::bytes(self.document.setup.setup_bytes),
                self.document.setup.setup_s,
            ))?,
            _ => {}
        }
        result
    }
}

fn cells(r: &Answer, class_only: bool) -> [String; 7] {
    let [found, logit] = r.found.told(!class_only);
    [
        r.name.clone(),
        found,
        logit,
        format!("{:.3}", r.costs.offline_s),
        format!("{:.3}", r.costs.online_s),
        report::bytes(r.costs.from_server + r.costs.from_client),
        r.costs.flights.to_string(),
    ]
}

/// What was given, before anybody is asked.
enum Given {
    Pictures(Inputs),
    Texts(Arc<Lexicon>, Vec<Query>, Vec<Unread>),
}

impl Infer {
    /// Evaluates and prints.
    ///
    /// # Errors
    /// [`Error::Inputs`] for pictures or texts that could not be evaluated while others were; [`Error::Stopped`] after a
    /// signal; those of [`Stream`]. What was found before is printed.
    pub fn run(&self, stop: &Stop) -> Result<(), Error> {
        let form = match (self.json, self.json_lines) {
            (true, _) => Form::Document,
            (_, true) => Form::Lines,
            _ => {
                let input = if self.texts.are_given() { "text" } else { "image" };
                Form::Table(Columns::new(
                    &[input, "class", "logit", "offline s", "online s", "online", "flights"],
                    2,
                ))
            }
        };
        self.all(form, false, stop)
    }

    fn all(&self, form: Form, embed: bool, stop: &Stop) -> Result<(), Error> {
        let config: ClientConfig = config::load(&self.config)?;
        let given = self.given(&config)?;
        let style = ProgressStyle::with_template("{msg:<16} {bar:30} {pos}/{len} {eta}");
        let bar = ProgressBar::no_length().with_style(style.expect("a fixed template"));
        let (document, places, unread) = (Document::default(), Vec::new(), Vec::new());
        let mut results = Results { form, document, places, unread, class_only: false, bar };
        let done = self.evaluate(&config, given, embed, stop, &mut results);
        results.end(done)
    }

    fn given(&self, config: &ClientConfig) -> Result<Given, Error> {
        if !self.texts.are_given() {
            return Ok(Given::Pictures(Inputs::find(&self.images, Fit::Exact, self.limit)?));
        }
        let folder = config.lexicon.as_ref().ok_or_else(|| {
            let why = "texts need `lexicon = FOLDER`, the folder that `sotto lexicon` writes where the model is";
            Error::Config(format!("{}: {why}", self.config.display()))
        })?;
        let lexicon = Lexicon::load(&config::folder(&self.config).join(folder))?;
        let texts = self.texts.read(self.limit)?;
        let (queries, unread) = texts.queries(&lexicon, self.texts.long());
        Ok(Given::Texts(Arc::new(lexicon), queries, unread))
    }

    fn evaluate(
        &self,
        config: &ClientConfig,
        given: Given,
        embed: bool,
        stop: &Stop,
        results: &mut Results,
    ) -> Result<(), Error> {
        let (what, lexicon, none) = match &given {
            Given::Pictures(inputs) => ("images", None, inputs.all_wrong()),
            Given::Texts(lexicon, queries, unread) => {
                let none = queries.is_empty().then(|| unread.clone());
                ("texts", Some(Arc::clone(lexicon)), none)
            }
        };
        if let Some(all) = none {
            let mut all = all.into_iter().enumerate();
            return all.try_for_each(|(i, unread)| results.add(i, Line::Unread(unread)));
        }
        let rows = match &given {
            Given::Pictures(_) => None,
            Given::Texts(_, queries, _) => queries.iter().filter_map(Query::rows).min(),
        };
        let bar = results.bar.clone();
        bar.set_message("masked weights");
        let progress = |got: u64, all: u64| {
            bar.set_length(all);
            bar.set_position(got);
        };
        let base = config::folder(&self.config);
        let wanted = Wanted { rows, lexicon: lexicon.clone() };
        let mut stream = Stream::open(config, base, wanted, stop, &progress)?;
        let setup = stream.client().map(|client| SetupLine {
            setup_bytes: client.setup_bytes,
            setup_s: client.setup_s,
            model: client.model(),
            calibrated_on: client.calibrated_on(),
        });
        let setup = setup.unwrap_or_default();
        let warning = calibrate::thin("the server's model", setup.calibrated_on, what);
        if let Some(warning) = warning {
            print::say(warning);
        }
        results.setup(setup)?;
        let private = stream.private();
        results.class_only = private.reveal == Reveal::Class;
        if embed && !matches!(private.model.output, Output::Embedding { .. }) {
            let why = "the server's model gives classes, no embedding: use `sotto infer`";
            return Err(Error::Config(why.into()));
        }
        let (queries, mut unread) = match given {
            Given::Texts(_, queries, unread) => (queries, unread),
            Given::Pictures(inputs) => {
                let inputs = inputs.fitted(fit(stream.card().framing, self.resize));
                let (pictures, unread) = inputs.load(&private.model);
                (pictures.into_iter().map(Query::Picture).collect(), unread)
            }
        };
        let queries = checked(&private, lexicon.as_deref(), queries, &mut unread)?;
        bar.set_message(what);
        bar.set_position(0);
        bar.set_length((queries.len() + unread.len()) as u64);
        if let Form::Table(columns) = &mut results.form {
            let labels = (0..private.model.output.classes()).map(|c| label(&private.model, c));
            columns.fit(0, queries.iter().map(Query::name));
            columns.fit(1, labels.collect::<Vec<_>>().iter().map(String::as_str));
            let header = columns.header();
            bar.suspend(|| print::line(header))?;
        }
        let last = queries.len();
        for (i, unread) in unread.into_iter().enumerate() {
            results.add(last + i, Line::Unread(unread))?;
        }
        // All of one length, the shortest first.
        let mut order: Vec<usize> = (0..queries.len()).collect();
        order.sort_by_key(|&i| queries[i].rows());
        for same in order.chunk_by(|&a, &b| queries[a].rows() == queries[b].rows()) {
            let chunks = same.chunks(private.batch);
            let all = chunks.len();
            for (i, chunk) in chunks.enumerate() {
                let asked: Vec<Query> = chunk.iter().map(|&i| queries[i].clone()).collect();
                let answers = stream.answer(&asked, all - i)?;
                let mut placed = chunk.iter().zip(answers);
                placed.try_for_each(|(&place, answer)| results.add(place, Line::Done(answer)))?;
            }
        }
        stream.leave();
        Ok(())
    }
}

/// Those that the model takes.
fn checked(
    private: &Private,
    lexicon: Option<&Lexicon>,
    mut queries: Vec<Query>,
    unread: &mut Vec<Unread>,
) -> Result<Vec<Query>, Error> {
    let mut wrong = None;
    queries.retain(|query| match query.input(&private.model, lexicon) {
        Ok(input) => {
            let name = query.name().to_owned();
            let bad = private.check_input(&input).err();
            let fine = bad.is_none();
            unread.extend(bad.map(|e| Unread { error: format!("{name}: {e}"), name }));
            fine
        }
        Err(e) => {
            wrong.get_or_insert(e);
            false
        }
    });
    wrong.map_or(Ok(queries), Err)
}

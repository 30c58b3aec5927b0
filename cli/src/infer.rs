//! `sotto infer`: what it is told, and what it prints.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use sotto_models::{
    images::{Fit, Picture, normalise},
    private::Reveal,
};

use crate::{
    calibrate,
    client::{Classified, Stream, label},
    config::{self, ClientConfig},
    error::Error,
    inputs::{Inputs, Unread},
    print,
    report::{self, Columns},
    stop::Stop,
};

/// What `sotto infer` is told.
#[derive(Args)]
pub struct Infer {
    /// client.toml
    #[arg(long)]
    config: PathBuf,
    /// PNG or JPEG, folders of these, CIFAR .bin or .tar.gz, or the folder of CIFAR or Tiny-ImageNet.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Centre-crop and resize pictures of another size.
    #[arg(long)]
    resize: bool,
    /// At most so many pictures.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// One JSON object at the end instead of a table.
    #[arg(long)]
    json: bool,
    /// One JSON object a line as results come.
    #[arg(long, conflicts_with = "json")]
    json_lines: bool,
}

/// The first line with `--json-lines`; a line for each picture follows.
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

/// What became of a picture.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Done(Classified),
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
}

/// Prints results as they come.
struct Results {
    form: Form,
    document: Document,
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

    fn add(&mut self, line: Line) -> Result<(), Error> {
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
            Form::Document => {}
        }
        self.bar.inc(1);
        self.document.results.push(line);
        Ok(())
    }

    /// Prints what is due at the end.
    fn end(mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.bar.finish_and_clear();
        let of = self.document.results.len();
        let result = match result {
            Ok(()) if !self.unread.is_empty() => Err(Error::Pictures { failed: self.unread, of }),
            result => result,
        };
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
            (Form::Table(_), Some(batch)) => print::line(format!(
                "setup {} in {:.2} s, once; offline and online are per evaluation of {batch} image(s)",
                report::bytes(self.document.setup.setup_bytes),
                self.document.setup.setup_s,
            ))?,
            _ => {}
        }
        result
    }
}

fn cells(r: &Classified, class_only: bool) -> [String; 7] {
    let logit = r.logits.get(r.class).filter(|_| !class_only);
    [
        r.name.clone(),
        r.class_name.clone(),
        logit.map_or("-".into(), |logit| format!("{logit:.3}")),
        format!("{:.3}", r.costs.offline_s),
        format!("{:.3}", r.costs.online_s),
        report::bytes(r.costs.from_server + r.costs.from_client),
        r.costs.flights.to_string(),
    ]
}

impl Infer {
    /// Classifies and prints.
    ///
    /// # Errors
    /// [`Error::Pictures`] for pictures that could not be classified while others were; [`Error::Stopped`] after a
    /// signal; those of [`Stream`]. What was found before is printed.
    pub fn run(&self, stop: &Stop) -> Result<(), Error> {
        let config: ClientConfig = config::load(&self.config)?;
        let fit = if self.resize { Fit::Resize } else { Fit::Exact };
        let inputs = Inputs::find(&self.images, fit, self.limit)?;
        let form = match (self.json, self.json_lines) {
            (true, _) => Form::Document,
            (_, true) => Form::Lines,
            _ => Form::Table(Columns::new(
                &["image", "class", "logit", "offline s", "online s", "online", "flights"],
                2,
            )),
        };
        let style = ProgressStyle::with_template("{msg:<16} {bar:30} {pos}/{len} {eta}");
        let bar = ProgressBar::no_length().with_style(style.expect("a fixed template"));
        let (document, unread) = (Document::default(), Vec::new());
        let mut results = Results { form, document, unread, class_only: false, bar };
        let done = self.classify(&config, &inputs, stop, &mut results);
        results.end(done)
    }

    fn classify(
        &self,
        config: &ClientConfig,
        inputs: &Inputs,
        stop: &Stop,
        results: &mut Results,
    ) -> Result<(), Error> {
        if let Some(all) = inputs.all_wrong() {
            return all.into_iter().try_for_each(|unread| results.add(Line::Unread(unread)));
        }
        let bar = results.bar.clone();
        bar.set_message("masked weights");
        let progress = |got: u64, all: u64| {
            bar.set_length(all);
            bar.set_position(got);
        };
        let base = config::folder(&self.config);
        let mut stream = Stream::open(config, base, stop, &progress)?;
        let setup = stream.client().map(|client| SetupLine {
            setup_bytes: client.setup_bytes,
            setup_s: client.setup_s,
            model: client.model(),
            calibrated_on: client.calibrated_on(),
        });
        let setup = setup.unwrap_or_default();
        let warning = calibrate::thin("the server's model", setup.calibrated_on, "images");
        if let Some(warning) = warning {
            print::say(warning);
        }
        results.setup(setup)?;
        let private = stream.private();
        results.class_only = private.reveal == Reveal::Class;
        let model = &private.model;
        let pixels =
            model.pixels().ok_or_else(|| Error::Config(format!("`{}` takes words", model.name)))?;
        let (mut pictures, mut unread) = inputs.load(model);
        pictures.retain(|picture: &Picture| {
            let checked = private.check_input(&normalise(pixels, picture));
            let name = picture.name.clone();
            let bad = checked.err().map(|e| Unread { error: format!("{name}: {e}"), name });
            let is_fine = bad.is_none();
            unread.extend(bad);
            is_fine
        });
        bar.set_message("images");
        bar.set_position(0);
        bar.set_length((pictures.len() + unread.len()) as u64);
        if let Form::Table(columns) = &mut results.form {
            let labels = (0..model.output.classes()).map(|class| label(model, class));
            columns.fit(0, pictures.iter().map(|p| p.name.as_str()));
            columns.fit(1, labels.collect::<Vec<_>>().iter().map(String::as_str));
            let header = columns.header();
            bar.suspend(|| print::line(header))?;
        }
        unread.into_iter().try_for_each(|unread| results.add(Line::Unread(unread)))?;
        let chunks = pictures.chunks(private.batch);
        let all = chunks.len();
        for (i, chunk) in chunks.enumerate() {
            let classified = stream.classify(chunk, all - i)?;
            classified.into_iter().try_for_each(|r| results.add(Line::Done(r)))?;
        }
        stream.leave();
        Ok(())
    }
}

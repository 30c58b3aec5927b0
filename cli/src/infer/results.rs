//! What `sotto infer` prints as results come, and at the end.

use indicatif::ProgressBar;
use serde::Serialize;
use tracing::Level;

use super::SetupLine;
use crate::{
    client::{Answer, Costs},
    ending::{Failed, document},
    error::Error,
    inputs::Unread,
    print,
    report::{self, Columns},
};

/// What became of a picture or text.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Done(Answer),
    Unread(Unread),
}

impl Line {
    fn costs(&self) -> Option<&Costs> {
        match self {
            Line::Done(answer) => Some(&answer.costs),
            Line::Unread(_) => None,
        }
    }
}

/// The JSON object.
#[derive(Default, Serialize)]
pub(super) struct Document {
    pub setup: SetupLine,
    results: Vec<Line>,
    /// Batches that wait on both disks, where they were filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
}

/// The last line with `--json-lines`, where batches were made.
#[derive(Serialize)]
struct Waiting {
    waiting: usize,
}

pub(super) enum Form {
    Table(Columns),
    Document,
    Lines,
    /// Embeddings alone.
    Rows,
}

/// Prints results as they come.
pub(super) struct Results {
    pub form: Form,
    pub document: Document,
    /// Where each result belongs: texts of one length are evaluated together.
    pub places: Vec<usize>,
    pub unread: Vec<String>,
    /// `images` or `texts`.
    pub what: &'static str,
    pub bar: ProgressBar,
}

impl Results {
    pub fn setup(&mut self, setup: SetupLine) -> Result<(), Error> {
        self.document.setup = setup;
        match &self.form {
            Form::Lines => print::json_line(&self.document.setup),
            _ => Ok(()),
        }
    }

    pub fn add(&mut self, place: usize, line: Line) -> Result<(), Error> {
        if let Line::Unread(unread) = &line {
            self.unread.push(unread.error.clone());
        }
        match &mut self.form {
            Form::Lines => print::json_line(&line)?,
            Form::Table(columns) => {
                let text = match &line {
                    Line::Done(r) => columns.line(&cells(r)),
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
    pub fn end(mut self, result: Result<(), Error>) -> Result<(), Failed> {
        self.bar.finish_and_clear();
        let of = self.document.results.len();
        let result = match result {
            Ok(()) if !self.unread.is_empty() => {
                Err(Error::Inputs { what: self.what, failed: self.unread, of })
            }
            result => result,
        };
        let results = std::mem::take(&mut self.document.results);
        let mut placed: Vec<(usize, Line)> = self.places.into_iter().zip(results).collect();
        placed.sort_by_key(|(place, _)| *place);
        self.document.results = placed.into_iter().map(|(_, line)| line).collect();
        let batch = self.document.results.iter().find_map(|line| match line {
            Line::Done(r) => Some(r.batch),
            Line::Unread(_) => None,
        });
        if let Some(waiting) = self.document.waiting {
            let text = format!("{waiting} batches wait on the disks of both");
            match &self.form {
                Form::Table(_) => print::line(text)?,
                Form::Lines => print::json_line(&Waiting { waiting })?,
                Form::Rows => print::say(Level::INFO, text),
                Form::Document => {}
            }
        }
        match (self.form, batch) {
            (Form::Document, _) => return document(&self.document, result),
            (Form::Rows, _) => {
                for line in &self.document.results {
                    let numbers = match line {
                        Line::Done(answer) => answer.found.numbers(),
                        Line::Unread(_) => Vec::new(),
                    };
                    let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
                    print::line(numbers.join(" "))?;
                }
            }
            (Form::Table(_), Some(batch)) => {
                print::line(format!(
                    "setup {} in {:.2} s, once; seconds and flights are those of an evaluation of {batch} image(s) or text(s), \
                     bytes each one's share",
                    report::bytes(self.document.setup.setup_bytes),
                    self.document.setup.setup_s,
                ))?;
                let costs: Vec<&Costs> =
                    self.document.results.iter().filter_map(Line::costs).collect();
                if let Some(text) = waited(&costs) {
                    print::line(text)?;
                }
            }
            _ => {}
        }
        Ok(result?)
    }
}

/// What is said of batches that were made before and waited on both disks; nothing where none had.
fn waited(costs: &[&Costs]) -> Option<String> {
    let batches = |of: &[&Costs]| -> f64 { of.iter().map(|c| 1.0 / c.shared_by as f64).sum() };
    let waited: Vec<&Costs> = costs.iter().filter(|c| c.waited).copied().collect();
    let first = waited.first()?;
    let bytes = waited.iter().map(|c| c.offline_bytes).sum();
    Some(format!(
        "{:.0} of {:.0} batches were made with the server before, {} in all, each in {} flights, and waited on both disks",
        batches(&waited),
        batches(costs),
        report::bytes(bytes),
        first.offline_flights
    ))
}

fn cells(r: &Answer) -> [String; 7] {
    let [found, logit] = r.found.told();
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

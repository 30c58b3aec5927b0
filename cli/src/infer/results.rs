//! What `sotto infer` prints as results come, and at the end.

use indicatif::ProgressBar;
use serde::Serialize;

use super::SetupLine;
use crate::{
    client::{Answer, Costs},
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

/// The JSON object; with an error and the exit code where not all was done.
#[derive(Default, Serialize)]
pub(super) struct Document {
    pub setup: SetupLine,
    results: Vec<Line>,
    /// Batches that wait on both disks, where they were filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
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
    /// There are no logits to show.
    pub class_only: bool,
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
    pub fn end(mut self, result: Result<(), Error>) -> Result<(), Error> {
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
        if let Err(e) = &result {
            self.document.error = Some(e.to_string());
            self.document.exit_code = Some(e.exit_code());
        }
        let batch = self.document.results.iter().find_map(|line| match line {
            Line::Done(r) => Some(r.batch),
            Line::Unread(_) => None,
        });
        if let (Form::Table(_), Some(waiting)) = (&self.form, self.document.waiting) {
            print::line(format!("{waiting} batches wait on the disks of both"))?;
        }
        match (self.form, batch) {
            (Form::Document, _) => print::json(&self.document)?,
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
                    "setup {} in {:.2} s, once; offline and online are per evaluation of {batch} image(s) or text(s)",
                    report::bytes(self.document.setup.setup_bytes),
                    self.document.setup.setup_s,
                ))?;
                let costs: Vec<&Costs> =
                    self.document.results.iter().filter_map(Line::costs).step_by(batch).collect();
                if let Some(first) = costs.iter().find(|costs| costs.waited) {
                    print::line(format!(
                        "{} of {} batches were made with the server before, {} each in {} flights, and waited on both disks",
                        costs.iter().filter(|costs| costs.waited).count(),
                        costs.len(),
                        report::bytes(first.offline_bytes),
                        first.offline_flights
                    ))?;
                }
            }
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

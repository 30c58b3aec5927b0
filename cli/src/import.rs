//! `sotto import`: a folder of Hugging Face becomes a model folder.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use sotto_import::{Choices, Report, import};
use sotto_models::model::{Input, Model, Output, Pool};

use crate::{error::Error, print};

/// What `sotto import` is told.
#[derive(Args)]
pub struct Import {
    /// Folder with config.json, model.safetensors (or shards with model.safetensors.index.json), and tokenizer.json or
    /// preprocessor_config.json; where there is a modules.json, what it names.
    folder: PathBuf,
    /// Folder to write: arch.toml, weights.safetensors, and tokenizer.json or picture.toml. It must not be there yet.
    #[arg(long)]
    out: PathBuf,
    /// What the model is called; otherwise as its folder.
    #[arg(long)]
    name: Option<String>,
    /// The result is an embedding, whatever head the checkpoint has: the mean of the words' or patches' rows, or the
    /// first row.
    #[arg(long, value_enum, value_name = "ROWS")]
    embedding: Option<Rows>,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Which rows make an embedding.
#[derive(Clone, Copy, ValueEnum)]
enum Rows {
    /// Their mean.
    Mean,
    /// The first.
    First,
}

/// The JSON object.
#[derive(Serialize)]
struct Said<'a> {
    model: &'a str,
    out: &'a str,
    input: &'a Input,
    output: &'a Output,
    layers: usize,
    heads: usize,
    width: usize,
    hidden: usize,
    #[serde(flatten)]
    report: &'a Report,
}

impl Import {
    /// Imports the folder and says what was found.
    ///
    /// # Errors
    /// [`Error::Import`] for a folder that we cannot take; [`Error::Output`] and [`Error::Closed`] as all commands.
    pub fn run(&self) -> Result<(), Error> {
        let embedding = self.embedding.map(|rows| match rows {
            Rows::Mean => Pool::Mean,
            Rows::First => Pool::First,
        });
        let choices = Choices { name: self.name.clone(), embedding };
        let bar = ProgressBar::new_spinner().with_message("reading");
        bar.enable_steady_tick(Duration::from_millis(200));
        let imported = import(&self.folder, &choices, &mut |done, all| {
            bar.set_message(format!("{done} of {all} tensors"));
        })?;
        bar.set_message("writing");
        imported.save(&self.out)?;
        bar.finish_and_clear();
        let (model, report) = (&imported.model, &imported.report);
        let out = self.out.display().to_string();
        if !self.json {
            return lines(&out, model, report).into_iter().try_for_each(print::line);
        }
        let stack = &model.stack;
        print::json(&Said {
            model: &model.name,
            out: &out,
            input: &model.input,
            output: &model.output,
            layers: stack.layers,
            heads: stack.heads,
            width: stack.width,
            hidden: stack.hidden,
            report,
        })
    }
}

/// What a person reads.
fn lines(out: &str, model: &Model, report: &Report) -> Vec<String> {
    let s = &model.stack;
    let (family, parameters) = (report.family, report.parameters as f64 / 1e6);
    let number = if report.half { "f16" } else { "f32" };
    let mut all = vec![format!(
        "{out}: {}, of the family {family}: {} layers, {} heads, width {}, MLP {}; {parameters:.1} M parameters as {number}",
        model.name, s.layers, s.heads, s.width, s.hidden
    )];
    all.push(match &model.input {
        Input::Pixels(p) => {
            format!("input: pictures of {0} x {0}, patches of {1} x {1}", p.image, p.patch)
        }
        Input::Words(w) => {
            let (words, positions) = (w.vocabulary, w.positions);
            format!("input: texts of 1 to {positions} tokens, {words} words; the table of words is public")
        }
        _ => "input: of another kind".into(),
    });
    all.push(match &model.output {
        Output::Classes(c) => format!("output: {} classes", c.classes),
        Output::Tokens { classes } => format!("output: {classes} classes for each token"),
        Output::Embedding { pool, normalise } => {
            let rows = if *pool == Pool::Mean { "the mean of the rows" } else { "the first row" };
            let length = if *normalise { ", of length 1" } else { "" };
            format!("output: an embedding of {} numbers, {rows}{length}", s.width)
        }
        _ => "output: of another kind".into(),
    });
    if !report.skipped.is_empty() {
        let numbers: usize = report.skipped.iter().map(|(_, n)| n).sum();
        let names: Vec<&str> = report.skipped.iter().map(|(name, _)| &name[..]).collect();
        all.push(format!("skipped, {numbers} numbers: {}", names.join(", ")));
    }
    if let Some(hash) = &report.tokenizer {
        all.push(format!("tokenizer: {hash}"));
    }
    all.extend(report.notes.iter().map(|note| format!("note: {note}")));
    all
}

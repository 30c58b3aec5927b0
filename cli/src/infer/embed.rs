//! `sotto embed`: an embedding a line.

use std::path::PathBuf;

use clap::Args;

use super::{Form, Infer};
use crate::{error::Error, stop::Stop, texts::TextArgs};

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
    /// Prints an embedding on each line, in the order of the inputs: its numbers with spaces between them, and an empty line for
    /// what was not evaluated.
    ///
    /// # Errors
    /// As [`Infer::run`]; [`Error::Config`] for a model whose result is no embedding.
    pub fn run(self, stop: &Stop) -> Result<(), Error> {
        let Self { config, images, resize, texts, json } = self;
        let form = if json { Form::Document } else { Form::Rows };
        let (limit, fill, json_lines) = (usize::MAX, false, false);
        let (lengths, only_folder) = (Vec::new(), false);
        let infer = Infer {
            config,
            images,
            resize,
            texts,
            fill,
            lengths,
            only_folder,
            limit,
            json,
            json_lines,
        };
        infer.all(form, true, stop)
    }
}

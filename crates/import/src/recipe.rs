//! How a model is made of a checkpoint: what it is, and where each of its tensors comes from.

use std::collections::{BTreeMap, BTreeSet};

use sotto_models::Model;

use crate::{
    checkpoint::Checkpoint,
    error::{Error, listed},
    picture::Framing,
    resize::{Kernel, resize},
};

/// A table of names: ours, and those of the checkpoint's that are stacked to make it. `N` is a layer's number; a name stands
/// for its `.weight` and `.bias`, or for itself where it has neither.
pub(crate) type Names = [(&'static str, &'static [&'static str])];

/// A model that was validated, and where its tensors come from.
pub(crate) struct Recipe {
    pub model: Model,
    /// By our name.
    pub sources: BTreeMap<String, Source>,
    /// Names that are known to be of no use here: a whole one, or a beginning (`cls.*`) or end (`*.position_ids`).
    pub skip: Vec<String>,
    /// How a picture becomes the model's.
    pub framing: Option<Framing>,
    /// What the owner should know.
    pub notes: Vec<String>,
}

/// A tensor of the checkpoint: name and shape.
pub(crate) type Piece = (String, Vec<usize>);

/// Where a tensor comes from.
pub(crate) enum Source {
    /// One under the other, in memory's order.
    Stack(Vec<Piece>),
    /// As many rows as are needed, from one on.
    Rows { piece: Piece, first: usize },
    /// LayerScale: row i of a map, or element i of its bias, times element i of `scale`.
    Scaled { piece: Piece, scale: Piece },
    /// Two heads of which the mean is taken: halves of both matrices side by side, or half the sum of the biases.
    Mean(Piece, Piece),
    /// Positions of a square grid of patches.
    Grid(Grid),
}

/// What a checkpoint gave.
pub(crate) struct Filled {
    /// The values of all tensors by our names.
    pub values: BTreeMap<String, Vec<f32>>,
    /// The checkpoint's tensors that were skipped.
    pub skipped: Vec<String>,
}

/// Positions of a square grid of patches, resized to another.
pub(crate) struct Grid {
    pub piece: Piece,
    /// For each of the model's leading rows the stored one that it takes, if it takes one.
    pub lead: Vec<Option<usize>>,
    /// Leading rows that are stored.
    pub stored: usize,
    /// Sides of the stored grid and of the model's.
    pub from: usize,
    pub to: usize,
    pub kernel: Kernel,
}

impl Source {
    fn pieces(&self) -> Vec<&Piece> {
        match self {
            Source::Stack(pieces) => pieces.iter().collect(),
            Source::Rows { piece, .. } => vec![piece],
            Source::Grid(grid) => vec![&grid.piece],
            Source::Scaled { piece, scale } => vec![piece, scale],
            Source::Mean(a, b) => vec![a, b],
        }
    }

    /// The tensor's values.
    fn read(&self, shape: &[usize], checkpoint: &Checkpoint) -> Result<Vec<f32>, Error> {
        let read = |piece: &Piece| checkpoint.read(&piece.0);
        Ok(match self {
            Source::Stack(pieces) => {
                let mut all = read(&pieces[0])?;
                for piece in &pieces[1..] {
                    all.extend(read(piece)?);
                }
                all
            }
            Source::Rows { piece, first } => {
                let row: usize = piece.1[1..].iter().product();
                let mut all = read(piece)?;
                all.drain(..first * row);
                all.truncate(shape.iter().product());
                all
            }
            Source::Scaled { piece, scale } => {
                let (mut all, scale) = (read(piece)?, read(scale)?);
                let row = all.len() / scale.len();
                for (row, s) in all.chunks_exact_mut(row).zip(&scale) {
                    row.iter_mut().for_each(|x| *x *= s);
                }
                all
            }
            Source::Mean(a, b) => {
                let ([a, b], matrix) = ([read(a)?, read(b)?], a.1.len() == 2);
                if matrix {
                    let row = shape[1] / 2;
                    let rows = a.chunks_exact(row).zip(b.chunks_exact(row));
                    rows.flat_map(|(a, b)| [a, b]).flatten().map(|x| x / 2.0).collect()
                } else {
                    a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect()
                }
            }
            Source::Grid(grid) => {
                let d = *shape.last().expect("positions have a width");
                let all = read(&grid.piece)?;
                let (lead, patches) = all.split_at(grid.stored * d);
                let mut rows = Vec::with_capacity(shape.iter().product());
                for row in &grid.lead {
                    match row {
                        Some(i) => rows.extend_from_slice(&lead[i * d..(i + 1) * d]),
                        None => rows.resize(rows.len() + d, 0.0),
                    }
                }
                rows.extend(resize(patches, grid.from, grid.to, d, grid.kernel));
                rows
            }
        })
    }
}

/// The sources of those tensors of `model` that `names` has, each of `prefix` and the checkpoint's name.
///
/// Shapes follow from the model's: a stack's pieces are equal parts of it.
pub(crate) fn sources(model: &Model, names: &Names, prefix: &str) -> BTreeMap<String, Source> {
    let mut all = BTreeMap::new();
    for (ours, shape) in model.tensors() {
        let (map, part) = match ours.rsplit_once('.') {
            Some((map, part @ ("weight" | "bias"))) => (map, format!(".{part}")),
            _ => (&ours[..], String::new()),
        };
        let layer = map.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        let key = match layer {
            Some((_, rest)) => format!("blocks.N.{rest}"),
            None => map.to_owned(),
        };
        let Some((_, theirs)) = names.iter().find(|(name, _)| *name == key) else { continue };
        let mut shape = shape;
        shape[0] /= theirs.len();
        let number = layer.map_or("", |(n, _)| n);
        let piece = |name: &&str| (numbered(prefix, name, number) + &part, shape.clone());
        let pieces = theirs.iter().map(piece).collect();
        all.insert(ours.clone(), Source::Stack(pieces));
    }
    all
}

/// `prefix` and `name`, whose component `N` is the number of a layer.
fn numbered(prefix: &str, name: &str, layer: &str) -> String {
    let parts: Vec<&str> = name.split('.').map(|p| if p == "N" { layer } else { p }).collect();
    format!("{prefix}{}", parts.join("."))
}

impl Recipe {
    /// A model whose tensors come from nowhere yet. It is validated here, before a family makes lists and sums of its sizes,
    /// which a folder may say as it likes.
    ///
    /// # Errors
    /// [`Error::Model`] for a description, or a framing of pictures, that is out of bounds.
    pub fn new(
        model: Model,
        skip: Vec<String>,
        framing: Option<Framing>,
        notes: Vec<String>,
    ) -> Result<Self, Error> {
        model.validate()?;
        if let (Some(framing), Some(pixels)) = (&framing, model.pixels()) {
            framing.validate(pixels)?;
        }
        Ok(Recipe { model, sources: BTreeMap::new(), skip, framing, notes })
    }

    /// Multiplies a LayerScale into maps: `scales` has our map and the checkpoint's scale.
    pub fn scale(&mut self, scales: &[(&str, &str)], prefix: &str) {
        let d = self.model.stack.width;
        for layer in 0..self.model.stack.layers {
            for (ours, theirs) in scales {
                for part in ["weight", "bias"] {
                    let name = numbered("", ours, &layer.to_string()) + "." + part;
                    let Some(Source::Stack(mut pieces)) = self.sources.remove(&name) else {
                        unreachable!("`{name}` has a source of one piece");
                    };
                    let piece = pieces.remove(0);
                    let scale = (numbered(prefix, theirs, &layer.to_string()), vec![d]);
                    self.sources.insert(name, Source::Scaled { piece, scale });
                }
            }
        }
    }

    /// The values of all tensors by our names, and the checkpoint's tensors that were skipped.
    ///
    /// All names, shapes and types are compared before a value is read.
    ///
    /// # Errors
    /// [`Error::Tensors`] for tensors that are missing, or that are
    /// neither used nor known to be skippable; [`Error::Tensor`] for one of another shape or type or with a value that is not
    /// finite.
    ///
    /// # Panics
    /// Where a tensor of the model has no source.
    pub fn fill(
        &self,
        checkpoint: &Checkpoint,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Filled, Error> {
        let shapes = self.model.tensors();
        let source = |name: &str| {
            self.sources.get(name).unwrap_or_else(|| panic!("`{name}` comes from nowhere"))
        };
        let pieces: Vec<&Piece> =
            shapes.iter().flat_map(|(name, _)| source(name).pieces()).collect();
        let (mut used, mut missing) = (BTreeSet::new(), Vec::new());
        for (name, _) in &pieces {
            match checkpoint.own_name(name) {
                Some(own) => drop(used.insert(own)),
                None => missing.push(&name[..]),
            }
        }
        let unused: Vec<&str> = checkpoint.names().filter(|n| !used.contains(n)).collect();
        let (skipped, extra): (Vec<&str>, _) =
            unused.into_iter().partition(|n| self.skip.iter().any(|s| matches(s, n)));
        if !missing.is_empty() {
            let also = match extra.len() {
                0 => String::new(),
                _ => format!("; without a place: {}", listed(extra)),
            };
            let (n, list) = (missing.len(), listed(missing));
            return Err(Error::Tensors(format!(
                "{n} tensors are missing: {list}{also}; is config.json another checkpoint's?"
            )));
        }
        if !extra.is_empty() {
            let (n, list) = (extra.len(), listed(extra));
            return Err(Error::Tensors(format!(
                "{n} tensors have no place: {list}; the model has parts that we do not have, or config.json is another's"
            )));
        }
        for (name, shape) in &pieces {
            checkpoint.check(name, shape)?;
        }
        let (mut values, all) = (BTreeMap::new(), shapes.len());
        for (name, shape) in shapes {
            progress(values.len(), all);
            let read = source(&name).read(&shape, checkpoint)?;
            values.insert(name, read);
        }
        progress(all, all);
        Ok(Filled { values, skipped: skipped.into_iter().map(str::to_owned).collect() })
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

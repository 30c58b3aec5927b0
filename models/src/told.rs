//! What peers are told of a calibration: the widest ranges from which the same format follows.
//!
//! A range says how large a tensor gets on the owner's own images or texts, under its weights; a peer needs the format alone.
//! So ranges that the format does not read are left out, and the ends of others go outwards, one after the other, as far as the
//! format stays. What is left is a text of the format: of a tensor of which only the width counts, its power of two.

use crate::{
    Calibration, Model,
    calibration::HeadGroup,
    format::Format,
    model::Input,
    options::Options,
    probe::Tensor,
    range::{Grid, Range},
};

impl Calibration {
    /// The calibration that gives peers the same plans, and says as little else of the owner's as it can: no hash of the
    /// weights, and of every range no more than the format does. The range of the input stays, to five bits: a client holds its
    /// own input against it. Without a format nobody can trace a plan: the ranges stay, for the reason to be told.
    pub fn told(&self, model: &Model, options: Options) -> Self {
        let mut told = Self { weights: String::new(), ..self.rounded() };
        let Ok(format) = Format::new(model, self, options) else {
            return told;
        };
        let same = |told: &Self| Format::new(model, told, options).is_ok_and(|f| f == format);
        let input = match &model.input {
            Input::Pixels(_) => Tensor::Patches,
            Input::Words(_) => Tensor::Embed,
        };
        let input = (0, input.to_string());
        for layer in 0..told.layers.len() {
            for name in told.layers[layer].keys().cloned().collect::<Vec<_>>() {
                if (layer, &name) == (input.0, &input.1) {
                    continue;
                }
                let range = told.layers[layer].remove(&name).unwrap_or(Range::EMPTY);
                if same(&told) {
                    continue;
                }
                let with = |range| {
                    let mut other = told.clone();
                    other.layers[layer].insert(name.clone(), range);
                    same(&other)
                };
                let widest = widest(range, with);
                told.layers[layer].insert(name, widest);
            }
        }
        for layer in 0..told.groups.len() {
            for group in 0..told.groups[layer].len() {
                let with = |range| {
                    let mut other = told.clone();
                    other.groups[layer][group].range = range;
                    same(&other)
                };
                told.groups[layer][group].range = widest(told.groups[layer][group].range, with);
            }
        }
        for layer in 0..told.heads.len() {
            for group in 0..told.heads[layer].len() {
                for part in HeadGroup::PARTS {
                    let mut heads = told.heads[layer][group];
                    let Some(&mut range) = heads.range_mut(part) else { continue };
                    let with = |range| {
                        let mut other = told.clone();
                        let heads = other.heads[layer][group].range_mut(part);
                        heads.into_iter().for_each(|place| *place = range);
                        same(&other)
                    };
                    let widest = widest(range, with);
                    let place = told.heads[layer][group].range_mut(part);
                    place.into_iter().for_each(|place| *place = widest);
                }
            }
        }
        told
    }
}

/// The range with first its upper, then its lower end as far outwards as `same` holds.
fn widest(range: Range, same: impl Fn(Range) -> bool) -> Range {
    let max = outermost(range.max, |max| same(Range { max, ..range }));
    let range = Range { max, ..range };
    let min = -outermost(-range.min, |end| same(Range { min: -end, ..range }));
    Range { min, ..range }
}

/// The largest number of the grid from `from` on that is taken, where those that are lie together.
fn outermost(from: f32, taken: impl Fn(f32) -> bool) -> f32 {
    let (mut low, mut high) = (Grid::of(from), Grid::LAST);
    while low < high {
        let middle = low.middle(high);
        match taken(middle.value()) {
            true => low = middle,
            false => high = middle.before(),
        }
    }
    low.value()
}

//! Texts as a model's client sees them: numbers of words, and the rows that its public tables make of them.

use ndarray::Array2;

use crate::{
    Error, Model, Weights,
    model::{Input, Words},
    rows::linear,
};

/// A text as its tokenizer numbers it, special words included.
///
/// Security: it is the client's secret; there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// The words' numbers.
    pub words: Vec<u32>,
    /// Each word's kind; empty where all are of kind 0.
    pub kinds: Vec<u32>,
}

impl Text {
    /// The text, and its first word again until there are so many.
    pub fn repeated(&self, words: usize) -> Self {
        let again = |all: &[u32]| {
            let mut all = all.to_vec();
            if let Some(&first) = all.first() {
                all.resize(words.max(all.len()), first);
            }
            all
        };
        Self { words: again(&self.words), kinds: again(&self.kinds) }
    }
}

/// The rows of a text, which are the model's input: words, positions and kinds added, normalised and mapped as the
/// description says. `tables` needs no tensor but the public ones ([`Weights::public`]).
///
/// # Errors
/// [`Error::Text`] for a model of pictures, a text that is empty or too long, or words and kinds that do not exist; it names
/// places and bounds, no word.
///
/// # Panics
/// Where `tables` lacks one of the model's.
pub fn rows(model: &Model, tables: &Weights, text: &Text) -> Result<Vec<f32>, Error> {
    let words = match &model.input {
        Input::Words(words) => words,
        Input::Pixels(_) => {
            return Err(Error::Text(format!("`{}` takes pictures, not words", model.name)));
        }
    };
    check(words, text)?;
    let (n, w) = (text.words.len(), words.width);
    let row = |name: &str, i: usize| &tables.values(name)[i * w..(i + 1) * w];
    let mut x = Array2::<f32>::zeros((n, w));
    for (position, mut out) in x.rows_mut().into_iter().enumerate() {
        let mut add = |row: &[f32]| out.iter_mut().zip(row).for_each(|(x, r)| *x += r);
        add(row("embed.word.weight", text.words[position] as usize));
        add(row("embed.position.weight", position));
        if words.kinds > 0 {
            let kind = text.kinds.get(position).copied().unwrap_or(0);
            add(row("embed.kind.weight", kind as usize));
        }
    }
    if words.norm {
        let norm = tables.norm("embed.norm");
        for mut row in x.rows_mut() {
            let mean = row.sum() / w as f32;
            row -= mean;
            let inverse = 1.0 / (row.dot(&row) / w as f32 + model.stack.eps).sqrt();
            row.iter_mut().zip(norm.weight).zip(norm.bias).for_each(|((x, g), b)| {
                *x = *x * inverse * g + b;
            });
        }
    }
    if w != model.stack.width {
        x = linear(&x, tables.linear("embed.map"));
    }
    Ok(x.into_iter().collect())
}

fn check(words: &Words, text: &Text) -> Result<(), Error> {
    let n = text.words.len();
    if !(1..=words.positions).contains(&n) {
        let most = words.positions;
        return Err(Error::Text(format!("has {n} words; the model takes 1 to {most}: shorten it")));
    }
    if !text.kinds.is_empty() && text.kinds.len() != n {
        return Err(Error::Text(format!("has {n} words and {} kinds", text.kinds.len())));
    }
    let outside = |values: &[u32], count: usize| values.iter().position(|&v| v as usize >= count);
    if let Some(at) = outside(&text.words, words.vocabulary) {
        let most = words.vocabulary;
        return Err(Error::Text(format!(
            "word {at} is not among the {most} of the vocabulary: the tokenizer is another model's"
        )));
    }
    if let Some(at) = outside(&text.kinds, words.kinds.max(1)) {
        let most = words.kinds.max(1);
        return Err(Error::Text(format!("word {at} is of a kind beyond the model's {most}")));
    }
    Ok(())
}

//! Whether a description makes a model, of a size that we are willing to run.
//!
//! It may come from somebody else: every size is bounded before anything is allocated from it.

use super::{Classes, Input, Model, Output, Pixels, Place, Pool, Stack, Words};
use crate::{
    Error,
    kind::{Activation, Attention},
};

/// Most weights that a model may have (4 GiB of float32).
const MAX_PARAMETERS: usize = 1 << 30;
/// Most rows of a picture.
const MAX_TOKENS: usize = 4096;
/// Longest class name, in bytes.
const MAX_LABEL: usize = 256;

impl Model {
    /// Checks that the fields make a model, of a size that we are willing to run.
    ///
    /// # Errors
    /// [`Error::Arch`] names the first field that does not fit, its value, and what is accepted.
    pub fn validate(&self) -> Result<(), Error> {
        name(&self.name)?;
        self.stack.validate()?;
        let width = self.stack.width;
        let pictures = match &self.input {
            Input::Pixels(pixels) => {
                pixels.validate()?;
                true
            }
            Input::Words(words) => {
                words.validate()?;
                false
            }
        };
        if !pictures && self.stack.place == Place::Mpcvit {
            return Err(Error::arch("stack.place", "is \"mpcvit\", whose models read pictures"));
        }
        let linear = |kinds: &Vec<Attention>| kinds.contains(&Attention::Linear);
        if let Some(layer) = self.stack.attention.iter().position(linear)
            && !pictures
        {
            let why = "has linear heads, which divide by a number of rows that must not vary; texts have softmax and relu";
            return Err(Error::arch(format!("stack.attention[{layer}]"), why));
        }
        self.check_output(pictures)?;
        // Bounded above, so that the sum of all shapes cannot overflow.
        if self.parameters() > MAX_PARAMETERS {
            let n = self.parameters();
            let why = format!(
                "is {width} and makes {n} weights with the others; at most {MAX_PARAMETERS}"
            );
            return Err(Error::arch("stack.width", why));
        }
        labels(&self.labels, self.output.classes())
    }

    fn check_output(&self, pictures: bool) -> Result<(), Error> {
        let (field, pool) = match &self.output {
            Output::Classes(c) => {
                let Classes { classes, pool, hidden } = c;
                within("output.classes.classes", *classes, 1, 1 << 16)?;
                if let Some(hidden) = hidden {
                    within("output.classes.hidden.width", hidden.width, 1, 4096)?;
                    if hidden.activation == Activation::None {
                        let why = "is \"none\": multiply the layer into the head and leave it out";
                        return Err(Error::arch("output.classes.hidden.activation", why));
                    }
                    if *pool != Pool::First {
                        let why = "is not \"first\", which is all that a hidden layer reads";
                        return Err(Error::arch("output.classes.pool", why));
                    }
                }
                ("output.classes.pool", *pool)
            }
            Output::Tokens { classes } => {
                within("output.tokens.classes", *classes, 1, 1 << 16)?;
                return Ok(());
            }
            Output::Embedding { pool, .. } => ("output.embedding.pool", *pool),
        };
        let lead = self.pixels().map_or(0, |p| p.lead);
        let (needed, accepted) = match pool {
            Pool::First | Pool::Mean => return Ok(()),
            Pool::FirstAndMean => (1, "a picture with a leading row"),
            Pool::FirstTwo => (2, "a picture with two leading rows"),
        };
        if pictures && lead >= needed && matches!(self.output, Output::Classes(_)) {
            return Ok(());
        }
        Err(Error::arch(
            field,
            format!("lays rows side by side, for which classes of {accepted} are needed"),
        ))
    }
}

impl Stack {
    fn validate(&self) -> Result<(), Error> {
        within("stack.width", self.width, 1, 4096)?;
        within("stack.heads", self.heads, 1, 256)?;
        divides("stack.heads", self.heads, "stack.width", self.width)?;
        within("stack.hidden", self.hidden, 1, 16384)?;
        within("stack.layers", self.layers, 1, 64)?;
        if !(1e-12..=1e-2).contains(&self.eps) {
            return Err(Error::arch(
                "stack.eps",
                format!("is {}; accepted: 1e-12 to 0.01", self.eps),
            ));
        }
        lasts("stack.attention", self.attention.len(), self.layers, "stack.layers")?;
        for (layer, kinds) in self.attention.iter().enumerate() {
            lasts(&format!("stack.attention[{layer}]"), kinds.len(), self.heads, "stack.heads")?;
        }
        lasts("stack.activation", self.activation.len(), self.layers, "stack.layers")
    }
}

impl Pixels {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        within("input.pixels.channels", self.channels, 3, 3)?;
        within("input.pixels.image", self.image, 1, 1024)?;
        within("input.pixels.patch", self.patch, 1, 64)?;
        divides("input.pixels.patch", self.patch, "input.pixels.image", self.image)?;
        within("input.pixels.lead", self.lead, 0, 64)?;
        if self.tokens() > MAX_TOKENS {
            let why = format!("makes {} rows; at most {MAX_TOKENS}", self.tokens());
            return Err(Error::arch("input.pixels.patch", why));
        }
        for plane in 0..3 {
            let (mean, std) = (self.mean[plane], self.std[plane]);
            if !(mean.is_finite() && mean.abs() <= 16.0) {
                let why = format!("is {mean}; accepted: -16 to 16");
                return Err(Error::arch(format!("input.pixels.mean[{plane}]"), why));
            }
            if !(1e-3..=1e3).contains(&std) {
                let why = format!("is {std}; accepted: 0.001 to 1000");
                return Err(Error::arch(format!("input.pixels.std[{plane}]"), why));
            }
        }
        Ok(())
    }
}

impl Words {
    fn validate(&self) -> Result<(), Error> {
        within("input.words.vocabulary", self.vocabulary, 1, 1 << 18)?;
        within("input.words.positions", self.positions, 1, 8192)?;
        within("input.words.kinds", self.kinds, 0, 256)?;
        within("input.words.width", self.width, 1, 4096)
    }
}

pub(crate) fn name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        let why = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ - +";
        return Err(Error::arch("name", why));
    }
    Ok(())
}

pub(crate) fn labels(labels: &[String], classes: usize) -> Result<(), Error> {
    if !labels.is_empty() {
        lasts("labels", labels.len(), classes, "classes")?;
    }
    for (class, label) in labels.iter().enumerate() {
        // Labels are printed on a terminal: control characters could rewrite what it shows.
        if label.is_empty() || label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            let why = format!("must be 1 to {MAX_LABEL} bytes without control characters");
            return Err(Error::arch(format!("labels[{class}]"), why));
        }
    }
    Ok(())
}

pub(crate) fn within(field: &str, n: usize, low: usize, high: usize) -> Result<(), Error> {
    if (low..=high).contains(&n) {
        return Ok(());
    }
    let accepted = if low == high { low.to_string() } else { format!("{low} to {high}") };
    Err(Error::arch(field, format!("is {n}; accepted: {accepted}")))
}

pub(crate) fn divides(field: &str, n: usize, of: &str, whole: usize) -> Result<(), Error> {
    if whole.is_multiple_of(n) {
        return Ok(());
    }
    Err(Error::arch(field, format!("is {n}; accepted: a divisor of `{of}` = {whole}")))
}

pub(crate) fn lasts(field: &str, n: usize, expected: usize, what: &str) -> Result<(), Error> {
    if n == expected {
        return Ok(());
    }
    Err(Error::arch(field, format!("has {n} entries; expected `{what}` = {expected}")))
}

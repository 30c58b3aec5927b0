//! The head's formats.

use sotto_protocols::{Wire, compose::norm::NormFormat, plan::Trace};

use super::meant;
use crate::{
    Calibration, Error, Model,
    fixed::{ACTIVATION, WEIGHT, at_most, bits, liftable},
    layer::{
        activation::{self, ActivationFormat, Constant, OF_ALL},
        last_norm, norm,
    },
    model::Output,
    options::{Options, ROUNDED, Reveal},
    probe::Tensor,
};

/// Formats of all after the last layer.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadFormat {
    /// The last norm.
    pub norm: NormFormat,
    /// The layer before the classes, where there is one: its activation, and the ring of its product.
    pub hidden: Option<(ActivationFormat, u32)>,
    /// Ring of the result's product.
    pub width: u32,
    /// Width at which the result is revealed, scale [`ACTIVATION`].
    pub logit_width: u32,
    /// Bits by which the sum over the most rows is wider than the mean over them; 0 where the result is no mean.
    rows: u32,
}

/// The format of the head.
///
/// # Errors
/// [`Error::Calibration`] when ranges are missing or too wide.
pub fn format(model: &Model, cal: &Calibration) -> Result<HeadFormat, Error> {
    let last = model.stack.layers;
    // Of a mean, the sum is revealed.
    let rows = bits(meant(model, model.tokens()) as f64);
    let logit_width = liftable(cal.range(last, Tensor::Logits)?, ACTIVATION) - 1 + rows;
    let width = logit_width + WEIGHT;
    let hidden = match &model.output {
        Output::Classes(classes) => classes.hidden.as_ref(),
        _ => None,
    };
    let hidden = match hidden {
        Some(hidden) => {
            let range = cal.range(last, Tensor::Pool)?;
            let format = activation::format(hidden.activation, range, OF_ALL, Constant::LookedUp);
            Some((format, format.opened() + WEIGHT))
        }
        None => None,
    };
    let reader = hidden.map_or(width, |(_, width)| width);
    let norm = norm::format(last_norm(model), model, cal, &[reader])?.0;
    Ok(HeadFormat { norm, hidden, width, logit_width, rows })
}

impl HeadFormat {
    /// Every ring and table exists that the trace will use.
    ///
    /// # Errors
    /// [`Error::Calibration`] names what does not, [`Error::Options`] a result that the model does not have.
    pub fn check(&self, model: &Model, options: Options) -> Result<(), Error> {
        at_most("the head's ring", self.width, 64)?;
        if let Some((activation, width)) = &self.hidden {
            at_most("the pool's ring", *width, 64)?;
            activation.check("the pool's ", self.width, options.tables)?;
        }
        if options.reveal == Reveal::Class {
            if model.output.classes() < 2 {
                let why = "the class alone is asked of a model that has no classes";
                return Err(Error::Options(why.into()));
            }
            at_most("the compared logits' width", self.logit_width, 25)?;
        }
        Ok(())
    }

    /// Width and scale of rounded logits, a mean's as such: fractional bits go, whole ones stay.
    pub(super) fn rounded(&self) -> (u32, u32) {
        let mean = self.logit_width - self.rows;
        let less = mean.saturating_sub(ROUNDED).min(ACTIVATION);
        (mean - less, ACTIVATION - less)
    }

    /// Powers of two by which a sum over `rows` rows is raised before it is rounded: then sums of any number of rows are as
    /// wide as the widest, and their means as exact as one another.
    pub(super) fn raised(&self, rows: usize) -> u32 {
        self.rows - bits(rows as f64)
    }

    /// What was raised as a mean, or up to twice as small as one.
    pub(super) fn mean(&self, t: &mut Trace, sum: Wire) -> Wire {
        match self.rows {
            0 => sum,
            rows => t.rescale(sum, t.spec(sum).scale + rows),
        }
    }
}

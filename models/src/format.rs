//! The number format: ring widths and scales of every tensor, from the calibrated ranges.
//!
//! Widths follow backwards from where a value is opened: a linear layer's ring is its result's opened width plus the bits
//! that truncation drops on the way. A stream that is not copied lives on, so that its ring holds the widest opening that is
//! still to come.

use sotto_protocols::compose::norm::NormFormat;

pub use crate::fixed::{ACTIVATION, MARGIN, WEIGHT, Widths};
pub use crate::options::MaxKind;

use crate::{
    Calibration, Error, Model,
    fixed::at_most,
    layer::{
        Base, Kind, Sublayer,
        attention::{self, AttentionFormat},
        head::{self, HeadFormat},
        last_norm,
        mlp::{self, MlpFormat},
        norm, sublayers,
    },
    options::Options,
};

/// Fewest fractional bits of a matrix.
const LEAST_WEIGHT: u32 = 12;

/// Formats of one residual step.
#[derive(Clone, Debug, PartialEq)]
pub struct SublayerFormat {
    /// The norm that it reads.
    pub norm: Option<NormFormat>,
    /// Rings of its matrices.
    pub widths: Widths,
    /// What it computes.
    pub step: Step,
}

/// Formats of what a residual step computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Attention.
    Attention(AttentionFormat),
    /// The MLP's activation.
    Mlp(MlpFormat),
}

/// Formats of the whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    /// Ring of the first stream: of the patches' product, or of a text's rows.
    pub embed_width: u32,
    /// Residual steps, in their order.
    pub sublayers: Vec<SublayerFormat>,
    /// All after the last layer.
    pub head: HeadFormat,
}

impl Format {
    /// The format that the calibration asks for.
    ///
    /// # Errors
    /// [`Error::Calibration`] when ranges are missing or need rings of more than 64 bits.
    pub fn new(model: &Model, cal: &Calibration, options: Options) -> Result<Self, Error> {
        let layers = model.stack.layers;
        if cal.layers.len() != layers + 1 {
            return Err(Error::Calibration(format!(
                "it has {} layers, the architecture {layers}",
                cal.layers.len().saturating_sub(1),
            )));
        }
        let steps = sublayers(model);
        // `streams[i]`: the ring of what step `i` reads, which step `i - 1` wrote.
        let mut streams = vec![norm::opened(last_norm(model), cal)? + WEIGHT; steps.len() + 1];
        for (i, step) in steps.iter().enumerate().rev() {
            let Some(site) = step.norm else {
                streams[i] = streams[i + 1];
                continue;
            };
            streams[i] = norm::opened(site, cal)? + WEIGHT;
            if step.base == Base::Stream {
                streams[i] = streams[i].max(streams[i + 1]);
            }
        }
        let formats = steps.iter().zip(&streams[1..]);
        let formats = formats.map(|(step, &writer)| sublayer(model, cal, step, options, writer));
        let sublayers = formats.collect::<Result<_, _>>()?;
        let head = head::format(model, cal)?;
        let format = Self { embed_width: streams[0], sublayers, head };
        format.check(model, options)?;
        Ok(format)
    }

    /// Every ring and table that the trace will use exists.
    fn check(&self, model: &Model, options: Options) -> Result<(), Error> {
        at_most("the embedding's ring", self.embed_width, 64)?;
        self.head.check(model, options)?;
        for (format, sublayer) in self.sublayers.iter().zip(sublayers(model)) {
            let (layer, Widths { reader, writer }) = (sublayer.layer, format.widths);
            let name = |what: &str| format!("layer {layer}: {what}");
            match &format.step {
                Step::Attention(attention) => {
                    at_most(&name("the projection's ring"), writer, 64)?;
                    at_most(&name("the query's ring"), reader, 64)?;
                    attention.check(layer, writer)?;
                }
                Step::Mlp(mlp) => {
                    at_most(&name("the MLP's ring"), reader.max(writer), 64)?;
                    for (_, activation) in &mlp.groups {
                        activation.check(&name("the "), writer, options.tables)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The format of a residual step that writes a stream of `writer` bits.
fn sublayer(
    model: &Model,
    cal: &Calibration,
    sublayer: &Sublayer,
    options: Options,
    writer: u32,
) -> Result<SublayerFormat, Error> {
    let layer = sublayer.layer;
    // The ring of the matrix that reads the norm also holds the copy that is added to the stream.
    let copied = sublayer.base == Base::Norm && sublayer.norm.is_some();
    let least = if copied { writer } else { 0 };
    let norm = |rings: &[u32]| match sublayer.norm {
        Some(site) => {
            let (norm, ring) = norm::format(site, model, cal, rings)?;
            Ok::<_, Error>((Some(norm), ring))
        }
        None => Ok((None, rings[0])),
    };
    match sublayer.kind {
        Kind::Attention => {
            let attention = attention::format(model, cal, layer, options, writer)?;
            let product = attention.product_width(model);
            // Weights that are rounded a little more beat a model that has no format.
            let rings = (LEAST_WEIGHT..=WEIGHT).rev().map(|scale| least.max(product + scale));
            let (norm, reader) = norm(&rings.collect::<Vec<u32>>())?;
            let scale = (reader - product).min(WEIGHT);
            let widths = Widths { reader, writer };
            let step = Step::Attention(AttentionFormat { scale, ..attention });
            Ok(SublayerFormat { norm, widths, step })
        }
        Kind::Mlp => {
            let mlp = mlp::format(model, cal, layer)?;
            // One product is in the stream's own ring.
            let opened = if mlp.is_none() { writer - WEIGHT } else { mlp.opened() };
            let (norm, reader) = norm(&[least.max(opened + WEIGHT)])?;
            let widths = Widths { reader, writer };
            Ok(SublayerFormat { norm, widths, step: Step::Mlp(mlp) })
        }
    }
}

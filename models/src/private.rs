//! The private form of a model: description and calibration traced into a plan.
//!
//! Everything here follows from public data (description, calibration, lengths), so that server, client and
//! dealer each trace the same plan and compare its hash.

use std::sync::Arc;

use sotto_protocols::{
    plan::{Plan, Trace},
    weights::Matrix,
};

pub use crate::options::{Lengths, MaxKind, Options, ROUNDED, Reveal, Tables};

use crate::{
    Calibration, Error, Model, Weights,
    fixed::MARGIN,
    format::{Format, Step},
    layer::{Section, attention, embedding, head, mlp, norm, sublayers},
    layout::Layout,
    length::Length,
    matrix::Named,
    model::Input,
    probe::Tensor,
};

/// Most inputs in one evaluation.
pub const MAX_BATCH: usize = 64;

/// A model ready to be evaluated privately.
pub struct Private {
    /// Its public description.
    pub model: Model,
    /// Widths and scales.
    pub format: Format,
    /// The traced plan.
    pub plan: Arc<Plan>,
    /// Inputs in one evaluation.
    pub batch: usize,
    /// What the client learns.
    pub reveal: Reveal,
    /// Rows of each input.
    layout: Layout,
    /// Largest size of an input that the widths leave room for.
    limit: f64,
}

impl Private {
    /// Traces the model for `batch` pictures at once, or for as many texts of the model's longest length. `model` is a
    /// [`Model`] or an [`crate::Arch`].
    ///
    /// # Errors
    /// As [`Private::of_lengths`].
    pub fn new(
        model: impl Into<Model>,
        calibration: &Calibration,
        batch: usize,
        options: Options,
    ) -> Result<Self, Error> {
        let model = model.into();
        model.validate()?;
        in_batch(batch)?;
        let lengths = vec![model.tokens(); batch];
        Self::of_lengths(model, calibration, &lengths, options)
    }

    /// Traces the model for inputs of these numbers of rows, which are public: nothing is padded. The number format does
    /// not depend on them, so that plans of all lengths use the same matrices.
    ///
    /// # Errors
    /// [`Error::Arch`] when the description is not valid, [`Error::Calibration`] when the calibration does not fit it
    /// or the options, [`Error::Options`] when the inputs are not 1 to [`MAX_BATCH`], a length is none of the model's, or
    /// the result is none. Whatever a peer says in these, there is no other way to fail.
    pub fn of_lengths(
        model: impl Into<Model>,
        calibration: &Calibration,
        lengths: &[usize],
        options: Options,
    ) -> Result<Self, Error> {
        let model = model.into();
        model.validate()?;
        in_batch(lengths.len())?;
        let (least, most) = match &model.input {
            Input::Pixels(pixels) => (pixels.tokens(), pixels.tokens()),
            Input::Words(words) => (1, words.positions),
        };
        if let Some(length) = lengths.iter().find(|n| !(least..=most).contains(*n)) {
            let why = format!("an input of {length} rows; the model takes {least} to {most}");
            return Err(Error::Options(why));
        }
        Self::laid_out(model, calibration, Layout::new(lengths), options)
    }

    /// Traces the model for so many texts of one length, public or hidden.
    ///
    /// # Errors
    /// As [`Private::of_lengths`]; [`Error::Options`] for a hidden length that is none of the model's, or where `options` have no
    /// room for it.
    pub fn of_texts(
        model: impl Into<Model>,
        calibration: &Calibration,
        (length, batch): (Length, usize),
        options: Options,
    ) -> Result<Self, Error> {
        let model = model.into();
        model.validate()?;
        in_batch(batch)?;
        length.check(&model)?;
        let layout = match length {
            Length::Public(_) => Layout::new(&vec![length.rows(); batch]),
            Length::Hidden(_) if options.lengths == Lengths::Public => {
                let why = "a hidden length, where lengths are public (`length = \"hidden\"`)";
                return Err(Error::Options(why.into()));
            }
            Length::Hidden(_) => Layout::hidden(length.rows(), batch),
        };
        Self::laid_out(model, calibration, layout, options)
    }

    fn laid_out(
        model: Model,
        calibration: &Calibration,
        layout: Layout,
        options: Options,
    ) -> Result<Self, Error> {
        if options.lengths == Lengths::Hidden && model.pixels().is_some() {
            let why = format!("`{}` takes pictures, which have no length to hide", model.name);
            return Err(Error::Options(why));
        }
        let format = Format::new(&model, calibration, options)?;
        let plan = Arc::new(trace(&model, &format, &layout, options));
        let given = match &model.input {
            Input::Pixels(_) => Tensor::Patches,
            Input::Words(_) => Tensor::Embed,
        };
        let limit = calibration.range(0, given)?.size() * f64::from(1u32 << MARGIN);
        let (batch, reveal) = (layout.lengths().len(), options.reveal);
        Ok(Self { model, format, plan, batch, reveal, layout, limit })
    }

    /// Rows of each input; of a hidden length the bucket's.
    pub fn lengths(&self) -> &[usize] {
        self.layout.lengths()
    }

    /// Whether the client alone knows how many rows are an input's own.
    pub fn is_hidden(&self) -> bool {
        self.layout.is_hidden()
    }

    /// The server's matrices, in the order of this plan.
    ///
    /// # Panics
    /// Where the weights are not the model's.
    pub fn matrices(&self, weights: &Weights) -> Vec<Matrix> {
        let mut named = fold(&self.model, weights, &self.format);
        let specs = self.plan.weights.iter();
        let mut matrix =
            |name: &String| named.remove(name).expect("every matrix of a plan is folded");
        specs.map(|spec| matrix(&spec.name)).collect()
    }

    /// Refuses an input that is further outside of the calibrated range than the widths' margin: its result
    /// would be garbage.
    ///
    /// # Errors
    /// [`Error::Calibration`]; it names no number of the input.
    pub fn check_input(&self, input: &[f32]) -> Result<(), Error> {
        if input.iter().all(|x| f64::from(x.abs()) <= self.limit) {
            return Ok(());
        }
        let what = match &self.model.input {
            Input::Pixels(_) => "images",
            Input::Words(_) => "texts",
        };
        Err(Error::Calibration(format!(
            "a normalised input exceeds {:.2}, the calibrated range and its margin; calibrate the model on {what} \
             like this one",
            self.limit
        )))
    }

    /// Fills a batch with empty inputs, as long as any; gives each input's own rows.
    pub fn fill(&self, inputs: &mut Vec<Vec<f32>>) -> Vec<usize> {
        let longest = match &self.model.input {
            Input::Pixels(pixels) => pixels.numbers(),
            Input::Words(_) => self.lengths()[0] * self.model.stack.width,
        };
        inputs.resize(self.batch, vec![0.0; longest]);
        inputs.iter().map(|input| self.model.rows_of(input)).collect()
    }

    /// The client's inputs of the plan, in fixed point: of normalised pictures, or of texts' rows
    /// ([`crate::text::rows`]), which are padded where lengths are hidden.
    ///
    /// # Panics
    /// Where they are not of the lengths that the plan was traced for, or of none that its bucket holds.
    pub fn encode(&self, inputs: &[Vec<f32>]) -> Vec<Vec<i64>> {
        assert_eq!(inputs.len(), self.batch, "inputs of a batch");
        if let (true, Some(bucket)) = (self.is_hidden(), self.layout.length()) {
            let own: Vec<usize> = inputs.iter().map(|input| self.model.rows_of(input)).collect();
            let (inputs, hidden) = embedding::pad(inputs, bucket, self.model.stack.width);
            let mut all = embedding::encode(&self.model, &inputs);
            all.push(hidden);
            let head = &self.format.head;
            all.extend(head::raised(&self.model, head, &self.layout, self.reveal, &own));
            return all;
        }
        if let Input::Words(_) = self.model.input {
            for (input, &rows) in inputs.iter().zip(self.lengths()) {
                assert_eq!(input.len(), rows * self.model.stack.width, "numbers of a text");
            }
        }
        embedding::encode(&self.model, inputs)
    }

    /// Each input's result from the plan's output: logits (of all its rows one behind the other, where each row has some),
    /// an embedding, or one-hots where the class alone is revealed.
    ///
    /// # Panics
    /// Where `output` is not the plan's, or lengths are hidden.
    pub fn decode(&self, output: &[i64]) -> Vec<Vec<f64>> {
        assert!(!self.is_hidden(), "results of hidden lengths need the lengths");
        self.decode_rows(output, self.lengths())
    }

    /// The same of inputs that have so many rows of their own, which the client knows.
    ///
    /// # Panics
    /// Where `output` is not the plan's, or a number of rows is none that it has room for.
    pub fn decode_rows(&self, output: &[i64], own: &[usize]) -> Vec<Vec<f64>> {
        assert_eq!(own.len(), self.batch, "inputs of a batch");
        let fits = |(&rows, &own): (&usize, &usize)| match self.is_hidden() {
            true => (1..=rows).contains(&own),
            false => rows == own,
        };
        assert!(self.lengths().iter().zip(own).all(fits), "rows of a batch");
        let rows = (&self.layout, own);
        head::decode(&self.model, &self.format.head, rows, self.reveal, output)
    }
}

fn in_batch(batch: usize) -> Result<(), Error> {
    if (1..=MAX_BATCH).contains(&batch) {
        return Ok(());
    }
    let why = format!("a batch of {batch} images; 1 to {MAX_BATCH} are possible");
    Err(Error::Options(why))
}

/// All matrices by name.
fn fold(model: &Model, weights: &Weights, format: &Format) -> Named {
    let mut out = Named::new();
    embedding::fold(model, weights, &mut out);
    for (sublayer, format) in sublayers(model).iter().zip(&format.sublayers) {
        match &format.step {
            Step::Attention(format) => attention::fold(model, weights, sublayer, format, &mut out),
            Step::Mlp(format) => mlp::fold(model, weights, sublayer, format, &mut out),
        }
    }
    head::fold(model, weights, &format.head, &mut out);
    out
}

/// The stream stays at a product's scale between layers; only what is opened is truncated.
fn trace(model: &Model, format: &Format, layout: &Layout, options: Options) -> Plan {
    let mut t = Trace::new();
    let steps = sublayers(model);
    let reader = format.sublayers[0].widths.reader;
    let ([rows, mut x], hidden) =
        embedding::trace(&mut t, model, layout, format.embed_width, reader);
    let mut layout = layout.clone();
    for (sublayer, format) in steps.iter().zip(&format.sublayers) {
        let n = match (sublayer.norm, &format.norm) {
            (Some(site), Some(norm)) => {
                t.section(&site.section().to_string());
                norm::trace(&mut t, model, norm, x, format.widths.reader)
            }
            _ => rows,
        };
        t.section(&Section::Step(sublayer.layer, sublayer.kind).to_string());
        let operands = [n, x];
        x = match &format.step {
            Step::Attention(attention) => {
                let format = (attention, format.widths);
                let (y, kept) =
                    attention::trace(&mut t, model, sublayer, format, &layout, operands, hidden);
                layout = kept;
                y
            }
            Step::Mlp(activation) => {
                let format = (activation, format.widths);
                mlp::trace(&mut t, model, sublayer, format, options.tables, operands)
            }
        };
    }
    let output = head::trace(&mut t, model, &format.head, &layout, options, (x, hidden));
    t.finish(&[output])
}

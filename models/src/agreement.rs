//! The private arithmetic in the clear, beside the plain model.

use std::collections::BTreeMap;

use sotto_crypto::Seed;
use sotto_protocols::{
    simulate::{Coins, simulate},
    weights::Matrix,
};

use crate::{
    Calibration, Error, Model, Private, Weights,
    float::forward,
    layer::{Kind, Section},
    private::{Lengths, Options},
    probe::{NormName, NormPart, Probe, Tensor},
};

/// How far private results may be from plain ones on a calibration's own samples: the root of their mean square difference, in
/// parts of the root of the plain ones' mean square. 5 % are a cosine of 0.9988; MiniLM has 1 %.
pub const BOUND: f64 = 0.05;

/// A model whose private and plain results are compared.
pub struct Compared<'a> {
    model: &'a Model,
    weights: &'a Weights,
    calibration: &'a Calibration,
    options: Options,
    /// Those of the plans of all lengths, once there was one.
    matrices: Option<Vec<Matrix>>,
}

/// Both results of one sample.
pub struct Both {
    /// Rows that entered the model.
    pub rows: usize,
    /// The plain result.
    pub plain: Vec<f32>,
    /// The private one.
    pub private: Vec<f64>,
    /// What enters the norms, by layer and tensor in the order of the computation: plain and private.
    norms: Vec<(Seen, Vec<f64>)>,
}

/// What enters a norm in the plain model.
struct Seen {
    layer: usize,
    tensor: Tensor,
    values: Vec<f32>,
}

impl<'a> Compared<'a> {
    /// Of this model, with texts' lengths public or hidden.
    pub fn new(
        model: &'a Model,
        weights: &'a Weights,
        calibration: &'a Calibration,
        lengths: Lengths,
    ) -> Self {
        let options = Options { lengths, ..Options::default() };
        Self { model, weights, calibration, options, matrices: None }
    }

    fn private(&self, rows: usize) -> Result<Private, Error> {
        let (model, calibration, options) = (self.model, self.calibration, self.options);
        if model.pixels().is_some() {
            return Private::new(model, calibration, 1, options);
        }
        let length = options.lengths.of(rows, model.tokens())?;
        Private::of_texts(model, calibration, (length, 1), options)
    }

    /// Both results of sample `number`.
    ///
    /// # Errors
    /// [`Error::Calibration`] and [`Error::Text`] where there is no plan for it.
    pub fn on(&mut self, number: usize, input: &[f32]) -> Result<Both, Error> {
        let rows = self.model.rows_of(input);
        let private = self.private(rows)?;
        let matrices = self.matrices.get_or_insert_with(|| private.matrices(self.weights));
        let mut coins = Coins::Fair(Box::new(Seed::from_bytes([0; 32]).stream(number as u64)));
        let plan = &private.plan;
        let private_rows = private.lengths()[0];
        let values = simulate(plan, matrices, &private.encode(&[input.to_vec()]), &mut coins);
        let mut seen = Norms::default();
        let plain = forward(self.model, self.weights, input, &mut seen);
        let norm = |seen: Seen| {
            let kind = match seen.tensor {
                Tensor::Norm(NormName::First, _) => Kind::Attention,
                _ => Kind::Mlp,
            };
            let section = Section::Norm(seen.layer, kind).to_string();
            let of = plan.nodes.iter().find(|node| plan.sections[node.section] == section)?;
            let wire = of.outputs[0].index();
            let unit = (-f64::from(plan.wires[wire].scale)).exp2();
            let private = values[wire].iter().map(|&x| x as f64 * unit);
            // What is padded comes after the text's own rows.
            let (all, few) = (values[wire].len(), private.take(seen.values.len()));
            let private: Vec<f64> = few.collect();
            // A last layer may compute a few rows alone.
            (all == private_rows * self.model.stack.width).then_some((seen, private))
        };
        let norms = seen.0.into_iter().filter_map(norm).collect();
        let result = private.decode_rows(&values[plan.outputs[0].index()], &[rows]).concat();
        Ok(Both { rows, plain, private: result, norms })
    }

    /// How far private results of these samples are from plain ones, in the measure of [`BOUND`], and the first tensor that is
    /// further away than that.
    ///
    /// # Errors
    /// As [`Compared::on`].
    pub fn all(&mut self, inputs: &[&Vec<f32>]) -> Result<(f64, Option<String>), Error> {
        let mut norms: BTreeMap<usize, (String, Distance)> = BTreeMap::new();
        let mut results = Distance::default();
        for (number, input) in inputs.iter().enumerate() {
            let both = self.on(number, input)?;
            for (place, (seen, private)) in both.norms.iter().enumerate() {
                let name = format!("`{}` of layer {}", seen.tensor, seen.layer);
                let (_, distance) = norms.entry(place).or_insert((name, Distance::default()));
                distance.add(&seen.values, private);
            }
            results.add(&both.plain, &both.private);
        }
        let far = results.relative();
        let first = norms.into_values().find(|(_, distance)| distance.relative() > BOUND);
        let named = || first.map_or("the result behind the last layer".into(), |(name, _)| name);
        Ok((far, (far > BOUND).then(named)))
    }
}

/// Sums of squares: of differences, and of plain numbers.
#[derive(Default)]
struct Distance {
    difference: f64,
    plain: f64,
}

impl Distance {
    fn add(&mut self, plain: &[f32], private: &[f64]) {
        for (&plain, private) in plain.iter().zip(private) {
            let plain = f64::from(plain);
            self.difference += (plain - private).powi(2);
            self.plain += plain.powi(2);
        }
    }

    fn relative(&self) -> f64 {
        (self.difference / self.plain.max(f64::MIN_POSITIVE)).sqrt()
    }
}

/// What enters the layers' norms.
#[derive(Default)]
struct Norms(Vec<Seen>);

impl Probe for Norms {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        if let Tensor::Norm(NormName::First | NormName::Second, NormPart::Centred) = tensor {
            self.0.push(Seen { layer, tensor, values: values.to_vec() });
        }
    }
}

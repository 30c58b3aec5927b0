//! Softmax under a public maximum.

use std::collections::BTreeMap;

use sotto_models::{
    Calibration, Private, Weights,
    float::{NoProbe, forward},
    model::{Output, Pool},
    private::{MaxKind, Options},
    text,
};
use sotto_protocols::testing::Bench;

use super::{bert, texts};

/// Wherever row maxima lie: a maximum for all rows is taken where it leaves each row its weights, else they are counted.
#[test]
fn rows_far_below_a_public_maximum_keep_their_weights() {
    let options = Options { max: MaxKind::Public, ..Options::default() };
    let model = bert(Output::Embedding { pool: Pool::Mean, normalise: false });
    let random = Weights::random(&model, 3);
    let mut texts = texts(&model, &[2, 2, 2, 3, 5, 9, 12, 12], &mut Bench::new(4));
    texts.rotate_left(3);
    let rows = |weights: &Weights| -> Vec<Vec<f32>> {
        let table = weights.public(&model);
        texts.iter().map(|text| text::rows(&model, &table, text).unwrap()).collect()
    };
    let mut public = 0;
    for factor in [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.2, 3.0] {
        let mut values: BTreeMap<String, Vec<f32>> =
            random.iter().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
        for layer in 0..model.stack.layers {
            // The queries' rows.
            let qkv = values.get_mut(&format!("blocks.{layer}.attn.qkv.weight")).expect("its own");
            let queries = model.stack.width * model.stack.width;
            qkv[..queries].iter_mut().for_each(|w| *w *= factor);
        }
        let weights = Weights::from_values(&model, values).expect("the model's own");
        let rows = rows(&weights);
        let calibration = Calibration::record(&model, &weights, &rows, |_| ());
        for row in &rows {
            let lengths = [model.rows_of(row)];
            let private = Private::of_lengths(&model, &calibration, &lengths, options).unwrap();
            let matrices = private.matrices(&weights);
            let inputs = private.encode(std::slice::from_ref(row));
            let result = Bench::new(5).run(&private.plan, matrices, &inputs);
            result.check_exact();
            let got = private.decode(&result.outputs[0]).concat();
            let truth = forward(&model, &weights, row, &mut NoProbe);
            let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
            let worst = truth.iter().zip(&got).map(far).fold(0.0, f64::max);
            assert!(worst < 1e-2, "{worst} of {lengths:?}, queries {factor} times as large");
            public += usize::from(private.plan.online().flights < 42);
        }
    }
    assert!(public > 0, "none has a public maximum");
}

//! Every kernel, kind and odd shape on every device of this build, against the definition in f64. With the feature `wgpu` a
//! Vulkan driver must be there: one that needs no GPU is enough.

use sotto_models::arch::Activation;

use super::*;
use crate::{
    Precision, Program,
    kernel::Kernel,
    program::Writer,
    scores::Scores,
    testing::{
        attentions, devices, embeddings, hold, kinds, means, normal, norms, products, residual,
    },
};

fn hold_all(all: Vec<(String, Program)>) {
    all.into_iter().for_each(|(what, mut program)| hold(&what, &mut program, &[3]));
}

#[test]
fn products_of_every_activation_and_odd_shape() {
    hold_all(products());
}

#[test]
fn a_residual_is_added_after_the_activation() {
    let mut program = residual();
    assert_eq!(program.buffers.len(), 3, "input, residual, result");
    hold("residual", &mut program, &[1, 3]);
}

#[test]
fn embeddings_with_and_without_leading_rows() {
    hold_all(embeddings());
}

#[test]
fn norms_of_all_rows_and_of_some() {
    hold_all(norms());
}

#[test]
fn means_with_and_without_the_first_row() {
    hold_all(means());
}

#[test]
fn attention_of_every_kind_and_of_mixed_heads() {
    hold_all(attentions());
}

#[test]
fn scores_of_any_size_are_no_trouble() {
    let (rows, heads, dh) = (40, 1, 4);
    let (mut writer, input) = Writer::new(rows * 3 * heads * dh);
    // Scores of some hundreds: their exponentials overflow without the maximum.
    let scale: Vec<f32> = (0..144).map(|i| if i / 12 == i % 12 { 20.0 } else { 0.0 }).collect();
    let scale = writer.constant(&scale);
    let large = writer.launch(Product::plain(rows, 12, 12), &[input, scale]);
    let kinds = vec![(0, Scores::Softmax)];
    let made = writer.launch(Attention { rows, heads, dh, kinds }, &[large]);
    let program = writer.finish(made);
    let input = normal(program.input.1, 5);
    let want = program.definition(&input);
    assert!(want.iter().all(|x| x.is_finite()));
    // Half precision rounds such scores by more than one.
    for device in devices() {
        let mut session = device.load(&program, 1, Precision::F32).expect("the device works");
        let got = session.run(&input).expect("the device works");
        let off = got.iter().zip(&want).map(|(&g, w)| (f64::from(g) - w).abs()).fold(0.0, f64::max);
        assert!(off < 0.02, "{} is off by {off}", device.info().device);
    }
}

#[test]
fn counts_by_hand() {
    let kernel = Product {
        bias: true,
        residual: true,
        activation: Activation::Gelu,
        ..Product::plain(2, 3, 5)
    };
    assert_eq!(kernel.operations(), 2 * 5 * (6 + 3));
    let read: usize = kernel.operands().iter().map(|o| o.read).sum();
    assert_eq!((read, kernel.written()), (6 + 15 + 5 + 10, 10));
    // S of 4 x 4 and its product with V, each 2 x 4 x 4 x 3; scale and quotient; and softmax's four a score.
    let kinds = vec![(1, Scores::Softmax)];
    let kernel = Attention { rows: 4, heads: 2, dh: 3, kinds };
    assert_eq!(kernel.operations(), 2 * 96 + 24 + 64);
    assert_eq!((kernel.operands()[0].read, kernel.written(), kernel.output()), (36, 12, 24));
    let of = Heads { mine: vec![0], ..Heads::all(4, 2, 3) };
    let kernel = LinearAttention { of };
    assert_eq!(kernel.operations(), 2 * 72 + 12);
    let kernel = Norm { rows: 4, width: 6, take: 1..3, eps: 1e-5 };
    assert_eq!((kernel.operations(), kernel.operands()[0].read), (7 * 12 + 8, 12));

    let program = Program::alone(Product::plain(2, 3, 5));
    let launch = &program.launches[0];
    // Weights move once, rows for each input.
    assert_eq!(launch.bytes(10, 4), 4 * (15 + 10 * (6 + 10)));
    assert_eq!(program.operations(10), 10 * 60);
    assert_eq!(program.memory(10, 2), 2 * (15 + 10 * 16));
}

#[test]
fn further_kinds_of_attention_with_inputs_that_are_hard_on_them() {
    (1..).zip(kinds::all()).for_each(|(seed, mut case)| case.hold(seed));
}

#[test]
fn counts_of_further_kinds_by_hand() {
    // Of 4 rows and one head of 3 columns: 16 scores, 2 x 3 operations each, and as many for the values.
    let of = Heads { mine: vec![1], ..Heads::all(4, 2, 3) };
    let count = |kernel: &dyn Kernel| {
        let read: usize = kernel.operands().iter().map(|o| o.read).sum();
        (kernel.operations(), read, kernel.written(), kernel.output())
    };
    let clipped = ClippedSoftmax { of: of.clone(), gamma: -0.1, eta: 1.0 };
    assert_eq!(count(&clipped), (2 * 96 + 16 * 9 + 12, 36, 12, 24));
    let attention = Attention { rows: 4, heads: 2, dh: 3, kinds: vec![(1, Scores::Softmax)] };
    let plain = attention.operations();
    assert_eq!(count(&GatedAttention { attention }), (plain + 4 * 3 + 12, 36 + 4, 12, 24));
    assert_eq!(count(&Lssa { of: of.clone() }), (2 * 96 + 16 * 5 + 4 * (7 * 3 + 4), 36, 12, 24));
    // No keys; a difference of each column more.
    assert_eq!(count(&Gaussian { of: of.clone() }), (3 * 96 - 48 + 16 * 2, 24, 12, 24));
    // State and result, 2 x 4 x 3 x 3 each; means of K and V, likeness; scale, product, sum.
    let inline = InlineAttention { of: of.clone() };
    assert_eq!(count(&inline), (2 * 72 + 24 + 24 + 36, 36, 12, 24));
    assert_eq!(count(&Mala { of }), (2 * 72 + 24 + 24 + 24 + 48, 36, 12, 24));
    // One query of 5 keys, in one part of each head.
    let decode = Decode::new(5, 2, 3, 2);
    assert_eq!(count(&decode), (2 * 5 * (12 + 4) + 2 * (3 + 4) + 6, 66, 2 * 5, 4 * 5));
}

use sotto_models::{
    Arch,
    float::{NoProbe, forward},
    model::{Classes, Hidden, Pixels, Place, Stack, Table, Words},
};

use super::*;
use crate::{
    Precision,
    testing::{devices, normal},
};

/// Holds a model on every device against the float reference, for two inputs at once.
fn hold(what: &str, model: &Model, rows: usize) {
    model.validate().unwrap_or_else(|e| panic!("{what}: {e}"));
    let weights = Weights::random(model, 3);
    let program = program(model, &weights, rows);
    let size = program.input.1;
    let inputs = normal(2 * size, 17);
    let want: Vec<Vec<f32>> =
        inputs.chunks_exact(size).map(|x| forward(model, &weights, x, &mut NoProbe)).collect();
    for device in devices() {
        let mut session = device.load(&program, 2, Precision::F32).expect("the device works");
        let got = session.run(&inputs).expect("the device works");
        for (got, want) in got.chunks_exact(program.output.1).zip(&want) {
            let got = result(model, got.to_vec());
            assert_eq!(got.len(), want.len(), "{what}");
            let off = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
            assert!(off < 1e-4, "{what} on {}: off by {off:e}", device.info().device);
        }
    }
}

fn stack(place: Place) -> Stack {
    Stack {
        layers: 2,
        heads: 2,
        width: 16,
        hidden: 24,
        place,
        eps: 1e-6,
        qkv_bias: true,
        shared: false,
        attention: vec![vec![Kind::Softmax, Kind::Linear], vec![Kind::Relu, Kind::Softmax]],
        activation: vec![Activation::Gelu, Activation::Silu],
    }
}

fn pixels(lead: usize) -> Input {
    let (mean, std) = ([0.5; 3], [0.5; 3]);
    Input::Pixels(Pixels { image: 16, channels: 3, patch: 4, mean, std, lead })
}

fn words() -> Input {
    let (vocabulary, positions) = (50, 20);
    Input::Words(Words {
        vocabulary,
        positions,
        kinds: 2,
        width: 16,
        norm: true,
        table: Table::Public,
    })
}

fn model(input: Input, stack: Stack, output: Output) -> Model {
    Model { name: "tiny".into(), labels: Vec::new(), input, stack, output }
}

#[test]
fn mpcvit_s_models_of_every_kind() {
    let mut arch = Arch::vit(3, 2, 16, 24, 16, 4, 5);
    arch.attention = vec![
        vec![Kind::Softmax, Kind::Relu],
        vec![Kind::Relu, Kind::Linear],
        vec![Kind::Linear, Kind::Linear],
    ];
    arch.activation = vec![Activation::Relu, Activation::Gelu, Activation::None];
    hold("MPCViT", &Model::from(&arch), arch.tokens());
    // Fewer rows than a head is wide: linear attention goes by scores.
    arch.image = 8;
    hold("MPCViT, five rows", &Model::from(&arch), 5);
}

#[test]
fn models_of_pictures_with_every_pool() {
    for (pool, lead) in [
        (Pool::First, 1),
        (Pool::FirstTwo, 2),
        (Pool::Mean, 0),
        (Pool::Mean, 1),
        (Pool::FirstAndMean, 1),
        (Pool::FirstAndMean, 5),
    ] {
        let output = Output::Classes(Classes { classes: 7, pool, hidden: None });
        let model = model(pixels(lead), stack(Place::Before), output);
        hold(&format!("{pool:?}, {lead} leading rows"), &model, 16 + lead);
    }
}

#[test]
fn models_of_texts_with_every_output() {
    let hidden = Some(Hidden { width: 12, activation: Activation::Tanh });
    for output in [
        Output::Classes(Classes { classes: 3, pool: Pool::First, hidden }),
        Output::Tokens { classes: 4 },
        Output::Embedding { pool: Pool::Mean, normalise: true },
        Output::Embedding { pool: Pool::First, normalise: false },
    ] {
        for (rows, place) in [(20, Place::After), (3, Place::Before)] {
            let mut stack = stack(place);
            stack.shared = rows == 20;
            // Linear heads divide by a number of rows, which of a text is its length.
            stack.attention[0][1] = Kind::Relu;
            let what = format!("{output:?}, {rows} rows");
            hold(&what, &model(words(), stack, output.clone()), rows);
        }
    }
}

#[test]
fn a_launch_never_writes_where_it_reads_and_buffers_are_few() {
    let arch = Arch::vit_cifar();
    let program = program(&Model::from(&arch), &Weights::random(&arch, 1), arch.tokens());
    for launch in &program.launches {
        let writes = crate::kernel::Source::Buffer(launch.output);
        assert!(!launch.inputs.contains(&writes), "{launch:?}");
    }
    // Seven layers of a norm, three or four products and an attention each, beside embedding and head.
    assert_eq!(program.launches.len(), 1 + 7 * 7 + 2);
    assert!(program.buffers.len() <= 5, "{:?}", program.buffers);
}

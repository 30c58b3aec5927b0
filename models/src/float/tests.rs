use std::collections::BTreeSet;

use safetensors::SafeTensors;

use super::*;
use crate::{
    Arch,
    kind::{Activation, Attention},
    weights::{Linear, Norm},
};

/// Three layers with every kind of head and activation.
fn mixed(image: usize) -> Arch {
    use Attention::*;
    let mut arch = Arch::vit(3, 2, 16, 24, image, 4, 5);
    arch.attention = vec![vec![Softmax, Relu], vec![Relu, Linear], vec![Linear, Softmax]];
    arch.activation = vec![Activation::Relu, Activation::Gelu, Activation::None];
    arch
}

fn picture(arch: &Arch) -> Vec<f32> {
    let count = 3 * arch.image * arch.image;
    (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 1.7).collect()
}

#[derive(Default)]
struct Record {
    seen: Vec<(usize, Tensor, Vec<f32>)>,
}

impl Probe for Record {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        self.seen.push((layer, tensor, values.to_vec()));
    }
}

impl Record {
    fn all(&self, layer: usize, name: &str) -> Vec<&[f32]> {
        let of = self.seen.iter().filter(|(l, n, _)| *l == layer && n.to_string() == name);
        of.map(|(_, _, values)| &values[..]).collect()
    }
}

/// The same model once more: one number at a time in f64, straight from the formulas.
mod slow {
    use super::*;

    type Rows = Vec<Vec<f64>>;

    fn apply(rows: &Rows, map: Linear<'_>) -> Rows {
        let one = |x: &Vec<f64>, o: usize| {
            let w = &map.w[o * map.inputs..(o + 1) * map.inputs];
            let bias = map.bias.map_or(0.0, |b| b[o] as f64);
            bias + w.iter().zip(x).map(|(&w, x)| w as f64 * x).sum::<f64>()
        };
        rows.iter().map(|x| (0..map.outputs).map(|o| one(x, o)).collect()).collect()
    }

    fn norm(rows: &Rows, norm: Norm<'_>) -> Rows {
        let one = |x: &Vec<f64>| {
            let n = x.len() as f64;
            let mean = x.iter().sum::<f64>() / n;
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let gains = norm.weight.iter().zip(norm.bias);
            let y = |(x, (&g, &b)): (&f64, (&f32, &f32))| {
                (x - mean) / (var + 1e-5).sqrt() * g as f64 + b as f64
            };
            x.iter().zip(gains).map(y).collect()
        };
        rows.iter().map(one).collect()
    }

    fn add(a: &Rows, b: &Rows) -> Rows {
        let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
        a.iter().zip(b).map(row).collect()
    }

    pub fn forward(arch: &Arch, weights: &Weights, image: &[f32]) -> Vec<f64> {
        let (p, side, dh, n) = (arch.patch, arch.image, arch.head_dim(), arch.tokens());
        let class: Vec<f64> = weights.values("cls_token").iter().map(|&x| x as f64).collect();
        let mut x = vec![class];
        for t in 0..n - 1 {
            let (row, column) = (t / (side / p) * p, t % (side / p) * p);
            let mut patch = Vec::new();
            for (c, i, j) in (0..3).flat_map(|c| (0..p * p).map(move |k| (c, k / p, k % p))) {
                patch.push(image[(c * side + row + i) * side + column + j] as f64);
            }
            x.extend(apply(&vec![patch], weights.linear("patch_embed")));
        }
        let positions = weights.values("pos_embed").chunks(arch.dim);
        x = add(&x, &positions.map(|r| r.iter().map(|&x| x as f64).collect()).collect());
        for layer in 0..arch.layers {
            let name = |part: &str| format!("blocks.{layer}.{part}");
            let (norm1, norm2) = (weights.norm(&name("norm1")), weights.norm(&name("norm2")));
            let product = |part| weights.linear(&name(part));
            let qkv = apply(&norm(&x, norm1), product("attn.qkv"));
            let mut out = vec![vec![0.0; arch.dim]; n];
            for (head, kind) in arch.attention[layer].iter().enumerate() {
                let at =
                    |which: usize, t: usize, j: usize| qkv[t][which * arch.dim + head * dh + j];
                for (i, out) in out.iter_mut().enumerate() {
                    let score = |j| {
                        (0..dh).map(|c| at(0, i, c) * at(1, j, c)).sum::<f64>() / (dh as f64).sqrt()
                    };
                    let scores: Vec<f64> = (0..n).map(score).collect();
                    let (a, sum): (Vec<f64>, f64) = match kind {
                        Attention::Softmax => {
                            let e: Vec<f64> = scores.iter().map(|s| s.exp()).collect();
                            (e.clone(), e.iter().sum())
                        }
                        Attention::Relu => {
                            let r: Vec<f64> = scores.iter().map(|s| s.max(0.0)).collect();
                            (r.clone(), r.iter().sum::<f64>() + 1.0)
                        }
                        Attention::Linear => (scores, n as f64),
                    };
                    for c in 0..dh {
                        out[head * dh + c] = (0..n).map(|j| a[j] * at(2, j, c)).sum::<f64>() / sum;
                    }
                }
            }
            x = norm(&add(&x, &apply(&out, product("attn.proj"))), norm2);
            let mut hidden = apply(&x, product("mlp.fc1"));
            for h in hidden.iter_mut().flatten() {
                *h = match arch.activation[layer] {
                    Activation::Gelu => 0.5 * *h * (1.0 + libm::erf(*h / 2f64.sqrt())),
                    Activation::Relu => h.max(0.0),
                    Activation::None => *h,
                    other => panic!("no model here has {}", other.name()),
                };
            }
            x = add(&x, &apply(&hidden, product("mlp.fc2")));
        }
        apply(&norm(&vec![x.swap_remove(0)], weights.norm("norm")), weights.linear("head"))
            .remove(0)
    }
}

fn close(got: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((*g as f64 - e).abs() <= bound * (1.0 + e.abs()), "{g} is not {e}");
    }
}

#[test]
fn agrees_with_the_slow_model() {
    // 5 tokens take the score path of linear attention, 17 the re-associated one.
    for image in [8, 16] {
        for seed in 0..3 {
            let arch = mixed(image);
            let weights = Weights::random(&arch, seed);
            let input = picture(&arch);
            let got = forward(&arch, &weights, &input, &mut NoProbe);
            close(&got, &slow::forward(&arch, &weights, &input), 2e-5);
        }
    }
}

#[test]
fn activations_by_hand() {
    let known: [(Activation, [f64; 3]); 6] = [
        (Activation::Gelu, [0.841344746, -0.158655254, 2.995950306]),
        (Activation::GeluTanh, [0.84119199, -0.15880801, 2.99636261]),
        (Activation::QuickGelu, [0.84579577, -0.15420423, 2.98192869]),
        (Activation::Silu, [0.731058579, -0.268941421, 2.857722380]),
        (Activation::Tanh, [0.761594156, -0.761594156, 0.995054754]),
        (Activation::Relu, [1.0, 0.0, 3.0]),
    ];
    for (activation, expected) in known {
        let got = [1.0, -1.0, 3.0].map(|x| activation.at(x));
        close(&got, &expected, 3e-7);
        close(&[activation.at(0.0)], &[0.0], 0.0);
    }
    assert_eq!((Activation::Gelu.at(20.0), Activation::Gelu.at(-20.0)), (20.0, 0.0));
}

#[test]
fn probes_see_every_intermediate() {
    let arch = mixed(16);
    let mut record = Record::default();
    let logits = forward(&arch, &Weights::random(&arch, 1), &picture(&arch), &mut record);
    let seen: BTreeSet<String> = record.seen.iter().map(|(_, name, _)| name.to_string()).collect();
    for name in ["patches", "linear.scores", "linear.kv", "softmax.row_max", "norm.var", "logits"] {
        assert_eq!(seen.contains(name), name != "linear.scores", "{name}");
    }
    assert_eq!(seen.len(), 31);
    assert_eq!(record.all(3, "logits"), [&logits[..]]);

    let (n, d, dh) = (17, 16, 8);
    for (name, count) in [("patches", 16 * 48), ("embed", n * d)] {
        assert_eq!(record.all(0, name)[0].len(), count, "{name}");
    }
    for (name, count) in [("norm.centred", d), ("norm.var", 1), ("norm.out", d)] {
        assert_eq!(record.all(3, name)[0].len(), count, "{name}");
    }
    // Layer 1 is ReLU, linear; layer 2 linear, softmax.
    for (layer, name, times, count) in [
        (1, "relu.scores", 1, n * n),
        (1, "linear.kv", 1, dh * dh),
        (1, "relu.row_max", 0, 0),
        (1, "relu.row_sum", 1, n),
        (2, "softmax.row_max", 1, n),
        (2, "softmax.unnormalised", 1, n * dh),
        (2, "linear.unnormalised", 1, n * dh),
        (2, "q", 1, n * d),
        (2, "ln2.var", 1, n),
        (2, "act.out", 1, n * 24),
        (2, "residual2", 1, n * d),
    ] {
        let all = record.all(layer, name);
        assert_eq!(all.len(), times, "{name}");
        assert!(all.iter().all(|values| values.len() == count), "{name}");
    }
    // The MLP's residual starts from the norm's output.
    let [base, more, sum] = ["ln2.out", "fc2.out", "residual2"].map(|name| record.all(1, name)[0]);
    assert!(base.iter().zip(more).zip(sum).all(|((a, b), c)| a + b == *c));
}

#[test]
fn agrees_with_numpy() {
    // Made by tests/data/make_fixture.py.
    let arch = Arch::from_toml(include_str!("../../tests/data/tiny.toml")).unwrap();
    let bytes = include_bytes!("../../tests/data/tiny.safetensors");
    let weights = Weights::from_bytes(&arch, bytes).unwrap();
    let case = SafeTensors::deserialize(include_bytes!("../../tests/data/tiny_case.safetensors"));
    let case = case.unwrap();
    let read = |name| -> Vec<f32> {
        let tensor = case.tensor(name).unwrap();
        let words = tensor.data().chunks_exact(4);
        words.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let wide = |name| -> Vec<f64> { read(name).into_iter().map(f64::from).collect() };
    let mut record = Record::default();
    let got = forward(&arch, &weights, &read("input"), &mut record);
    close(record.all(0, "embed")[0], &wide("embed"), 1e-5);
    close(record.all(0, "residual2")[0], &wide("layer0"), 1e-4);
    close(record.all(1, "attn.out")[0], &wide("attention1"), 1e-4);
    close(record.all(1, "residual2")[0], &wide("layer1"), 1e-4);
    close(&got, &wide("logits"), 1e-4);
}

#[test]
#[should_panic(expected = "16 values are not a 2 x 4 matrix")]
fn weights_of_another_model_panic() {
    let arch = Arch::vit(1, 1, 4, 4, 4, 4, 2);
    let other = Weights::random(&Arch::vit(1, 1, 8, 4, 4, 4, 2), 1);
    forward(&arch, &other, &[0.0; 48], &mut NoProbe);
}

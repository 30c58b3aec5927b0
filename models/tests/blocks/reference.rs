//! The two families once more, straight from their formulas: one number at a time, in f64, without the walk that the
//! library's readers share.

use sotto_models::{
    Model, Weights,
    arch::Activation,
    model::{Input, Output, Pool},
    text::Text,
};

type Rows = Vec<Vec<f64>>;

struct Net<'a> {
    model: &'a Model,
    weights: &'a Weights,
}

impl Net<'_> {
    fn values(&self, name: &str) -> Vec<f64> {
        self.weights.values(name).iter().map(|&x| f64::from(x)).collect()
    }

    fn product(&self, name: &str, x: &Rows) -> Rows {
        let map = self.weights.linear(name);
        let one = |row: &Vec<f64>, o: usize| {
            let bias = map.bias.map_or(0.0, |b| f64::from(b[o]));
            bias + (0..map.inputs)
                .map(|i| f64::from(map.w[o * map.inputs + i]) * row[i])
                .sum::<f64>()
        };
        x.iter().map(|row| (0..map.outputs).map(|o| one(row, o)).collect()).collect()
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let (gain, offset) =
            (self.values(&format!("{name}.weight")), self.values(&format!("{name}.bias")));
        let eps = f64::from(self.model.stack.eps);
        let one = |row: &Vec<f64>| {
            let n = row.len() as f64;
            let mean = row.iter().sum::<f64>() / n;
            let var = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            (0..row.len())
                .map(|i| (row[i] - mean) / (var + eps).sqrt() * gain[i] + offset[i])
                .collect()
        };
        x.iter().map(one).collect()
    }

    fn attention(&self, block: &str, x: &Rows) -> Rows {
        let (d, heads) = (self.model.stack.width, self.model.stack.heads);
        let dh = d / heads;
        let qkv = self.product(&format!("{block}.attn.qkv"), x);
        let mut out = vec![vec![0.0; d]; x.len()];
        for h in 0..heads {
            for i in 0..x.len() {
                let score = |j: usize| {
                    let dot: f64 =
                        (0..dh).map(|c| qkv[i][h * dh + c] * qkv[j][d + h * dh + c]).sum();
                    dot / (dh as f64).sqrt()
                };
                let powers: Vec<f64> = (0..x.len()).map(|j| score(j).exp()).collect();
                let sum: f64 = powers.iter().sum();
                for c in 0..dh {
                    let mean = (0..x.len()).map(|j| powers[j] * qkv[j][2 * d + h * dh + c]);
                    out[i][h * dh + c] = mean.sum::<f64>() / sum;
                }
            }
        }
        self.product(&format!("{block}.attn.proj"), &out)
    }

    fn mlp(&self, block: &str, layer: usize, x: &Rows) -> Rows {
        let mut h = self.product(&format!("{block}.mlp.fc1"), x);
        let activation = self.model.stack.activation[layer];
        h.iter_mut().flatten().for_each(|x| *x = at(activation, *x));
        self.product(&format!("{block}.mlp.fc2"), &h)
    }

    fn result(&self, x: &Rows, lead: usize) -> Vec<f64> {
        let mean = |rows: &[Vec<f64>]| -> Vec<f64> {
            let n = rows.len() as f64;
            (0..rows[0].len()).map(|i| rows.iter().map(|r| r[i]).sum::<f64>() / n).collect()
        };
        let pooled: Rows = match self.model.output.pool() {
            Some(Pool::First) => vec![x[0].clone()],
            Some(Pool::Mean) => vec![mean(&x[lead..])],
            Some(Pool::FirstTwo) => vec![[&x[0][..], &x[1]].concat()],
            Some(Pool::FirstAndMean) => vec![[x[0].clone(), mean(&x[lead..])].concat()],
            None => x.clone(),
            other => panic!("no reference for {other:?}"),
        };
        let out = match &self.model.output {
            Output::Embedding { normalise, .. } => {
                let length = pooled[0].iter().map(|x| x * x).sum::<f64>().sqrt();
                let by = if *normalise { length } else { 1.0 };
                vec![pooled[0].iter().map(|x| x / by).collect()]
            }
            Output::Classes(classes) if classes.hidden.is_some() => {
                let hidden = classes.hidden.as_ref().expect("just seen");
                let mut h = self.product("pool", &pooled);
                h.iter_mut().flatten().for_each(|x| *x = at(hidden.activation, *x));
                self.product("head", &h)
            }
            _ => self.product("head", &pooled),
        };
        out.concat()
    }
}

fn at(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        other => panic!("no reference for {}", other.name()),
    }
}

fn add(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// BERT and its kin: embeddings summed and normalised, norms after each step.
pub fn bert(model: &Model, weights: &Weights, text: &Text) -> Vec<f64> {
    let net = Net { model, weights };
    let Input::Words(words) = &model.input else { panic!("a text's model") };
    let table =
        |name: &str, i: usize| net.values(name)[i * words.width..(i + 1) * words.width].to_vec();
    let mut x: Rows = Vec::new();
    for (position, &word) in text.words.iter().enumerate() {
        let mut row = table("embed.word.weight", word as usize);
        let mut more = vec![table("embed.position.weight", position)];
        if words.kinds > 0 {
            let kind = text.kinds.get(position).copied().unwrap_or(0);
            more.push(table("embed.kind.weight", kind as usize));
        }
        more.iter().for_each(|m| row.iter_mut().zip(m).for_each(|(x, m)| *x += m));
        x.push(row);
    }
    if words.norm {
        x = net.norm("embed.norm", &x);
    }
    if words.width != model.stack.width {
        x = net.product("embed.map", &x);
    }
    for layer in 0..model.stack.layers {
        let block = if model.stack.shared { "blocks.0".into() } else { format!("blocks.{layer}") };
        x = net.norm(&format!("{block}.norm1"), &add(&x, &net.attention(&block, &x)));
        x = net.norm(&format!("{block}.norm2"), &add(&x, &net.mlp(&block, layer, &x)));
    }
    net.result(&x, 0)
}

/// ViT and its kin: patches behind leading rows, norms before each step and after the last.
pub fn vit(model: &Model, weights: &Weights, image: &[f32]) -> Vec<f64> {
    let net = Net { model, weights };
    let pixels = model.pixels().expect("a picture's model");
    let (d, p, side) = (model.stack.width, pixels.patch, pixels.image);
    let lead = net_values_or_none(&net, pixels.lead);
    let mut x: Rows = lead.chunks(d).map(<[f64]>::to_vec).collect();
    for (top, left) in (0..side / p).flat_map(|i| (0..side / p).map(move |j| (i * p, j * p))) {
        let mut patch = Vec::new();
        for plane in 0..pixels.channels {
            for (i, j) in (0..p).flat_map(|i| (0..p).map(move |j| (i, j))) {
                patch.push(f64::from(image[(plane * side + top + i) * side + left + j]));
            }
        }
        x.extend(net.product("patch_embed", &vec![patch]));
    }
    let positions = net.values("pos_embed");
    x = add(&x, &positions.chunks(d).map(<[f64]>::to_vec).collect());
    for layer in 0..model.stack.layers {
        let block = format!("blocks.{layer}");
        let n = net.norm(&format!("{block}.norm1"), &x);
        x = add(&x, &net.attention(&block, &n));
        let n = net.norm(&format!("{block}.norm2"), &x);
        x = add(&x, &net.mlp(&block, layer, &n));
    }
    net.result(&net.norm("norm", &x), pixels.lead)
}

fn net_values_or_none(net: &Net<'_>, lead: usize) -> Vec<f64> {
    if lead > 0 { net.values("cls_token") } else { Vec::new() }
}

//! From a model to its launches.

use sotto_models::{
    Model, Weights,
    arch::{Activation, Attention as Kind},
    layer::{Base, Kind as Step, Section, last_norm, norm::Site, sublayers},
    model::{Input, Output, Pool},
};

use crate::{
    Program,
    kernels::{Attention, Embed, Heads, LinearAttention, Mean, Norm, Product},
    program::{Tensor, Writer},
};

/// The launches of a model for inputs of so many rows: [`Model::tokens`] of a picture, or a text's words.
///
/// The program reads a normalised picture ([`sotto_models::images::normalise`]) or a text's rows
/// ([`sotto_models::text::rows`]); its output goes through [`result`].
///
/// # Panics
/// Where `weights` are not the model's, or `rows` not its own.
pub fn program(model: &Model, weights: &Weights, rows: usize) -> Program {
    let d = model.stack.width;
    let input = match &model.input {
        Input::Pixels(pixels) => pixels.numbers(),
        _ => rows * d,
    };
    let (writer, input) = Writer::new(input);
    let mut build = Build { model, weights, rows, writer };
    let mut x = build.embedding(input);
    for sublayer in sublayers(model) {
        let layer = sublayer.layer;
        let n = match sublayer.norm {
            Some(site) => {
                build.writer.section(Section::Norm(layer, sublayer.kind));
                build.norm(site, x, 0..rows)
            }
            None => x,
        };
        let base = if sublayer.base == Base::Norm { n } else { x };
        build.writer.section(Section::Step(layer, sublayer.kind));
        x = match sublayer.kind {
            Step::Attention => build.attention(layer, n, base),
            Step::Mlp => build.mlp(layer, n, base),
        };
    }
    let result = build.head(x);
    build.writer.finish(result)
}

/// What the client gets of one input: the program's output, or its direction where the model says so.
pub fn result(model: &Model, mut output: Vec<f32>) -> Vec<f32> {
    if matches!(model.output, Output::Embedding { normalise: true, .. }) {
        let length = output.iter().map(|x| x * x).sum::<f32>().sqrt();
        output.iter_mut().for_each(|x| *x /= length);
    }
    output
}

struct Build<'a> {
    model: &'a Model,
    weights: &'a Weights,
    rows: usize,
    writer: Writer,
}

impl Build<'_> {
    fn embedding(&mut self, input: Tensor) -> Tensor {
        let Input::Pixels(pixels) = &self.model.input else { return input };
        self.writer.section(Section::Embedding);
        let map = self.weights.linear("patch_embed");
        let bias = map.bias.expect("the patches' product has a bias");
        let mut inputs = vec![input, self.writer.constant(map.w), self.writer.constant(bias)];
        inputs.push(self.writer.constant(self.weights.values("pos_embed")));
        if pixels.lead > 0 {
            inputs.push(self.writer.constant(self.weights.values("cls_token")));
        }
        self.writer.launch(Embed { pixels: *pixels, outputs: map.outputs }, &inputs)
    }

    fn norm(&mut self, site: Site, x: Tensor, take: std::ops::Range<usize>) -> Tensor {
        let norm = self.weights.norm(&site.path(self.model));
        let [gain, offset] = [norm.weight, norm.bias].map(|values| self.writer.constant(values));
        let (width, eps) = (self.model.stack.width, self.model.stack.eps);
        self.writer.launch(Norm { rows: self.rows, width, take, eps }, &[x, gain, offset])
    }

    /// `activation(x W^T + b) + residual` of so many rows, with the map of this name.
    fn product(
        &mut self,
        name: &str,
        rows: usize,
        x: Tensor,
        activation: Activation,
        residual: Option<Tensor>,
    ) -> Tensor {
        let map = self.weights.linear(name);
        let mut inputs = vec![x, self.writer.constant(map.w)];
        inputs.extend(map.bias.map(|bias| self.writer.constant(bias)));
        inputs.extend(residual);
        let kernel = Product {
            rows,
            inputs: map.inputs,
            outputs: map.outputs,
            bias: map.bias.is_some(),
            activation,
            residual: residual.is_some(),
        };
        self.writer.launch(kernel, &inputs)
    }

    fn attention(&mut self, layer: usize, n: Tensor, base: Tensor) -> Tensor {
        let (block, rows) = (self.model.block(layer), self.rows);
        let qkv = self.product(&format!("{block}.attn.qkv"), rows, n, Activation::None, None);
        let (heads, dh) = (self.model.stack.heads, self.model.stack.head_dim());
        let kinds = self.model.stack.attention[layer].iter().copied().enumerate();
        let (mine, kinds): (Vec<_>, Vec<_>) =
            kinds.partition(|&(_, kind)| kind == Kind::Linear && dh < rows);
        let mine: Vec<usize> = mine.into_iter().map(|(head, _)| head).collect();
        let by_state = LinearAttention { of: Heads { rows, heads, dh, mine } };
        let kinds = kinds.into_iter().map(|(head, kind)| (head, kind.into())).collect();
        let by_scores = Attention { rows, heads, dh, kinds };
        let context = if by_state.of.mine.is_empty() {
            self.writer.launch(by_scores, &[qkv])
        } else {
            let some = !by_scores.kinds.is_empty();
            let context = self.writer.launch(by_state, &[qkv]);
            if some {
                self.writer.launch_into(context, by_scores, &[qkv]);
            }
            context
        };
        let proj = format!("{block}.attn.proj");
        self.product(&proj, rows, context, Activation::None, Some(base))
    }

    fn mlp(&mut self, layer: usize, n: Tensor, base: Tensor) -> Tensor {
        let (block, rows) = (self.model.block(layer), self.rows);
        let activation = self.model.stack.activation[layer];
        let hidden = self.product(&format!("{block}.mlp.fc1"), rows, n, activation, None);
        let fc2 = format!("{block}.mlp.fc2");
        self.product(&fc2, rows, hidden, Activation::None, Some(base))
    }

    fn head(&mut self, x: Tensor) -> Tensor {
        self.writer.section(Section::Head);
        let (rows, width) = (self.rows, self.model.stack.width);
        let lead = self.model.pixels().map_or(0, |pixels| pixels.lead);
        let pool = self.model.output.pool();
        let take = match pool {
            Some(Pool::First) => 0..1,
            Some(Pool::FirstTwo) => 0..2,
            Some(Pool::Mean) => lead..rows,
            _ => 0..rows,
        };
        let taken = take.len();
        let mut pooled = self.norm(last_norm(self.model), x, take);
        // Of what follows: how many rows there are. Two rows are one of twice the width.
        let mut result = 1;
        match pool {
            Some(Pool::Mean) => {
                let mean = Mean { rows: taken, width, over: 0..taken, first: false };
                pooled = self.writer.launch(mean, &[pooled]);
            }
            Some(Pool::FirstAndMean) => {
                let mean = Mean { rows: taken, width, over: lead..taken, first: true };
                pooled = self.writer.launch(mean, &[pooled]);
            }
            Some(_) => {}
            None => result = taken,
        }
        if let Output::Classes(classes) = &self.model.output
            && let Some(hidden) = &classes.hidden
        {
            pooled = self.product("pool", result, pooled, hidden.activation, None);
        }
        match self.model.output {
            Output::Embedding { .. } => pooled,
            _ => self.product("head", result, pooled, Activation::None, None),
        }
    }
}

#[cfg(test)]
mod tests;

//! The names and shapes of a model's tensors: what `weights.safetensors` holds, whatever family it came from.

use super::{Input, Model, Output, Place, Pool, Words};

impl Model {
    /// The name and shape of every tensor, in the order of their use. Matrices are `outputs x inputs`.
    ///
    /// | name | shape | what |
    /// |--|--|--|
    /// | `patch_embed.weight`, `.bias` | d, channels, patch, patch; d | pixels only |
    /// | `cls_token` | 1, lead, d | pixels with leading rows only: class token first |
    /// | `pos_embed` | 1, tokens, d | pixels only: leading rows first; zeros for rows without a position |
    /// | `embed.word.weight` | vocabulary, w | words only; w is the tables' width |
    /// | `embed.position.weight` | positions, w | words only: row 0 is the first word's |
    /// | `embed.kind.weight` | kinds, w | words with kinds only |
    /// | `embed.norm.weight`, `.bias` | w | words with a norm only |
    /// | `embed.map.weight`, `.bias` | d, w; d | words whose tables are narrower than the stack only |
    /// | `blocks.N.norm1.weight`, `.bias` | d | before attention, or after it ([`Place::After`]) |
    /// | `blocks.N.attn.qkv.weight`, `.bias` | 3 d, d; 3 d | queries, keys, values, each head by head; bias where `qkv_bias` |
    /// | `blocks.N.attn.proj.weight`, `.bias` | d, d; d | LayerScale multiplied in |
    /// | `blocks.N.norm2.weight`, `.bias` | d | before the MLP, or after it |
    /// | `blocks.N.mlp.fc1.weight`, `.bias` | hidden, d; hidden | |
    /// | `blocks.N.mlp.fc2.weight`, `.bias` | d, hidden; d | LayerScale multiplied in |
    /// | `norm.weight`, `.bias` | d | the norm after the last layer; not with [`Place::After`] |
    /// | `pool.weight`, `.bias` | h, d; h | the layer before the classes, where there is one |
    /// | `head.weight`, `.bias` | classes, p; classes | p is the pooled width: d, 2 d ([`Pool::FirstAndMean`]: first, mean), or h; not for embeddings |
    ///
    /// A stack that shares its weights has `blocks.0` alone.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (stack, d) = (&self.stack, self.stack.width);
        let mut all = match &self.input {
            Input::Pixels(p) => {
                let patches = vec![
                    ("patch_embed.weight", vec![d, p.channels, p.patch, p.patch]),
                    ("patch_embed.bias", vec![d]),
                    ("cls_token", vec![1, p.lead, d]),
                    ("pos_embed", vec![1, p.tokens(), d]),
                ];
                let there = |(_, shape): &(&str, Vec<usize>)| shape.iter().all(|&n| n > 0);
                patches.into_iter().filter(there).map(|(n, s)| (n.to_owned(), s)).collect()
            }
            Input::Words(words) => tables(words, d),
        };
        let layers = if stack.shared { 1 } else { stack.layers };
        for layer in 0..layers {
            let name = |part: &str| format!("{}.{part}", self.block(layer));
            norm(&mut all, &name("norm1"), d);
            all.push((name("attn.qkv.weight"), vec![3 * d, d]));
            if stack.qkv_bias {
                all.push((name("attn.qkv.bias"), vec![3 * d]));
            }
            linear(&mut all, &name("attn.proj"), d, d);
            norm(&mut all, &name("norm2"), d);
            linear(&mut all, &name("mlp.fc1"), stack.hidden, d);
            linear(&mut all, &name("mlp.fc2"), d, stack.hidden);
        }
        if stack.place != Place::After {
            norm(&mut all, "norm", d);
        }
        let mut width = d * self.pooled();
        if let Output::Classes(classes) = &self.output
            && let Some(hidden) = &classes.hidden
        {
            linear(&mut all, "pool", hidden.width, width);
            width = hidden.width;
        }
        if self.output.classes() > 0 {
            linear(&mut all, "head", self.output.classes(), width);
        }
        all
    }

    /// Whether the client may have a tensor: the tables of a public vocabulary.
    pub fn is_public(&self, tensor: &str) -> bool {
        matches!(self.input, Input::Words(_)) && tensor.starts_with("embed.")
    }

    /// Rows that lie side by side in the pooled one.
    pub fn pooled(&self) -> usize {
        match self.output.pool() {
            Some(Pool::FirstAndMean | Pool::FirstTwo) => 2,
            Some(Pool::First | Pool::Mean) | None => 1,
        }
    }
}

fn tables(words: &Words, d: usize) -> Vec<(String, Vec<usize>)> {
    let w = words.width;
    let mut all = vec![
        ("embed.word.weight".to_owned(), vec![words.vocabulary, w]),
        ("embed.position.weight".to_owned(), vec![words.positions, w]),
    ];
    if words.kinds > 0 {
        all.push(("embed.kind.weight".to_owned(), vec![words.kinds, w]));
    }
    if words.norm {
        norm(&mut all, "embed.norm", w);
    }
    if w != d {
        linear(&mut all, "embed.map", d, w);
    }
    all
}

fn norm(all: &mut Vec<(String, Vec<usize>)>, name: &str, width: usize) {
    all.push((format!("{name}.weight"), vec![width]));
    all.push((format!("{name}.bias"), vec![width]));
}

fn linear(all: &mut Vec<(String, Vec<usize>)>, name: &str, outputs: usize, inputs: usize) {
    all.push((format!("{name}.weight"), vec![outputs, inputs]));
    all.push((format!("{name}.bias"), vec![outputs]));
}

//! A picture's rows: `W patch + b + position` for each patch, and before them the leading rows `token + position`.
//!
//! Shapes: the picture is planes x side x side, W outputs x (planes patch^2), b outputs, the tokens lead x outputs, the
//! positions and the result (lead + (side / patch)^2) x outputs. Patches go from left to right and down.

use crate::{
    host,
    kernel::{Code, Kernel, Language, Operand},
    kernels::tile,
};
use sotto_models::{images::patches, model::Pixels};

/// The embedding of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    /// The picture, and how it is cut.
    pub pixels: Pixels,
    /// Width of a row.
    pub outputs: usize,
}

impl Embed {
    fn lead(&self) -> usize {
        self.pixels.lead * self.outputs
    }
}

impl Kernel for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn operands(&self) -> Vec<Operand> {
        let mut all = vec![
            Operand::whole("picture", self.pixels.numbers()),
            Operand::weights("w", self.outputs * self.pixels.patch_dim()),
            Operand::weights("bias", self.outputs),
            Operand::weights("positions", self.output()),
        ];
        if self.pixels.lead > 0 {
            all.push(Operand::weights("tokens", self.lead()));
        }
        all
    }

    fn output(&self) -> usize {
        self.pixels.tokens() * self.outputs
    }

    fn operations(&self) -> u64 {
        let patches = self.output() - self.lead();
        ((2 * self.pixels.patch_dim() + 1) * patches + self.output()) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let p = &self.pixels;
        let across = p.image / p.patch;
        for (at, y) in out.iter_mut().enumerate() {
            let (row, column) = (at / self.outputs, at % self.outputs);
            *y = inputs[3][at];
            let Some(patch) = row.checked_sub(p.lead) else {
                *y += inputs[4][at];
                continue;
            };
            *y += inputs[2][column];
            let (top, left) = (patch / across * p.patch, patch % across * p.patch);
            for k in 0..p.patch_dim() {
                let (plane, within) = (k / p.patch.pow(2), k % p.patch.pow(2));
                let (i, j) = (top + within / p.patch, left + within % p.patch);
                let pixel = inputs[0][(plane * p.image + i) * p.image + j];
                *y += inputs[1][column * p.patch_dim() + k] * pixel;
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let p = &self.pixels;
        let (lead, rest) = out.split_at_mut(self.lead());
        if p.lead > 0 {
            lead.copy_from_slice(inputs[4]);
        }
        let shape = (p.tokens() - p.lead, p.patch_dim(), self.outputs);
        host::product_by_rows(shape, &patches(p, inputs[0]), inputs[1], rest);
        for row in rest.chunks_exact_mut(self.outputs) {
            row.iter_mut().zip(inputs[2]).for_each(|(y, b)| *y += b);
        }
        out.iter_mut().zip(inputs[3]).for_each(|(y, p)| *y += p);
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let p = &self.pixels;
        let rows = batch * p.tokens();
        let (inputs, pixel) = (p.patch_dim(), include_str!("pixel.cu"));
        let (functions, token) = match language {
            Language::Wgsl => (include_str!("rows.wgsl").to_owned(), "f32(tokens[at])"),
            Language::Cuda(_) if tile::on_tensor_cores(language, inputs, self.outputs) => {
                (format!("{pixel}{}", include_str!("tensor.cu")), "load(tokens[at + i])")
            }
            Language::Cuda(_) => {
                (format!("{pixel}{}", include_str!("rows.cu")), "load(tokens[at])")
            }
        };
        let functions = match p.lead {
            0 => functions,
            _ => functions.replace("0.0f /* token */", token).replace("0.0 /* token */", token),
        };
        let constants = vec![
            ("TOKENS", p.tokens()),
            ("LEAD", p.lead),
            ("PATCH", p.patch),
            ("PATCHES", p.image / p.patch),
            ("PLANES", p.channels),
            ("IMAGE", p.image),
        ];
        let shape = (rows, inputs, self.outputs);
        tile::code(language, shape, constants, functions, Vec::new())
    }
}

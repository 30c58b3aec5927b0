//! `activation(x W^T + b) + residual`, over each row.
//!
//! On a card, halves go over tensor cores where inputs are a multiple of 8 and outputs even (`tensor_tile.cu`).
//!
//! Shapes: x is rows x inputs, W outputs x inputs, b outputs, the residual and the result rows x outputs.

mod activation;

use sotto_models::arch::Activation;

use crate::{
    host,
    kernel::{Code, Kernel, Language, Operand},
    kernels::tile,
};

/// A product with what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of x.
    pub rows: usize,
    /// Columns of x.
    pub inputs: usize,
    /// Columns of the result.
    pub outputs: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// What follows.
    pub activation: Activation,
    /// Whether a residual is added in the end.
    pub residual: bool,
}

impl Product {
    /// Without bias, activation and residual.
    pub fn plain(rows: usize, inputs: usize, outputs: usize) -> Self {
        let activation = Activation::None;
        Self { rows, inputs, outputs, bias: false, activation, residual: false }
    }

    fn parts<'a, T>(&self, inputs: &[&'a [T]]) -> (Option<&'a [T]>, Option<&'a [T]>) {
        let bias = self.bias.then(|| inputs[2]);
        (bias, self.residual.then(|| inputs[2 + usize::from(self.bias)]))
    }

    /// What `tile.wgsl` reads and writes.
    fn wgsl(&self) -> String {
        let active = activation::function(self.activation);
        let bias = if self.bias { "sum + f32(bias[column])" } else { "sum" };
        let residual = if self.residual { " + f32(residual[at])" } else { "" };
        format!(
            "fn x_at(row: u32, k: u32) -> f32 {{ return f32(x[row * INPUTS + k]); }}
             fn w_at(column: u32, k: u32) -> f32 {{ return f32(w[column * INPUTS + k]); }}
             fn finish(row: u32, column: u32, sum: f32) {{
                 let at = row * OUTPUTS + column;
                 result[at] = T({active}({bias}){residual});
             }}"
        )
    }

    /// What `tile.cu` reads and writes.
    fn cuda(&self) -> String {
        let active = activation::function(self.activation);
        let bias = if self.bias { "(sum) + load(bias[column])" } else { "sum" };
        let residual = if self.residual { " + load(residual[at])" } else { "" };
        format!(
            "#define X_AT(row, k) load(x[(u64)(row) * INPUTS + (k)])
#define W_AT(column, k) load(w[(column) * INPUTS + (k)])
#define FINISH(row, column, sum) {{ const u64 at = (u64)(row) * OUTPUTS + (column); \\
    result[at] = store({active}({bias}){residual}); }}"
        )
    }

    /// What `tensor_tile.cu` reads and writes.
    fn tensor(&self) -> String {
        let active = activation::function(self.activation);
        let (mut read, mut bias, mut residual) = (String::new(), "", "");
        if self.bias {
            read += "const Two b = *(const Two *)(bias + (column)); ";
            bias = " + load(b.of[i])";
        }
        if self.residual {
            read += "const Two r = *(const Two *)(residual + at); ";
            residual = " + load(r.of[i])";
        }
        format!(
            "#define FETCH_X(to, row, k, inside) copy_16(to, x + (u64)(row) * INPUTS + (k), inside);
#define FINISH(row, column, y) {{ const u64 at = (u64)(row) * OUTPUTS + (column); {read}\\
    for (u32 i = 0; i < 2; i++) (y)[i] = {active}((y)[i]{bias}){residual}; }}"
        )
    }
}

impl Kernel for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn operands(&self) -> Vec<Operand> {
        let mut all = vec![
            Operand::whole("x", self.rows * self.inputs),
            Operand::weights("w", self.outputs * self.inputs),
        ];
        if self.bias {
            all.push(Operand::weights("bias", self.outputs));
        }
        if self.residual {
            all.push(Operand::whole("residual", self.output()));
        }
        all
    }

    fn output(&self) -> usize {
        self.rows * self.outputs
    }

    fn operations(&self) -> u64 {
        let active = usize::from(self.activation != Activation::None);
        let more = usize::from(self.bias) + active + usize::from(self.residual);
        ((2 * self.inputs + more) * self.output()) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (bias, residual) = self.parts(inputs);
        for (at, y) in out.iter_mut().enumerate() {
            let (row, column) = (at / self.outputs, at % self.outputs);
            let x = &inputs[0][row * self.inputs..][..self.inputs];
            let w = &inputs[1][column * self.inputs..][..self.inputs];
            let sum = x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
            *y = activation::definition(self.activation, sum + bias.map_or(0.0, |b| b[column]));
            *y += residual.map_or(0.0, |r| r[at]);
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (bias, residual) = self.parts(inputs);
        let shape = (self.rows, self.inputs, self.outputs);
        host::product_by_rows(shape, inputs[0], inputs[1], out);
        host::finish(self.activation, self.outputs, bias, residual, out);
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let (functions, activations) = match language {
            Language::Wgsl => (self.wgsl(), include_str!("activation.wgsl")),
            Language::Cuda(_) if tile::on_tensor_cores(language, self.inputs, self.outputs) => {
                (self.tensor(), include_str!("activation.cu"))
            }
            Language::Cuda(_) => (self.cuda(), include_str!("activation.cu")),
        };
        let shape = (batch * self.rows, self.inputs, self.outputs);
        tile::code(language, shape, Vec::new(), functions, vec![activations])
    }
}

//! The loop over keys that the kernels share whose heads weigh values by scores one at a time.

use super::heads::Heads;
use crate::kernel::{Code, Language};

/// Query rows of a workgroup, an invocation each.
pub(super) const LANES: usize = 64;

/// Numbers of the keys, and of the values, that a workgroup keeps: 8 KiB each, half of what every device has.
pub(super) const STAGED: usize = 2048;

/// What a kernel's own file adds to the loop.
pub(super) struct Sweep {
    /// Times that the keys are gone through: what comes before the last gathers what a weight needs of all scores.
    pub(super) sweeps: usize,
    /// Whether keys are changed once they are staged.
    pub(super) settles: bool,
    /// Whether the operand's rows have keys of their own; else queries are keys.
    pub(super) keys: bool,
    /// The kernel's numbers.
    pub(super) functions: String,
    /// Its functions, in WGSL and in CUDA C.
    pub(super) bodies: [&'static str; 2],
}

impl Sweep {
    /// The kernel's code.
    pub(super) fn code(self, of: &Heads, language: Language, batch: usize) -> Code {
        let (width, keys) = (of.heads * of.dh, usize::from(self.keys));
        let constants = vec![
            ("TOKENS", of.rows),
            ("HEADS", of.heads),
            ("DH", of.dh),
            ("STRIDE", (2 + keys) * width),
            ("KEYS_AT", keys * width),
            ("VALUES_AT", (1 + keys) * width),
            ("LANES", LANES),
            ("TILE", (STAGED / of.dh).clamp(1, 32)),
            ("SWEEPS", self.sweeps),
            ("SETTLES", usize::from(self.settles)),
        ];
        let [wgsl, cuda] = self.bodies;
        let bodies = match language {
            Language::Wgsl => vec![include_str!("sweep.wgsl"), wgsl],
            Language::Cuda(_) => vec![include_str!("sweep.cu"), cuda],
        };
        let functions = of.head_of(language) + &self.functions;
        let groups = [of.rows.div_ceil(LANES), of.mine.len(), batch];
        Code { constants, functions, bodies, groups, threads: LANES, shared: 0 }
    }
}

//! A kernel's whole text: what a kernel may ask of a GPU, constants, functions, bodies.

use std::fmt::Write;

use crate::{
    kernel::{Code, Kernel, Language},
    precision::Precision,
};

/// What every kernel begins with.
pub(super) const DEVICE: &str = include_str!("device.cuh");

/// Macros that one kernel has and the next defines anew.
const MACROS: [&str; 5] = ["PARAMETERS", "X_AT", "W_AT", "FETCH_X", "FINISH"];

/// A kernel's text behind [`DEVICE`], its blocks and threads.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) groups: [usize; 3],
    pub(super) threads: usize,
    /// Bytes of shared memory that the launch gives.
    pub(super) shared: usize,
}

/// How a format is named to [`DEVICE`].
pub(super) fn format(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "F32",
        Precision::F16 => "F16",
        Precision::Bf16 => "BF16",
    }
}

pub(super) fn text(kernel: &dyn Kernel, batch: usize, precision: Precision) -> Text {
    let code = kernel.code(Language::Cuda(precision), batch);
    let Code { constants, functions, bodies, groups, threads, shared } = code;
    let mut text = String::new();
    for name in MACROS {
        writeln!(text, "#undef {name}").expect("a string takes everything");
    }
    let read = kernel.operands().into_iter().map(|o| format!("const T *{}", o.name));
    let parameters: Vec<String> = read.chain(["T *result".to_owned()]).collect();
    writeln!(text, "#define PARAMETERS {}", parameters.join(", ")).expect("a string");
    for (name, value) in constants {
        writeln!(text, "constexpr u32 {name} = {value}u;").expect("a string takes everything");
    }
    writeln!(text, "constexpr u32 DYNAMIC_BYTES = {shared}u;").expect("a string");
    text.push_str(&functions);
    for body in bodies {
        text.push('\n');
        text.push_str(body);
    }
    Text { text, groups, threads, shared }
}

//! A kernel's whole text: number type, bindings, constants, functions, bodies.

use std::fmt::Write;

use crate::{
    kernel::{Code, Kernel, Language},
    precision::Precision,
};

/// The text of a kernel for a batch, and its workgroups.
pub(super) fn text(
    kernel: &dyn Kernel,
    batch: usize,
    precision: Precision,
) -> (String, [usize; 3]) {
    let code = kernel.code(Language::Wgsl, batch);
    let Code { constants, functions, bodies, groups, .. } = code;
    let mut text = match precision {
        Precision::F32 => "alias T = f32;\n".to_owned(),
        Precision::F16 => "enable f16;\nalias T = f16;\n".to_owned(),
        Precision::Bf16 => unreachable!("no adapter says that it has bf16"),
    };
    let operands = kernel.operands();
    let names = operands.iter().map(|operand| (operand.name, "read"));
    for (at, (name, access)) in names.chain([("result", "read_write")]).enumerate() {
        let line = format!("@group(0) @binding({at}) var<storage, {access}> {name}: array<T>;");
        text.push_str(&line);
        text.push('\n');
    }
    for (name, value) in constants {
        writeln!(text, "const {name} = {value}u;").expect("a string takes everything");
    }
    text.push_str(&functions);
    for body in bodies {
        text.push('\n');
        text.push_str(body);
    }
    (text, groups)
}

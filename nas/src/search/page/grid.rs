//! Architectures as coloured squares and as words.

use std::fmt::Write as _;

use sotto_models::Arch;
use sotto_models::arch::{Activation, Attention};

fn kind_colour(kind: Attention) -> &'static str {
    match kind {
        Attention::Softmax => "#7b3294",
        Attention::Relu => "#e66101",
        Attention::Linear => "#5ab4ac",
        _ => "#999999",
    }
}

fn activation_colour(activation: Activation) -> &'static str {
    match activation {
        Activation::Gelu => "#c51b7d",
        Activation::Relu => "#fdb863",
        Activation::None => "#dfe8e6",
        _ => "#999999",
    }
}

pub(super) fn legend() -> String {
    let box_of = |colour: &str, name: &str| {
        format!(
            "<svg width=\"14\" height=\"14\"><rect width=\"14\" height=\"14\" fill=\"{colour}\"/></svg> {name}"
        )
    };
    let kinds = Attention::ALL.map(|k| box_of(kind_colour(k), k.name()));
    let mlps = [Activation::Gelu, Activation::Relu, Activation::None]
        .map(|a| box_of(activation_colour(a), a.name()));
    format!(
        "<p>Rows are layers, the first on top; squares are heads: {}. The bar beside them is the MLP: {}.</p>",
        kinds.join(", "),
        mlps.join(", ")
    )
}

/// Layers by heads, coloured by kind, and each layer's MLP.
pub(super) fn grid(arch: &Arch) -> String {
    let (size, gap) = (20, 6);
    let (width, height) = (size * arch.heads + gap + 2 * size, size * arch.layers);
    let mut out =
        format!("<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">");
    let mut square = |x: usize, y: usize, w: usize, colour: &str, title: String| {
        write!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"><title>{title}</title></rect>",
            w - 2, size - 2
        )
        .expect("writing to a string does not fail");
    };
    for (l, kinds) in arch.attention.iter().enumerate() {
        for (h, &kind) in kinds.iter().enumerate() {
            let title = format!("layer {l}, head {h}: {}", kind.name());
            square(h * size, l * size, size, kind_colour(kind), title);
        }
        let activation = arch.activation[l];
        let title = format!("layer {l}, MLP: {}", activation.name());
        square(arch.heads * size + gap, l * size, 2 * size, activation_colour(activation), title);
    }
    out + "</svg>"
}

/// The architecture as lines of text.
pub(super) fn words(arch: &Arch) -> String {
    let line = |(kinds, activation): (&Vec<Attention>, &Activation)| {
        let kinds: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
        format!("{} | {}", kinds.join(" "), activation.name())
    };
    arch.attention.iter().zip(&arch.activation).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_colours_every_head_and_every_mlp() {
        let mut arch = Arch::vit(2, 3, 12, 24, 32, 8, 10).with_attention(Attention::Linear);
        arch.attention[1][2] = Attention::Relu;
        arch.activation[0] = Activation::None;
        let grid = grid(&arch);
        let count = |colour: &str| grid.matches(colour).count();
        assert_eq!(count(kind_colour(Attention::Linear)), 5);
        assert_eq!(count(kind_colour(Attention::Relu)), 1);
        assert_eq!(count(activation_colour(Activation::None)), 1);
        assert_eq!(count(activation_colour(Activation::Gelu)), 1);
        assert_eq!(words(&arch), "linear linear linear | none\nlinear linear relu | gelu");
    }
}

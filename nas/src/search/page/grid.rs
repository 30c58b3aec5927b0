//! Architectures as coloured squares and as words.

use std::fmt::Write as _;

use sotto_models::Arch;
use sotto_models::arch::{Activation, Attention};

/// A kind's colour, that of a letter on it, and the letter: who does not see the colour reads.
fn kind_look(kind: Attention) -> [&'static str; 3] {
    match kind {
        Attention::Softmax => ["#7b3294", "#fff", "S"],
        Attention::Relu => ["#b35806", "#fff", "R"],
        Attention::Linear => ["#5ab4ac", "#000", "L"],
        _ => ["#999999", "#000", "?"],
    }
}

fn activation_look(activation: Activation) -> [&'static str; 3] {
    match activation {
        Activation::Gelu => ["#c51b7d", "#fff", "GELU"],
        Activation::Relu => ["#fdb863", "#000", "ReLU"],
        Activation::None => ["#d5dfdd", "#000", "none"],
        _ => ["#999999", "#000", "?"],
    }
}

pub(super) fn legend() -> String {
    let box_of = |[colour, _, letters]: [&str; 3], name: &str| {
        format!(
            "<span class=\"key\"><svg width=\"14\" height=\"14\"><rect width=\"14\" height=\"14\" \
             fill=\"{colour}\"/></svg> {letters}{name}</span>"
        )
    };
    let kinds = Attention::ALL.map(|k| box_of(kind_look(k), &format!(" {}", k.name())));
    let mlps = [Activation::Gelu, Activation::Relu, Activation::None]
        .map(|a| box_of(activation_look(a), ""));
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
    let mut square = |x: usize, y: usize, w: usize, look: [&str; 3], title: String| {
        let [colour, ink, letters] = look;
        let (wide, high) = (w - 2, size - 2);
        let (middle, line) = (x + wide / 2, y + 13);
        write!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" fill=\"{colour}\"><title>{title}</title></rect>\
             <text x=\"{middle}\" y=\"{line}\" class=\"cell\" style=\"fill:{ink}\">{letters}</text>"
        )
        .expect("writing to a string does not fail");
    };
    for (l, kinds) in arch.attention.iter().enumerate() {
        for (h, &kind) in kinds.iter().enumerate() {
            let title = format!("layer {l}, head {h}: {}", kind.name());
            square(h * size, l * size, size, kind_look(kind), title);
        }
        let activation = arch.activation[l];
        let title = format!("layer {l}, MLP: {}", activation.name());
        square(arch.heads * size + gap, l * size, 2 * size, activation_look(activation), title);
    }
    out + "</svg>"
}

/// The architecture as lines of text.
pub(crate) fn words(arch: &Arch) -> String {
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
        assert_eq!(count(kind_look(Attention::Linear)[0]), 5);
        assert_eq!(count(kind_look(Attention::Relu)[0]), 1);
        assert_eq!(count(activation_look(Activation::None)[0]), 1);
        assert_eq!(count(activation_look(Activation::Gelu)[0]), 1);
        assert_eq!(words(&arch), "linear linear linear | none\nlinear linear relu | gelu");
    }
}

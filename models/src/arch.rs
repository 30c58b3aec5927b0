//! Version 1 of the description of a model: a vision transformer, exactly as MPCViT's (ICCV 2023, section 4.1). The
//! trainer and the search choose among these; [`crate::Model`] describes any other.
//!
//! Both parties and the dealer read it, and it may come from somebody else: every size is bounded
//! before anything is allocated from it.

pub use crate::kind::{Activation, Attention};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    model::{
        Pixels,
        check::{divides, labels, lasts, name, within},
    },
};

/// Longest architecture file that is parsed, in bytes.
const MAX_TEXT: usize = 4 << 20;
/// Most parameters that a model may have (2 GiB of float32).
const MAX_PARAMETERS: usize = 1 << 29;
/// Most tokens, class token included.
const MAX_TOKENS: usize = 4096;

/// A vision transformer without its weights.
///
/// The fields are plain so that a search can edit them; [`Arch::validate`] says whether they still
/// make a model, and [`Arch::from_toml`] never returns one that does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arch {
    /// What the model calls itself.
    pub name: String,
    /// Side of the square input picture, in pixels.
    pub image: usize,
    /// Colour planes of the input; 3.
    pub channels: usize,
    /// Side of a square patch, in pixels.
    pub patch: usize,
    /// Width of a token.
    pub dim: usize,
    /// Attention heads of each layer.
    pub heads: usize,
    /// Hidden width of each layer's MLP.
    pub mlp: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of layers.
    pub layers: usize,
    /// Mean of each colour plane, for pixels in 0..=1.
    pub mean: [f32; 3],
    /// Standard deviation of each colour plane, for pixels in 0..=1.
    pub std: [f32; 3],
    /// The kind of each head: `layers` lists of `heads` kinds.
    pub attention: Vec<Vec<Attention>>,
    /// The activation of each layer's MLP.
    pub activation: Vec<Activation>,
    /// Class names; either none or one for each class.
    #[serde(default)]
    pub labels: Vec<String>,
}

impl Arch {
    /// A transformer with softmax attention and GELU everywhere, ImageNet's input normalisation
    /// and unnamed classes. The result is not validated.
    pub fn vit(
        layers: usize,
        heads: usize,
        dim: usize,
        mlp: usize,
        image: usize,
        patch: usize,
        classes: usize,
    ) -> Self {
        Arch {
            name: format!("vit_{layers}_{heads}_{image}"),
            image,
            channels: 3,
            patch,
            dim,
            heads,
            mlp,
            classes,
            layers,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            attention: vec![vec![Attention::Softmax; heads]; layers],
            activation: vec![Activation::Gelu; layers],
            labels: Vec::new(),
        }
    }

    /// MPCViT's CIFAR-10 model: 7 layers of 4 heads, 65 tokens of width 256, 3.72 M parameters.
    pub fn vit_cifar() -> Self {
        let labels = "airplane automobile bird cat deer dog frog horse ship truck";
        Arch {
            mean: [0.4914, 0.4822, 0.4465],
            std: [0.2470, 0.2435, 0.2616],
            labels: labels.split(' ').map(String::from).collect(),
            ..Arch::vit(7, 4, 256, 512, 32, 4, 10)
        }
    }

    /// MPCViT's Tiny-ImageNet model: 9 layers of 12 heads, 257 tokens of width 192, 2.77 M
    /// parameters.
    pub fn vit_tiny() -> Self {
        Arch {
            mean: [0.4802, 0.4481, 0.3975],
            std: [0.2770, 0.2691, 0.2821],
            ..Arch::vit(9, 12, 192, 384, 64, 4, 200)
        }
    }

    /// The same model with one kind of attention in every head.
    pub fn with_attention(mut self, kind: Attention) -> Self {
        self.attention = vec![vec![kind; self.heads]; self.layers];
        self
    }

    /// The same model with one activation in every layer.
    pub fn with_activation(mut self, kind: Activation) -> Self {
        self.activation = vec![kind; self.layers];
        self
    }

    /// Tokens, class token included: (image / patch)^2 + 1.
    pub fn tokens(&self) -> usize {
        (self.image / self.patch).pow(2) + 1
    }

    /// Width of one head: dim / heads.
    pub fn head_dim(&self) -> usize {
        self.dim / self.heads
    }

    /// Pixels of one patch over all planes: channels * patch^2.
    pub fn patch_dim(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    /// The picture's description.
    pub fn pixels(&self) -> Pixels {
        let Arch { image, channels, patch, mean, std, .. } = *self;
        Pixels { image, channels, patch, mean, std, lead: 1 }
    }

    /// Number of weights in all.
    pub fn parameters(&self) -> usize {
        let (d, m) = (self.dim, self.mlp);
        let block = 2 * (2 * d) + 3 * d * d + (d * d + d) + (m * d + m) + (d * m + d);
        let tokeniser = d * self.patch_dim() + d + d + self.tokens() * d;
        tokeniser + self.layers * block + 2 * d + self.classes * d + self.classes
    }

    /// The name of a class, or its number where the classes have no names.
    pub fn label(&self, class: usize) -> String {
        match self.labels.get(class) {
            Some(label) => label.clone(),
            None => format!("class {class}"),
        }
    }

    /// Reads an architecture file and checks it.
    ///
    /// # Errors
    /// [`Error::ArchSyntax`] for text that is not the TOML we expect (it names unknown, missing and
    /// ill-typed fields), [`Error::Arch`] for values out of bounds.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            let why = format!("{} bytes are more than {MAX_TEXT}", text.len());
            return Err(Error::ArchSyntax(why));
        }
        let arch: Arch = toml::from_str(text).map_err(|e| Error::ArchSyntax(e.to_string()))?;
        arch.validate()?;
        Ok(arch)
    }

    /// Writes an architecture file, which [`Arch::from_toml`] reads back unchanged.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("numbers, strings and lists of them always serialise")
    }

    /// Checks that the fields make a model, of a size that we are willing to run.
    ///
    /// # Errors
    /// [`Error::Arch`] names the first field that does not fit, and what is accepted.
    pub fn validate(&self) -> Result<(), Error> {
        name(&self.name)?;
        within("channels", self.channels, 3, 3)?;
        within("image", self.image, 1, 1024)?;
        within("patch", self.patch, 1, 64)?;
        divides("patch", self.patch, "image", self.image)?;
        within("dim", self.dim, 1, 4096)?;
        within("heads", self.heads, 1, 256)?;
        divides("heads", self.heads, "dim", self.dim)?;
        within("mlp", self.mlp, 1, 16384)?;
        within("classes", self.classes, 2, 65536)?;
        within("layers", self.layers, 1, 64)?;
        if self.tokens() > MAX_TOKENS {
            let why = format!("makes {} tokens; at most {MAX_TOKENS}", self.tokens());
            return Err(Error::arch("patch", why));
        }
        if self.parameters() > MAX_PARAMETERS {
            let n = self.parameters();
            let why = format!("and the other sizes make {n} weights; at most {MAX_PARAMETERS}");
            return Err(Error::arch("dim", why));
        }
        for plane in 0..3 {
            let (mean, std) = (self.mean[plane], self.std[plane]);
            if !(mean.is_finite() && mean.abs() <= 16.0) {
                let why = format!("is {mean}; accepted: -16 to 16");
                return Err(Error::arch(format!("mean[{plane}]"), why));
            }
            if !(1e-3..=1e3).contains(&std) {
                let why = format!("is {std}; accepted: 0.001 to 1000");
                return Err(Error::arch(format!("std[{plane}]"), why));
            }
        }
        lasts("attention", self.attention.len(), self.layers, "layers")?;
        for (layer, kinds) in self.attention.iter().enumerate() {
            lasts(&format!("attention[{layer}]"), kinds.len(), self.heads, "heads")?;
        }
        lasts("activation", self.activation.len(), self.layers, "layers")?;
        for (layer, kind) in self.activation.iter().enumerate() {
            if !Activation::FIRST.contains(kind) {
                let why = format!("is {}; accepted in version 1: gelu, relu, none", kind.name());
                return Err(Error::arch(format!("activation[{layer}]"), why));
            }
        }
        labels(&self.labels, self.classes)
    }

    /// BLAKE3 of a canonical encoding of every field, by which parties agree on a model.
    ///
    /// Strings and lists are preceded by their length and kinds are spelt by name, so that two
    /// different models never encode alike and new kinds never renumber old ones.
    pub fn hash(&self) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key("sottovoce 2025 vit architecture v1");
        let text = |h: &mut blake3::Hasher, s: &str| {
            h.update(&(s.len() as u64).to_le_bytes()).update(s.as_bytes());
        };
        text(&mut h, &self.name);
        let sizes = [self.image, self.channels, self.patch, self.dim, self.heads, self.mlp];
        for n in sizes.into_iter().chain([self.classes, self.layers]) {
            h.update(&(n as u64).to_le_bytes());
        }
        for x in self.mean.iter().chain(&self.std) {
            h.update(&x.to_le_bytes());
        }
        h.update(&(self.attention.len() as u64).to_le_bytes());
        for kinds in &self.attention {
            h.update(&(kinds.len() as u64).to_le_bytes());
            kinds.iter().for_each(|k| text(&mut h, k.name()));
        }
        h.update(&(self.activation.len() as u64).to_le_bytes());
        self.activation.iter().for_each(|k| text(&mut h, k.name()));
        h.update(&(self.labels.len() as u64).to_le_bytes());
        self.labels.iter().for_each(|l| text(&mut h, l));
        *h.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests;

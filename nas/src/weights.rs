//! The weights of a model as burn holds them: names, shapes, first values, way to a device and back.
//!
//! Names and shapes come from `sotto-models`, so that they are written once. Each tensor is held
//! here as a matrix (a vector is one row), in the order of [`Model::tensors`].

use burn::tensor::{DType, Device, Tensor, TensorData};
use sotto_models::{Arch, Model};

use crate::augment::Rng;

/// One weight tensor: its name and shape in files and its shape as a matrix here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// timm's name.
    pub name: String,
    /// Shape in a weights file.
    pub shape: Vec<usize>,
    /// Shape here: `[outputs, inputs]`, or `[1, n]` for a vector.
    pub matrix: [usize; 2],
}

impl Spec {
    /// Whether this is a product's matrix inside a block.
    pub fn is_hidden_matrix(&self) -> bool {
        self.name.starts_with("blocks.") && self.shape.len() == 2
    }

    /// Whether weight decay applies: to matrices of products alone.
    pub fn decays(&self) -> bool {
        self.name.ends_with(".weight") && self.shape.len() > 1
    }
}

/// Every weight tensor of `arch`, in the order in which [`crate::vit::run`] takes them.
pub fn specs(arch: &Arch) -> Vec<Spec> {
    let matrix = |name: &str, shape: &[usize]| {
        let all: usize = shape.iter().product();
        let columns = match name {
            "cls_token" | "pos_embed" => arch.dim,
            _ if shape.len() == 1 => shape[0],
            _ => all / shape[0],
        };
        [all / columns, columns]
    };
    Model::from(arch)
        .tensors()
        .into_iter()
        .map(|(name, shape)| Spec { matrix: matrix(&name, &shape), name, shape })
        .collect()
}

/// Fresh weights, in the order of [`specs`].
///
/// Matrices are normal with deviation 0.7 / sqrt(inputs), those that write into the residual
/// stream a third of it; positions 0.2 (ViT-Lite); norms one; biases and the class token zero.
pub fn initial(arch: &Arch, seed: u64) -> Vec<Vec<f32>> {
    let fill = |(i, spec): (usize, &Spec)| {
        let [rows, columns] = spec.matrix;
        let n = rows * columns;
        let spread = 0.7 / (columns as f64).sqrt();
        let std = match spec.name.as_str() {
            "cls_token" => 0.0,
            "pos_embed" => 0.2,
            name if name.ends_with("bias") => 0.0,
            _ if spec.shape.len() == 1 => return vec![1.0; n],
            "head.weight" => 0.02,
            name if name.contains("proj") || name.contains("fc2") => spread / 3.0,
            _ => spread,
        };
        let mut rng = Rng::new(&[seed, 3, i as u64]);
        (0..n).map(|_| (std * rng.normal()) as f32).collect()
    };
    specs(arch).iter().enumerate().map(fill).collect()
}

/// Puts weights on a device.
pub fn upload(arch: &Arch, values: &[Vec<f32>], device: &Device) -> Vec<Tensor<2>> {
    let one = |(spec, v): (Spec, &Vec<f32>)| matrix(v.clone(), spec.matrix, device);
    specs(arch).into_iter().zip(values).map(one).collect()
}

/// A float32 matrix on a device.
pub fn matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// The numbers of a matrix, by rows.
pub fn download(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.to_data().as_slice::<f32>().expect("weights and gradients are float32").to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_start_at_their_scale_and_depend_on_the_seed() {
        let arch = Arch::vit_cifar();
        let values = initial(&arch, 1);
        for (spec, v) in specs(&arch).iter().zip(&values) {
            assert_eq!(v.len(), spec.matrix[0] * spec.matrix[1], "{}", spec.name);
            if spec.name == "pos_embed" {
                let std = (v.iter().map(|x| x * x).sum::<f32>() / v.len() as f32).sqrt();
                assert!((std - 0.2).abs() < 0.01, "{std}");
            }
        }
        assert_eq!(values, initial(&arch, 1));
        assert_ne!(values[0], initial(&arch, 2)[0]);
    }
}

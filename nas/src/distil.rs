//! Distillation: a trained model's logits and features as further targets.
//!
//! Source: MPCViT (Zeng et al., ICCV 2023), section 4.3: the cross entropy plus KL(teacher ||
//! student) of the class distributions at temperature 1 plus the mean squared difference of the
//! final norm's output over all tokens.

use std::path::Path;

use burn::tensor::{Device, Tensor, activation};
use sotto_models::Arch;

use crate::vit::{Output, Precision, Reach, run};
use crate::weights::upload;
use crate::{Error, checkpoint};

/// A trained model that another one imitates.
#[derive(Debug)]
pub struct Teacher {
    /// The model.
    pub arch: Arch,
    /// Its weights, without automatic differentiation.
    pub weights: Vec<Tensor<2>>,
}

impl Teacher {
    /// Loads the trained model in `folder` for `student` to imitate.
    ///
    /// # Errors
    /// As [`checkpoint::import`]; [`Error::Arch`] when the two see pictures in different ways.
    pub fn load(folder: &Path, student: &Arch, device: &Device) -> Result<Self, Error> {
        let (arch, values) = checkpoint::import(folder)?;
        let sight = |a: &Arch| (a.image, a.patch, a.classes, a.mean, a.std);
        if sight(&arch) != sight(student) {
            let (own, wanted) = (sight(&arch), sight(student));
            return Err(Error::Arch(format!(
                "teacher {} has (image, patch, classes, mean, std) = {own:?}, {} has {wanted:?}",
                arch.name, student.name
            )));
        }
        let weights = upload(&arch, &values, device);
        Ok(Self { arch, weights })
    }

    /// Whether the final norm's outputs of teacher and `student` can be compared.
    pub fn compares_features(&self, student: &Arch) -> bool {
        (self.arch.tokens(), self.arch.dim) == (student.tokens(), student.dim)
    }

    /// What a student of `arch` with output `student` on `patches` pays, summed over the images.
    ///
    /// Shapes: `patches` as for [`run`], with automatic differentiation or without.
    pub fn loss(
        &self,
        arch: &Arch,
        student: &Output,
        patches: Tensor<2>,
        precision: Precision,
    ) -> Tensor<1> {
        let own =
            run(&self.arch, &self.weights, patches.inner(), precision, Reach::AllTokens, None);
        let log_own = activation::log_softmax(own.logits, 1);
        let share = Tensor::from_inner(log_own.clone().exp());
        let log = activation::log_softmax(student.logits.clone(), 1);
        let divergence = (share * (Tensor::from_inner(log_own) - log)).sum();
        if !self.compares_features(arch) {
            return divergence;
        }
        let difference = student.features.clone() - Tensor::from_inner(own.features);
        divergence + difference.square().sum().div_scalar((arch.tokens() * arch.dim) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{initial, matrix};

    fn setting(seed: u64) -> (Arch, Vec<Tensor<2>>) {
        let arch = Arch::vit(2, 2, 8, 16, 32, 16, 10);
        let mut values = initial(&arch, seed);
        let head = values.len() - 2;
        values[head].iter_mut().for_each(|v| *v *= 50.0);
        let weights = upload(&arch, &values, &Device::flex());
        (arch, weights)
    }

    fn paid(student: &(Arch, Vec<Tensor<2>>), teacher: &Teacher) -> f32 {
        let device = Device::flex().autodiff();
        let pixels = (0..2 * 3072).map(|i| (i as f32 * 0.7).sin()).collect();
        let patches = matrix(pixels, [8, 768], &device);
        let leaves: Vec<_> =
            student.1.iter().map(|w| Tensor::from_inner(w.clone()).require_grad()).collect();
        let output =
            run(&student.0, &leaves, patches.clone(), Precision::F32, Reach::AllTokens, None);
        teacher.loss(&student.0, &output, patches, Precision::F32).inner().into_scalar::<f32>()
    }

    #[test]
    fn a_teacher_is_free_to_imitate_for_itself_and_dear_for_another() {
        let (arch, weights) = setting(1);
        let teacher = Teacher { arch, weights };
        let own = paid(&setting(1), &teacher);
        let other = paid(&setting(2), &teacher);
        assert!(own.abs() < 1e-5, "{own}");
        assert!(other > 0.1, "{other}");
    }

    #[test]
    fn a_teacher_that_sees_pictures_in_another_way_is_refused() {
        let (arch, weights) = setting(1);
        let out = std::env::temp_dir().join(format!("sotto-nas-teacher-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let values: Vec<_> = weights.iter().map(crate::weights::download).collect();
        checkpoint::export(&out, &arch, &values).unwrap();
        let student = Arch { mean: [0.5; 3], ..arch.clone() };
        let error = Teacher::load(&out, &student, &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("0.5"), "{error}");
        assert!(Teacher::load(&out, &arch, &Device::flex()).is_ok());
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn a_teacher_of_another_width_is_compared_by_its_classes_alone() {
        let (arch, weights) = setting(1);
        let teacher = Teacher { arch, weights };
        let wide = Arch::vit(1, 2, 12, 16, 32, 16, 10);
        assert!(!teacher.compares_features(&wide));
        let weights = upload(&wide, &initial(&wide, 3), &Device::flex());
        let paid = paid(&(wide, weights), &teacher);
        assert!(paid > 0.0 && paid.is_finite(), "{paid}");
    }
}

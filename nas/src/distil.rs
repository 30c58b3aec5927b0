//! Distillation: a trained model's logits and features as further targets.
//!
//! Source: MPCViT (Zeng et al., ICCV 2023), section 4.3: the cross entropy plus KL(teacher ||
//! student) of the class distributions at temperature 1 plus the mean squared difference of the
//! final norm's output over all tokens.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, activation};
use sotto_models::Arch;

use crate::vit::{Output, Precision, Reach, run};
use crate::weights::upload;
use crate::{Error, checkpoint};

/// Bytes that a teacher's outputs may take in memory.
const MOST: usize = 4 << 30;

/// A trained model that another one imitates.
#[derive(Debug, Clone)]
pub struct Teacher {
    /// The model.
    pub arch: Arch,
    /// Its weights, without automatic differentiation.
    pub weights: Vec<Tensor<2>>,
    /// What it said before, where that is kept.
    memory: Option<Arc<Memory>>,
}

/// Outputs by what the pictures follow from. Students of one recipe see the very same pictures; only the first of them
/// waits for the teacher.
#[derive(Debug)]
struct Memory {
    /// How many more pictures there is room for, and what is known.
    state: Mutex<(usize, HashMap<Vec<u32>, Output>)>,
}

impl Memory {
    fn recall(&self, name: Vec<u32>, think: impl FnOnce() -> Output) -> Output {
        let state = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(output) = state().1.get(&name) {
            return output.clone();
        }
        let output = think();
        let pictures = output.logits.dims()[0];
        let (room, known) = &mut *state();
        if *room >= pictures {
            *room -= pictures;
            known.insert(name, output.clone());
        }
        output
    }
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
        Ok(Self { arch, weights, memory: None })
    }

    /// The same one, who remembers what it says about the first `pictures` pictures, unless that takes more than 4 GiB.
    pub fn remembering(self, pictures: usize) -> Self {
        let numbers = self.arch.tokens() * self.arch.dim + self.arch.classes;
        let fits = pictures.saturating_mul(numbers * size_of::<f32>()) <= MOST;
        let state = Mutex::new((pictures, HashMap::new()));
        Self { memory: fits.then(|| Arc::new(Memory { state })), ..self }
    }

    /// What it says about pictures; `name` tells everything that these follow from.
    ///
    /// Shapes: `patches` as for [`run`], without automatic differentiation.
    pub fn output(
        &self,
        name: impl FnOnce() -> Vec<u32>,
        patches: Tensor<2>,
        precision: Precision,
    ) -> Output {
        let run = || run(&self.arch, &self.weights, patches, precision, Reach::AllTokens, None);
        match self.memory.as_deref() {
            None => run(),
            Some(memory) => memory.recall(name(), run),
        }
    }

    /// Whether the final norm's outputs of teacher and `student` can be compared.
    pub fn compares_features(&self, student: &Arch) -> bool {
        (self.arch.tokens(), self.arch.dim) == (student.tokens(), student.dim)
    }

    /// What a student of `arch` with output `student` pays where the teacher says `own`, summed over the images.
    pub fn loss(&self, arch: &Arch, student: &Output, own: Output) -> Tensor<1> {
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
        let own = teacher.output(Vec::new, patches.inner(), Precision::F32);
        teacher.loss(&student.0, &output, own).inner().into_scalar::<f32>()
    }

    #[test]
    fn a_teacher_is_free_to_imitate_for_itself_and_dear_for_another() {
        let (arch, weights) = setting(1);
        let teacher = Teacher { arch, weights, memory: None };
        let own = paid(&setting(1), &teacher);
        let other = paid(&setting(2), &teacher);
        assert!(own.abs() < 1e-5, "{own}");
        assert!(other > 0.1, "{other}");
    }

    #[test]
    fn a_teacher_says_the_same_of_the_same_pictures_and_is_asked_once() {
        let (arch, weights) = setting(1);
        let teacher = Teacher { arch, weights, memory: None };
        let pictures = |seed: f32| {
            let pixels = (0..2 * 3072).map(|i| (i as f32 * seed).sin()).collect();
            matrix(pixels, [8, 768], &Device::flex())
        };
        let said = |teacher: &Teacher, name: u32, seed| {
            let output = teacher.output(|| vec![name], pictures(seed), Precision::F32);
            [output.logits, output.features].map(|t| crate::weights::download(&t))
        };
        let remembering = teacher.clone().remembering(2 + 2);
        let (one, two) = (said(&teacher, 0, 0.7), said(&teacher, 0, 0.9));
        assert_ne!(one, two);
        assert_eq!(said(&remembering, 1, 0.7), one);
        assert_eq!(said(&remembering, 2, 0.9), two);
        // The second answer comes from memory, also a clone's.
        assert_eq!(said(&remembering.clone(), 1, 0.9), one);
        // There is room for no more.
        assert_eq!(said(&remembering, 3, 0.7), one);
        assert_eq!(said(&remembering, 3, 0.9), two);
        assert!(teacher.remembering(usize::MAX / 2).memory.is_none());
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
        let teacher = Teacher { arch, weights, memory: None };
        let wide = Arch::vit(1, 2, 12, 16, 32, 16, 10);
        assert!(!teacher.compares_features(&wide));
        let weights = upload(&wide, &initial(&wide, 3), &Device::flex());
        let paid = paid(&(wide, weights), &teacher);
        assert!(paid > 0.0 && paid.is_finite(), "{paid}");
    }
}

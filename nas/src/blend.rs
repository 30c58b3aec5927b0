//! What a training picture is made of: one image's random view, or two images mixed, and the
//! probabilities of the classes that go with it.
//!
//! Mixup (Zhang et al., 2018) adds two pictures, CutMix (Yun et al., 2019) pastes a rectangle of
//! one into the other, and erasing (Zhong et al., 2020) paints a rectangle in the mean colour. The
//! second picture is drawn from the whole training set, so that a sample depends on nothing but
//! the seed, the epoch and its number.

use serde::{Deserialize, Serialize};

use crate::augment::{Patcher, Rng, View};
use crate::data::{CHANNELS, Split};
use crate::distort::distorted;

/// How often each change is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Share of pictures that are added to another.
    pub mixup: f32,
    /// Share of pictures that get a rectangle of another.
    pub cutmix: f32,
    /// Share of pictures that get an empty rectangle.
    pub erase: f32,
    /// Share of pictures that RandAugment distorts, before anything else.
    #[serde(default)]
    pub distort: f32,
}

/// Pictures and targets of one micro-batch.
#[derive(Debug, Default)]
pub struct Samples {
    /// `[images * patches, 3 * p * p]`.
    pub patches: Vec<f32>,
    /// `[images, classes]`, each row a distribution.
    pub targets: Vec<f32>,
}

impl Samples {
    /// Adds the samples of `other` behind these.
    pub fn append(&mut self, mut other: Self) {
        self.patches.append(&mut other.patches);
        self.targets.append(&mut other.targets);
    }
}

/// Where training samples come from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The training images.
    pub split: &'a Split,
    /// Seed of all views.
    pub seed: u64,
    /// Number of the pass.
    pub epoch: usize,
    /// How much is changed.
    pub strength: Strength,
}

impl Source<'_> {
    /// What the samples of images `indices` follow from.
    pub fn name(&self, indices: &[u32]) -> Vec<u32> {
        let Strength { mixup, cutmix, erase, distort } = self.strength;
        let strength = [mixup, cutmix, erase, distort].map(f32::to_bits);
        let numbers = [self.seed, self.epoch as u64, self.split.len() as u64];
        let halves = numbers.iter().flat_map(|&n| [n as u32, (n >> 32) as u32]);
        halves.chain(strength).chain(indices.iter().copied()).collect()
    }

    /// The samples of images `indices`.
    pub fn samples(&self, patcher: &Patcher, indices: &[u32], classes: usize) -> Samples {
        let mut samples = Samples::default();
        for &i in indices {
            let (planes, [one, two], share) = self.sample(patcher, i);
            patcher.push(&planes, &mut samples.patches);
            let row = samples.targets.len();
            samples.targets.resize(row + classes, 0.0);
            samples.targets[row + one] += share;
            samples.targets[row + two] += 1.0 - share;
        }
        samples
    }

    /// The planes of sample `i`, its two classes and the first one's share.
    fn sample(&self, patcher: &Patcher, i: u32) -> (Vec<f32>, [usize; 2], f32) {
        let label = self.split.label(i as usize);
        let mut planes = self.planes(patcher, i);
        let mut rng = Rng::new(&[self.seed, 4, self.epoch as u64, u64::from(i)]);
        let choice = rng.unit() as f32;
        let erased = (rng.unit() as f32) < self.strength.erase;
        if erased {
            let size = 0.02 + 0.2 * rng.unit();
            let area = Area::random(&mut rng, self.split.side(), size);
            area.each(|at| planes[at] = 0.0);
        }
        let Strength { mixup, cutmix, .. } = self.strength;
        if choice >= mixup + cutmix {
            return (planes, [label, label], 1.0);
        }
        let j = rng.below(self.split.len()) as u32;
        let other = self.planes(patcher, j);
        let labels = [label, self.split.label(j as usize)];
        if choice < mixup {
            let share = beta(&mut rng, 0.8) as f32;
            for (a, b) in planes.iter_mut().zip(other) {
                *a = share * *a + (1.0 - share) * b;
            }
            return (planes, labels, share);
        }
        let size = rng.unit();
        let area = Area::random(&mut rng, self.split.side(), size);
        area.each(|at| planes[at] = other[at]);
        let pasted = (area.width * area.height) as f32 / self.split.side().pow(2) as f32;
        (planes, labels, 1.0 - pasted)
    }
}

impl Source<'_> {
    /// The planes of image `i` by itself, distorted and cropped and flipped.
    fn planes(&self, patcher: &Patcher, i: u32) -> Vec<f32> {
        let (image, view) = (self.split.image(i as usize), View::random(self.seed, self.epoch, i));
        let mut rng = Rng::new(&[self.seed, 10, self.epoch as u64, u64::from(i)]);
        if rng.unit() as f32 >= self.strength.distort {
            return patcher.planes(image, view);
        }
        patcher.planes(&distorted(image, self.split.side(), &mut rng), view)
    }
}

/// A rectangle inside the picture.
#[derive(Debug, Clone, Copy)]
struct Area {
    side: usize,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Area {
    /// A rectangle of about the share `size` of the picture, at most twice as long as wide.
    fn random(rng: &mut Rng, whole: usize, size: f64) -> Self {
        let stretch = (2f64.sqrt()).powf(2.0 * rng.unit() - 1.0);
        let side = |s: f64| ((size.sqrt() * s * whole as f64).round() as usize).clamp(1, whole);
        let (width, height) = (side(stretch), side(1.0 / stretch));
        let (left, top) = (rng.below(whole - width + 1), rng.below(whole - height + 1));
        Self { side: whole, left, top, width, height }
    }

    fn each(&self, mut f: impl FnMut(usize)) {
        for c in 0..CHANNELS {
            for y in self.top..self.top + self.height {
                for x in self.left..self.left + self.width {
                    f((c * self.side + y) * self.side + x);
                }
            }
        }
    }
}

/// A number of the Beta(a, a) distribution for a <= 1 (Johnk's method).
fn beta(rng: &mut Rng, a: f64) -> f64 {
    loop {
        let (x, y) = (rng.unit().powf(1.0 / a), rng.unit().powf(1.0 / a));
        if x + y > 0.0 && x + y <= 1.0 {
            return x / (x + y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_models::Arch;

    fn samples(mixup: f32, cutmix: f32, erase: f32, distort: f32) -> Samples {
        let split = Split::synthetic(50);
        let source = Source {
            split: &split,
            seed: 1,
            epoch: 2,
            strength: Strength { mixup, cutmix, erase, distort },
        };
        let arch = Arch::vit(1, 2, 8, 16, 32, 8, 10);
        source.samples(&Patcher::new(&arch), &(0..50).collect::<Vec<_>>(), 10)
    }

    #[test]
    fn targets_are_distributions_that_match_what_was_mixed() {
        let plain = samples(0.0, 0.0, 0.0, 0.0);
        assert!(plain.targets.iter().all(|&t| t == 0.0 || t == 1.0));
        for (mixup, cutmix) in [(1.0, 0.0), (0.0, 1.0), (0.4, 0.4)] {
            let mixed = samples(mixup, cutmix, 0.0, 0.0);
            assert_eq!(mixed.patches.len(), plain.patches.len());
            let soft = mixed.targets.iter().filter(|&&t| t > 0.0 && t < 1.0).count();
            assert!(soft > 30, "only {soft} shares are mixed");
            for row in mixed.targets.chunks(10) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
            }
        }
    }

    #[test]
    fn erasing_changes_pixels_but_no_target() {
        let (plain, erased) = (samples(0.0, 0.0, 0.0, 0.0), samples(0.0, 0.0, 1.0, 0.0));
        assert_eq!(plain.targets, erased.targets);
        let changed = plain.patches.iter().zip(&erased.patches).filter(|(a, b)| a != b).count();
        let share = changed as f64 / plain.patches.len() as f64;
        assert!((0.02..0.25).contains(&share), "{share}");
        assert!(plain.patches.iter().zip(&erased.patches).all(|(a, b)| a == b || *b == 0.0));
    }

    #[test]
    fn distorting_changes_most_pictures_but_no_target() {
        let (plain, distorted) = (samples(0.0, 0.0, 0.0, 0.0), samples(0.0, 0.0, 0.0, 1.0));
        assert_eq!(plain.targets, distorted.targets);
        let pictures =
            |s: &Samples| s.patches.chunks(3072).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let pairs = pictures(&plain).into_iter().zip(pictures(&distorted));
        let changed = pairs.filter(|(a, b)| a != b).count();
        assert!((25..48).contains(&changed), "{changed} of 50");
    }

    #[test]
    fn beta_is_symmetric_and_prefers_the_ends() {
        let mut rng = Rng::new(&[1]);
        let draws: Vec<f64> = (0..4000).map(|_| beta(&mut rng, 0.5)).collect();
        let mean = draws.iter().sum::<f64>() / 4000.0;
        let ends = draws.iter().filter(|&&x| !(0.25..0.75).contains(&x)).count();
        // Beta(1/2, 1/2) has two thirds of its mass in the outer halves.
        assert!((mean - 0.5).abs() < 0.02 && (2500..2850).contains(&ends), "{mean} {ends}");
    }
}

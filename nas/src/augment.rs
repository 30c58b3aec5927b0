//! From stored bytes to normalised patches, with random crop and flip that depend on nothing but
//! the seed, the epoch and the image's number: a resumed run sees the very same pictures.

use sotto_models::Arch;

use crate::data::CHANNELS;

/// Pixels of zero (the mean colour) around an image before it is cropped.
const PAD: i32 = 4;

/// SplitMix64 (Steele, Lea, Flood 2014): a tiny generator for augmentation and initial weights,
/// where speed and repeatability count and secrecy does not.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator for one purpose: every different list of `words` starts another sequence.
    pub fn new(words: &[u64]) -> Self {
        let mut rng = Self(0x5077_0b0c_e5ee_d000);
        for &word in words {
            rng.0 ^= word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            rng.0 = rng.next_u64();
        }
        rng
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (the bias of the multiply-shift is below 2^-32 here).
    pub fn below(&mut self, n: usize) -> usize {
        (((self.next_u64() >> 32) * n as u64) >> 32) as usize
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The order in which epoch `epoch` visits `n` images (Fisher and Yates).
pub fn shuffled(n: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut rng = Rng::new(&[seed, 1, epoch as u64]);
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i + 1));
    }
    order
}

/// A crop offset in `-PAD..=PAD` and a mirror flag: one picture's random view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    dx: i32,
    dy: i32,
    flip: bool,
}

impl View {
    /// The random view of image `index` in epoch `epoch`.
    pub fn random(seed: u64, epoch: usize, index: u32) -> Self {
        let mut rng = Rng::new(&[seed, 2, epoch as u64, u64::from(index)]);
        let mut shift = || rng.below(2 * PAD as usize + 1) as i32 - PAD;
        let (dx, dy) = (shift(), shift());
        Self { dx, dy, flip: rng.below(2) == 1 }
    }
}

/// Writes normalised patches of images, ready for the patch embedding.
#[derive(Debug)]
pub struct Patcher {
    side: usize,
    patch: usize,
    table: [[f32; 256]; 3],
}

impl Patcher {
    /// A writer of `arch`'s patches, normalised by its mean and deviation.
    ///
    /// # Panics
    /// When the patch does not divide the image (an architecture's constructor has refused it before).
    pub fn new(arch: &Arch) -> Self {
        let (side, patch) = (arch.image, arch.patch);
        assert!(patch > 0 && side.is_multiple_of(patch), "patch {patch} does not divide {side}");
        let mut table = [[0.0; 256]; 3];
        for (c, row) in table.iter_mut().enumerate() {
            for (v, out) in row.iter_mut().enumerate() {
                *out = (v as f32 / 255.0 - arch.mean[c]) / arch.std[c];
            }
        }
        Self { side, patch, table }
    }

    /// The normalised planes of `image` seen through `view`, `[3, side, side]`.
    pub fn planes(&self, image: &[u8], view: View) -> Vec<f32> {
        let bytes = CHANNELS * self.side * self.side;
        assert_eq!(image.len(), bytes, "an image has {bytes} bytes");
        let side = self.side as i32;
        let mut planes = Vec::with_capacity(bytes);
        for (c, table) in self.table.iter().enumerate() {
            for y in 0..side {
                let sy = y + view.dy;
                for x in 0..side {
                    let sx = if view.flip { side - 1 - x } else { x } + view.dx;
                    let inside = (0..side).contains(&sx) && (0..side).contains(&sy);
                    let at = (c as i32 * side + sy) * side + sx;
                    planes.push(if inside { table[usize::from(image[at as usize])] } else { 0.0 });
                }
            }
        }
        planes
    }

    /// Appends the patches of `planes`.
    ///
    /// Shapes: appended `[side/p * side/p, 3 * p * p]`; a row's order is channel, row, column: that of
    /// a convolution's flattened weight.
    pub fn push(&self, planes: &[f32], out: &mut Vec<f32>) {
        let (p, side) = (self.patch, self.side);
        for py in (0..side).step_by(p) {
            for px in (0..side).step_by(p) {
                for c in 0..CHANNELS {
                    for y in py..py + p {
                        let row = (c * side + y) * side + px;
                        out.extend_from_slice(&planes[row..row + p]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arch(patch: usize) -> Arch {
        Arch::vit(1, 2, 8, 16, 32, patch, 10)
    }

    #[test]
    fn the_plain_view_is_the_image_in_patch_order() {
        let image: Vec<u8> = (0..3072).map(|i| (i % 251) as u8).collect();
        let mut out = Vec::new();
        let arch = arch(4);
        let patcher = Patcher::new(&arch);
        patcher.push(&patcher.planes(&image, View::default()), &mut out);
        assert_eq!(out.len(), 3072);
        // Patch (row 2, column 3), channel 1, row 1, column 2 is pixel (9, 14).
        let (row, column) = (2 * 8 + 3, 16 + 4 + 2);
        let pixel = f32::from(image[1024 + 9 * 32 + 14]);
        let expected = (pixel / 255.0 - arch.mean[1]) / arch.std[1];
        assert!((out[row * 48 + column] - expected).abs() < 1e-6);
    }

    #[test]
    fn a_view_shifts_flips_and_pads_with_zero() {
        let image: Vec<u8> = (0..3072).map(|i| (i % 256) as u8).collect();
        let arch = arch(32);
        let out = Patcher::new(&arch).planes(&image, View { dx: 2, dy: -1, flip: true });
        let at = |y: usize, x: usize| out[y * 32 + x];
        assert_eq!(at(0, 5), 0.0, "row -1 is padding");
        assert_eq!(at(5, 0), 0.0, "column 33 is padding");
        let expected =
            (f32::from(image[4 * 32 + 31 - 10 + 2]) / 255.0 - arch.mean[0]) / arch.std[0];
        assert!((at(5, 10) - expected).abs() < 1e-6);
    }

    #[test]
    fn views_and_orders_repeat_and_differ_between_epochs() {
        assert_eq!(View::random(7, 3, 11), View::random(7, 3, 11));
        let differ = (0..64).filter(|&i| View::random(7, 3, i) != View::random(7, 4, i)).count();
        assert!(differ > 48, "only {differ} of 64 views differ");
        let mut order = shuffled(1000, 1, 0);
        assert_eq!(order, shuffled(1000, 1, 0));
        assert_ne!(order, shuffled(1000, 1, 1));
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &v)| i == v as usize));
    }
}

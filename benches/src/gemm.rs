//! Matrix products mod `2^width` on one core, by the kernel that the program would choose here.

use std::{hint::black_box, time::Instant};

use sotto_ring::gemm::{Mat, gemm, kernels};

use crate::record::Records;

/// `(m, k, n)`: a layer of the CIFAR model, and the peers' product.
const SHAPES: [(usize, usize, usize); 2] = [(65, 256, 768), (128, 768, 3072)];
/// Widths on both sides of where 52-bit products end.
const WIDTHS: [u32; 2] = [52, 64];

/// One speed.
pub struct Speed {
    /// The product.
    pub shape: (usize, usize, usize),
    /// Ring width.
    pub width: u32,
    /// The kernel's name.
    pub kernel: &'static str,
    /// Billions of multiply-adds a second, the best of several.
    pub gmac_s: f64,
}

/// Measures all shapes and widths; `gemm_gmac_s` is the larger product's speed at up to 52 bits.
pub fn measure(records: &mut Records) -> Vec<Speed> {
    let mut all = Vec::new();
    for (m, k, n) in SHAPES {
        for width in WIDTHS {
            let gmac_s = speed(width, m, k, n);
            records.add(format!("gemm_{m}x{k}x{n}_w{width}_gmac_s"), gmac_s, "GMAC/s");
            all.push(Speed { shape: (m, k, n), width, kernel: kernel(width), gmac_s });
        }
    }
    let headline = all.iter().rfind(|s| s.width == WIDTHS[0]);
    records.add("gemm_gmac_s", headline.map_or(0.0, |s| s.gmac_s), "GMAC/s");
    all
}

/// The kernel that `gemm` chooses at this width.
fn kernel(width: u32) -> &'static str {
    let all = kernels();
    let chosen = all.iter().rfind(|k| k.max_width() >= width);
    chosen.map_or("none", |k| k.name())
}

fn words(count: usize) -> Vec<u64> {
    (0..count as u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

fn speed(width: u32, m: usize, k: usize, n: usize) -> f64 {
    let (a, b, mut c) = (words(m * k), words(k * n), vec![0; m * n]);
    let mut run = || {
        let start = Instant::now();
        gemm(width, m, k, n, Mat::rows(&a, k), Mat::rows(&b, n), &mut c);
        black_box(&mut c);
        start.elapsed().as_secs_f64()
    };
    let first = run();
    let times = (0.3 / first.max(1e-6)).clamp(5.0, 200.0) as usize;
    let best = (0..times).map(|_| run()).fold(f64::INFINITY, f64::min);
    (m * k * n) as f64 / best / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_has_a_kernel_and_a_speed() {
        assert!(kernels().iter().any(|k| k.name() == kernel(64)));
        assert!(kernels().iter().any(|k| k.name() == kernel(52)));
        let gmac_s = speed(64, 16, 16, 16);
        assert!(gmac_s.is_finite() && gmac_s > 0.0, "{gmac_s}");
    }
}

//! Positions of one grid of patches, resized to another by bicubic interpolation (Keys, "Cubic convolution interpolation for
//! digital image processing", 1981).

/// Which bicubic interpolation. A pixel's centre is at its half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Four neighbours with a = -0.75, at the edge the last one again.
    Plain,
    /// Made wider where the grid shrinks, a = -0.5, cut and scaled to a sum of 1 at the edge.
    Antialias,
}

/// The neighbours of one place and their weights.
type Taps = Vec<(usize, f64)>;

/// The rows (`d` wide) of a grid of `from` x `from`, on one of `to` x `to`.
pub(crate) fn resize(rows: &[f32], from: usize, to: usize, d: usize, kernel: Kernel) -> Vec<f32> {
    if from == to {
        return rows.to_vec();
    }
    let taps: Vec<Taps> = (0..to).map(|at| kernel.taps(at, from, to)).collect();
    let mut out = Vec::with_capacity(to * to * d);
    for down in &taps {
        for across in &taps {
            let mut sum = vec![0.0; d];
            for (y, wy) in down {
                for (x, wx) in across {
                    let row = &rows[(y * from + x) * d..][..d];
                    sum.iter_mut().zip(row).for_each(|(s, r)| *s += wy * wx * f64::from(*r));
                }
            }
            out.extend(sum.into_iter().map(|s| s as f32));
        }
    }
    out
}

impl Kernel {
    fn taps(self, at: usize, from: usize, to: usize) -> Taps {
        let scale = from as f64 / to as f64;
        let centre = (at as f64 + 0.5) * scale;
        match self {
            Kernel::Plain => {
                let first = (centre - 0.5).floor();
                let neighbours = (-1..=2).map(|k| {
                    let place = first + f64::from(k);
                    let inside = place.clamp(0.0, (from - 1) as f64) as usize;
                    (inside, keys(centre - 0.5 - place, -0.75))
                });
                neighbours.collect()
            }
            Kernel::Antialias => {
                let wide = scale.max(1.0);
                let low = (centre - 2.0 * wide + 0.5).floor().max(0.0) as usize;
                let high = ((centre + 2.0 * wide + 0.5).floor() as usize).min(from);
                let weight = |i: usize| keys((i as f64 + 0.5 - centre) / wide, -0.5);
                let sum: f64 = (low..high).map(weight).sum();
                (low..high).map(|i| (i, weight(i) / sum)).collect()
            }
        }
    }
}

/// The cubic kernel at a distance.
fn keys(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}

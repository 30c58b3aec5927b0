use super::*;
use crate::testing::normal;

fn one(rows: usize, dh: usize, units: Units) -> Option<IntegerAttention> {
    IntegerAttention::new(Heads::all(rows, 1, dh), units)
}

const UNITS: Units = Units { qkv: 1.0 / 40.0, score: 8.0 / 127.0, result: 1.0 / 40.0 };

#[test]
fn weights_are_near_softmax_of_the_same_scores() {
    let (mut worst, mut largest): (f64, f64) = (0.0, 0.0);
    for rows in [1, 2, 17, 65, 257] {
        let kernel = one(rows, 64, UNITS).expect("32 bits are enough");
        for seed in 0..20 {
            let scores = normal(rows, seed);
            let scores: Vec<f64> = scores.iter().map(|&s| f64::from(s * 32.0).round()).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exact = |s: &f64| ((s - top) * UNITS.score).exp();
            let sum: f64 = scores.iter().map(exact).sum();
            for (p, s) in kernel.weights(&scores).iter().zip(&scores) {
                worst = worst.max((p / 128.0 - exact(s) / sum).abs());
                largest = largest.max(exact(s) / sum);
            }
        }
    }
    println!("a weight is off by {worst:.3} at most");
    assert!(worst < 0.035 && largest == 1.0, "{worst} {largest}");
}

#[test]
fn weights_are_those_of_the_papers_code() {
    let tight = Units { score: 0.11, ..UNITS };
    let scattered = [-128, -90, -40, -7, 0, 3, 17, 18, 40, 41, 66, 90, 100, 127];
    let near = [-3, 0, 4, 8, -20, 11, 30, 2];
    // What its `IntSoftmax` of 8 bits gives in doubles.
    for (units, scores, want) in [
        (UNITS, &scattered[..], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 10, 18, 95][..]),
        (UNITS, &[5; 17], &[7; 17]),
        (UNITS, &near, &[7, 8, 11, 14, 2, 17, 54, 10]),
        (tight, &near, &[3, 4, 6, 9, 0, 13, 83, 5]),
    ] {
        let scores: Vec<f64> = scores.iter().map(|&x| x.into()).collect();
        let kernel = one(scores.len(), 64, units).expect("32 bits are enough");
        let got = kernel.weights(&scores);
        assert!(got.iter().zip(want).all(|(&g, &w)| g == f64::from(w)), "{got:?} for {want:?}");
    }
}

#[test]
fn exponentials_in_words_are_those_of_the_definition() {
    let kernel = one(1, 64, UNITS).expect("32 bits are enough");
    let x0 = -16.0;
    for x in -255..=0 {
        let y = f64::from(x) + (f64::from(x) / 2.0).floor() - (f64::from(x) / 16.0).floor();
        let y = y.max(15.0 * x0);
        let n = (y / x0).floor();
        let want = (((y - x0 * n) / 2.0 - x0) * (15.0 - n).exp2()).floor();
        assert_eq!(f64::from(kernel.shift_exp(x)), want, "{x}");
    }
    assert_eq!(kernel.shift_exp(0), 16 << 15);
}

#[test]
fn what_32_bits_do_not_hold_is_refused() {
    assert!(one(4095, 64, UNITS).is_some());
    for (rows, dh, units) in [
        (4096, 64, UNITS),
        (65, 2048, UNITS),
        (1, 64, Units { score: 1.0 / 32768.0, ..UNITS }),
        (65, 64, Units { score: 0.0, ..UNITS }),
        (65, 64, Units { score: f64::NAN, ..UNITS }),
        (65, 64, Units { qkv: 10.0, ..UNITS }),
        (65, 64, Units { result: 1e-9, ..UNITS }),
    ] {
        assert!(one(rows, dh, units).is_none(), "{rows} {dh} {units:?}");
    }
}

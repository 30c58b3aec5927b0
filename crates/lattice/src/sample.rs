//! What encryption draws: uniform, ternary and binomial coefficients from seeded streams.
//!
//! Security: ternary and binomial ones by bit tricks, no branch and no table. Uniform ones by rejection: how long it takes
//! tells how often a rejected word came, which is independent of those that are kept.

use sotto_crypto::Stream;
use sotto_ring::pack;
use zeroize::Zeroizing;

use crate::ring::N;

/// Coins of a binomial coefficient: its variance is a quarter of them, 10.5 (standard deviation 3.24).
const COINS: u32 = 42;

/// Variance of a coefficient of [`binomial`].
pub(crate) const VARIANCE: f64 = COINS as f64 / 4.0;

/// Words uniform in `[0, p)`, `p` just below `2^bits`.
pub(crate) fn uniform(stream: &mut Stream, p: u64, bits: u32, out: &mut [u64]) {
    let mut bytes = Zeroizing::new(vec![0; pack::packed_len(out.len(), bits)]);
    stream.fill(&mut bytes);
    pack::unpack(&bytes, bits, out);
    for x in out {
        while *x >= p {
            *x = stream.word() >> (64 - bits);
        }
    }
}

/// Coefficients uniform in {-1, 0, 1}, to within `2^-62` each.
pub(crate) fn ternary(stream: &mut Stream) -> Zeroizing<Vec<i64>> {
    words(stream, 64, |x| ((u128::from(x) * 3) >> 64) as i64 - 1)
}

/// Coefficients of a centred binomial distribution: 21 coins less 21 others.
pub(crate) fn binomial(stream: &mut Stream) -> Zeroizing<Vec<i64>> {
    const HALF: u64 = (1 << (COINS / 2)) - 1;
    let ones = |x: u64| i64::from(x.count_ones());
    words(stream, COINS, |x| ones(x & HALF) - ones(x >> (COINS / 2)))
}

fn words(stream: &mut Stream, bits: u32, f: impl Fn(u64) -> i64) -> Zeroizing<Vec<i64>> {
    let mut bytes = Zeroizing::new(vec![0; pack::packed_len(N, bits)]);
    stream.fill(&mut bytes);
    let mut words = Zeroizing::new(vec![0; N]);
    pack::unpack(&bytes, bits, &mut words);
    Zeroizing::new(words.iter().map(|&x| f(x)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{P, P_BITS};
    use sotto_crypto::Seed;

    fn stream(id: u64) -> Stream {
        Seed::from_bytes([9; 32]).stream(id)
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (mut ternaries, mut binomials) = (Vec::new(), Vec::new());
        for id in 0..16 {
            ternaries.extend_from_slice(&ternary(&mut stream(id)));
            binomials.extend_from_slice(&binomial(&mut stream(100 + id)));
        }
        let count = ternaries.len() as f64;
        for value in -1..=1 {
            let share = ternaries.iter().filter(|&&x| x == value).count() as f64 / count;
            assert!((share - 1.0 / 3.0).abs() < 0.01, "{value}: {share}");
        }
        assert!(ternaries.iter().all(|x| x.abs() <= 1));
        let mean = binomials.iter().sum::<i64>() as f64 / count;
        let variance = binomials.iter().map(|x| (x * x) as f64).sum::<f64>() / count;
        assert!(mean.abs() < 0.06 && (variance - VARIANCE).abs() < 0.3, "{mean}, {variance}");
        assert!(binomials.iter().all(|x| x.abs() <= 21) && binomials.iter().any(|x| x.abs() > 10));
    }

    #[test]
    fn uniform_words_are_below_the_prime_and_fill_the_range() {
        let mut out = vec![0; 1 << 16];
        uniform(&mut stream(1), P, P_BITS, &mut out);
        assert!(out.iter().all(|&x| x < P));
        let mut counts = [0u32; 16];
        out.iter().for_each(|x| counts[(x * 16 / P) as usize] += 1);
        let mean = f64::from(1 << 12);
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - mean).powi(2) / mean).sum();
        assert!(chi < 45.0, "chi-square {chi} at 15 degrees of freedom");
        // A modulus that a third of the words miss: the rest is drawn anew.
        let mut out = vec![0; 3000];
        uniform(&mut stream(2), 11, 4, &mut out);
        assert!(out.iter().all(|&x| x < 11) && (0..11).all(|v| out.contains(&v)));
    }
}

//! Negacyclic transforms: polynomials mod `X^n + 1` over a prime field, and sums of their products.
//!
//! With `p = 1 mod 2n` a polynomial is given by its values at the `n` odd powers of a `2n`-th root of unity, where a
//! product of polynomials is a product of values. Values stand in the bit-reversed order in which the usual in-place
//! butterflies leave them (Cooley and Tukey forth, Gentleman and Sande back), the same for all kernels.
//!
//! Arithmetic: Shoup's product with a constant, `x w - floor(x w' / 2^b) p` with `w' = floor(2^b w / p)`, lies in
//! `[0, 2p)` for every `x < 2^b`. Primes are so small against the word (`n p < 2^52`) that no butterfly reduces: forth,
//! values grow by `2p` a level; back, they double. Source: Harvey, Faster arithmetic for number-theoretic transforms (2014).
//!
//! Security: constant time; no branch and no address depends on a coefficient.

mod factor;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;
#[cfg(test)]
mod tests;

pub use factor::{Factor, power_vartime, reduce_once};

/// Powers of a root at bit-reversed places, with their quotients for 64 and for 52 bits.
struct Roots {
    w: Vec<u64>,
    quotient: Vec<u64>,
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "a kernel's of that machine")
    )]
    quotient52: Vec<u64>,
}

impl Roots {
    fn new(root: u64, n: usize, p: u64) -> Self {
        let step = Factor::new(root, p);
        let shift = usize::BITS - n.trailing_zeros();
        let mut w = vec![0; n];
        let mut power = 1;
        for i in 0..n {
            w[i.reverse_bits() >> shift] = power;
            power = step.times(power);
        }
        let quotient = w.iter().map(|&w| Factor::new(w, p).quotient).collect();
        let quotient52 = w.iter().map(|&w| quotient52(w, p)).collect();
        Self { w, quotient, quotient52 }
    }

    fn factor(&self, i: usize, p: u64) -> Factor {
        Factor { value: self.w[i], quotient: self.quotient[i], p }
    }
}

/// `floor(2^52 w / p)`.
fn quotient52(w: u64, p: u64) -> u64 {
    ((u128::from(w) << 52) / u128::from(p)) as u64
}

/// The transform of one ring `Z_p[X] / (X^n + 1)`.
pub struct Ntt {
    p: u64,
    n: usize,
    forward: Roots,
    inverse: Roots,
    /// `1/n`.
    scale: Factor,
    kernel: Kernel,
}

/// Prime, lefts, rights, terms, sums, length of a polynomial.
type AddDots = fn(u64, &[u64], &[u64], usize, &mut [u64], usize);

/// One implementation.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    /// In place, from this number of equal blocks on (1 for the whole transform), to `[0, p)`; of these blocks only those
    /// from the last argument on, as many as there are words.
    forward: fn(&Ntt, &mut [u64], usize, usize),
    /// In place, with the division by `n`, to `[0, p)`.
    inverse: fn(&Ntt, &mut [u64]),
    /// Of polynomials of so many low coefficients: the values from block to block, blocks of that size, from a first one
    /// on; the same number of values of each. They may be left below `2^44`.
    low: fn(&Ntt, &[u64], usize, usize, &mut [u64]),
    /// See [`Ntt::add_dots`]; the prime first, the length last, of whole vectors of 8. Left words may be below `2^44`.
    add_dots: AddDots,
    /// See [`Ntt::add`].
    add: fn(u64, &mut [u64], &[u64]),
    /// See [`Ntt::sub`].
    sub: fn(u64, &mut [u64], &[u64]),
    /// See [`Ntt::scale`].
    scale: fn(&mut [u64], Factor),
    /// See [`Ntt::recentre`].
    recentre: fn(u64, u64, &[u64], &mut [u64]),
}

impl Kernel {
    /// The name for tests and benches.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The kernels that this machine can run, slowest first.
pub fn kernels() -> Vec<Kernel> {
    #[cfg(target_arch = "x86_64")]
    let native = ifma::kernel();
    #[cfg(not(target_arch = "x86_64"))]
    let native = None;
    std::iter::once(portable::KERNEL).chain(native).collect()
}

/// Most terms of a sum in [`Ntt::add_dots`].
pub const MOST_TERMS: usize = 2048;

impl Ntt {
    /// The transform for the prime `p` and length `n`, by the fastest kernel of this machine.
    ///
    /// # Panics
    /// When `n` is not a power of two from 16 on, `p` is not 1 mod `2n`, `n p` is not below `2^52`, or no small number
    /// has a power that is a primitive `2n`-th root of unity (so `p` is no prime).
    pub fn new(p: u64, n: usize) -> Self {
        let kernels = kernels();
        Self::with(*kernels.last().expect("the portable kernel"), p, n)
    }

    /// [`Ntt::new`] with this kernel.
    ///
    /// # Panics
    /// As [`Ntt::new`].
    pub fn with(kernel: Kernel, p: u64, n: usize) -> Self {
        assert!(n.is_power_of_two() && n >= 16, "Ntt: the length {n}");
        let fits = (n as u64).checked_mul(p).is_some_and(|np| np < 1 << 52);
        assert!(fits && p % (2 * n as u64) == 1, "Ntt: the prime {p} for length {n}");
        let exponent = (p - 1) / (2 * n as u64);
        let root = (2..1000)
            .map(|g| power_vartime(g, exponent, p))
            .find(|&root| power_vartime(root, n as u64, p) == p - 1)
            .unwrap_or_else(|| panic!("Ntt: no root of unity mod {p}"));
        let back = power_vartime(root, 2 * n as u64 - 1, p);
        let scale = Factor::new(power_vartime(n as u64, p - 2, p), p);
        Self {
            p,
            n,
            forward: Roots::new(root, n, p),
            inverse: Roots::new(back, n, p),
            scale,
            kernel,
        }
    }

    /// The prime.
    pub fn p(&self) -> u64 {
        self.p
    }

    /// Coefficients in `[0, p)` to values in `[0, p)`, in place.
    ///
    /// # Panics
    /// When there are not `n` of them.
    pub fn forward(&self, a: &mut [u64]) {
        self.check(a.len(), "forward");
        (self.kernel.forward)(self, a, 1, 0);
    }

    /// Values of the polynomial of which `low` (a power of two of at least 16) holds the first coefficients and the
    /// rest is zero, into `out`. The upper levels are copies then: cost `n log(low) / 2` products.
    ///
    /// # Panics
    /// When `out` has not `n` words or `low` another length.
    pub fn forward_low(&self, low: &[u64], out: &mut [u64]) {
        self.check(out.len(), "forward_low");
        let fits = low.len().is_power_of_two() && low.len() >= 16 && low.len() <= self.n;
        assert!(fits, "forward_low: {} coefficients", low.len());
        out.chunks_exact_mut(low.len()).for_each(|block| block.copy_from_slice(low));
        (self.kernel.forward)(self, out, self.n / low.len(), 0);
    }

    /// Values in `[0, p)` to coefficients in `[0, p)`, in place.
    ///
    /// # Panics
    /// When there are not `n` of them.
    pub fn inverse(&self, a: &mut [u64]) {
        self.check(a.len(), "inverse");
        (self.kernel.inverse)(self, a);
    }

    /// Sums of products by places: `out[i][j][x] += sum_t left[i][t][x] right[j][t][x] mod p`.
    ///
    /// Shapes: `left` is `I x terms x n`, `right` `J x terms x n`, `out` `I x J x n`, all row-major; `I` and `J` follow from
    /// the lengths. All words are in `[0, p)`. Reduced once, after the last term.
    ///
    /// # Panics
    /// When the shapes do not fit or there are more than [`MOST_TERMS`] terms, or none.
    pub fn add_dots(&self, left: &[u64], right: &[u64], terms: usize, out: &mut [u64]) {
        assert!((1..=MOST_TERMS).contains(&terms), "add_dots: {terms} terms");
        let step = terms * self.n;
        let (i, j) = (left.len() / step, right.len() / step);
        let fits = left.len() == i * step && right.len() == j * step && out.len() == i * j * self.n;
        assert!(
            fits,
            "add_dots: {} by {} words of {terms} terms into {}",
            left.len(),
            right.len(),
            out.len()
        );
        (self.kernel.add_dots)(self.p, left, right, terms, out, self.n);
    }

    /// [`Ntt::add_dots`] with lefts given by their first `size` coefficients (a power of two of at least 16) in place of
    /// values; the rest of them is zero.
    ///
    /// Shapes: `low` is `I x terms x size`, the others as there. Values are made chunk by chunk, as they are used, and
    /// stay in the second-level cache.
    ///
    /// # Panics
    /// As [`Ntt::add_dots`], and for another size.
    pub fn add_low_products(
        &self,
        low: &[u64],
        size: usize,
        right: &[u64],
        terms: usize,
        out: &mut [u64],
    ) {
        assert!(size.is_power_of_two() && (16..=self.n).contains(&size), "low of {size}");
        assert!((1..=MOST_TERMS).contains(&terms), "add_low_products: {terms} terms");
        let (rows, columns) = (low.len() / (terms * size), right.len() / (terms * self.n));
        let fits = low.len() == rows * terms * size
            && right.len() == columns * terms * self.n
            && out.len() == rows * columns * self.n;
        assert!(fits, "add_low_products: {} by {} words", low.len(), right.len());
        let chunk = size.max(LEAST_CHUNK.min(self.n));
        // Rows at a time; multiples of a tile's.
        let most = (CACHED / (terms * chunk)).max(4) / 4 * 4;
        let mut left = vec![0; most.min(rows) * terms * chunk];
        let mut sums = vec![0; most.min(rows) * columns * chunk];
        let mut rights = vec![0; columns * terms * chunk];
        for first in (0..self.n).step_by(chunk) {
            let part = first..first + chunk;
            gather(right, self.n, part.clone(), &mut rights);
            let tiles =
                low.chunks(most * terms * size).zip(out.chunks_mut(most * columns * self.n));
            for (low, out) in tiles {
                let left = &mut left[..low.len() / size * chunk];
                let sums = &mut sums[..out.len() / self.n * chunk];
                (self.kernel.low)(self, low, size, first / size, left);
                gather(out, self.n, part.clone(), sums);
                (self.kernel.add_dots)(self.p, left, &rights, terms, sums, chunk);
                for (out, sums) in out.chunks_exact_mut(self.n).zip(sums.chunks_exact(chunk)) {
                    out[part.clone()].copy_from_slice(sums);
                }
            }
        }
    }

    /// `a += b` of words in `[0, p)`, as many of both, a multiple of 8.
    ///
    /// # Panics
    /// When the lengths do not fit. (So do the next ones.)
    pub fn add(&self, a: &mut [u64], b: &[u64]) {
        check_places(a, b);
        (self.kernel.add)(self.p, a, b);
    }

    /// `a -= b` of words in `[0, p)`.
    pub fn sub(&self, a: &mut [u64], b: &[u64]) {
        check_places(a, b);
        (self.kernel.sub)(self.p, a, b);
    }

    /// `a *= factor` of words below `2^52`, to `[0, p)`; the factor is mod `p`.
    pub fn scale(&self, a: &mut [u64], factor: Factor) {
        assert_eq!(factor.p, self.p, "scale: the factor's modulus");
        (self.kernel.scale)(a, factor);
    }

    /// `out = a mod p` of words in `[0, from)` taken as the numbers nearest to 0 mod `from`, which is below `2^51`.
    pub fn recentre(&self, from: u64, a: &[u64], out: &mut [u64]) {
        check_places(out, a);
        assert!(from < 1 << 51, "recentre: from {from}");
        (self.kernel.recentre)(self.p, from, a, out);
    }

    fn check(&self, len: usize, name: &str) {
        assert!(len == self.n, "{name}: {len} words for {}", self.n);
    }
}

/// Least places of a chunk of [`Ntt::add_low_products`].
const LEAST_CHUNK: usize = 64;
/// Words that may fill half of a usual second-level cache.
const CACHED: usize = 1 << 16;

/// The same part of each of `from`'s polynomials.
fn gather(from: &[u64], n: usize, part: std::ops::Range<usize>, out: &mut [u64]) {
    for (out, from) in out.chunks_exact_mut(part.len()).zip(from.chunks_exact(n)) {
        out.copy_from_slice(&from[part.clone()]);
    }
}

fn check_places(a: &[u64], b: &[u64]) {
    let fits = a.len() == b.len() && a.len().is_multiple_of(8);
    assert!(fits, "{} and {} places", a.len(), b.len());
}

//! Masked table sums over one-hot shares (PROTOCOLS 1.6).
//!
//! `u = sum_j e[j] * T[(c - j) mod 2^k]` for secret bits `e` and a public `c`: of XOR shares
//! `e0 ^ e1 = onehot(r)` the two sums differ by `±T[c - r]`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod ones;
mod portable;
mod table;
mod wide;

pub use ones::ones;
pub use table::Table;
pub use wide::{WideTable, wide_masked_sums2};

use std::sync::OnceLock;

/// Fills `out[t][i]` for every table `t` and element `i`; lengths are already checked.
type SumsFn<const N: usize> = fn(&[u8], [&Table; N], &[u64], [&mut [u64]; N]);

/// One implementation of the masked sums.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    one: SumsFn<1>,
    two: SumsFn<2>,
}

/// The kernels that this machine can run, slowest first.
fn kernels() -> Vec<Kernel> {
    #[cfg(target_arch = "x86_64")]
    let native = [avx2::kernel(), avx512::kernel()];
    #[cfg(not(target_arch = "x86_64"))]
    let native = [None; 0];
    let native = native.into_iter().flatten();
    std::iter::once(portable::KERNEL).chain(native).collect()
}

/// The name of the kernel that this machine uses, for reports.
pub fn kernel() -> &'static str {
    best().name
}

fn best() -> &'static Kernel {
    static BEST: OnceLock<Kernel> = OnceLock::new();
    BEST.get_or_init(|| *kernels().last().expect("there is a portable kernel"))
}

/// `sum_j e[j] * T[(c - j) mod 2^k]`, wrapping, where `e` holds 2^k bits in little-endian bit order.
///
/// Security: the memory accesses depend on the public `c` alone; the bits of `e` are used as lane
/// masks or as the control of a register permutation, never as a branch or an address.
///
/// # Panics
/// When `e` does not hold 2^k bits.
pub fn masked_sum(e: &[u8], table: &Table, c: usize) -> i32 {
    let mut out = [0];
    masked_sums(e, table, &[c as u64], &mut out);
    out[0] as i32
}

/// [`masked_sum`] for two tables of the same size in one pass over `e`.
///
/// # Panics
/// When the tables differ in size or `e` does not hold 2^k bits.
pub fn masked_sum2(e: &[u8], t0: &Table, t1: &Table, c: usize) -> (i32, i32) {
    let (mut out0, mut out1) = ([0], [0]);
    masked_sums2(e, t0, t1, &[c as u64], &mut out0, &mut out1);
    (out0[0] as i32, out1[0] as i32)
}

/// [`masked_sum`] for a batch: element `i` takes the `i`-th 2^k bits of `e` and `c[i]`; sums are
/// sign-extended to 64 bits.
///
/// # Panics
/// When `e` does not hold 2^k bits per element, or `c` and `out` differ in length.
pub fn masked_sums(e: &[u8], table: &Table, c: &[u64], out: &mut [u64]) {
    check("masked_sums", e, table, c, out);
    (best().one)(e, [table], c, [out]);
}

/// [`masked_sums`] for two tables of the same size in one pass over `e`.
///
/// # Panics
/// When the tables differ in size, `e` does not hold 2^k bits per element, or the lengths of `c`
/// and the outputs differ.
pub fn masked_sums2(
    e: &[u8],
    t0: &Table,
    t1: &Table,
    c: &[u64],
    out0: &mut [u64],
    out1: &mut [u64],
) {
    assert!(t0.k == t1.k, "masked_sums2: tables of 2^{} and 2^{} entries", t0.k, t1.k);
    check("masked_sums2", e, t0, c, out0);
    check("masked_sums2", e, t1, c, out1);
    (best().two)(e, [t0, t1], c, [out0, out1]);
}

fn check(name: &str, e: &[u8], table: &Table, c: &[u64], out: &[u64]) {
    assert!(c.len() == out.len(), "{name}: {} indices for {} outputs", c.len(), out.len());
    assert!(
        Some(e.len()) == c.len().checked_mul(table.bytes()),
        "{name}: {} bytes of one-hot bits for {} elements of 2^{} bits",
        e.len(),
        c.len(),
        table.k
    );
}

#[cfg(test)]
mod tests {
    use super::{Table, kernels, masked_sum, masked_sum2, masked_sums, masked_sums2};
    use proptest::prelude::*;

    fn bytes(count: usize, seed: u64) -> Vec<u8> {
        (1..=count as u64)
            .map(|i| ((i ^ seed << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8)
            .collect()
    }

    fn values(k: u32, seed: u64) -> Vec<i32> {
        (0..1u64 << k)
            .map(|i| (i.wrapping_add(seed).wrapping_mul(0xd134_2543_de82_ef95) >> 31) as i32)
            .collect()
    }

    fn naive(e: &[u8], values: &[i32], c: u64) -> u64 {
        let size = values.len();
        let sum = (0..size).fold(0i32, |sum, j| {
            let bit = i32::from(e[j / 8] >> (j % 8) & 1);
            sum.wrapping_add(bit.wrapping_mul(values[(c as usize % size + size - j) % size]))
        });
        i64::from(sum) as u64
    }

    /// Every kernel, one and two tables, against the definition.
    fn check(k: u32, c: &[u64], seed: u64) {
        let size = (1usize << k) / 8;
        let e = bytes(size * c.len(), seed);
        let (v0, v1) = (values(k, seed), values(k, !seed));
        let (t0, t1) = (Table::new(k, &v0), Table::new(k, &v1));
        let expected = |values: &[i32]| -> Vec<u64> {
            let elements = e.chunks_exact(size).zip(c);
            elements.map(|(e, &c)| naive(e, values, c)).collect()
        };
        let (x0, x1) = (expected(&v0), expected(&v1));
        for kernel in kernels() {
            let (mut y0, mut y1) = (vec![7; c.len()], vec![7; c.len()]);
            (kernel.one)(&e, [&t0], c, [&mut y0]);
            assert!(y0 == x0, "{} k {k} count {} seed {seed}", kernel.name, c.len());
            y0.fill(7);
            (kernel.two)(&e, [&t0, &t1], c, [&mut y0, &mut y1]);
            assert!(
                y0 == x0 && y1 == x1,
                "{} k {k} count {} seed {seed}, two tables",
                kernel.name,
                c.len()
            );
        }
    }

    #[test]
    fn every_kernel_equals_the_definition() {
        for k in 3..=14 {
            for count in [0, 1, 5, 6, 15, 16, 17, 23, 48] {
                let c: Vec<u64> = (0..count).map(|i| i * 0x1_0000_0fed + 31 * i).collect();
                check(k, &c, u64::from(k) + count);
            }
        }
        check(15, &[0, 1, 32_767, u64::MAX], 3);
    }

    #[test]
    fn every_rotation_of_a_small_table() {
        let c: Vec<u64> = (0..3 * 64).collect();
        check(5, &c, 11);
        check(6, &c, 12);
    }

    #[test]
    fn shares_of_a_one_hot_select_one_entry_up_to_sign() {
        let (k, size) = (7, 128usize);
        let values = values(k, 5);
        let table = Table::new(k, &values);
        for r in [0usize, 1, 63, 127] {
            let e0 = bytes(size / 8, r as u64);
            let mut e1 = e0.clone();
            e1[r / 8] ^= 1 << (r % 8);
            let sign = i32::from(e0[r / 8] >> (r % 8) & 1) - i32::from(e1[r / 8] >> (r % 8) & 1);
            for x in [0usize, 5, 127] {
                let c = (x + r) % size;
                let sum = masked_sum(&e0, &table, c).wrapping_sub(masked_sum(&e1, &table, c));
                assert_eq!(sum, sign.wrapping_mul(values[x]));
                assert_eq!(table.value(x), values[x]);
            }
        }
    }

    #[test]
    fn single_and_batch_calls_agree_and_extend_the_sign() {
        let (k, count) = (5, 20);
        let (t0, t1) = (Table::new(k, &[-3; 32]), Table::new(k, &values(k, 1)));
        let e = bytes(4 * count, 8);
        let c: Vec<u64> = (0..count as u64).collect();
        let (mut o0, mut o1, mut o) = (vec![0; count], vec![0; count], vec![0; count]);
        masked_sums2(&e, &t0, &t1, &c, &mut o0, &mut o1);
        masked_sums(&e, &t1, &c, &mut o);
        assert_eq!(o, o1);
        for (i, e) in e.chunks_exact(4).enumerate() {
            let ones: u32 = e.iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(o0[i] as i64, -3 * i64::from(ones));
            let (x, y) = masked_sum2(e, &t0, &t1, i);
            assert_eq!((i64::from(x) as u64, i64::from(y) as u64), (o0[i], o1[i]));
        }
    }

    #[test]
    #[should_panic(expected = "masked_sums: 9 bytes of one-hot bits for 2 elements of 2^5 bits")]
    fn another_length_panics() {
        masked_sums(&[0; 9], &Table::new(5, &[0; 32]), &[1, 2], &mut [0; 2]);
    }

    proptest! {
        #[test]
        fn random_batches(
            k in 3u32..=10,
            c in prop::collection::vec(any::<u64>(), 0..40),
            seed: u64,
        ) {
            check(k, &c, seed);
        }
    }
}

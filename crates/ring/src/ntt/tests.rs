use super::*;
use proptest::prelude::*;

const PRIMES: [(u64, usize); 5] = [
    (549_755_731_969, 4096),
    (2_147_377_153, 4096),
    (549_755_731_969, 64),
    (2_147_377_153, 128),
    (97, 16),
];

fn words(count: usize, seed: u64, p: u64) -> Vec<u64> {
    let mix = |i: u64| (i ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    (1..=count as u64).map(|i| mix(mix(i)) % p).collect()
}

fn schoolbook(a: &[u64], b: &[u64], p: u64) -> Vec<u64> {
    let n = a.len();
    let mut out = vec![0u64; n];
    for (i, &x) in a.iter().enumerate() {
        for (j, &y) in b.iter().enumerate() {
            let xy = (u128::from(x) * u128::from(y) % u128::from(p)) as u64;
            let at = (i + j) % n;
            out[at] = if i + j < n { out[at] + xy } else { out[at] + p - xy } % p;
        }
    }
    out
}

#[test]
fn products_are_the_schoolbook_s() {
    for (p, n) in PRIMES.into_iter().filter(|(_, n)| *n <= 128) {
        for kernel in kernels() {
            let ntt = Ntt::with(kernel, p, n);
            for seed in 0..4 {
                let (mut a, mut b) = (words(n, seed, p), words(n, seed + 9, p));
                if seed == 3 {
                    (a, b) = (vec![p - 1; n], vec![p - 1; n]);
                }
                let expected = schoolbook(&a, &b, p);
                ntt.forward(&mut a);
                ntt.forward(&mut b);
                let mut c = vec![0; n];
                ntt.add_dots(&a, &b, 1, &mut c);
                ntt.inverse(&mut c);
                assert!(c == expected, "{} p = {p}, n = {n}", kernel.name());
            }
        }
    }
}

#[test]
fn kernels_agree_and_go_back() {
    for (p, n) in PRIMES {
        for seed in 0..3 {
            let a = if seed == 0 { vec![p - 1; n] } else { words(n, seed, p) };
            let mut first = None;
            for kernel in kernels() {
                let ntt = Ntt::with(kernel, p, n);
                let mut b = a.clone();
                ntt.forward(&mut b);
                assert!(b.iter().all(|&x| x < p));
                let first: &Vec<u64> = first.get_or_insert_with(|| b.clone());
                assert!(&b == first, "{} p = {p}, n = {n}", kernel.name());
                ntt.inverse(&mut b);
                assert!(b == a, "{} p = {p}, n = {n}", kernel.name());
            }
        }
    }
}

#[test]
fn low_polynomials_take_the_short_way_to_the_same_values() {
    for (p, n) in PRIMES {
        for kernel in kernels() {
            let ntt = Ntt::with(kernel, p, n);
            for log in 4..=n.trailing_zeros() {
                let low = words(1 << log, 5, p);
                let mut whole = low.clone();
                whole.resize(n, 0);
                ntt.forward(&mut whole);
                let mut short = vec![1; n];
                ntt.forward_low(&low, &mut short);
                assert!(whole == short, "{} {log} of {n}", kernel.name());
            }
        }
    }
}

#[test]
fn a_product_by_x_turns_and_negates() {
    let (p, n) = PRIMES[0];
    let ntt = Ntt::new(p, n);
    let (mut a, mut x) = (words(n, 1, p), vec![0; n]);
    let expected: Vec<u64> = [p - a[n - 1]].iter().chain(&a[..n - 1]).copied().collect();
    x[1] = 1;
    ntt.forward(&mut a);
    ntt.forward(&mut x);
    let mut c = vec![0; n];
    ntt.add_dots(&a, &x, 1, &mut c);
    ntt.inverse(&mut c);
    assert!(c == expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every count of lefts, rights and terms, also where the tiles of a kernel do not divide it.
    #[test]
    fn sums_of_products(i in 1usize..8, j in 1usize..5, terms in 1usize..9, largest: bool) {
        let (p, n) = PRIMES[2];
        let make = |count, seed| if largest { vec![p - 1; count] } else { words(count, seed, p) };
        let (left, right) = (make(i * terms * n, 1), make(j * terms * n, 2));
        for kernel in kernels() {
            let mut out = vec![p - 1; i * j * n];
            Ntt::with(kernel, p, n).add_dots(&left, &right, terms, &mut out);
            for (at, &got) in out.iter().enumerate() {
                let (row, col, x) = (at / n / j, at / n % j, at % n);
                let sum: u128 = (0..terms)
                    .map(|t| {
                        let (a, b) = (left[(row * terms + t) * n + x], right[(col * terms + t) * n + x]);
                        u128::from(a) * u128::from(b)
                    })
                    .sum();
                let sum = sum + u128::from(p - 1);
                prop_assert_eq!(got, (sum % u128::from(p)) as u64, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn products_of_low_polynomials(
        i in 1usize..12, j in 1usize..5, terms in 1usize..4, log in 4u32..=8, largest: bool,
    ) {
        for (p, n) in [(549_755_731_969, 256), (97, 16)] {
            let size = (1usize << log).min(n);
            let make = |count, seed| if largest { vec![p - 1; count] } else { words(count, seed, p) };
            let (low, right) = (make(i * terms * size, 1), make(j * terms * n, 2));
            for kernel in kernels() {
                let ntt = Ntt::with(kernel, p, n);
                let mut left = vec![0; i * terms * n];
                for (low, out) in low.chunks_exact(size).zip(left.chunks_exact_mut(n)) {
                    ntt.forward_low(low, out);
                }
                let mut expected = vec![p - 1; i * j * n];
                ntt.add_dots(&left, &right, terms, &mut expected);
                let mut out = vec![p - 1; i * j * n];
                ntt.add_low_products(&low, size, &right, terms, &mut out);
                prop_assert!(out == expected, "{} {size} of {n}", kernel.name());
            }
        }
    }

    #[test]
    fn place_by_place(count in 0usize..5, seed: u32) {
        let (p, from) = (549_755_731_969u64, 2_147_377_153u64);
        for (p, from) in [(p, from), (from, p), (p, 549_755_486_209), (549_755_486_209, p)] {
            let n = if p < 1 << 32 { 128 } else { 64 };
            let (mut a, mut b) = (words(8 * count, seed.into(), p), words(8 * count, 1, p));
            a.iter_mut().take(1).for_each(|a| *a = p - 1);
            b.iter_mut().take(2).for_each(|b| *b = p - 1);
            let mut other = words(8 * count, 2, from);
            other.iter_mut().take(3).zip([0, from / 2, from / 2 + 1]).for_each(|(x, e)| *x = e);
            for kernel in kernels() {
                let ntt = Ntt::with(kernel, p, n);
                let wide = |x: &u64| u128::from(*x);
                let (mut sum, mut difference, mut multiple) = (a.clone(), a.clone(), a.clone());
                let mut recentred = vec![9; 8 * count];
                ntt.add(&mut sum, &b);
                ntt.sub(&mut difference, &b);
                ntt.scale(&mut multiple, Factor::new(12_345_678_901, p));
                ntt.recentre(from, &other, &mut recentred);
                for x in 0..8 * count {
                    prop_assert_eq!(sum[x], (a[x] + b[x]) % p);
                    prop_assert_eq!(difference[x], (a[x] + p - b[x]) % p);
                    let product = wide(&a[x]) * 12_345_678_901 % wide(&p);
                    prop_assert_eq!(wide(&multiple[x]), product);
                    let centred = i128::from(other[x]) - if other[x] > from / 2 { i128::from(from) } else { 0 };
                    prop_assert_eq!(i128::from(recentred[x]), centred.rem_euclid(i128::from(p)));
                }
            }
        }
    }

    #[test]
    fn constants(value: u64, x: u64, p in 1u64..1 << 62) {
        let expected = u128::from(value % p) * u128::from(x) % u128::from(p);
        prop_assert_eq!(u128::from(Factor::new(value, p).times(x)), expected);
    }
}

#[test]
fn the_longest_sum_of_the_largest_words_does_not_overflow() {
    let (p, n) = (549_755_731_969, 16);
    let ones = vec![p - 1; MOST_TERMS * n];
    for kernel in kernels() {
        let mut out = vec![p - 1; n];
        Ntt::with(kernel, p, n).add_dots(&ones, &ones, MOST_TERMS, &mut out);
        assert!(out.iter().all(|&x| x == MOST_TERMS as u64 - 1), "{}", kernel.name());
    }
}

#[test]
#[should_panic(expected = "no root of unity")]
fn a_composite_is_refused() {
    Ntt::new(33 * 65, 16);
}

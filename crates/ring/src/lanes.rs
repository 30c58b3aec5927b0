//! Words beside words: sums, products and lines, element by element.
//!
//! Each loop is compiled for every kind of register; a call takes the widest that this machine has.
//!
//! Security: constant time in the words; lengths, shifts and the parameters of a [`Line`] are public.

#![allow(unsafe_code)]

/// `y = plus + ((x >> down) << up)`, or `plus - ((x >> down) << up)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// Bits that `x` loses, below 64.
    pub down: u32,
    /// Bits that the rest is moved up, below 64.
    pub up: u32,
    /// Whether it is taken off.
    pub negative: bool,
    /// What is added.
    pub plus: u64,
}

macro_rules! lanes {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) $body:block)*) => {$(
        $(#[$doc])*
        pub fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                    // SAFETY: the features were just detected.
                    return unsafe { $name::avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature was just detected.
                    return unsafe { $name::avx2($($arg),*) };
                }
            }
            $name::portable($($arg),*)
        }

        mod $name {
            #[inline(always)]
            pub fn portable($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            pub fn avx2($($arg: $type),*) {
                portable($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq")]
            pub fn avx512($($arg: $type),*) {
                portable($($arg),*)
            }

            /// Those that this machine can run.
            #[cfg(test)]
            pub fn kernels() -> Vec<fn($($type),*)> {
                #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "kernels of that machine"))]
                let mut all: Vec<fn($($type),*)> = vec![portable];
                #[cfg(target_arch = "x86_64")]
                {
                    if is_x86_feature_detected!("avx2") {
                        // SAFETY: the feature was just detected.
                        all.push(|$($arg),*| unsafe { avx2($($arg),*) });
                    }
                    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                        // SAFETY: the features were just detected.
                        all.push(|$($arg),*| unsafe { avx512($($arg),*) });
                    }
                }
                all
            }
        }
    )*};
}

lanes! {
    /// `out += 2^shift a`.
    ///
    /// # Panics
    /// When the lengths differ, as all others here do.
    add(out: &mut [u64], a: &[u64], shift: u32) {
        assert_eq!(out.len(), a.len(), "add: unequal lengths");
        for (o, a) in out.iter_mut().zip(a) {
            *o = o.wrapping_add(a << shift);
        }
    }

    /// `out += 2^shift a b`, element by element.
    add_product(out: &mut [u64], a: &[u64], b: &[u64], shift: u32) {
        assert!(out.len() == a.len() && a.len() == b.len(), "add_product: unequal lengths");
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = o.wrapping_add(a.wrapping_mul(*b) << shift);
        }
    }

    /// `out = out by`, element by element.
    multiply(out: &mut [u64], by: &[u64]) {
        assert_eq!(out.len(), by.len(), "multiply: unequal lengths");
        for (o, b) in out.iter_mut().zip(by) {
            *o = o.wrapping_mul(*b);
        }
    }

    /// `out = (out + a) & mask`.
    join(out: &mut [u64], a: &[u64], mask: u64) {
        assert_eq!(out.len(), a.len(), "join: unequal lengths");
        for (o, a) in out.iter_mut().zip(a) {
            *o = o.wrapping_add(*a) & mask;
        }
    }

    /// `out = (out - a) & mask`.
    part(out: &mut [u64], a: &[u64], mask: u64) {
        assert_eq!(out.len(), a.len(), "part: unequal lengths");
        for (o, a) in out.iter_mut().zip(a) {
            *o = o.wrapping_sub(*a) & mask;
        }
    }

    /// The low `width` bits of each word, in two's complement.
    extend(words: &mut [u64], width: u32) {
        assert!((1..=64).contains(&width), "extend: the width {width}");
        let spare = 64 - width;
        for word in words {
            *word = (((*word << spare) as i64) >> spare) as u64;
        }
    }

    /// Each word becomes what the line is there.
    line(words: &mut [u64], line: crate::lanes::Line) {
        let crate::lanes::Line { down, up, negative, plus } = line;
        assert!(down < 64 && up < 64, "line: shifts of {down} and {up} bits");
        // -y = !y + 1.
        let sign = u64::from(negative).wrapping_neg();
        let plus = plus.wrapping_sub(sign);
        for x in words {
            *x = ((*x >> down << up) ^ sign).wrapping_add(plus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        prop::collection::vec(any::<(u64, u64, u64)>(), 0..70)
    }

    proptest! {
        #[test]
        fn every_kernel_is_the_definition(
            all in words(), shift in 0u32..64, up in 0u32..64, negative: bool, plus: u64,
        ) {
            let column = |f: fn(&(u64, u64, u64)) -> u64| all.iter().map(f).collect::<Vec<u64>>();
            let (out, a, b) = (column(|w| w.0), column(|w| w.1), column(|w| w.2));
            let expected = |f: &dyn Fn(u128, u128, u128) -> u128| -> Vec<u64> {
                all.iter().map(|w| f(w.0.into(), w.1.into(), w.2.into()) as u64).collect()
            };
            let (mask, wide) = (u64::MAX >> shift, u128::from(u64::MAX));
            let times = |a: u128, b: u128| (a * b) & wide;
            for kernel in add::kernels() {
                let mut got = out.clone();
                kernel(&mut got, &a, shift);
                prop_assert_eq!(&got, &expected(&|o, a, _| o + (a << shift & wide)));
            }
            for kernel in add_product::kernels() {
                let mut got = out.clone();
                kernel(&mut got, &a, &b, shift);
                prop_assert_eq!(&got, &expected(&|o, a, b| o + (times(a, b) << shift & wide)));
            }
            for kernel in multiply::kernels() {
                let mut got = out.clone();
                kernel(&mut got, &a);
                prop_assert_eq!(&got, &expected(&|o, a, _| times(o, a)));
            }
            for kernel in join::kernels() {
                let mut got = out.clone();
                kernel(&mut got, &a, mask);
                prop_assert_eq!(&got, &expected(&|o, a, _| (o + a) & u128::from(mask)));
            }
            for kernel in part::kernels() {
                let mut got = out.clone();
                kernel(&mut got, &a, mask);
                let expected = expected(&|o, a, _| (o + (1 << 64) - a) & u128::from(mask));
                prop_assert_eq!(&got, &expected);
            }
            for kernel in extend::kernels() {
                let mut got = out.clone();
                kernel(&mut got, shift + 1);
                let expected: Vec<i64> = out.iter().map(|&x| crate::signed(x, shift + 1)).collect();
                prop_assert!(got.iter().zip(expected).all(|(&g, e)| g as i64 == e));
            }
            for kernel in line::kernels() {
                let mut got = out.clone();
                kernel(&mut got, Line { down: shift, up, negative, plus });
                let expected = expected(&|x, _, _| {
                    let x = x >> shift << up & wide;
                    u128::from(plus) + if negative { (1 << 64) - x } else { x }
                });
                prop_assert_eq!(&got, &expected);
            }
        }
    }

    #[test]
    #[should_panic(expected = "join: unequal lengths")]
    fn unequal_lengths_panic() {
        join(&mut [0; 3], &[0; 2], 1);
    }
}

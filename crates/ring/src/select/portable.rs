//! Masked sums in plain Rust.

use super::{Kernel, Table};

pub(super) const KERNEL: Kernel = Kernel {
    name: "portable",
    one: |e, tables, c, out| sums(e, tables, c, out),
    two: |e, tables, c, out| sums(e, tables, c, out),
};

/// As [`super::SumsFn`] says.
pub(super) fn sums<const N: usize>(
    e: &[u8],
    tables: [&Table; N],
    c: &[u64],
    mut out: [&mut [u64]; N],
) {
    for (i, (e, &c)) in e.chunks_exact(tables[0].bytes()).zip(c).enumerate() {
        let c = c as usize;
        for (table, out) in tables.iter().zip(&mut out) {
            let lanes = e.iter().zip(table.window(c).as_chunks::<8>().0).fold(
                [0i32; 8],
                |mut lanes, (&bits, values)| {
                    for (bit, (lane, value)) in lanes.iter_mut().zip(values).enumerate() {
                        let chosen = i32::from((bits >> bit) & 1).wrapping_neg();
                        *lane = lane.wrapping_add(value & chosen);
                    }
                    lanes
                },
            );
            let sum = lanes.iter().fold(0i32, |sum, lane| sum.wrapping_add(*lane));
            out[i] = i64::from(sum) as u64;
        }
    }
}

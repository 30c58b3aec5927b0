//! Prints the speed of the kernels: matrix products, packing and masked sums.
//!
//! `cargo run --release -p sotto-ring --example gemm_speed`

use sotto_ring::gemm::{Mat, kernels};
use sotto_ring::pack::{pack, packed_len, unpack};
use sotto_ring::select::{Table, masked_sums, masked_sums2};
use std::hint::black_box;
use std::time::Instant;

/// The best of several timings, in seconds for one call.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let once = Instant::now();
    run();
    let calls = (0.01 / once.elapsed().as_secs_f64().max(1e-8)).clamp(1.0, 1e5) as u32;
    (0..7)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| run());
            start.elapsed().as_secs_f64() / f64::from(calls)
        })
        .fold(f64::INFINITY, f64::min)
}

fn words(count: usize) -> Vec<u64> {
    (0..count as u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

fn products() {
    let kernels = kernels();
    print!("{:>22}", "GMAC/s");
    kernels.iter().for_each(|k| print!("{:>14}", k.name()));
    println!();
    for (m, k, n, transposed) in [
        (65, 256, 768, false),
        (65, 256, 768, true),
        (65, 512, 256, false),
        (65, 64, 65, false),
        (65, 64, 65, true),
        (65, 65, 64, false),
        (257, 192, 576, false),
        (257, 16, 257, false),
        (257, 16, 257, true),
        (257, 257, 16, false),
    ] {
        let (a, b, mut c) = (words(m * k), words(k * n), vec![0; m * n]);
        let name = format!("{m}x{k}x{n}{}", if transposed { " B^T" } else { "" });
        print!("{name:>22}");
        for kernel in &kernels {
            let b = if transposed { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
            let seconds = best(|| {
                kernel.run(m, k, n, Mat::rows(&a, k), b, &mut c);
                black_box(&mut c);
            });
            print!("{:>14.2}", (m * k * n) as f64 / seconds / 1e9);
        }
        println!();
    }
}

fn packing() {
    println!(
        "\n{:>6} {:>10} {:>10} {:>12} {:>10}   (64 Ki words; GB/s of packed bytes)",
        "width", "pack Gw/s", "GB/s", "unpack Gw/s", "GB/s"
    );
    let count = 1 << 16;
    let source = words(count);
    let mut back = vec![0; count];
    for width in [5, 8, 16, 17, 20, 32, 34, 50, 60, 64] {
        let mut bytes = Vec::with_capacity(packed_len(count, width));
        let to = best(|| {
            bytes.clear();
            pack(&source, width, &mut bytes);
            black_box(&mut bytes);
        });
        let from = best(|| {
            unpack(&bytes, width, &mut back);
            black_box(&mut back);
        });
        let (words, size) = (count as f64 / 1e9, bytes.len() as f64 / 1e9);
        println!(
            "{width:>6} {:>10.2} {:>10.2} {:>12.2} {:>10.2}",
            words / to,
            size / to,
            words / from,
            size / from
        );
    }
}

fn sums() {
    println!("\n     k   1 table   2 tables   (ns per element, 4,096 elements)");
    let count = 4096;
    for k in [5, 7, 8, 9, 10, 12, 14] {
        let size = 1usize << k;
        let values: Vec<i32> = (0..size as i32).map(|i| i * i - 7 * i).collect();
        let (t0, t1) = (Table::new(k, &values), Table::new(k, &values));
        let e: Vec<u8> =
            words(count * size / 64).iter().flat_map(|word| word.to_le_bytes()).collect();
        let c = words(count);
        let (mut out0, mut out1) = (vec![0; count], vec![0; count]);
        let one = best(|| {
            masked_sums(&e, &t0, &c, &mut out0);
            black_box(&mut out0);
        });
        let two = best(|| {
            masked_sums2(&e, &t0, &t1, &c, &mut out0, &mut out1);
            black_box((&mut out0, &mut out1));
        });
        let scale = 1e9 / count as f64;
        println!("{k:>6} {:>9.1} {:>10.1}", one * scale, two * scale);
    }
}

fn main() {
    products();
    packing();
    sums();
}

//! What lattice correlations cost on one core: operations, then layers and products of the models' shapes.
//!
//! `cargo run --release -p sotto-lattice --example cost`

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

use sotto_crypto::Seed;
use sotto_lattice::{Layer, N, PUBLIC_BYTES, PublicKeys, SecretKey, Sizes, Triple};
use sotto_ring::ntt::{self, Ntt};

/// Seconds of this thread on a core, where the system tells; else of the clock. So others' load counts little.
fn now() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

/// Seconds of one call, on average of a fifth of a second: the system's account moves by milliseconds.
fn average(mut run: impl FnMut()) -> f64 {
    run();
    let once = Instant::now();
    run();
    let calls = (0.2 / once.elapsed().as_secs_f64().max(1e-8)).clamp(1.0, 1e5) as u32;
    let start = now();
    (0..calls).for_each(|_| run());
    (now() - start) / f64::from(calls)
}

fn words(count: usize, seed: u8) -> Vec<u64> {
    let mut stream = Seed::from_bytes([seed; 32]).stream(0);
    (0..count).map(|_| stream.word()).collect()
}

fn operations() {
    const PRIME: u64 = 549_755_731_969;
    println!("{:>44}{:>14}{:>14}", "one prime, microseconds", "portable", "fastest");
    let kernels = ntt::kernels();
    let rings = [kernels[0], kernels[kernels.len() - 1]].map(|k| Ntt::with(k, PRIME, N));
    let residues =
        |count: usize| -> Vec<u64> { words(count, 1).iter().map(|x| x % PRIME).collect() };
    let line = |name: &str, f: &dyn Fn(&Ntt) -> f64| {
        let [a, b] = rings.each_ref().map(|ntt| f(ntt) * 1e6);
        println!("{name:>44}{a:>14.2}{b:>14.2}");
    };
    line("transform", &|ntt| {
        let mut a = residues(N);
        average(|| ntt.forward(black_box(&mut a)))
    });
    line("transform of 16 coefficients", &|ntt| {
        let (low, mut out) = (residues(16), vec![0; N]);
        average(|| ntt.forward_low(black_box(&low), &mut out))
    });
    line("inverse", &|ntt| {
        let mut a = residues(N);
        average(|| ntt.inverse(black_box(&mut a)))
    });
    line("ciphertext x plaintext, both polynomials", &|ntt| {
        let (left, right, mut out) = (residues(16 * 16 * N), residues(32 * N), vec![0; 32 * N]);
        average(|| ntt.add_dots(black_box(&left), &right, 16, &mut out)) / 256.0
    });
    for columns in [1, 3] {
        let name = format!("the same with 64 x 16 plaintexts' transforms, {columns} columns");
        line(&name, &|ntt| {
            let (low, right) = (residues(64 * 16 * 16), residues(columns * 2 * 16 * N));
            let mut out = vec![0; 64 * columns * 2 * N];
            let all = average(|| ntt.add_low_products(black_box(&low), 16, &right, 16, &mut out));
            all / (64 * 16 * columns) as f64
        });
    }
}

fn keys() -> (SecretKey, PublicKeys) {
    let key = SecretKey::new(&Seed::from_bytes([1; 32]));
    let message = key.publish();
    println!(
        "\nkeys: {PUBLIC_BYTES} bytes, made in {:.1} ms, read in {:.1} ms",
        average(|| drop(black_box(key.publish()))) * 1e3,
        average(|| drop(black_box(PublicKeys::read(&message)))) * 1e3
    );
    let public = PublicKeys::read(&message).expect("our own keys");
    (key, public)
}

fn layers(key: &SecretKey, public: &PublicKeys) {
    println!(
        "\n{:>24}{:>12}{:>12}{:>12}{:>12}{:>12}{:>10}",
        "layer", "setup kB", "setup ms", "client ms", "answer kB", "server ms", "bound"
    );
    for (rows, inputs, outputs, width) in [
        (65, 256, 768, 36),
        (65, 256, 256, 36),
        (65, 256, 512, 36),
        (65, 512, 256, 50),
        (65, 256, 256, 50),
        (1, 256, 10, 44),
        (257, 192, 576, 36),
    ] {
        let layer = Layer::new(rows, inputs, outputs, width);
        let (a, w) = (words(rows * inputs, 2), words(inputs * outputs, 3));
        let seed = Seed::from_bytes([4; 32]);
        let given = |at: usize, out: &mut [u64]| out.copy_from_slice(&w[at..][..out.len()]);
        let encrypt = || layer.encrypt(key, &seed, given).flatten().collect::<Vec<u8>>();
        let setup = encrypt();
        let ciphers = layer.read(&setup).expect("our own weights");
        let answer = layer.evaluate(&ciphers, public, &seed, &a);
        let made = average(|| drop(black_box(encrypt())));
        let client = average(|| drop(black_box(layer.evaluate(&ciphers, public, &seed, &a))));
        let server = average(|| drop(black_box(layer.receive(key, &answer.message))));
        let name = format!("{rows}x{inputs}x{outputs}, {width} bits");
        println!(
            "{name:>24}{:>12}{:>12.1}{:>12.1}{:>12}{:>12.1}{:>10.0}   {layer:?}",
            layer.setup_len() / 1000,
            made * 1e3,
            client * 1e3,
            layer.answer_len() / 1000,
            server * 1e3,
            layer.bound()
        );
    }
}

fn triples(key: &SecretKey, public: &PublicKeys) {
    println!(
        "\n{:>24}{:>12}{:>12}{:>12}{:>12}{:>12}{:>10}",
        "products, each party", "up kB", "up ms", "answer ms", "answer kB", "finish ms", "bound"
    );
    for (batch, m, k, n, transposed, width) in [
        (4, 65, 64, 65, true, 35),
        (4, 65, 65, 64, false, 30),
        (4, 65, 65, 64, false, 38),
        (3, 257, 64, 257, true, 35),
        (12, 128, 64, 128, true, 35),
    ] {
        let sizes = Sizes { batch, m, k, n, transposed };
        let triple = Triple::new(sizes, width);
        let (r, q) = (words(batch * m * k, 2), words(batch * k * n, 3));
        let seed = Seed::from_bytes([4; 32]);
        let upload = triple.upload(key, &seed, &r);
        let left = triple.read(&upload).expect("our own operands");
        let answer = triple.evaluate(&left, public, &seed, &q);
        let up = average(|| drop(black_box(triple.upload(key, &seed, &r))));
        let evaluated = average(|| drop(black_box(triple.evaluate(&left, public, &seed, &q))));
        let finished = average(|| {
            drop(black_box(triple.finish(key, &answer.message, &answer.share, (&r, &q))))
        });
        let name = format!("{batch} {m}x{k}x{n}, {width} bits");
        println!(
            "{name:>24}{:>12}{:>12.1}{:>12.1}{:>12}{:>12.1}{:>10.0}   {triple:?}",
            triple.upload_len() / 1000,
            up * 1e3,
            evaluated * 1e3,
            triple.answer_len() / 1000,
            finished * 1e3,
            triple.bound()
        );
    }
}

fn main() {
    operations();
    let (key, public) = keys();
    layers(&key, &public);
    triples(&key, &public);
}

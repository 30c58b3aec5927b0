//! COTs a second on this machine, made and used, for each parameter: `cargo run --release -p sotto-ot --example speed`.

use std::time::Instant;

use sotto_crypto::Seed;
use sotto_ot::softspoken::{BITS, Beginning, Receiver};

/// Few enough that some run is not interrupted on a busy machine.
const COUNT: usize = 1 << 18;

fn main() {
    for (k, bits, _) in BITS {
        let seeds = [1, 2].map(|b| Seed::from_bytes([b; 32]));
        let start = Instant::now();
        let (beginning, begin) = Beginning::new([0; 32], k, &seeds[0]);
        let (mut receiver, answer) =
            Receiver::answer([0; 32], k, &seeds[1], &begin).expect("points");
        let mut sender = beginning.finish(&answer).expect("an answer");
        let setup = start.elapsed().as_secs_f64();
        let choices = vec![1; COUNT];
        let mut times = [[f64::MAX; 2]; 2];
        for _ in 0..30 {
            let mut message = Vec::new();
            let start = Instant::now();
            let mut received = receiver.extend(vec![choices.clone()], &mut message).remove(0);
            let made = start.elapsed().as_secs_f64();
            let mut sum = 0;
            received.pads(|_, pads| sum = pads.iter().fold(sum, |s, p| s ^ p));
            let used = start.elapsed().as_secs_f64();
            times[0] = [times[0][0].min(made), times[0][1].min(used)];
            let start = Instant::now();
            let mut sent = sender.extend(&[COUNT], &message).expect("the next message").remove(0);
            let made = start.elapsed().as_secs_f64();
            sent.pads(|_, zeros, ones| {
                sum = zeros.iter().zip(ones).fold(sum, |s, (z, o)| s ^ z ^ o);
            });
            let used = start.elapsed().as_secs_f64();
            times[1] = [times[1][0].min(made), times[1][1].min(used)];
            std::hint::black_box(sum);
        }
        let rate = |seconds: f64| COUNT as f64 / seconds / 1e6;
        let [r, s] = times.map(|t| t.map(rate));
        println!(
            "k = {k}, {bits} bits a COT, setup {:.0} ms: receiver makes {:.1}, makes and uses {:.1}; sender {:.1}, {:.1} million a second",
            1e3 * setup,
            r[0],
            r[1],
            s[0],
            s[1]
        );
    }
}

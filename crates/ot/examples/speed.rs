//! COTs a second on this machine, made and used, for each parameter: `cargo run --release -p sotto-ot --example speed`.

use std::time::Instant;

use sotto_crypto::Seed;
use sotto_ot::{
    Received, Sent,
    extension::{Beginning, Extension, Receiver},
    ferret,
    softspoken::BITS,
};

/// Few enough that some run is not interrupted on a busy machine.
const COUNT: usize = 1 << 18;

/// The shortest times of receiver and sender, in seconds: to make, to make and use.
struct Times([[f64; 2]; 2]);

impl Times {
    fn receiver(&mut self, begun: Instant, mut received: Received) {
        let made = begun.elapsed().as_secs_f64();
        let mut sum = 0;
        received.pads(|_, pads| sum = pads.iter().fold(sum, |s, p| s ^ p));
        std::hint::black_box(sum);
        self.note(0, [made, begun.elapsed().as_secs_f64()]);
    }

    fn sender(&mut self, begun: Instant, mut sent: Sent) {
        let made = begun.elapsed().as_secs_f64();
        let mut sum = 0;
        sent.pads(|_, zeros, ones| {
            sum = zeros.iter().zip(ones).fold(sum, |s, (z, o)| s ^ z ^ o);
        });
        std::hint::black_box(sum);
        self.note(1, [made, begun.elapsed().as_secs_f64()]);
    }

    fn note(&mut self, party: usize, times: [f64; 2]) {
        self.0[party].iter_mut().zip(times).for_each(|(least, time)| *least = least.min(time));
    }

    /// `begun` are the receiver's and the sender's seconds for what the count's part of an iteration takes before.
    fn print(&self, name: &str, bits: f64, setup: f64, begun: [f64; 2]) {
        let rate = |party: usize, i: usize| COUNT as f64 / (self.0[party][i] + begun[party]) / 1e6;
        println!(
            "{name}, {bits} bits a COT, setup {:.0} ms: receiver makes {:.1}, makes and uses {:.1}; sender {:.1}, {:.1} million a second",
            1e3 * setup,
            rate(0, 0),
            rate(0, 1),
            rate(1, 0),
            rate(1, 1)
        );
    }
}

fn main() {
    let seeds = [1, 2].map(|b| Seed::from_bytes([b; 32]));
    let choices = vec![1; COUNT];
    let softspoken = BITS.map(|(k, bits, _)| {
        (Extension::SoftSpoken(k), format!("SoftSpoken, k = {k}"), bits as f64)
    });
    let bits = (8 * ferret::ITERATION_BYTES) as f64 / ferret::COTS as f64 + 1.0;
    let ferret = (Extension::Ferret, "Ferret".to_owned(), (100.0 * bits).round() / 100.0);
    for (extension, name, bits) in softspoken.into_iter().chain([ferret]) {
        let start = Instant::now();
        let (beginning, begin) = Beginning::new(extension, [0; 32], &seeds[0]);
        let (mut receiver, answer) =
            Receiver::answer(extension, [0; 32], &seeds[1], &begin).expect("points");
        let mut sender = beginning.finish(&answer).expect("an answer");
        let setup = start.elapsed().as_secs_f64();
        let (mut times, mut begun) = (Times([[f64::MAX; 2]; 2]), [0.0f64; 2]);
        for i in 0..30 {
            // What is announced is whole iterations, of which each takes as long.
            if extension.iterations(i * COUNT, (i + 1) * COUNT) > 0 {
                let mut message = Vec::new();
                let start = Instant::now();
                sender.announce((i + 1) * COUNT, &mut message);
                let announced = start.elapsed().as_secs_f64();
                let start = Instant::now();
                receiver.announced(&message).expect("the next iteration");
                let heard = start.elapsed().as_secs_f64();
                let least = |so_far: f64, now| if i == 0 { now } else { so_far.min(now) };
                begun = [least(begun[0], heard), least(begun[1], announced)];
            }
            let mut message = Vec::new();
            let start = Instant::now();
            let received = receiver.extend(vec![choices.clone()], &mut message).remove(0);
            times.receiver(start, received);
            let start = Instant::now();
            let sent = sender.extend(&[COUNT], &message).expect("the next message").remove(0);
            times.sender(start, sent);
        }
        let part = COUNT as f64 / ferret::COTS as f64;
        times.print(&name, bits, setup, begun.map(|seconds| part * seconds));
    }
}

//! What messages cost on this machine, with and without the emulator between, and how well whole
//! evaluations come out: `cargo run --release -p sotto-netsim --example calibrate`.

use sotto_netsim::{Error, Through, calibrate};

// The allocator of the `sotto` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    for through in [Through::Loopback, Through::Emulator] {
        let (machine, checks) = calibrate(through, |_, _| ())?;
        println!("{through:?}: {:?} {:?}", machine.messages, machine.setup);
        for c in checks {
            let off = 100.0 * (c.predicted / c.measured - 1.0);
            println!(
                "  {} measured {:.4} s, predicted {:.4} s, {off:+.1} %",
                c.model, c.measured, c.predicted
            );
        }
    }
    Ok(())
}

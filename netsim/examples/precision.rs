//! How precise the emulator is on this machine: delay, bandwidth, and the CPU time that it takes.
//!
//! `cargo run --release -p sotto-netsim --example precision [--json] [--load THREADS]`

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the emulator needs Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};
    use std::{env, fs, hint, thread};

    use sotto_netsim::{Direction, emulate::probe};

    const DELAYS: [f64; 3] = [1e-4, 1e-3, 2e-2];
    const RATES: [f64; 4] = [1.25e6, 12.5e6, 125e6, 384e6];
    const PACKETS: usize = 500;
    const DURATION: Duration = Duration::from_secs(3);

    pub fn main() -> Result<(), Box<dyn Error>> {
        let args: Vec<String> = env::args().skip(1).collect();
        let json = args.iter().any(|a| a == "--json");
        let load = args.iter().position(|a| a == "--load");
        let load = load.map_or(Ok(0), |i| {
            args.get(i + 1).ok_or("how many threads?")?.parse().map_err(|_| "how many threads?")
        })?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..load {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        hint::spin_loop();
                    }
                });
            }
            let done = measure(json, load);
            stop.store(true, Ordering::Relaxed);
            done
        })
    }

    fn measure(json: bool, load: usize) -> Result<(), Box<dyn Error>> {
        if !json {
            println!("one-way delay, error in us ({PACKETS} packets, {load} busy threads beside)");
            println!("{:>10} {:>8} {:>8} {:>8} {:>8}", "delay ms", "min", "p50", "p99", "max");
        }
        for delay in DELAYS {
            let errors = probe::delays(&Direction::new(125e6, delay), 100, PACKETS)?;
            let at = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize] * 1e6;
            let [min, p50, p99, max] = [at(0.0), at(0.5), at(0.99), at(1.0)];
            if json {
                println!(
                    "{{\"delay_ms\":{},\"load\":{load},\"min_us\":{min:.1},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"max_us\":{max:.1}}}",
                    delay * 1e3
                );
            } else {
                println!("{:>10} {min:>8.1} {p50:>8.1} {p99:>8.1} {max:>8.1}", delay * 1e3);
            }
        }
        if !json {
            println!("\n{:>10} {:>10} {:>9} {:>12}", "Mb/s", "measured", "error %", "relay CPU %");
        }
        for rate in RATES {
            let (before, start) = (relay_ticks(), Instant::now());
            let measuring =
                thread::spawn(move || probe::rate(&Direction::new(rate, 1e-3), DURATION));
            // The relay ends with the probe: its time is read before.
            thread::sleep(DURATION - Duration::from_millis(100));
            let share = (relay_ticks() - before) as f64 / start.elapsed().as_secs_f64();
            let measured = measuring.join().map_err(|_| "the probe failed")??;
            let (asked, got) = (rate * 8e-6, measured * 8e-6);
            let error = (got / asked - 1.0) * 100.0;
            if json {
                println!(
                    "{{\"mbps\":{asked},\"load\":{load},\"measured_mbps\":{got:.2},\"error_percent\":{error:.3},\"relay_cpu_percent\":{share:.1}}}"
                );
            } else {
                println!("{asked:>10} {got:>10.2} {error:>9.2} {share:>12.1}");
            }
        }
        Ok(())
    }

    /// Hundredths of a second of CPU time that relay threads have taken.
    fn relay_ticks() -> u64 {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok())
            .filter(|stat| stat.contains("(sotto-emulator)"))
            .filter_map(|stat| {
                let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
                // Fields 14 and 15, counted from the one behind the name as the third.
                Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
            })
            .sum()
    }
}

//! Counts instructions of the inner pieces under valgrind, where a change of 3 % shows that two shared cores would hide.
//!
//! `cargo run --release -p sotto-protocols --example instructions`; `-- --check` exits with 1 where a count is more than 3 % off
//! what `instructions.txt` says, `-- --write` writes that file. Each piece runs once and five times, in processes of
//! their own, and a quarter of the difference counts, so that setting up does not. Valgrind knows no AVX-512: these are the AVX2
//! kernels, on any machine that has AVX2. Another compiler makes other counts: write the file anew then, before the change that
//! is to be judged.

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    process::{Command, ExitCode},
};

use sotto_crypto::Seed;
use sotto_ot::softspoken::{Beginning, K, Receiver};
use sotto_protocols::{
    functions::{Function, Window},
    gates::lookup::Precision,
    local::Local,
    plan::{Plan, Trace},
};
use sotto_ring::{
    gemm::{Mat, gemm},
    pack::{pack, packed_len, unpack},
    select::{Table, masked_sums2},
};

/// The counts that are compared with.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/instructions.txt");

/// The largest difference that is none.
const TOLERANCE: f64 = 0.03;

const COUNT: usize = 4096;

/// Runs as often as it is told.
type Piece = fn(usize);

/// By name.
const PIECES: [(&str, Piece); 8] = [
    ("gemm 64x256x256, 35 bits", product),
    ("table scan, 2^9, 4096", scan),
    ("pack 4096, 19 bits", packing),
    ("unpack 4096, 19 bits", unpacking),
    ("keystream, 1 MiB", keystream),
    ("transfers 16384, both", transfers),
    ("lookup 4096, all three", lookup),
    ("compare 4096, all three", compare),
];

fn words(count: usize) -> Vec<u64> {
    let mut stream = Seed::from_bytes([1; 32]).stream(0);
    (0..count).map(|_| stream.word()).collect()
}

fn product(times: usize) {
    let (a, b) = (words(64 * 256), words(256 * 256));
    let mut c = vec![0; 64 * 256];
    for _ in 0..times {
        gemm(35, 64, 256, 256, Mat::rows(&a, 256), Mat::rows(&b, 256).t(), &mut c);
    }
    black_box(c);
}

fn scan(times: usize) {
    let values: Vec<i32> = words(512).into_iter().map(|w| w as i32).collect();
    let tables = [Table::new(9, &values), Table::new(9, &values)];
    let (e, c) = (Seed::from_bytes([2; 32]).stream(0).bytes(64 * COUNT), words(COUNT));
    let (mut u, mut v) = (vec![0; COUNT], vec![0; COUNT]);
    for _ in 0..times {
        masked_sums2(&e, &tables[0], &tables[1], &c, &mut u, &mut v);
    }
    black_box((u, v));
}

fn packing(times: usize) {
    let all = words(COUNT);
    let mut out = Vec::with_capacity(packed_len(COUNT, 19));
    for _ in 0..times {
        out.clear();
        pack(&all, 19, &mut out);
    }
    black_box(out);
}

fn unpacking(times: usize) {
    let bytes = Seed::from_bytes([3; 32]).stream(0).bytes(packed_len(COUNT, 19));
    let mut out = vec![0; COUNT];
    for _ in 0..times {
        unpack(&bytes, 19, &mut out);
    }
    black_box(out);
}

fn keystream(times: usize) {
    let seed = Seed::from_bytes([4; 32]);
    let mut out = vec![0; 1 << 20];
    for number in 0..times {
        seed.stream(number as u64).fill(&mut out);
    }
    black_box(out);
}

/// Oblivious transfers, made and used: AES and transposition.
fn transfers(times: usize) {
    let count = 4 * COUNT;
    let [a, b] = [6, 7].map(|b| Seed::from_bytes([b; 32]));
    let (beginning, begin) = Beginning::new([0; 32], K, &a);
    let (mut receiver, answer) = Receiver::answer([0; 32], K, &b, &begin).expect("points");
    let mut sender = beginning.finish(&answer).expect("an answer");
    let choices = words(count / 64);
    let choices: Vec<u8> = (0..count).map(|i| (choices[i / 64] >> (i % 64) & 1) as u8).collect();
    let mut sum = 0;
    for _ in 0..times {
        let mut message = Vec::new();
        let mut received = receiver.extend(vec![choices.clone()], &mut message).remove(0);
        received.pads(|_, pads| sum = pads.iter().fold(sum, |s, p| s ^ p));
        let mut sent = sender.extend(&[count], &message).expect("the next message").remove(0);
        sent.pads(|_, zeros, ones| {
            sum = zeros.iter().zip(ones).fold(sum, |s, (z, o)| s ^ z ^ o);
        });
    }
    black_box(sum);
}

/// Dealer, staging and both parties.
fn evaluated(plan: &Plan, times: usize) {
    let local = Local::new(plan, Vec::new(), &Seed::from_bytes([5; 32])).expect("no matrices");
    let inputs = [(0..COUNT as i64).map(|i| i * 7 - 9000).collect()];
    for number in 0..times {
        let done = local.evaluate(local.deal(number as u64), [&[], &inputs]);
        black_box(done.expect("the plan's own"));
    }
}

fn lookup(times: usize) {
    let mut t = Trace::new();
    let x = t.input(&[COUNT], 40, 12);
    let x = t.open_window(x, Window::signed(17, 12));
    let precision = Precision { k: 9, value_scale: 12, slope_scale: 12 };
    let y = t.lookup(x, Function::Gelu { stretch: 1.0 }, precision);
    let y = t.lift(y, 44);
    let y = t.reveal(y, 44);
    evaluated(&t.finish(&[y]), times);
}

fn compare(times: usize) {
    let mut t = Trace::new();
    let x = t.input(&[COUNT], 40, 12);
    let x = t.open_signed(x, 18);
    let y = t.relu(x, 40);
    let y = t.reveal(y, 40);
    evaluated(&t.finish(&[y]), times);
}

/// Instructions of a process that runs a piece so often.
fn counted(piece: &str, times: usize) -> Result<u64, String> {
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([piece, &times.to_string()])
        .output()
        .map_err(|e| format!("valgrind cannot be started ({e}): install it"))?;
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count.filter(|_| ran.status.success()).ok_or(text)
}

fn counts() -> Result<BTreeMap<String, u64>, String> {
    let mut all = BTreeMap::new();
    for (piece, _) in PIECES {
        eprintln!("{piece} ...");
        let (once, five) = (counted(piece, 1)?, counted(piece, 5)?);
        all.insert(piece.to_owned(), five.saturating_sub(once) / 4);
    }
    Ok(all)
}

/// A line for each piece: count, name.
fn read(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
    lines.filter_map(|(count, piece)| Some((piece.to_owned(), count.parse().ok()?))).collect()
}

fn run(option: Option<&str>) -> Result<bool, String> {
    let found = counts()?;
    if option == Some("--write") {
        let lines: String =
            found.iter().map(|(piece, count)| format!("{count:>9} {piece}\n")).collect();
        fs::write(FILE, lines).map_err(|e| format!("{FILE}: {e}"))?;
    }
    let noted = read(&fs::read_to_string(FILE).map_err(|e| format!("{FILE}: {e}"))?);
    let mut same = noted.keys().eq(found.keys());
    for (piece, count) in &found {
        let before = noted.get(piece).copied().unwrap_or_default();
        let change = *count as f64 / before.max(1) as f64 - 1.0;
        same &= change.abs() <= TOLERANCE;
        println!("{piece:<28} {count:>12} instructions, {:+.1} %", 100.0 * change);
    }
    if !same {
        eprintln!(
            "error: not within {:.0} % of {FILE}. Where that is meant, or the compiler is another one: `-- --write`, and \
             commit the file",
            100.0 * TOLERANCE
        );
    }
    Ok(same || option != Some("--check"))
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let [piece, times] = words[..]
        && let Some((_, work)) = PIECES.iter().find(|(name, _)| *name == piece)
    {
        work(times.parse().unwrap_or(1));
        return ExitCode::SUCCESS;
    }
    match run(words.first().copied()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

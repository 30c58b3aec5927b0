//! What a target is given: any bytes, or something valid with a few changes, which gets further than noise.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use bolero::TypeGenerator;

/// Longest time for one input: far more than any takes, even on a busy machine without optimisation.
const LONGEST: Duration = Duration::from_secs(20);

/// Bytes for a parser.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Input {
    /// Any bytes.
    Any(Vec<u8>),
    /// One of the valid ones, changed.
    Changed {
        /// Which one.
        which: u8,
        /// How.
        #[generator(Vec::<Change>::produce().with().len(0usize..6))]
        changes: Vec<Change>,
    },
}

/// One change. Places are taken modulo the length.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Change {
    /// Another byte.
    Set(u32, u8),
    /// One bit flipped.
    Flip(u32, u8),
    /// Bytes put in.
    Insert(u32, Vec<u8>),
    /// Bytes left out.
    Cut(u32, u8),
    /// Bytes repeated at the end.
    Repeat(u32, u8),
    /// The rest left out.
    End(u32),
    /// A line's value, in a text, replaced by a number that belongs nowhere.
    Number(u32, u8),
    /// A length that no bytes back.
    Length(u32, u64),
}

/// Numbers that files put where small ones belong.
const NUMBERS: [&str; 15] = [
    "0",
    "-1",
    "1",
    "63",
    "65",
    "4097",
    "1e38",
    "-1e-38",
    "nan",
    "inf",
    "1099511627776",
    "9223372036854775807",
    "1e999",
    "\"\"",
    "[[]]",
];

impl Input {
    /// The bytes, with `valid` to choose from.
    pub fn bytes(&self, valid: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Input::Any(bytes) => bytes.clone(),
            Input::Changed { changes, .. } => {
                let mut bytes = valid[self.which(valid.len())].clone();
                for change in changes {
                    if bytes.is_empty() {
                        break;
                    }
                    change.make(&mut bytes);
                }
                bytes
            }
        }
    }

    /// Which of `n` valid ones was changed.
    pub fn which(&self, n: usize) -> usize {
        match self {
            Input::Any(_) => 0,
            Input::Changed { which, .. } => usize::from(*which) % n,
        }
    }

    /// [`Input::bytes`] as a text, with whatever is none replaced.
    pub fn text(&self, valid: &[Vec<u8>]) -> String {
        String::from_utf8_lossy(&self.bytes(valid)).into_owned()
    }
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place = |at: u32| at as usize % len;
        match self {
            Change::Set(at, byte) => bytes[place(*at)] = *byte,
            Change::Flip(at, bit) => bytes[place(*at)] ^= 1 << (bit % 8),
            Change::Insert(at, more) => {
                let at = place(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Cut(at, count) => {
                let at = place(*at);
                bytes.drain(at..(at + usize::from(*count)).min(len));
            }
            Change::Repeat(at, count) => {
                let at = place(*at);
                bytes.extend_from_within(at..(at + usize::from(*count)).min(len));
            }
            Change::End(at) => bytes.truncate(place(*at)),
            Change::Number(line, which) => {
                let number = NUMBERS[usize::from(*which) % NUMBERS.len()];
                *bytes = with_number(&String::from_utf8_lossy(bytes), *line as usize, number);
            }
            Change::Length(at, length) => {
                let at = place(*at);
                let end = (at + 8).min(len);
                bytes[at..end].copy_from_slice(&length.to_le_bytes()[..end - at]);
            }
        }
    }
}

fn with_number(text: &str, line: usize, number: &str) -> Vec<u8> {
    let lines: Vec<&str> = text.lines().collect();
    let at = line % lines.len().max(1);
    let replaced = |(i, line): (usize, &&str)| match line.split_once(['=', ':']) {
        Some((key, _)) if i == at => {
            let (sign, end) =
                (&line[key.len()..=key.len()], if line.ends_with(',') { "," } else { "" });
            format!("{key}{sign}{number}{end}")
        }
        _ => line.to_string(),
    };
    let lines: Vec<String> = lines.iter().enumerate().map(replaced).collect();
    lines.join("\n").into_bytes()
}

/// Runs a target on many inputs: for a second, or as the environment or the fuzzer says. A macro, because a fuzzer knows
/// targets by the functions in which they stand.
macro_rules! fuzz {
    ($target:expr) => {{
        let target = std::panic::AssertUnwindSafe($target);
        bolero::check!()
            .with_type::<$crate::fuzz::input::Input>()
            .for_each(|input| $crate::fuzz::input::timed(&target, input))
    }};
}
pub(crate) use fuzz;

/// Runs one input, which must not take long.
pub fn timed<T>(target: &AssertUnwindSafe<impl Fn(&T)>, input: &T) {
    let start = Instant::now();
    (target.0)(input);
    assert!(start.elapsed() < LONGEST, "one input took {:?}", start.elapsed());
}

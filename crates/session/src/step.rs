//! Steps of control messages; the plan's levels use small numbers.

/// Greetings.
pub const HELLO: u32 = 0x8000_0000;
/// Answers to greetings.
pub const WELCOME: u32 = 0x8000_0001;
/// Masked weights.
pub const SETUP: u32 = 0x8000_0002;
/// Requests.
pub const REQUEST: u32 = 0x8000_0003;
/// Answers.
pub const REPLY: u32 = 0x8000_0004;
/// Corrections.
pub const CORRECTIONS: u32 = 0x8000_0005;
/// Base transfers, of a link for making.
pub const TRANSFERS: u32 = 0x8000_0006;
/// Public keys of such a link.
pub const KEYS: u32 = 0x8000_0007;
/// The encrypted weights.
pub const ENCRYPTED: u32 = 0x8000_0008;
/// Keys of a batch that waits on both disks.
pub const KEEP: u32 = 0x8000_0009;
/// Whether it is there.
pub const KEPT: u32 = 0x8000_000a;

/// What people call a step; `levels` is how many the plan has, where that is known.
pub fn name(step: u32, levels: Option<usize>) -> String {
    let level = step.wrapping_add(1);
    match (step, levels) {
        (HELLO, _) => "the greeting".into(),
        (WELCOME, _) => "the answer to the greeting".into(),
        (SETUP, _) => "the masked weights".into(),
        (REQUEST, _) => "a request".into(),
        (REPLY, _) => "the answer to a request".into(),
        (CORRECTIONS, _) => "the corrections".into(),
        (TRANSFERS, _) => "the base transfers".into(),
        (KEYS, _) => "the keys".into(),
        (ENCRYPTED, _) => "the encrypted weights".into(),
        (KEEP, _) => "the keys of a batch that waits on disks".into(),
        (KEPT, _) => "whether a batch is stored".into(),
        (_, Some(all)) => format!("level {level} of {all}"),
        (_, None) => format!("level {level}"),
    }
}

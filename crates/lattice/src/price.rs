//! What a layout costs, to choose between layouts: static numbers, so that both parties choose alike.

/// Nanoseconds of one core (AVX-512, measured by `examples/cost.rs`), and of a byte at 1 Gb/s.
pub(crate) struct Price;

impl Price {
    pub const BYTE: u64 = 8;
    pub const PRODUCT: u64 = 2_000;
    /// A plaintext's transform mod both primes, of few coefficients.
    pub const PLAIN: u64 = 4_000;
    /// Both polynomials of a result back from values.
    pub const RESULT: u64 = 20_000;
    pub const SWITCH: u64 = 80_000;
    /// An answer at its sender and at its receiver.
    pub const ANSWER: u64 = 150_000;
    pub const ENCRYPT: u64 = 60_000;
    /// Loading a ciphertext from its bytes.
    pub const LOAD: u64 = 20_000;
}

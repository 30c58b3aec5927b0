//! The server's private matrices: in the clear, masked for the client, and the mask itself.
//!
//! Once per model the server sends `W^ = W - B` (PROTOCOLS 1.4). `B` comes from a setup seed that
//! dealer and server share; it is uniform mod `2^width`, so `W^` is too, and tells the client
//! nothing. `W^` may be reused for as long as `W` stays the same; another `W` under the same
//! `B` would tell the difference, so the setup seed is bound to the model's hash.

use sotto_crypto::Seed;
use sotto_ring::pack;
pub(crate) use sotto_ring::pack::Packed;

pub use crate::matrices::{Masked, Matrix, SetupMasks, Weights};
use crate::{
    drawn::CHUNK,
    error::Error,
    matrices::Words,
    plan::{Plan, WeightSpec},
};

/// Words of a matrix in a piece of a setup: at most 1 MiB. A multiple of 8, so that pieces are whole bytes.
const PIECE: usize = 1 << 17;

/// The mask of one matrix: the key stream's bytes are its packed words.
fn mask(seed: &Seed, id: u64, spec: &WeightSpec) -> Words {
    let count = spec.outputs * spec.inputs;
    let bytes = seed.stream(id).bytes(pack::packed_len(count, spec.width));
    Words::packed(bytes, count, spec.width)
}

impl SetupMasks {
    /// Expands the setup seed for a plan and the model with this hash.
    pub fn expand(plan: &Plan, seed: &Seed) -> Self {
        Self((0..).zip(&plan.weights).map(|(id, spec)| mask(seed, id, spec)).collect())
    }
}

/// `W - B` from entry `first` on, packed: as many entries as the mask has.
fn masked(spec: &WeightSpec, (matrix, first): (&Matrix, usize), mask: Packed<'_>) -> Vec<u8> {
    let (entries, count) = (matrix.entries(), mask.count());
    let mut out = Vec::with_capacity(pack::packed_len(count, spec.width));
    let (mut words, mut masks) = ([0; CHUNK], [0; CHUNK]);
    for at in (0..count).step_by(CHUNK) {
        let len = CHUNK.min(count - at);
        entries.unpack(first + at, &mut words[..len]);
        mask.unpack(at, &mut masks[..len]);
        words.iter_mut().zip(&masks).for_each(|(w, b)| *w = w.wrapping_sub(*b));
        // Reduces mod 2^width.
        pack::pack(&words[..len], spec.width, &mut out);
    }
    out
}

/// What the server sends to a client once per model: all masked matrices, packed, one after the other. A piece is a mebibyte at most,
/// made when it is asked for: whoever sends them to somebody who reads nothing holds one.
pub fn setup_pieces<'a>(
    plan: &'a Plan,
    matrices: &'a [Matrix],
    seed: &'a Seed,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let all = (0..).zip(&plan.weights).zip(matrices);
    all.flat_map(move |((id, spec), matrix)| {
        let (mut stream, count) = (seed.stream(id), spec.outputs * spec.inputs);
        (0..count).step_by(PIECE).map(move |first| {
            let len = PIECE.min(count - first);
            let mask = stream.bytes(pack::packed_len(len, spec.width));
            masked(spec, (matrix, first), Words::packed(mask, len, spec.width).view())
        })
    })
}

/// The whole message of [`setup_pieces`].
pub fn setup_message(plan: &Plan, matrices: &[Matrix], masks: &SetupMasks) -> Vec<u8> {
    let mut out = Vec::with_capacity(plan.setup_bytes());
    for (id, (spec, matrix)) in plan.weights.iter().zip(matrices).enumerate() {
        out.extend(masked(spec, (matrix, 0), masks.mask(id)));
    }
    out
}

/// Reads a [`setup_message`] at the client, where it stays packed.
///
/// # Errors
/// [`Error::Desync`] when its length is not the plan's.
pub fn read_setup(plan: &Plan, message: Vec<u8>, peer: &str) -> Result<Weights, Error> {
    if message.len() != plan.setup_bytes() {
        return Err(Error::Desync {
            peer: peer.to_owned(),
            what: format!(
                "the masked weights have {} bytes, the plan says {}",
                message.len(),
                plan.setup_bytes()
            ),
            remedy: "use the same model on both sides".into(),
        });
    }
    let mut end = 0;
    let place = |w: &WeightSpec| {
        let (start, count) = (end, w.outputs * w.inputs);
        end += pack::packed_len(count, w.width);
        (start, count, w.width)
    };
    let places = plan.weights.iter().map(place).collect();
    Ok(Weights::Masked(Masked { message, places }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Trace;

    #[test]
    fn pieces_of_a_setup_are_small_and_its_message_together() {
        let mut trace = Trace::new();
        let x = trace.input(&[1, 600], 50, 6);
        let weight = |trace: &mut Trace, name: &str, outputs, width| {
            let spec = WeightSpec { name: name.into(), outputs, inputs: 600, width, scale: 4 };
            trace.weight(spec)
        };
        let (a, b) = (weight(&mut trace, "a", 601, 37), weight(&mut trace, "b", 3, 50));
        let outputs = [a, b].map(|weight| {
            let y = trace.linear(x, weight, 1);
            trace.reveal(y, 36)
        });
        let plan = trace.finish(&outputs);
        let words =
            |count: u64| (0..count).map(|i| i.wrapping_mul(0x9e37_79b9)).collect::<Vec<_>>();
        let matrices = [601, 3]
            .map(|outputs: u64| Matrix::new(words(outputs * 600), vec![0; outputs as usize]));
        let seed = Seed::from_bytes([3; 32]);
        let pieces: Vec<Vec<u8>> = setup_pieces(&plan, &matrices, &seed).collect();
        assert!(pieces.iter().all(|piece| piece.len() <= 1 << 20), "a mebibyte at most");
        assert_eq!(pieces.len(), 4, "three of the first, one of the second");
        let whole = setup_message(&plan, &matrices, &SetupMasks::expand(&plan, &seed));
        assert_eq!(whole.len(), plan.setup_bytes());
        assert!(pieces.concat() == whole, "bytes differ");
    }
}

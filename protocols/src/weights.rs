//! The server's private matrices: in the clear, masked for the client, and the mask itself.
//!
//! Once per model the server sends `W^ = W - B` (PROTOCOLS 1.4). `B` comes from a setup seed that
//! dealer and server share; it is uniform mod `2^width`, so `W^` is too, and tells the client
//! nothing. `W^` may be reused for as long as `W` stays the same; another `W` under the same
//! `B` would tell the difference, so the setup seed is bound to the model's hash.

use sotto_crypto::Seed;
use sotto_ring::{mask, pack};

pub use crate::matrices::{Matrix, SetupMasks, Weights};
use crate::{dealing::expand, error::Error, plan::Plan};

impl SetupMasks {
    /// Expands the setup seed for a plan and the model with this hash.
    pub fn expand(plan: &Plan, seed: &Seed) -> Self {
        let masks = plan.weights.iter().enumerate();
        Self(masks.map(|(i, w)| expand(seed, i as u64, w.outputs * w.inputs, w.width)).collect())
    }
}

/// What the server sends to a client once per model: all masked matrices, packed.
pub fn setup_message(plan: &Plan, weights: &[Matrix], masks: &SetupMasks) -> Vec<u8> {
    let mut out = Vec::with_capacity(plan.setup_bytes());
    for (i, (spec, matrix)) in plan.weights.iter().zip(weights).enumerate() {
        let words: Vec<u64> = matrix
            .entries
            .iter()
            .zip(masks.mask(i))
            .map(|(&w, &b)| w.wrapping_sub(b) & mask(spec.width))
            .collect();
        pack::pack(&words, spec.width, &mut out);
    }
    out
}

/// Reads a [`setup_message`] at the client.
///
/// # Errors
/// [`Error::Desync`] when its length is not the plan's.
pub fn read_setup(plan: &Plan, message: &[u8], peer: &str) -> Result<Weights, Error> {
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
    let mut rest = message;
    let masked = plan.weights.iter().map(|w| {
        let count = w.outputs * w.inputs;
        let (head, tail) = rest.split_at(pack::packed_len(count, w.width));
        rest = tail;
        let mut words = vec![0; count];
        pack::unpack(head, w.width, &mut words);
        words
    });
    Ok(Weights::Masked(masked.collect()))
}

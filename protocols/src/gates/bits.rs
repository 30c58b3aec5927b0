//! Bit forms: a bit `b` of which `o = b ^ rho` is open, `rho` dealer-known: `b = o + (1 - 2 o) rho`.

use std::sync::Arc;

use crate::{
    deal::Known,
    drawn::Map,
    making::{Factors, Held, Making, Slot, Special},
    party::{Factor, Value},
    run::Bits,
    spec::{Kind, Spec, Term},
};

/// The spec of bit forms of this shape.
pub(super) fn bit_spec(shape: &[usize]) -> Spec {
    Spec {
        shape: shape.to_vec(),
        scale: 0,
        kind: Kind::Form { terms: vec![Term::PUBLIC, Term::BOTH] },
    }
}

/// A party's side: the opened bits.
pub(super) fn bit_value(opened: Bits) -> Value {
    let opened = Arc::new(opened);
    let factor = |map| Some(Factor::of_bits(&opened, map));
    Value::form(vec![factor(Map::Same), factor(Map::Sign)])
}

/// The dealer's side: the masks.
pub(super) fn bit_known(masks: Vec<u64>) -> Known {
    Known::Form(vec![None, Some(masks)])
}

/// Two parties' side: XOR shares of the masks.
struct BitMasks(Slot);

impl Factors for BitMasks {
    fn shares(&self, making: &mut Making<'_>, width: u32) -> Vec<Option<Slot>> {
        vec![None, Some(making.arithmetic(self.0, width))]
    }

    fn kind(&self, _: usize) -> Special {
        Special::Bit(self.0)
    }
}

/// Two parties' side: the masks of draw `draw`.
pub(super) fn bit_held(making: &mut Making<'_>, draw: usize) -> Held {
    Held::Form(Arc::new(BitMasks(making.mask_bits(draw))))
}

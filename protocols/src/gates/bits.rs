//! Bit forms: a bit `b` of which `o = b ^ rho` is open, `rho` dealer-known: `b = o + (1 - 2 o) rho`.

use crate::{
    deal::Known,
    party::Value,
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
pub(super) fn bit_value(opened: Vec<u64>) -> Value {
    let sign = opened.iter().map(|o| 1u64.wrapping_sub(2 * o)).collect();
    Value::Form(vec![Some(opened), Some(sign)])
}

/// The dealer's side: the masks.
pub(super) fn bit_known(masks: Vec<u64>) -> Known {
    Known::Form(vec![None, Some(masks)])
}

//! Correlations by encryption as steps of the recipe.

use std::sync::Arc;

use sotto_crypto::Seed;
use sotto_lattice::{Answer, Error, Layer, PublicKeys, Rows, SecretKey, Triple};

use super::{Making, Op, Slot};
use crate::{draw::Draw, spec::Role};

/// Rows of fewer elements are multiplied over COTs: a row costs a key switch.
const LONG: usize = 64;

/// Products of which each party uploads its part of the left operand, encrypted, and answers the peer's.
pub(crate) enum Encrypted {
    /// Of matrices.
    Matrices(Triple),
    /// Of the elements of rows of this length with a number for each row.
    Rows(Rows, usize),
    /// Squares of rows of this length: both operands are the same. Each party answers with the inner products of both parts, which
    /// a square has twice.
    Squares(Rows, usize),
}

impl Encrypted {
    pub fn upload_len(&self) -> usize {
        match self {
            Self::Matrices(triple) => triple.upload_len(),
            Self::Rows(rows, _) | Self::Squares(rows, _) => rows.upload_len(),
        }
    }

    fn answer_len(&self) -> usize {
        match self {
            Self::Matrices(triple) => triple.answer_len(),
            Self::Rows(rows, _) => rows.scaled_len(),
            Self::Squares(rows, _) => rows.inner_len(),
        }
    }

    /// The message with this party's part of the left operand.
    pub fn upload(&self, key: &SecretKey, seed: &Seed, left: &[u64]) -> Vec<u8> {
        match self {
            Self::Matrices(triple) => triple.upload(key, seed, left),
            Self::Rows(rows, _) | Self::Squares(rows, _) => rows.upload(key, seed, left),
        }
    }

    /// Whether the peer's message is an upload.
    pub fn check(&self, upload: &[u8]) -> Result<(), Error> {
        match self {
            Self::Matrices(triple) => triple.read(upload).map(drop),
            Self::Rows(rows, _) | Self::Squares(rows, _) => rows.read(upload).map(drop),
        }
    }

    /// The answer to the peer's upload from this party's part of the right operand.
    pub fn evaluate(&self, upload: &[u8], keys: &PublicKeys, seed: &Seed, right: &[u64]) -> Answer {
        let checked = "it was checked when it came";
        match self {
            Self::Matrices(triple) => {
                triple.evaluate(&triple.read(upload).expect(checked), keys, seed, right)
            }
            Self::Rows(rows, _) => {
                rows.scale(&rows.read(upload).expect(checked), keys, seed, right)
            }
            Self::Squares(rows, _) => {
                rows.inner(&rows.read(upload).expect(checked), keys, seed, right)
            }
        }
    }

    /// This party's share of all products, from the peer's answer, its own of what it answered, and both its operands.
    pub fn finish(
        &self,
        key: &SecretKey,
        answer: &[u8],
        own: &[u64],
        (left, right): (&[u64], &[u64]),
    ) -> Result<Vec<u64>, Error> {
        match self {
            Self::Matrices(triple) => triple.finish(key, answer, own, (left, right)),
            Self::Rows(rows, length) => {
                let mut share = rows.receive_scaled(key, answer)?;
                let numbers = right.iter().flat_map(|y| std::iter::repeat_n(y, *length));
                for (((share, own), x), y) in share.iter_mut().zip(own).zip(left).zip(numbers) {
                    *share = share.wrapping_add(*own).wrapping_add(x.wrapping_mul(*y));
                }
                Ok(share)
            }
            Self::Squares(rows, length) => {
                let mut share = rows.receive_inner(key, answer)?;
                for ((share, own), row) in share.iter_mut().zip(own).zip(left.chunks(*length)) {
                    let squares = row.iter().fold(*own, |s, x| s.wrapping_add(x.wrapping_mul(*x)));
                    *share = share.wrapping_add(squares);
                }
                Ok(share)
            }
        }
    }
}

impl Making<'_> {
    /// The second draw holds shares of the first, a mask of the client alone, times matrix `weight` of the server.
    pub(crate) fn layer(&mut self, draws: [usize; 2], layer: Layer, weight: usize) {
        let [mask, value] = draws;
        if !self.recipe.encrypts {
            return self.supplied(value);
        }
        let Draw::ClientMask { count, .. } = self.draws[mask] else {
            panic!("draw {mask} of node {} is not a mask of the client", self.node)
        };
        let stream = crate::dealing::stream_id(self.node, mask);
        let a = self.op(Op::Mask { stream, draw: self.draws[mask] }, Vec::new(), count);
        self.tolerate(value, layer.bound());
        let step = Op::Layer { number: self.recipe.layers.len(), bytes: layer.answer_len() };
        self.recipe.layers.push((layer, weight));
        let count = self.elements(value);
        let shares = self.op(step, vec![a], count);
        self.give(value, shares);
    }

    /// The draw holds shares of the products of both inputs' masks.
    pub(crate) fn products(&mut self, draw: usize, triple: Triple) {
        if !self.recipe.encrypts {
            return self.supplied(draw);
        }
        let [(left, _), (right, _)] = [self.input_mask(0), self.input_mask(1)];
        self.tolerate(draw, triple.bound());
        let count = self.elements(draw);
        let shares = self.encrypted(Encrypted::Matrices(triple), left, right, count);
        self.give(draw, shares);
    }

    /// Additive shares mod `2^width` of `r y`: `r` a mask of `n` bits, `y` shared, one for each row of `row` elements of `r`. Long rows
    /// go by encryption, which leaves `draw` some units of the last place off; others as [`Making::mask_times`].
    ///
    /// A row costs a key switch, an element some 40 bytes in place of `width - i` bits and a COT for each bit `i` of both parts.
    pub(crate) fn mask_times_rows(
        &mut self,
        draw: usize,
        (r, n): (Slot, u32),
        (y, row): (Slot, usize),
        width: u32,
    ) -> Slot {
        let each = self.repeat(y, row);
        if !self.long(row, n, width) {
            return self.mask_times(r, n, each, width);
        }
        let count = self.count(r);
        let rows = Rows::new(count / row, row, n, width);
        // Each party's part is a result of its own.
        self.tolerate(draw, 2.0 * rows.scaled_bound());
        let product = self.encrypted(Encrypted::Rows(rows, row), r, y, count);
        self.without_wrap(product, (r, n), each, width)
    }

    /// Additive shares mod `2^width` of the rows' sums of `(r0 + r1)^2`, `r` a mask of `n` bits. Long rows go by encryption, which leaves
    /// `draw` some units of the last place off.
    pub(crate) fn squares(
        &mut self,
        draw: usize,
        (r, n): (Slot, u32),
        row: usize,
        width: u32,
    ) -> Slot {
        if !self.long(row, n, width) {
            let both = self.private_times(r, n, Role::Client, r, width - 1);
            let own = self.map(r, |_, r| r.wrapping_mul(r));
            let squares = self.sum(&[(own, 1), (both, 2)]);
            return self.sum_rows(squares, row);
        }
        let count = self.count(r) / row;
        let rows = Rows::new(count, row, n, width);
        self.tolerate(draw, 2.0 * rows.inner_bound());
        self.encrypted(Encrypted::Squares(rows, row), r, r, count)
    }

    /// Whether rows of `row` elements of `n` bits go by encryption.
    fn long(&self, row: usize, n: u32, width: u32) -> bool {
        self.recipe.encrypts && row >= LONG && Rows::fit(row, n, width)
    }

    /// Shares of products of both parties' operands.
    fn encrypted(&mut self, products: Encrypted, left: Slot, right: Slot, count: usize) -> Slot {
        let (bytes, products) = (products.answer_len(), Arc::new(products));
        let uploads = self.op(Op::Upload(Arc::clone(&products)), vec![left], 0);
        self.op(Op::Answer { products, bytes }, vec![uploads, left, right], count)
    }

    /// States by how many units of the last place encryption leaves the draw off at most.
    fn tolerate(&mut self, draw: usize, units: f64) {
        self.recipe.tolerances.push((self.node, draw, units));
    }

    fn elements(&self, draw: usize) -> usize {
        match self.draws[draw] {
            Draw::Value { count, .. } => count,
            _ => panic!("draw {draw} of node {} is no value", self.node),
        }
    }
}

//! Correlations by encryption as steps of the recipe.

use std::sync::Arc;

use sotto_lattice::{Layer, Rows, Triple};

use super::{Making, Op, Slot, encrypted::Encrypted};
use crate::{draw::Draw, spec::Role};

/// Rows of fewer elements are multiplied over COTs: a row costs a key switch.
const LONG: usize = 64;

/// Narrower results are made over COTs. Encryption leaves some units of the last place off, which weigh much where few bits are
/// kept of a value: the sums of squares and products in the narrow rings of a norm over bands made MiniLM's embeddings wrong by 7e-3.
const WIDE: u32 = 48;

/// So are those that encryption would leave off by more units than these, in a ring of whatever width.
const LOOSEST: f64 = 128.0;

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
        let count = self.count(r);
        // Each party's part is a result of its own.
        let off = |rows: &Rows| 2.0 * rows.scaled_bound();
        let Some(rows) = self.long(count, (row, n, width), off) else {
            return self.mask_times(r, n, each, width);
        };
        self.tolerate(draw, off(&rows));
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
        let off = |rows: &Rows| 2.0 * rows.inner_bound();
        let count = self.count(r);
        let Some(rows) = self.long(count, (row, n, width), off) else {
            let both = self.private_times(r, n, Role::Client, r, width - 1);
            let own = self.map(r, |_, r| r.wrapping_mul(r));
            let squares = self.sum(&[(own, 1), (both, 2)]);
            return self.sum_rows(squares, row);
        };
        self.tolerate(draw, off(&rows));
        self.encrypted(Encrypted::Squares(rows, row), r, r, count / row)
    }

    /// `count` elements in rows of `row`, of `n` bits in a ring of `width`, where they go by encryption: not where it would leave a
    /// result off by too much.
    fn long(
        &self,
        count: usize,
        (row, n, width): (usize, u32, u32),
        off: impl Fn(&Rows) -> f64,
    ) -> Option<Rows> {
        let fits = self.recipe.encrypts && row >= LONG && width >= WIDE && Rows::fit(row, n, width);
        let rows = fits.then(|| Rows::new(count / row, row, n, width));
        rows.filter(|rows| off(rows) <= LOOSEST)
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

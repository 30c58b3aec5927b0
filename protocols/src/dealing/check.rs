//! Check mode: the relations that dealing gives, held against what two parties made.

use sotto_ring::signed;

use super::Dealing;
use crate::{
    draw::Draw,
    drawn::{CHUNK, Packed},
};

/// What two parties made of a node's draws, to be held against what dealing would give.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    /// The server's and the client's part of every draw that is corrected.
    pub parts: [&'a [u8]; 2],
    /// What they rounded.
    pub rounded: &'a [u64],
    /// Units of the last place that draws are off at most, of all nodes: node, draw, units. Others are exact.
    pub tolerances: &'a [(usize, usize, f64)],
}

impl<'a> Dealing<'a> {
    /// Both parties' parts of a draw, in check mode.
    pub(super) fn parts(&self, draw: usize) -> Option<[&'a [u8]; 2]> {
        let before = self.draws[..draw].iter().map(Draw::correction_bytes).sum::<usize>();
        let len = self.draws[draw].correction_bytes();
        self.check.map(|check| check.parts.map(|part| &part[before..before + len]))
    }

    /// Values that are rounded, to be used as they are here: in check mode those that the parties made, which may be `tolerance`
    /// units off.
    ///
    /// # Panics
    /// In check mode, when they are further off.
    pub fn rounded(&self, values: Vec<u64>, tolerance: u64) -> Vec<u64> {
        let Some(check) = self.check else { return values };
        assert_eq!(values.len(), check.rounded.len(), "node {}: rounded values", self.node);
        for (i, (value, made)) in values.iter().zip(check.rounded).enumerate() {
            let off = value.abs_diff(*made);
            assert!(
                off <= tolerance,
                "node {}, element {i}: {off} units off, {tolerance} may be",
                self.node
            );
        }
        check.rounded.to_vec()
    }

    /// Holds a value that two parties made against what `fill` writes.
    pub(super) fn check_value(
        &self,
        draw: usize,
        (count, width): (usize, u32),
        (check, parts): (Check<'_>, [&[u8]; 2]),
        mut fill: impl FnMut(usize, &mut [u64]),
    ) {
        let mut values = [0; CHUNK];
        let here = |(node, d, _): &&(usize, usize, f64)| (*node, *d) == (self.node, draw);
        let tolerance = check.tolerances.iter().find(here).map_or(0.0, |(_, _, units)| *units);
        let parts = parts.map(|bytes| Packed::new(bytes, count, width).to_words());
        for at in (0..count).step_by(CHUNK) {
            let values = &mut values[..CHUNK.min(count - at)];
            fill(at, values);
            for (i, value) in values.iter().enumerate() {
                let made = parts[0][at + i].wrapping_add(parts[1][at + i]);
                let off = signed(made.wrapping_sub(*value), width).unsigned_abs();
                assert!(
                    off as f64 <= tolerance,
                    "node {}, draw {draw}, element {}: {off} units off, {tolerance} may be",
                    self.node,
                    at + i
                );
            }
        }
    }

    /// The signs of unit vectors that two parties made.
    pub(super) fn check_one_hot(
        &self,
        draw: usize,
        k: u32,
        positions: &[u64],
        parts: [&[u8]; 2],
    ) -> Vec<u64> {
        let rows = parts.map(|part| part.chunks_exact((1 << k) / 8));
        let [server, client] = rows;
        let signs = server.zip(client).zip(positions).enumerate().map(|(i, ((e0, e1), &r))| {
            let mut both: Vec<u8> = e0.iter().zip(e1).map(|(a, b)| a ^ b).collect();
            both[r as usize / 8] ^= 1 << (r % 8);
            let unit = both.iter().all(|b| *b == 0);
            assert!(
                unit,
                "node {}, draw {draw}, element {i}: no unit vector at its place is made",
                self.node
            );
            (2 * u64::from(e0[r as usize / 8] >> (r % 8) & 1)).wrapping_sub(1)
        });
        signs.collect()
    }
}

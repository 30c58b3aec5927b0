//! Messages over COTs: additive or XOR shares of what one party chose times what the other has.
//!
//! For the choice `b` and the sender's word `d` the sender knows pads `z` and `o`, the receiver that of its choice. The sender sends
//! `z + d - o`, keeps `-z`; the receiver has `z`, or `o + z + d - o = z + d`. The message is uniform to the receiver: of
//! the two pads it lacks one.

use sotto_ot::{Block, Received, Sent};
use sotto_ring::pack;

/// How shares are added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    /// Mod a power of two.
    Add,
    /// Bit by bit.
    Xor,
}

/// How COTs and words belong together: COTs are `planes` times as many as rows, those of the lowest bits first; each row has
/// `per` words.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    per: usize,
    planes: usize,
}

impl Shape {
    fn new(cots: usize, words: usize, planes: u32) -> Self {
        let rows = cots / planes as usize;
        assert!(
            cots == rows * planes as usize && (rows == 0) == (words == 0),
            "{cots} COTs, {planes} planes"
        );
        let per = words.checked_div(rows).unwrap_or(0);
        assert_eq!(per * rows, words, "{words} words in {rows} rows");
        Self { rows, per, planes: planes as usize }
    }

    /// The messages' words.
    fn len(&self) -> usize {
        self.rows * self.per * self.planes
    }

    /// Calls `f` with plane and row of each COT from `at` on.
    fn each<T>(
        &self,
        at: usize,
        items: impl Iterator<Item = T>,
        mut f: impl FnMut(usize, usize, T),
    ) {
        let (mut plane, mut row) = (at / self.rows, at % self.rows);
        for item in items {
            f(plane, row, item);
            row += 1;
            if row == self.rows {
                (plane, row) = (plane + 1, 0);
            }
        }
    }

    /// Calls `f` with each use of the COTs: its first word in a row and how many it serves, two at most.
    fn uses(&self, mut f: impl FnMut(usize, usize)) {
        (0..self.per).step_by(2).for_each(|j| f(j, 2.min(self.per - j)));
    }
}

fn half(pad: Block, h: usize) -> u64 {
    (pad >> (64 * h)) as u64
}

/// The sender's side: appends the messages, returns its shares. Bit `i` of what was chosen counts `2^i`, in a ring of `width` bits.
pub(super) fn send(
    sum: Sum,
    sent: &mut Sent,
    d: &[u64],
    planes: u32,
    width: u32,
    payload: &mut Vec<u8>,
) -> Vec<u64> {
    let shape = Shape::new(sent.len(), d.len(), planes);
    let (rows, per) = (shape.rows, shape.per);
    let mut messages = vec![0u64; shape.len()];
    let mut shares = vec![0u64; d.len()];
    shape.uses(|first, count| {
        sent.pads(|at, zeros, ones| {
            shape.each(at, zeros.iter().zip(ones), |plane, row, (z, o)| {
                let at = (plane * rows + row) * per + first;
                for (h, message) in messages[at..at + count].iter_mut().enumerate() {
                    let (z, o, i) = (half(*z, h), half(*o, h), row * per + first + h);
                    match sum {
                        Sum::Add => {
                            *message = z.wrapping_add(d[i]).wrapping_sub(o);
                            shares[i] = shares[i].wrapping_sub(z << plane);
                        }
                        Sum::Xor => {
                            *message = z ^ d[i] ^ o;
                            shares[i] ^= z;
                        }
                    }
                }
            });
        });
    });
    for plane in 0..shape.planes {
        let part = &messages[plane * rows * per..(plane + 1) * rows * per];
        pack::pack(part, width - plane as u32, payload);
    }
    shares
}

/// The receiver's side of [`send`]: its shares, of `words` words.
pub(super) fn receive(
    sum: Sum,
    received: &mut Received,
    words: usize,
    planes: u32,
    width: u32,
    bytes: &[u8],
) -> Vec<u64> {
    let shape = Shape::new(received.len(), words, planes);
    let (rows, per) = (shape.rows, shape.per);
    let mut messages = vec![0u64; shape.len()];
    let mut rest = bytes;
    for plane in 0..shape.planes {
        let part = &mut messages[plane * rows * per..(plane + 1) * rows * per];
        let width = width - plane as u32;
        let (head, tail) = rest.split_at(pack::packed_len(part.len(), width));
        pack::unpack(head, width, part);
        rest = tail;
    }
    let chosen: Vec<u8> = received.choices().to_vec();
    let mut shares = vec![0u64; words];
    shape.uses(|first, count| {
        received.pads(|at, pads| {
            shape.each(at, pads.iter().zip(&chosen[at..]), |plane, row, (pad, &b)| {
                let at = (plane * rows + row) * per + first;
                let taken = u64::from(b).wrapping_neg();
                for (h, message) in messages[at..at + count].iter().enumerate() {
                    let (pad, m, i) = (half(*pad, h), message & taken, row * per + first + h);
                    match sum {
                        Sum::Add => {
                            shares[i] = shares[i].wrapping_add(pad.wrapping_add(m) << plane);
                        }
                        Sum::Xor => shares[i] ^= pad ^ m,
                    }
                }
            });
        });
    });
    shares
}

//! Triples of XOR-shared bits from random COTs, and the ANDs that they serve.
//!
//! A random COT with pads `z`, `o` and choice `b` is an AND in itself: the sender's `z ^ o` and the receiver's `b` have
//! the shares `z` and the receiver's pad. A triple is one in each direction. Source: Gilboa, CRYPTO 1999; Asharov et al., CCS 2013.

use sotto_ot::{Received, Sent};
use sotto_ring::pack;

/// This party's part of triples `c = a b`, one bit each. No `Debug`, no copies: each is used once.
#[derive(Default)]
pub(super) struct Triples {
    a: Vec<u8>,
    b: Vec<u8>,
    c: Vec<u8>,
}

impl Triples {
    /// One from each COT in either direction.
    pub(super) fn new(mut sent: Sent, mut received: Received) -> Self {
        let b = received.choices().to_vec();
        let (mut a, mut c) = (Vec::with_capacity(b.len()), Vec::with_capacity(b.len()));
        sent.pads(|_, zeros, ones| {
            a.extend(zeros.iter().zip(ones).map(|(z, o)| (z ^ o) as u8 & 1));
            c.extend(zeros.iter().map(|z| *z as u8 & 1));
        });
        received.pads(|at, pads| {
            let all = c[at..].iter_mut().zip(&a[at..]).zip(&b[at..]).zip(pads);
            all.for_each(|(((c, a), b), pad)| *c ^= *pad as u8 & 1 ^ a & b);
        });
        Self { a, b, c }
    }

    /// The last `count`; the others stay.
    pub(super) fn take(&mut self, count: usize) -> Self {
        let at = self.a.len() - count;
        Self { a: self.a.split_off(at), b: self.b.split_off(at), c: self.c.split_off(at) }
    }

    /// Masks both factors with the triples and appends them to the message; returns what waits for the peer's.
    pub(super) fn open(self, u: &[u8], v: &[u8], payload: &mut Vec<u8>) -> And {
        let mask = |x: &[u8], by: &[u8]| x.iter().zip(by).map(|(x, m)| x ^ m).collect::<Vec<u8>>();
        let (d, e) = (mask(u, &self.a), mask(v, &self.b));
        for bits in [&d, &e] {
            pack_bits(bits, payload);
        }
        And { triples: self, d, e }
    }
}

/// ANDs whose masked factors are on their way. No `Debug`: it is secret.
pub(super) struct And {
    triples: Triples,
    d: Vec<u8>,
    e: Vec<u8>,
}

impl And {
    /// XOR shares of the ANDs, from the peer's part; `first` at one of the parties.
    pub(super) fn close(self, first: bool, bytes: &[u8]) -> Vec<u8> {
        let Self { triples: Triples { a, b, c }, d, e } = self;
        let (their_d, their_e) = bytes.split_at(bytes.len() / 2);
        let [their_d, their_e] = [their_d, their_e].map(|bytes| unpack_bits(bytes, d.len()));
        let first = u8::from(first);
        (0..d.len())
            .map(|i| {
                let (d, e) = (d[i] ^ their_d[i], e[i] ^ their_e[i]);
                c[i] ^ d & b[i] ^ e & a[i] ^ d & e & first
            })
            .collect()
    }
}

/// Appends bits, eight to a byte.
fn pack_bits(bits: &[u8], out: &mut Vec<u8>) {
    let byte = |bits: &[u8]| bits.iter().enumerate().map(|(i, b)| (b & 1) << i).sum::<u8>();
    out.extend(bits.chunks(8).map(byte));
}

/// The first `count` bits of `bytes`.
fn unpack_bits(bytes: &[u8], count: usize) -> Vec<u8> {
    assert_eq!(bytes.len(), pack::packed_len(count, 1), "packed bits");
    let mut bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).map(move |i| b >> i & 1)).collect();
    bits.truncate(count);
    bits
}

//! Packing without special instructions.

use crate::mask;

/// Whole-byte widths that are plain copies: every word becomes its `N` low bytes.
fn pack_bytes<const N: usize>(words: &[u64], out: &mut [u8]) {
    for (word, bytes) in words.iter().zip(out.as_chunks_mut::<N>().0) {
        bytes.copy_from_slice(&word.to_le_bytes()[..N]);
    }
}

fn unpack_bytes<const N: usize>(bytes: &[u8], out: &mut [u64]) {
    for (word, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        let mut all = [0; 8];
        all[..N].copy_from_slice(bytes);
        *word = u64::from_le_bytes(all);
    }
}

/// Fills `out`, whose length is the packed length, with the reduced words.
pub(super) fn pack(words: &[u64], width: u32, out: &mut [u8]) {
    match width {
        8 => return pack_bytes::<1>(words, out),
        16 => return pack_bytes::<2>(words, out),
        32 => return pack_bytes::<4>(words, out),
        64 => return pack_bytes::<8>(words, out),
        _ => {}
    }
    let low = mask(width);
    let (mut pending, mut filled, mut at) = (0u64, 0u32, 0usize);
    for word in words {
        let word = word & low;
        pending |= word << filled;
        filled += width;
        if filled >= 64 {
            out[at..at + 8].copy_from_slice(&pending.to_le_bytes());
            at += 8;
            filled -= 64;
            // What did not fit; `filled < width < 64` bits, none when it fitted exactly.
            pending = (word >> 1) >> (width - filled - 1);
        }
    }
    let rest = &mut out[at..];
    let bytes = pending.to_le_bytes();
    let len = rest.len();
    rest.copy_from_slice(&bytes[..len]);
}

/// Fills `out` from `bytes`, whose length is the packed length.
pub(super) fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) {
    match width {
        8 => return unpack_bytes::<1>(bytes, out),
        16 => return unpack_bytes::<2>(bytes, out),
        32 => return unpack_bytes::<4>(bytes, out),
        64 => return unpack_bytes::<8>(bytes, out),
        _ => {}
    }
    let low = mask(width);
    let wide = width > 57;
    // An element starts inside a byte at most 7 bits in, so 8 bytes hold it up to 57 bits.
    let reach = if wide { 9 } else { 8 };
    let mut bit = 0usize;
    for word in out {
        let (at, shift) = (bit / 8, (bit % 8) as u32);
        *word = if at + reach <= bytes.len() {
            let mut first = [0; 8];
            first.copy_from_slice(&bytes[at..at + 8]);
            let mut value = u64::from_le_bytes(first) >> shift;
            if wide {
                value |= (u64::from(bytes[at + 8]) << 1) << (63 - shift);
            }
            value & low
        } else {
            let mut all = [0; 16];
            let rest = &bytes[at..];
            let len = rest.len().min(16);
            all[..len].copy_from_slice(&rest[..len]);
            (u128::from_le_bytes(all) >> shift) as u64 & low
        };
        bit += width as usize;
    }
}

//! The frame: a 16-byte little-endian header and the payload.
//!
//! | bytes | field |
//! |---|---|
//! | 0..2 | magic `So` |
//! | 2 | version, 1 |
//! | 3 | kind: 0 message, 1 fin, 2 fin received, 3 hello |
//! | 4..8 | step |
//! | 8..16 | payload length |

use crate::budget::Held;

pub(crate) const HEADER: usize = 16;
const MAGIC: [u8; 3] = [b'S', b'o', 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of the protocol above.
    Message,
    /// The sender has sent its last message.
    Fin,
    /// The sender has taken in everything up to the other side's `Fin`.
    FinReceived,
    /// First frame on a stream, both ways: shows that the peer accepted us.
    Hello,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub step: u32,
    pub len: u64,
}

impl Header {
    /// A header for a frame without payload.
    pub fn bare(kind: Kind) -> Self {
        Header { kind, step: 0, len: 0 }
    }

    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..3].copy_from_slice(&MAGIC);
        bytes[3] = match self.kind {
            Kind::Message => 0,
            Kind::Fin => 1,
            Kind::FinReceived => 2,
            Kind::Hello => 3,
        };
        bytes[4..8].copy_from_slice(&self.step.to_le_bytes());
        bytes[8..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Reads a header; the error says what was wrong without quoting bytes that might be payload.
    pub fn decode(bytes: &[u8; HEADER], max_len: u64) -> Result<Self, String> {
        if bytes[..2] != MAGIC[..2] {
            return Err("no frame starts here (wrong magic)".into());
        }
        if bytes[2] != MAGIC[2] {
            return Err(format!("frame version {} where {} is spoken", bytes[2], MAGIC[2]));
        }
        let kind = match bytes[3] {
            0 => Kind::Message,
            1 => Kind::Fin,
            2 => Kind::FinReceived,
            3 => Kind::Hello,
            other => return Err(format!("unknown frame kind {other}")),
        };
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let len = u64::from(word(8)) | u64::from(word(12)) << 32;
        if len > max_len {
            return Err(format!("a frame of {len} bytes where {max_len} is the limit"));
        }
        if kind != Kind::Message && len != 0 {
            return Err("a frame of this kind has no payload".into());
        }
        Ok(Header { kind, step: word(4), len })
    }
}

/// A message that arrived whole.
pub(crate) struct Frame {
    pub step: u32,
    pub payload: Vec<u8>,
    /// Its part of the endpoint's budget, if it came unasked.
    pub _held: Option<Held>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_survives_the_round_trip() {
        for kind in [Kind::Message, Kind::Fin, Kind::FinReceived, Kind::Hello] {
            let len = if kind == Kind::Message { 0x1_2345_6789 } else { 0 };
            let header = Header { kind, step: 0xfedc_ba98, len };
            assert_eq!(Header::decode(&header.encode(), u64::MAX), Ok(header));
        }
    }

    #[test]
    fn bad_headers_are_refused() {
        let good = Header { kind: Kind::Message, step: 7, len: 100 }.encode();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Header::decode(&bytes, 1000)
        };
        assert!(with(8, 100).is_ok());
        assert!(with(0, 0).unwrap_err().contains("magic"));
        assert!(with(2, 9).unwrap_err().contains("version 9"));
        assert!(with(3, 4).unwrap_err().contains("kind 4"));
        assert!(with(3, 1).unwrap_err().contains("no payload"));
        assert!(with(15, 0x80).unwrap_err().contains("limit"));
        assert!(Header::decode(&good, 99).is_err());
        assert!(Header::decode(&good, 100).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_an_error(
            whole in any::<[u8; HEADER]>(),
            valid in 0..=HEADER,
            max_len in any::<u64>(),
        ) {
            // The first so many bytes are those of a good header.
            let mut bytes = Header { kind: Kind::Message, step: 7, len: 100 }.encode();
            bytes[valid..].copy_from_slice(&whole[valid..]);
            if let Ok(header) = Header::decode(&bytes, max_len) {
                prop_assert!(header.len <= max_len);
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}

//! Several byte strings in one: each behind its length, four bytes, little end first.

/// Puts `part` behind what is there.
///
/// # Panics
/// When it has 4 GiB or more.
pub fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend(u32::try_from(part.len()).expect("a part is below 4 GiB").to_le_bytes());
    out.extend(part);
}

/// Takes the first part away; `None` where there is no whole one.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_torn_ones_are_refused() {
        let mut all = Vec::new();
        for part in [&b"first"[..], b"", b"third"] {
            put(&mut all, part);
        }
        let mut rest = &all[..];
        assert_eq!(take(&mut rest), Some(&b"first"[..]));
        assert_eq!(take(&mut rest), Some(&b""[..]));
        assert_eq!(take(&mut rest), Some(&b"third"[..]));
        assert_eq!(take(&mut rest), None);
        for len in [1, 3, 4, 8] {
            assert_eq!(take(&mut &all[..len]), None, "{len} bytes");
        }
        assert_eq!(take(&mut &[0xff; 12][..]), None, "a length that is not there");
    }
}

//! Chunks: how an endless answer is delimited in HTTP/1.1 (RFC 9112, section 7.1).

/// Appends `content` as one chunk; nothing when it is empty, because an empty chunk is the end.
pub fn chunk(content: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if content.is_empty() {
        return;
    }
    let bits = usize::BITS - content.len().leading_zeros();
    for digit in (0..bits.div_ceil(4)).rev() {
        out.push(DIGITS[content.len() >> (digit * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

/// The end of an answer in chunks.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal() {
        for len in [1, 9, 15, 16, 255, 256, 4095, 65536, 100_000] {
            let content = vec![b'x'; len];
            let mut out = Vec::new();
            chunk(&content, &mut out);
            let mut expected = format!("{len:x}\r\n").into_bytes();
            expected.extend_from_slice(&content);
            expected.extend_from_slice(b"\r\n");
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn nothing_is_no_chunk() {
        let mut out = Vec::new();
        chunk(b"", &mut out);
        assert_eq!(out, b"");
    }
}

//! Looking for bytes, eight at a time.
//!
//! Parameters and messages are short: a vector search that has to be called is still setting itself up
//! when a plain loop over words is through.

/// A byte in each place of a word.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH: u64 = each(0x80);

/// The high bit of each byte that is below `limit` (at most 0x80), and perhaps of some behind the first.
const fn below(word: u64, limit: u8) -> u64 {
    // A byte that is too small borrows from those above it, so only the lowest hit is sure.
    word.wrapping_sub(each(limit)) & !word & HIGH
}

/// The same for bytes that are `byte`.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ each(byte), 1)
}

/// Eight bytes as a word whose lowest byte is the first.
pub(crate) fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// The first place in a word of which `hits` has the high bit; 8 when there is none.
pub(crate) fn first(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

/// Marks the first `%` or `+`, if any.
pub(crate) fn url_escapes(word: u64) -> u64 {
    equal(word, b'%') | equal(word, b'+')
}

/// Marks the first byte, if any, that cannot stand in a JSON string, and DEL.
pub(crate) fn json_specials(word: u64) -> u64 {
    below(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | equal(word, 0x7f)
}

/// The index of the first byte that `hits` marks in a word and `is` says yes to by itself.
pub(crate) fn find(
    bytes: &[u8],
    hits: impl Fn(u64) -> u64,
    is: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, eight) in words.iter().enumerate() {
        let hits = hits(word(eight));
        if hits != 0 {
            return Some(index * 8 + first(hits));
        }
    }
    let found = rest.iter().position(|byte| is(*byte));
    found.map(|index| words.len() * 8 + index)
}

/// How far it is quicker to look without a call.
const NEAR: usize = 64;

/// The index of the first `byte`.
pub(crate) fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let found = find(near, |word| equal(word, byte), |other| other == byte);
    if found.is_some() || far.is_empty() {
        return found;
    }
    memchr::memchr(byte, far).map(|index| index + near.len())
}

/// The index of the first `%` or `+`.
pub(crate) fn find_url_escape(bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let found = find(near, url_escapes, |byte| matches!(byte, b'%' | b'+'));
    if found.is_some() || far.is_empty() {
        return found;
    }
    memchr::memchr2(b'%', b'+', far).map(|index| index + near.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(bytes: Vec<u8>, byte: u8) {
            let plain = |is: &dyn Fn(u8) -> bool| bytes.iter().position(|byte| is(*byte));
            prop_assert_eq!(find_byte(&bytes, byte), plain(&|other| other == byte));
            let is = |byte| matches!(byte, b'%' | b'+');
            prop_assert_eq!(find_url_escape(&bytes), plain(&is));
            let is = |byte| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f);
            prop_assert_eq!(find(&bytes, json_specials, is), plain(&is));
        }

        #[test]
        fn finds_in_text_of_few_letters(text in "[%+\"\\\\ -\u{80}\u{7f}\u{1f}]{0,40}") {
            let is = |byte| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f);
            let plain = text.bytes().position(is);
            prop_assert_eq!(find(text.as_bytes(), json_specials, is), plain);
        }
    }
}

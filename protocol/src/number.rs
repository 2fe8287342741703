//! Decimal and hexadecimal numbers without `core::fmt`, which costs more than the rest of a frame.

/// Decimal digits of the largest `u64`.
pub(crate) const U64_DIGITS: usize = 20;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in decimal.
pub(crate) fn write_u64(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; U64_DIGITS];
    let len = put_u64(value, &mut digits);
    out.extend_from_slice(&digits[..len]);
}

/// Puts `value` in decimal at the start of `buffer` (at least [`U64_DIGITS`] long); its length.
pub(crate) fn put_u64(mut value: u64, buffer: &mut [u8]) -> usize {
    let len = value.checked_ilog10().unwrap_or(0) as usize + 1;
    for digit in buffer[..len].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    len
}

/// Appends `value` as two lower-case hex digits.
pub(crate) fn write_hex_byte(value: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[HEX[usize::from(value >> 4)], HEX[usize::from(value & 0xf)]]);
}

/// `value` as 16 lower-case hex digits.
pub(crate) fn hex_u64(value: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (digit, shift) in digits.iter_mut().zip((0..64).step_by(4).rev()) {
        *digit = HEX[(value >> shift) as usize & 0xf];
    }
    digits
}

/// A decimal number of digits only: no sign, no space. `None` also when it does not fit.
pub(crate) fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Exactly 16 hex digits, of either case.
pub(crate) fn parse_hex_u64(text: &[u8]) -> Option<u64> {
    if text.len() != 16 {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

/// Digits in base 36 of the largest `u64`.
pub(crate) const BASE36_DIGITS: usize = 13;

/// Appends `value` in base 36, with lower-case letters.
pub(crate) fn write_base36(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; BASE36_DIGITS];
    let len = put_base36(value, &mut digits);
    out.extend_from_slice(&digits[..len]);
}

/// Puts `value` in base 36 at the start of `buffer` (at least [`BASE36_DIGITS`] long); its length.
pub(crate) fn put_base36(mut value: u64, buffer: &mut [u8]) -> usize {
    let len = value.checked_ilog(36).unwrap_or(0) as usize + 1;
    for place in buffer[..len].iter_mut().rev() {
        let digit = (value % 36) as u8;
        *place = match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        };
        value /= 36;
    }
    len
}

/// A number in base 36, of either case. `None` also when it does not fit.
pub(crate) fn parse_base36(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = char::from(byte).to_digit(36)?;
        value.checked_mul(36)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits() {
        for value in [0, 9, 10, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            write_u64(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"007"), Some(7));
        for bad in ["", "-1", "+1", " 1", "1 ", "1.0", "0x1", "٣"] {
            assert_eq!(parse_u64(bad.as_bytes()), None, "{bad:?}");
        }
        for bad in [
            "",
            "0",
            "000000000000000g",
            "00000000000000000",
            "+000000000000000",
        ] {
            assert_eq!(parse_hex_u64(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn decimal_and_hex_round_trip(value: u64) {
            let mut out = Vec::new();
            write_u64(value, &mut out);
            let (decimal, hex) = (value.to_string(), format!("{value:016x}"));
            prop_assert_eq!(&out[..], decimal.as_bytes());
            prop_assert_eq!(parse_u64(&out), Some(value));
            prop_assert_eq!(&hex_u64(value)[..], hex.as_bytes());
            prop_assert_eq!(parse_hex_u64(&hex_u64(value)), Some(value));
            prop_assert_eq!(parse_hex_u64(hex.to_uppercase().as_bytes()), Some(value));
            let mut base36 = Vec::new();
            write_base36(value, &mut base36);
            prop_assert_eq!(parse_base36(&base36), Some(value));
        }
    }
}

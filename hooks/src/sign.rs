//! The signature of a batch: HMAC-SHA-256 (RFC 2104) over the time of sending, a dot, and the body.

use ring::hmac;

/// Name of the field with the time of sending, in seconds since 1970.
pub(crate) const TIMESTAMP: &str = "icomet-timestamp";

/// Name of the field with the signature.
pub(crate) const SIGNATURE: &str = "icomet-signature";

/// The value of the signature's field: `v1=` and 64 hex digits.
pub fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    for part in [timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    let digits = context.sign();
    let digits = digits.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("v1={}", digits.collect::<String>())
}

/// Whether a signature is that of a body and time. The caller checks that the time is near.
pub fn verify(secret: &[u8], timestamp: &str, body: &[u8], signature: &str) -> bool {
    let Some(digits) = signature
        .strip_prefix("v1=")
        .filter(|digits| digits.is_ascii())
    else {
        return false;
    };
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let message = [timestamp.as_bytes(), b".", body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    bytes.is_some_and(|tag| hmac::verify(&key, &message, &tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by: printf '1764000000.{"version":1,"events":[]}' | openssl dgst -sha256 -hmac 'correct horse'
    const OF_OPENSSL: &str = "v1=d32b303cbc0d2410882c74bdfd1fa52b6a8fe4162146bd611eebfdd801c48475";

    #[test]
    fn signatures_are_those_of_other_tools() {
        let body = br#"{"version":1,"events":[]}"#;
        assert_eq!(signature(b"correct horse", "1764000000", body), OF_OPENSSL);
        assert!(verify(b"correct horse", "1764000000", body, OF_OPENSSL));
        assert!(!verify(b"correct horsf", "1764000000", body, OF_OPENSSL));
        assert!(!verify(b"correct horse", "1764000001", body, OF_OPENSSL));
        assert!(!verify(b"correct horse", "1764000000", b"{}", OF_OPENSSL));
        for bad in ["", "v1=", "v1=zz", "v1=\u{e9}\u{e9}", &OF_OPENSSL[3..]] {
            assert!(!verify(b"correct horse", "1764000000", body, bad), "{bad}");
        }
    }
}

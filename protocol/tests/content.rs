//! Content: escaping for `push`, checking for `pub`, with serde_json as the oracle.

use icomet_protocol::content::{ContentError, ContentFault, check_encoded, escape_raw};
use proptest::prelude::*;

fn escaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    escape_raw(raw, &mut out);
    out
}

fn parsed(encoded: &[u8]) -> serde_json::Result<String> {
    serde_json::from_slice(&[b"\"", encoded, b"\""].concat())
}

#[test]
fn each_escape() {
    assert_eq!(escaped(b"a\"b\\c\n\r\t\x08\x0c/"), br#"a\"b\\c\n\r\t\b\f/"#);
    assert_eq!(escaped(b"\x00\x01\x1f\x7f"), br"\u0000\u0001\u001f\u007f");
    assert_eq!(
        escaped("é日\u{1f600}\u{2028}<".as_bytes()),
        "é日\u{1f600}\u{2028}<".as_bytes()
    );
    for control in 0..0x20u8 {
        assert!(escaped(&[control]).is_ascii() && escaped(&[control]).len() > 1);
        assert_eq!(parsed(&escaped(&[control])).unwrap().as_bytes(), [control]);
    }
}

#[test]
fn invalid_utf8_is_replaced() {
    assert_eq!(escaped(b"a\xffb"), "a\u{fffd}b".as_bytes());
    assert_eq!(escaped(b"\xe6\x97"), "\u{fffd}".as_bytes());
    assert_eq!(
        escaped(b"\xed\xa0\x80\n"),
        "\u{fffd}\u{fffd}\u{fffd}\\n".as_bytes()
    );
}

#[test]
fn encoded_content_that_passes() {
    for good in [
        "",
        "hi",
        r#"a\"b"#,
        r"\\\/\b\f\n\r\t",
        r"\u0041\u00e9\uD83D\uDE00",
        "日\u{7f}\u{2028}</script>",
    ] {
        assert_eq!(check_encoded(good.as_bytes()), Ok(()), "{good:?}");
    }
}

#[test]
fn encoded_content_that_is_refused() {
    for (bad, offset, fault) in [
        (&b"a\"b"[..], 1, ContentFault::BareQuote),
        (b"\\\\\"", 2, ContentFault::BareQuote),
        (b"ab\n", 2, ContentFault::ControlCharacter),
        (b"\0", 0, ContentFault::ControlCharacter),
        (b"a\\", 1, ContentFault::BadEscape),
        (b"\\x41", 0, ContentFault::BadEscape),
        (b"\\u12g4", 0, ContentFault::BadEscape),
        (b"\\u123", 0, ContentFault::BadEscape),
        (b"\\u+123", 0, ContentFault::BadEscape),
        (b"\\ud83d", 0, ContentFault::LoneSurrogate),
        (b"\\ude00", 0, ContentFault::LoneSurrogate),
        (b"\\ud83d\\u0041", 0, ContentFault::LoneSurrogate),
        (b"\\ud83dx", 0, ContentFault::LoneSurrogate),
        (b"\\ud83d\\u12", 0, ContentFault::BadEscape),
        (b"ab\xff", 2, ContentFault::NotUtf8),
    ] {
        assert_eq!(
            check_encoded(bad),
            Err(ContentError { offset, fault }),
            "{bad:?}"
        );
        assert!(parsed(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        check_encoded(b"a\"b").unwrap_err().to_string(),
        "content has a quote that is not escaped at byte 1: \
         it must be the inside of a JSON string (push takes raw content)"
    );
}

/// Text close to the inside of a JSON string, right or wrong in one place.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-z<é\u{2028}\u{7f}]{0,4}",
        4 => r#"\\["\\/bfnrt]"#,
        3 => r"\\u[0-9a-fA-F]{4}",
        3 => r"\\u[dD][89abAB][0-9a-f]{2}\\u[dD][c-fC-F][0-9a-f]{2}",
        1 => r"\\u[dD][89a-f][0-9a-f]{2}",
        1 => r#"["\\\x00-\x1f]"#,
        1 => r"\\[a-zU0-9]",
        1 => r"\\u[0-9a-g+]{0,3}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn escape_then_parse(raw: Vec<u8>) {
        let encoded = escaped(&raw);
        prop_assert_eq!(check_encoded(&encoded), Ok(()));
        prop_assert_eq!(parsed(&encoded).unwrap(), String::from_utf8_lossy(&raw));
        prop_assert!(encoded.iter().all(|&byte| byte >= 0x20 && byte != 0x7f));
    }

    #[test]
    fn escape_then_parse_text(raw: String) {
        prop_assert_eq!(parsed(&escaped(raw.as_bytes())).unwrap(), raw);
    }

    #[test]
    fn check_agrees_with_the_oracle(content in near_json()) {
        prop_assert_eq!(check_encoded(content.as_bytes()).is_ok(), parsed(content.as_bytes()).is_ok());
    }

    #[test]
    fn check_agrees_on_any_bytes(content: Vec<u8>) {
        prop_assert_eq!(check_encoded(&content).is_ok(), parsed(&content).is_ok());
        if let Err(error) = check_encoded(&content) {
            prop_assert!(error.offset < content.len());
        }
    }
}

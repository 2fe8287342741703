//! Resume positions: SSE ids and entity tags.

use icomet_protocol::resume::{Etag, etag, format_id, parse_id, parse_if_none_match};
use proptest::prelude::*;

fn id(epoch: u64, seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    format_id(epoch, seq, &mut out);
    out
}

#[test]
fn bytes() {
    assert_eq!(id(0xab, 0), b"00000000000000ab-0");
    assert_eq!(
        id(u64::MAX, u64::MAX),
        b"ffffffffffffffff-18446744073709551615"
    );
    assert_eq!(etag(0xab, 12).as_bytes(), b"\"00000000000000ab-12\"");
    assert_eq!(etag(0, 0).as_bytes(), b"\"0000000000000000-0\"");
    assert_eq!(etag(u64::MAX, u64::MAX).len(), Etag::MAX_LEN);
}

#[test]
fn malformed_ids_are_none() {
    for bad in [
        "",
        "1",
        "-1",
        "00000000000000ab",
        "00000000000000ab-",
        "00000000000000ab--1",
        "00000000000000ab-1x",
        "00000000000000ab-18446744073709551616",
        "00000000000000a-1",
        "00000000000000abc-1",
        "00000000000000ag-1",
        " 00000000000000ab-1",
    ] {
        assert_eq!(parse_id(bad.as_bytes()), None, "{bad:?}");
    }
    assert_eq!(parse_id(b"00000000000000AB-7"), Some((0xab, 7)));
}

#[test]
fn if_none_match() {
    for good in [
        r#""00000000000000ab-7""#,
        r#"W/"00000000000000ab-7""#,
        r#""other", W/"x,y" ,"00000000000000ab-7","00000000000000ab-9""#,
        r#"  "00000000000000ab-7"  "#,
    ] {
        assert_eq!(
            parse_if_none_match(good.as_bytes()),
            Some((0xab, 7)),
            "{good:?}"
        );
    }
    for bad in [
        "",
        "*",
        "00000000000000ab-7",
        r#""00000000000000ab-7"#,
        r#"", ""#,
        r#""""#,
    ] {
        assert_eq!(parse_if_none_match(bad.as_bytes()), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn round_trip(epoch: u64, seq: u64) {
        prop_assert_eq!(parse_id(&id(epoch, seq)), Some((epoch, seq)));
        let tag = etag(epoch, seq);
        prop_assert_eq!(parse_if_none_match(&tag), Some((epoch, seq)));
        let weak = [b"\"a\", W/", tag.as_bytes()].concat();
        prop_assert_eq!(parse_if_none_match(&weak), Some((epoch, seq)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, near in "[\"W/0-9a-f, -]{0,60}") {
        let _ = (parse_id(&bytes), parse_if_none_match(&bytes));
        let _ = (parse_id(near.as_bytes()), parse_if_none_match(near.as_bytes()));
    }
}

//! Resume positions: SSE ids and entity tags.

use icomet_protocol::resume::{
    Epoch, Etag, Stopped, etag, format_id, if_none_match, last_event_id, parse_id,
};
use proptest::prelude::*;

fn epoch(zone: u64, incarnation: u64) -> Epoch {
    Epoch { zone, incarnation }
}

fn id(epoch: Epoch, seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    format_id(epoch, seq, &mut out);
    out
}

#[test]
fn bytes() {
    assert_eq!(id(epoch(0xab, 1), 0), b"00000000000000ab.1-0");
    assert_eq!(
        id(epoch(u64::MAX, u64::MAX), u64::MAX),
        b"ffffffffffffffff.3w5e11264sgsf-18446744073709551615"
    );
    assert_eq!(
        etag(epoch(0xab, 71), 12).as_bytes(),
        b"\"00000000000000ab.1z-12\""
    );
    assert_eq!(etag(Epoch::NONE, 0).as_bytes(), b"\"0000000000000000.0-0\"");
    let longest = etag(epoch(u64::MAX, u64::MAX), u64::MAX);
    assert_eq!(longest.len(), Etag::MAX_LEN);
    const { assert!(Epoch::MAX_LEN <= 32) };
    assert_eq!(epoch(0xab, 71).to_string(), "00000000000000ab.1z");
}

#[test]
fn what_is_none_of_ours_cannot_be_placed() {
    for bad in [
        "1",
        "-1",
        // What clients had before channels had incarnations.
        "00000000000000ab-7",
        "00000000000000ab",
        "00000000000000ab.1",
        "00000000000000ab.-1",
        "00000000000000ab.1-",
        "00000000000000ab.1--1",
        "00000000000000ab.1-1x",
        "00000000000000ab.1-18446744073709551616",
        "00000000000000ab.3w5e11264sgsg-1",
        "00000000000000a.1-1",
        "00000000000000abc.1-1",
        "00000000000000ag.1-1",
        " 00000000000000ab.1-1",
        "\"00000000000000ab.1-1\"",
        "00000000000000ab.1-1, 00000000000000ab.1-1",
        "00000000000000ab-1_1.2_2",
    ] {
        assert_eq!(parse_id(bad.as_bytes()), None, "{bad:?}");
        assert_eq!(last_event_id(bad.as_bytes()), Stopped::Unplaced, "{bad:?}");
    }
    assert_eq!(last_event_id(b""), Stopped::Unsaid);
    let good = (epoch(0xab, 71), 7);
    assert_eq!(last_event_id(b"00000000000000AB.1Z-7"), Stopped::At(good));
    assert_eq!(Epoch::claimed(b"00000000000000ab"), Epoch::NONE);
    assert_eq!(Epoch::claimed(b"00000000000000ab.1z"), good.0);
}

#[test]
fn entity_tags() {
    for good in [
        r#""00000000000000ab.1z-7""#,
        r#"W/"00000000000000ab.1z-7""#,
        r#""other", W/"x,y" ,"00000000000000ab.1z-7",W/"00000000000000ab.1z-7""#,
        r#"  "00000000000000ab.1z-7"  "#,
    ] {
        let at = Stopped::At((epoch(0xab, 71), 7));
        assert_eq!(if_none_match(good.as_bytes()), at, "{good:?}");
    }
    for bad in [
        "*",
        "00000000000000ab.1z-7",
        r#""00000000000000ab.1z-7"#,
        r#""00000000000000ab-7""#,
        r#""00000000000000ab.1z-7","00000000000000ab.1z-9""#,
        r#"", ""#,
        r#""""#,
    ] {
        assert_eq!(if_none_match(bad.as_bytes()), Stopped::Unplaced, "{bad:?}");
    }
    assert_eq!(if_none_match(b""), Stopped::Unsaid);
    assert_eq!(if_none_match(b" "), Stopped::Unsaid);
}

proptest! {
    #[test]
    fn round_trip(zone: u64, incarnation: u64, seq: u64) {
        let epoch = epoch(zone, incarnation);
        prop_assert_eq!(Epoch::parse(epoch.to_string().as_bytes()), Some(epoch));
        prop_assert_eq!(parse_id(&id(epoch, seq)), Some((epoch, seq)));
        let tag = etag(epoch, seq);
        prop_assert_eq!(if_none_match(&tag), Stopped::At((epoch, seq)));
        let weak = [b"\"a\", W/", tag.as_bytes()].concat();
        prop_assert_eq!(if_none_match(&weak), Stopped::At((epoch, seq)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, near in "[\"W/0-9a-f, .-]{0,60}") {
        for bytes in [&bytes[..], near.as_bytes()] {
            let _ = (Epoch::parse(bytes), parse_id(bytes), if_none_match(bytes));
        }
    }

    /// What is read is ours, to the byte: nothing else is taken for a place.
    #[test]
    fn only_ours_are_read(near in "[0-9a-f]{15,17}[.-][0-9a-z]{0,3}-[0-9]{0,3}") {
        if let Some((epoch, seq)) = parse_id(near.as_bytes()) {
            prop_assert_eq!(id(epoch, seq).len() <= near.len(), true);
            prop_assert_eq!(parse_id(&id(epoch, seq)), Some((epoch, seq)));
        }
    }
}

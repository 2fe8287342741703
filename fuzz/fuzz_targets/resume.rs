//! Where a client says that it stopped: epochs, SSE ids (`Last-Event-ID`) and entity tags (`If-None-Match`).
//!
//! Input: the header's value; its first 24 bytes also make an epoch and a seq of their own.

#![no_main]

use icomet_protocol::resume::{
    Epoch, Etag, Stopped, etag, format_id, if_none_match, last_event_id, parse_id,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(parse_id(data), plain_id(data));
    assert_eq!(if_none_match(data), plain_tags(data));
    let said = match (data.is_empty(), plain_id(data)) {
        (true, _) => Stopped::Unsaid,
        (false, None) => Stopped::Unplaced,
        (false, Some(at)) => Stopped::At(at),
    };
    assert_eq!(last_event_id(data), said);
    if let Some((epoch, seq)) = parse_id(data) {
        comes_back(epoch, seq, data);
        // What is read is what stands there, but for case and leading zeros.
        let text = String::from_utf8_lossy(data).to_ascii_lowercase();
        assert!(text.starts_with(&format!("{:016x}.", epoch.zone)));
        assert!(text.ends_with(&seq.to_string()));
    }
    if let Some((numbers, rest)) = data.split_first_chunk::<24>() {
        let [zone, incarnation, seq] = [0, 8, 16].map(|at| {
            let bytes = numbers[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        });
        comes_back(Epoch { zone, incarnation }, seq, rest);
    }
});

/// What is sent as an id or a tag comes back as itself, also among tags of others.
fn comes_back(epoch: Epoch, seq: u64, others: &[u8]) {
    let text = epoch.to_string();
    assert!(text.len() <= Epoch::MAX_LEN);
    assert_eq!(Epoch::claimed(text.as_bytes()), epoch);
    let mut id = b"before".to_vec();
    format_id(epoch, seq, &mut id);
    let id = id.strip_prefix(b"before").expect("an id is appended");
    assert_eq!(id, format!("{epoch}-{seq}").as_bytes());
    assert_eq!(parse_id(id), Some((epoch, seq)));

    let at = Stopped::At((epoch, seq));
    let tag = etag(epoch, seq);
    assert_eq!(tag.as_bytes(), [b"\"", id, b"\""].concat());
    assert!(tag.len() <= Etag::MAX_LEN);
    assert_eq!(if_none_match(&tag), at);
    let weak = [b"W/", tag.as_bytes()].concat();
    assert_eq!(if_none_match(&weak), at);

    // A proxy may send several; a quote cannot stand inside of a tag.
    let other: Vec<u8> = others
        .iter()
        .copied()
        .filter(|byte| *byte != b'"')
        .collect();
    let list = [b"\"", &other[..], b"\", ", &weak].concat();
    let expected = match plain_id(&other) {
        Some(other) if other != (epoch, seq) => Stopped::Unplaced,
        _ => at,
    };
    assert_eq!(if_none_match(&list), expected);
}

/// 16 hex digits, a dot, a number in base 36, a dash, a decimal number; numbers within 64 bits.
fn plain_id(id: &[u8]) -> Option<(Epoch, u64)> {
    let (epoch, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    let (zone, incarnation) = epoch.split_once('.')?;
    let hex = zone.len() == 16 && zone.bytes().all(|byte| byte.is_ascii_hexdigit());
    let letters = incarnation.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let decimal = seq.bytes().all(|byte| byte.is_ascii_digit());
    (hex && letters && decimal).then_some(())?;
    let epoch = Epoch {
        zone: u64::from_str_radix(zone, 16).ok()?,
        incarnation: u64::from_str_radix(incarnation, 36).ok()?,
    };
    Some((epoch, seq.parse().ok()?))
}

/// The only tag between quotes that is one of ours.
fn plain_tags(header: &[u8]) -> Stopped<(Epoch, u64)> {
    if header.iter().all(u8::is_ascii_whitespace) {
        return Stopped::Unsaid;
    }
    let parts: Vec<&[u8]> = header.split(|byte| *byte == b'"').collect();
    // Every second part stands between quotes; the last one's quote is never closed.
    let quoted = parts.iter().skip(1).step_by(2);
    let closed = parts.len().saturating_sub(1) / 2;
    let mut ours: Vec<_> = quoted
        .take(closed)
        .filter_map(|tag| plain_id(tag))
        .collect();
    ours.dedup();
    match ours.as_slice() {
        [one] => Stopped::At(*one),
        _ => Stopped::Unplaced,
    }
}

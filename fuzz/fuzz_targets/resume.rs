//! Where a client says that it stopped: SSE ids (`Last-Event-ID`) and entity tags (`If-None-Match`).
//!
//! Input: the header's value; its first 16 bytes also make an epoch and a seq of their own.

#![no_main]

use icomet_protocol::resume::{Etag, etag, format_id, parse_id, parse_if_none_match};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(parse_id(data), plain_id(data));
    assert_eq!(parse_if_none_match(data), plain_tags(data));
    if let Some((epoch, seq)) = parse_id(data) {
        comes_back(epoch, seq, data);
        // What is read is what stands there, but for case and leading zeros.
        let text = String::from_utf8_lossy(data).to_ascii_lowercase();
        assert!(text.starts_with(&format!("{epoch:016x}-")));
        assert!(text.ends_with(&seq.to_string()));
    }
    if let Some((numbers, rest)) = data.split_first_chunk::<16>() {
        let numbers = u128::from_le_bytes(*numbers);
        comes_back(numbers as u64, (numbers >> 64) as u64, rest);
    }
});

/// What is sent as an id or a tag comes back as itself, also among tags of others.
fn comes_back(epoch: u64, seq: u64, others: &[u8]) {
    let mut id = b"before".to_vec();
    format_id(epoch, seq, &mut id);
    let id = id.strip_prefix(b"before").expect("an id is appended");
    assert_eq!(id, format!("{epoch:016x}-{seq}").as_bytes());
    assert_eq!(parse_id(id), Some((epoch, seq)));

    let tag = etag(epoch, seq);
    assert_eq!(tag.as_bytes(), [b"\"", id, b"\""].concat());
    assert!(tag.len() <= Etag::MAX_LEN);
    assert_eq!(parse_if_none_match(&tag), Some((epoch, seq)));
    let weak = [b"W/", tag.as_bytes()].concat();
    assert_eq!(parse_if_none_match(&weak), Some((epoch, seq)));

    // A proxy may send several; a quote cannot stand inside of a tag.
    let other: Vec<u8> = others
        .iter()
        .copied()
        .filter(|byte| *byte != b'"')
        .collect();
    let list = [b"\"", &other[..], b"\", ", &weak].concat();
    let first = plain_id(&other).unwrap_or((epoch, seq));
    assert_eq!(parse_if_none_match(&list), Some(first));
}

/// 16 hex digits, a dash, a decimal number within 64 bits.
fn plain_id(id: &[u8]) -> Option<(u64, u64)> {
    let (epoch, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    let hex = epoch.len() == 16 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
    let decimal = seq.bytes().all(|byte| byte.is_ascii_digit());
    (hex && decimal).then_some(())?;
    Some((u64::from_str_radix(epoch, 16).ok()?, seq.parse().ok()?))
}

/// The first tag between quotes that is one of ours.
fn plain_tags(header: &[u8]) -> Option<(u64, u64)> {
    let parts: Vec<&[u8]> = header.split(|byte| *byte == b'"').collect();
    // Every second part stands between quotes; the last one's quote is never closed.
    let quoted = parts.iter().skip(1).step_by(2);
    let closed = parts.len().saturating_sub(1) / 2;
    quoted.take(closed).find_map(|tag| plain_id(tag))
}

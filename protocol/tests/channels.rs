//! Several channels in one request, and where their subscriber stands.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use icomet_protocol::frame::sse_event;
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::params::{ChannelNames, ParameterError, Params};
use icomet_protocol::resume;
use proptest::prelude::*;

fn names(query: &str) -> Result<Vec<String>, ParameterError> {
    match Params::new(query.as_bytes(), None).channel_names("cname", 3)? {
        ChannelNames::One(name) => Ok(vec![name.into_owned()]),
        ChannelNames::Many(names) => Ok(names.into_iter().map(|name| name.into_owned()).collect()),
    }
}

#[test]
fn commas_part_names_only_where_they_stand_as_they_are() {
    assert_eq!(names("cname=a,b%20c,d").unwrap(), ["a", "b c", "d"]);
    assert_eq!(names("cname=a%2Cb").unwrap(), ["a,b"]);
    assert_eq!(names("cname=a%2Cb,c").unwrap(), ["a,b", "c"]);
    assert_eq!(names("x=1"), Err(ParameterError::ChannelNameMissing));
    assert_eq!(names("cname=a,,b"), Err(ParameterError::ChannelNameEmpty));
    assert_eq!(names("cname=a,%61"), Err(ParameterError::ChannelNameTwice));
    assert_eq!(
        names("cname=a,b,c,d"),
        Err(ParameterError::TooManyChannels { max: 3 })
    );
    assert_eq!(
        names("cname=a,%00"),
        Err(ParameterError::ChannelNameControl)
    );
}

#[test]
fn lists_have_a_value_for_each() {
    let seqs = |query: &'static str| Params::new(query.as_bytes(), None).seqs(3);
    assert_eq!(seqs("seq=1,,3").unwrap(), [1, 0, 3]);
    assert_eq!(seqs("").unwrap(), [0, 0, 0]);
    assert_eq!(seqs("seq=").unwrap(), [0, 0, 0]);
    for query in ["seq=1", "seq=1,2", "seq=1,2,3,4", "seq=1,2,3,"] {
        assert_eq!(
            seqs(query),
            Err(ParameterError::ListLength { name: "seq" }),
            "{query}"
        );
    }
    assert!(seqs("seq=1,2,x").is_err());
    let tokens = Params::new(b"token=a%2Cb,,c", None).tokens(3).unwrap();
    assert_eq!(tokens, [&b"a,b"[..], b"", b"c"]);
}

#[test]
fn positions_as_bytes() {
    let mut id = Vec::new();
    resume::format_positions(
        255,
        [Some(0), None, Some(35), Some(36), Some(u64::MAX)],
        &mut id,
    );
    assert_eq!(id, b"00000000000000ff-0..z.10.3w5e11264sgsf");
    let (epoch, positions) = resume::parse_positions(&id).unwrap();
    assert_eq!(epoch, 255);
    assert_eq!(
        positions,
        [Some(0), None, Some(35), Some(36), Some(u64::MAX)]
    );
    for bad in [
        "",
        "00000000000000ff",
        "00000000000000ff.1",
        "00000000000000ff-3w5e11264sgsg",
        "x-1.2",
        "00000000000000ff-1.-2",
    ] {
        assert_eq!(resume::parse_positions(bad.as_bytes()), None, "{bad}");
    }
    let long = format!(
        "00000000000000ff-{}",
        vec!["1"; resume::MAX_POSITIONS + 1].join(".")
    );
    assert_eq!(resume::parse_positions(long.as_bytes()), None);
    let header = br#""x", W/"00000000000000ff-1.2", "00000000000000ff-1.2.3""#;
    let found = resume::parse_if_none_match_of(header, 3).unwrap();
    assert_eq!(found, (255, vec![Some(1), Some(2), Some(3)]));
}

#[test]
fn an_event_with_an_id_of_several() {
    let mut out = Vec::new();
    sse_event(
        b"ff-1.2",
        &Message {
            kind: Kind::Broadcast,
            channel: "a",
            seq: 2,
            content: b"x",
            event: "",
        },
        &mut out,
    );
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "id: ff-1.2\ndata: {\"type\":\"broadcast\",\"cname\":\"a\",\"seq\":2,\"content\":\"x\"}\n\n\
         data: {\"type\":\"next_seq\",\"cname\":\"a\",\"seq\":3,\"content\":\"\"}\n\n"
    );
}

proptest! {
    #[test]
    fn positions_round_trip(epoch: u64, positions in prop::collection::vec(any::<Option<u64>>(), 1..=resume::MAX_POSITIONS)) {
        let mut id = Vec::new();
        resume::format_positions(epoch, positions.iter().copied(), &mut id);
        prop_assert_eq!(resume::parse_positions(&id), Some((epoch, positions)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, max in 0usize..4) {
        let params = Params::new(&bytes, None);
        _ = params.channel_names("cname", max);
        _ = params.seqs(max);
        _ = params.tokens(max);
        _ = resume::parse_positions(&bytes);
        _ = resume::parse_if_none_match_of(&bytes, max);
    }
}

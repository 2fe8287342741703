//! Several channels in one request, and where their subscriber stands.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use icomet_protocol::frame::sse_event;
use icomet_protocol::message::{Kind, Message};
use icomet_protocol::params::{ChannelNames, ParameterError, Params};
use icomet_protocol::resume::{self, Epoch, Position, Stopped};
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

fn at(incarnation: u64, seq: u64) -> Option<Position> {
    Some(Position { incarnation, seq })
}

#[test]
fn positions_as_bytes() {
    let mut id = Vec::new();
    let all = [at(1, 0), None, at(36, 35), at(u64::MAX, u64::MAX)];
    resume::format_positions(255, all, &mut id);
    assert_eq!(
        id,
        b"00000000000000ff-1_0..10_z.3w5e11264sgsf_3w5e11264sgsf"
    );
    assert_eq!(resume::parse_positions(&id), Some((255, all.to_vec())));
    // With its separator each channel costs 32 bytes at most.
    let one = "3w5e11264sgsf_3w5e11264sgsf.";
    assert!(one.len() <= 32);
    for bad in [
        "",
        "00000000000000ff",
        "00000000000000ff.1_1",
        "00000000000000ff-1",
        "00000000000000ff-1.2",
        "00000000000000ff-1_3w5e11264sgsg",
        "00000000000000ff-_1",
        "00000000000000ff-1_",
        "x-1_1.2_2",
        "00000000000000ff-1_1.-2",
    ] {
        assert_eq!(resume::parse_positions(bad.as_bytes()), None, "{bad}");
        let said = resume::last_event_id_of(bad.as_bytes(), 2);
        let is_nothing = bad.is_empty();
        assert_eq!(said == Stopped::Unsaid, is_nothing, "{bad}");
        assert_eq!(said == Stopped::Unplaced, !is_nothing, "{bad}");
    }
    let long = format!(
        "00000000000000ff-{}",
        vec!["1_1"; resume::MAX_POSITIONS + 1].join(".")
    );
    assert_eq!(resume::parse_positions(long.as_bytes()), None);
    // Another number of channels, or one.
    for (id, channels) in [
        (&b"00000000000000ff-1_2.1_3"[..], 3),
        (b"00000000000000ff.1-2", 2),
    ] {
        assert_eq!(resume::last_event_id_of(id, channels), Stopped::Unplaced);
    }
    let header = br#""x", W/"00000000000000ff-1_2", "00000000000000ff-1_2..3_4""#;
    let found = resume::if_none_match_of(header, 3);
    assert_eq!(found, Stopped::At((255, vec![at(1, 2), None, at(3, 4)])));
    assert_eq!(resume::if_none_match_of(header, 2), Stopped::Unplaced);
}

#[test]
fn epochs_of_several_channels() {
    let epochs = |query: &str, channels| Params::new(query.as_bytes(), None).epochs(channels);
    let epoch = |incarnation| {
        Some(Epoch {
            zone: 255,
            incarnation,
        })
    };
    assert_eq!(epochs("", 2), Ok(vec![None, None]));
    assert_eq!(epochs("epoch=", 2), Ok(vec![None, None]));
    let two = Ok(vec![epoch(1), epoch(36)]);
    assert_eq!(
        epochs("epoch=00000000000000ff.1,00000000000000ff.10", 2),
        two
    );
    assert_eq!(
        epochs("epoch=00000000000000ff.1%2c00000000000000ff.10", 2),
        two
    );
    assert_eq!(
        epochs("epoch=,00000000000000ff.1,x", 3),
        Ok(vec![None, epoch(1), Some(Epoch::NONE)])
    );
    // One for all, as clients had it once.
    let none = Some(Epoch::NONE);
    assert_eq!(epochs("epoch=00000000000000ff", 2), Ok(vec![none, none]));
    for (query, channels) in [("epoch=a,b", 3), ("epoch=a,b,c", 2), ("epoch=,", 3)] {
        let error = epochs(query, channels).unwrap_err();
        assert_eq!(error, ParameterError::ListLength { name: "epoch" });
    }
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
    fn positions_round_trip(
        zone: u64,
        positions in prop::collection::vec(any::<Option<(u64, u64)>>(), 1..=resume::MAX_POSITIONS),
    ) {
        let positions: Vec<_> = positions
            .into_iter()
            .map(|place| place.and_then(|(incarnation, seq)| at(incarnation, seq)))
            .collect();
        let mut id = Vec::new();
        resume::format_positions(zone, positions.iter().copied(), &mut id);
        prop_assert!(id.len() <= 16 + positions.len() * 32);
        prop_assert_eq!(resume::parse_positions(&id), Some((zone, positions)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, max in 0usize..4) {
        let params = Params::new(&bytes, None);
        _ = params.channel_names("cname", max);
        _ = params.seqs(max);
        _ = params.tokens(max);
        _ = resume::parse_positions(&bytes);
        _ = params.epochs(max);
        _ = resume::if_none_match_of(&bytes, max);
    }
}

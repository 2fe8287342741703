//! What one worker writes, another reads; anything else is an error.

#![allow(missing_docs, clippy::unwrap_used)]

use icomet_handover::{
    DecodeError, Flags, Origin, Packet, Passage, Place, ProxyProtocol, Request, Resume, Socket,
    Subscription, VERSION, Variable,
};
use icomet_protocol::frame::Transport;
use icomet_protocol::resume::Position;
use proptest::prelude::*;

fn passage() -> Passage<'static> {
    Passage {
        resume: Resume {
            hub: "main",
            epoch: u64::MAX,
            places: vec![
                Place::Open(Subscription {
                    channel: "news",
                    number: 4711,
                    incarnation: 1 << 63,
                    cursor: 1 << 40,
                }),
                Place::Ended(Some(Position {
                    incarnation: 5,
                    seq: 7,
                })),
                Place::Ended(None),
            ],
            is_many: true,
            tag: 1 << 50,
            transport: Transport::Sse,
            tells_epochs: true,
            noop: 3,
            deadline: 77,
            idle: Some(20),
            callback: None,
            user: Some("ann"),
            orders: 7,
            rest: Some(1234),
            worker: (3, 9),
        },
        origin: Origin {
            listening: &[2, 0, 31, 144, 127, 0, 0, 1],
            location: b"example.com\0\x08/sub\0\0",
        },
        socket: Socket {
            sockaddr: &[2, 0, 200, 1, 127, 0, 0, 9],
            addr_text: b"127.0.0.9",
            number: 42,
            start_time: 1_000_000,
            requests: 2,
            sent: 4096,
            tcp_nodelay: 1,
            tcp_nopush: 0,
            proxy_protocol: Some(ProxyProtocol {
                src_addr: b"192.0.2.1",
                dst_addr: b"192.0.2.2",
                src_port: 1,
                dst_port: 65535,
                tlvs: b"",
            }),
        },
        request: Request {
            start: (1_700_000_000, 999),
            length: 512,
            header_size: 300,
            err_status: 0,
            flags: Flags {
                is_http_10: false,
                keepalive: true,
                head_sent: true,
                chunked: true,
                upgraded: true,
            },
            line: b"GET /sub/sse?cname=news HTTP/1.1",
            unparsed_uri: b"/sub/sse?cname=news",
            uri: b"/sub/sse",
            args: b"cname=news",
        },
        variables: vec![Variable {
            name: b"http_user_agent",
            value: b"\xff\x00",
        }],
    }
}

fn bytes_of(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}

fn packets() -> [Packet<'static>; 3] {
    [
        Packet::Passage(Box::new(passage())),
        Packet::Taken,
        Packet::Refused { elsewhere: true },
    ]
}

#[test]
fn what_is_written_is_read() {
    for packet in packets() {
        let bytes = bytes_of(&packet);
        assert_eq!(Packet::decode(&bytes).unwrap(), packet);
    }
}

#[test]
fn a_packet_that_was_cut_is_none() {
    for packet in packets() {
        let bytes = bytes_of(&packet);
        for len in 0..bytes.len() {
            assert!(
                Packet::decode(&bytes[..len]).is_err(),
                "{packet:?} cut at {len}"
            );
        }
    }
}

#[test]
fn another_version_is_said() {
    let mut bytes = bytes_of(&Packet::Taken);
    bytes[0] = VERSION + 1;
    let error = Packet::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Version(Some(VERSION + 1)));
    let expected = format!("packet of version {}, not {VERSION}", VERSION + 1);
    assert_eq!(error.to_string(), expected);
    assert_eq!(Packet::decode(&[]).unwrap_err(), DecodeError::Version(None));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), known in any::<bool>()) {
        if known && let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        // What is read must be a packet, which can be written again.
        if let Ok(packet) = Packet::decode(&bytes) {
            let written = bytes_of(&packet);
            prop_assert_eq!(Packet::decode(&written).unwrap(), packet);
        }
    }

    #[test]
    fn a_flipped_bit_does_no_harm(at in 0usize..400, bit in 0u8..8) {
        let mut bytes = bytes_of(&Packet::Passage(Box::new(passage())));
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = Packet::decode(&bytes);
    }
}

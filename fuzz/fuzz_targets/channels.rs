//! Several channels in one request: names, seqs, tokens, and ids that tell where a client stands in each.
//!
//! Input: a query; it is also taken for the value of an id and of an `If-None-Match`.

#![no_main]

use std::collections::HashSet;

use icomet_protocol::Params;
use icomet_protocol::params::{ChannelNames, check_channel_name};
use icomet_protocol::resume::{
    MAX_POSITIONS, format_positions, parse_if_none_match_of, parse_positions,
};
use libfuzzer_sys::fuzz_target;

const MAX: usize = 4;

fuzz_target!(|data: &[u8]| {
    let params = Params::new(data, None);
    match params.channel_names("cname", MAX) {
        Ok(ChannelNames::One(name)) => assert_eq!(params.channel_name(), Ok(name)),
        Ok(ChannelNames::Many(names)) => {
            assert!((2..=MAX).contains(&names.len()));
            let different: HashSet<&str> = names.iter().map(|name| &**name).collect();
            assert_eq!(different.len(), names.len());
            assert!(
                names
                    .iter()
                    .all(|name| check_channel_name(name.as_bytes()).is_ok())
            );
        }
        Err(error) => assert!(error.to_string().len() < 100),
    }
    for count in 1..MAX {
        if let Ok(seqs) = params.seqs(count) {
            assert_eq!(seqs.len(), count);
        }
        if let Ok(tokens) = params.tokens(count) {
            assert_eq!(tokens.len(), count);
        }
    }
    // One value alone is what the form for one channel reads.
    if let (Ok(seqs), Ok(seq)) = (params.seqs(1), params.seq()) {
        assert_eq!(seqs, [seq]);
    }
    if let Some((epoch, positions)) = parse_positions(data) {
        assert!((1..=MAX_POSITIONS).contains(&positions.len()));
        let mut id = Vec::new();
        format_positions(epoch, positions.iter().copied(), &mut id);
        assert_eq!(parse_positions(&id), Some((epoch, positions.clone())));
        let tag = [b"W/\"", &id[..], b"\""].concat();
        let count = positions.len();
        assert_eq!(
            parse_if_none_match_of(&tag, count),
            Some((epoch, positions))
        );
        assert_eq!(parse_if_none_match_of(&tag, count + 1), None);
    }
    if let Some((_, positions)) = parse_if_none_match_of(data, 2) {
        assert_eq!(positions.len(), 2);
    }
});

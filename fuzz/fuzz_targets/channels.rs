//! Several channels in one request: names, seqs, tokens, and ids that tell where a client stands in each.
//!
//! Input: a query; it is also taken for the value of an id and of an `If-None-Match`.

#![no_main]

use std::collections::HashSet;

use icomet_protocol::Params;
use icomet_protocol::params::{ChannelNames, check_channel_name};
use icomet_protocol::resume::{
    MAX_POSITIONS, Stopped, format_positions, if_none_match_of, last_event_id_of, parse_positions,
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
        if let Ok(epochs) = params.epochs(count) {
            assert_eq!(epochs.len(), count);
        }
    }
    // One value alone is what the form for one channel reads.
    if let (Ok(seqs), Ok(seq)) = (params.seqs(1), params.seq()) {
        assert_eq!(seqs, [seq]);
    }
    if let Some((zone, positions)) = parse_positions(data) {
        assert!((1..=MAX_POSITIONS).contains(&positions.len()));
        let mut id = Vec::new();
        format_positions(zone, positions.iter().copied(), &mut id);
        assert!(id.len() <= 16 + 32 * positions.len());
        assert_eq!(parse_positions(&id), Some((zone, positions.clone())));
        let tag = [b"W/\"", &id[..], b"\""].concat();
        let count = positions.len();
        let at = Stopped::At((zone, positions));
        assert_eq!(if_none_match_of(&tag, count), at);
        assert_eq!(last_event_id_of(&id, count), at);
        assert_eq!(if_none_match_of(&tag, count + 1), Stopped::Unplaced);
        assert_eq!(last_event_id_of(&id, count + 1), Stopped::Unplaced);
    }
    if let Stopped::At((_, positions)) = if_none_match_of(data, 2) {
        assert_eq!(positions.len(), 2);
    }
});

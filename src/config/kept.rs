//! Which variables a parked request keeps.
//!
//! Every variable that the configuration uses (in a log format, a header field, a map) has an index in
//! nginx. Kept are those that a fresh request on the same connection could not answer: what the
//! client's header fields said, and what rules in front of the subscription have set.

/// nginx's flags of a variable (ngx_http_variables.h).
const CHANGEABLE: usize = 1;
const NOT_CACHEABLE: usize = 2;

/// Variables that read the request's header fields or the head of its answer.
const PREFIXES: [&[u8]; 3] = [b"http_", b"cookie_", b"sent_http_"];

/// Others that read them, or what modules in front have noted in the request.
const NAMES: [&[u8]; 6] = [
    b"host",
    b"remote_user",
    b"content_type",
    b"content_length",
    b"limit_req_status",
    b"limit_conn_status",
];

/// A variable to keep.
#[derive(Clone, Copy, Debug)]
pub struct KeptVariable {
    /// Its index in nginx.
    pub index: u16,
    /// It is evaluated to be kept; others are kept if they have a value already.
    pub evaluate: bool,
}

/// The variables to keep, of a configuration that says name and flags of each.
pub fn variables<'a>(at: impl Fn(u16) -> Option<(&'a [u8], usize)>) -> Vec<KeptVariable> {
    let all = (0..u16::MAX).map_while(|index| Some((index, at(index)?)));
    all.filter_map(|(index, (name, flags))| {
        let evaluate = NAMES.contains(&name)
            || PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix) && name.len() > prefix.len());
        let was_set = flags & CHANGEABLE != 0 && flags & NOT_CACHEABLE == 0;
        let kept = evaluate || was_set || name == b"request_id";
        kept.then_some(KeptVariable { index, evaluate })
    })
    .collect()
}

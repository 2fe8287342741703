//! A subscriber on its way.

use icomet_protocol::frame::Transport;
use icomet_protocol::resume::Position;
use serde::{Deserialize, Serialize};

/// A subscriber that moves, with its parked connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage<'a> {
    /// What it has had, and what it waits for.
    #[serde(borrow)]
    pub resume: Resume<'a>,
    /// Where it was served.
    #[serde(borrow)]
    pub origin: Origin<'a>,
    /// Its connection.
    #[serde(borrow)]
    pub socket: Socket<'a>,
    /// Its request, for the log line when it ends.
    #[serde(borrow)]
    pub request: Request<'a>,
    /// Variables of the request that are not found in it anew.
    #[serde(borrow)]
    pub variables: Vec<Variable<'a>>,
}

/// The hub that a subscriber belongs to, its channels, and how it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume<'a> {
    /// The hub's name.
    pub hub: &'a str,
    /// The epoch of its zone: in another zone the cursor means nothing.
    pub epoch: u64,
    /// Its channels, in the order in which its client named them.
    #[serde(borrow)]
    pub places: Vec<Place<'a>>,
    /// It may have any number of them; else it has one.
    pub is_many: bool,
    /// How its messages are framed.
    pub transport: Transport,
    /// The answer to its long poll is to tell the epochs.
    pub tells_epochs: bool,
    /// Its noop counter; on a WebSocket whether a ping is unanswered, 0 or 1, and above that bit how much
    /// its client has sent.
    pub noop: u64,
    /// When it gets a noop, in ticks of 100 ms of the machine's monotonic clock.
    pub deadline: u32,
    /// Idle time before a noop in ticks, if it is not the hub's polling_timeout.
    pub idle: Option<u32>,
    /// JSONP callback of a long poll.
    pub callback: Option<&'a str>,
    /// Whose it is, if that is known.
    pub user: Option<&'a str>,
    /// Number of the last order to end a user's subscribers that the old worker had.
    pub orders: u64,
    /// The tag by which one that is nobody's is kept from what it publishes itself; 0: it has none.
    pub tag: u64,
    /// Byte of the frame that goes along from which on it has not taken it.
    pub rest: Option<u32>,
    /// Place of the worker that it leaves, among all workers, and which worker of that place.
    pub worker: (u16, u32),
}

/// One channel that a client named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place<'a> {
    /// The subscriber has it.
    #[serde(borrow)]
    Open(Subscription<'a>),
    /// It has it no more, or never had: where its client stands, if that is known.
    Ended(Option<Position>),
}

impl<'a> Place<'a> {
    /// The channel, if the subscriber has it.
    pub fn open(&self) -> Option<&Subscription<'a>> {
        match self {
            Place::Open(subscription) => Some(subscription),
            Place::Ended(_) => None,
        }
    }
}

/// A channel that a subscriber has, and how far it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// What the zone knows that channel by, so that it is not taken for a later one of that name.
    pub number: u32,
    /// Its incarnation.
    pub incarnation: u64,
    /// The next seq that it is sent.
    pub cursor: u64,
}

/// Where in the configuration a subscriber was served; the new configuration may say something else
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin<'a> {
    /// Address that the connection was accepted on, as the kernel has it (`struct sockaddr`).
    pub listening: &'a [u8],
    /// What tells its location from all others: server name, kind and name of the location, and which
    /// of several equal ones it is.
    pub location: &'a [u8],
}

/// A connection, as nginx knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket<'a> {
    /// The client's address (`struct sockaddr`).
    pub sockaddr: &'a [u8],
    /// `$remote_addr`
    pub addr_text: &'a [u8],
    /// `$connection`
    pub number: u64,
    /// When it was accepted, in milliseconds of the machine's monotonic clock.
    pub start_time: u64,
    /// `$connection_requests`
    pub requests: u64,
    /// `$bytes_sent` of the request.
    pub sent: i64,
    /// nginx's ngx_connection_tcp_nodelay_e (ngx_connection.h).
    pub tcp_nodelay: u8,
    /// nginx's ngx_connection_tcp_nopush_e (ngx_connection.h).
    pub tcp_nopush: u8,
    /// What a PROXY protocol header said.
    #[serde(borrow)]
    pub proxy_protocol: Option<ProxyProtocol<'a>>,
}

/// What a PROXY protocol header said, as nginx keeps it (`ngx_proxy_protocol_t`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyProtocol<'a> {
    /// `$proxy_protocol_addr`
    pub src_addr: &'a [u8],
    /// `$proxy_protocol_server_addr`
    pub dst_addr: &'a [u8],
    /// `$proxy_protocol_port`
    pub src_port: u16,
    /// `$proxy_protocol_server_port`
    pub dst_port: u16,
    /// The header's type-length-value parts.
    pub tlvs: &'a [u8],
}

/// A request that was given back to nginx while its client waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// When it began: seconds since 1970, and milliseconds.
    pub start: (u64, u16),
    /// `$request_length`
    pub length: u64,
    /// Bytes of the answer's head, once that was sent.
    pub header_size: u32,
    /// The status that error_page gave the answer; 0: none.
    pub err_status: u16,
    /// What is only yes or no.
    pub flags: Flags,
    /// `$request`
    pub line: &'a [u8],
    /// `$request_uri`
    pub unparsed_uri: &'a [u8],
    /// `$uri`
    pub uri: &'a [u8],
    /// `$args`
    pub args: &'a [u8],
}

/// What of a request is only yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// HTTP/1.0, not 1.1.
    pub is_http_10: bool,
    /// The connection may serve another request afterwards.
    pub keepalive: bool,
    /// The answer's head was sent.
    pub head_sent: bool,
    /// The answer is in chunks (RFC 9112, section 7.1).
    pub chunked: bool,
    /// It was answered by 101, and the connection speaks WebSocket.
    pub upgraded: bool,
}

/// A variable of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable<'a> {
    /// Its name, without the dollar.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

//! As much of HTTP as a load generator needs: where a response ends, and what a request says.

/// What is known of a response of which some bytes are here.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Bytes of the head, with its empty line.
    pub head: usize,
    /// Bytes of the whole, when it is all here.
    pub end: Option<usize>,
}

/// Looks at the response that begins the bytes. Nothing while its head is not all here, or when it
/// is none.
pub fn response(bytes: &[u8]) -> Option<Response> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?)
        .ok()?
        .parse()
        .ok()?;
    let end = if let Some(length) = header(&bytes[..head], "content-length") {
        let end = head + std::str::from_utf8(length).ok()?.parse::<usize>().ok()?;
        (bytes.len() >= end).then_some(end)
    } else if header(&bytes[..head], "transfer-encoding").is_some() {
        find(&bytes[head - 2..], b"\r\n0\r\n\r\n").map(|at| head - 2 + at + 7)
    } else if matches!(status, 204 | 304) {
        Some(head)
    } else {
        None
    };
    Some(Response { status, head, end })
}

/// The value of a header field in a head; the name in lower case.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.get(name.len()..)?.strip_prefix(b":")?;
        line[..name.len()]
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| value.trim_ascii())
    })
}

/// Where `needle` first begins in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

/// The seq that a long poll's answer tells to ask for next: one after its last message's, but a
/// `next_seq` message's own.
pub fn next_seq(body: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"seq\":";
    let at = memchr::memmem::rfind(body, KEY)?;
    let digits = body[at + KEY.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let seq = digits.fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
    let start = memchr::memmem::rfind(&body[..at], b"\"type\":\"").unwrap_or(0);
    let told = body[start..].starts_with(b"\"type\":\"next_seq\"");
    Some(if told { seq } else { seq + 1 })
}

/// Whose header fields a subscriber sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// curl's: three short ones.
    Curl,
    /// A browser's: some 600 bytes.
    Browser,
}

impl Client {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Client::Curl => "curl",
            Client::Browser => "browser",
        }
    }

    /// The header fields, but for `Host` and `Accept`.
    pub fn headers(self) -> &'static str {
        match self {
            Client::Curl => "User-Agent: curl/7.88.1\r\n",
            Client::Browser => {
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like \
                 Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
                 Accept-Encoding: gzip, deflate, br, zstd\r\n\
                 Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
                 Cache-Control: no-cache\r\n\
                 Connection: keep-alive\r\n\
                 Cookie: session=2f8a6c1e9b3d4f70a5e8c2d1b6f49087; theme=dark; lang=en\r\n\
                 Origin: http://www.example.com\r\n\
                 Referer: http://www.example.com/chat/rooms/general?tab=messages\r\n\
                 Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\
                 sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_with_a_length_ends_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-length:  3\r\n\r\nok\nHTTP";
        let found = response(bytes).unwrap();
        assert_eq!((found.status, found.head, found.end), (200, 45, Some(48)));
        assert_eq!(response(&bytes[..47]).unwrap().end, None);
        assert_eq!(response(&bytes[..44]), None);
    }

    #[test]
    fn a_chunked_response_ends_with_its_last_chunk() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(response(bytes).unwrap().end, Some(bytes.len()));
        assert_eq!(response(&bytes[..bytes.len() - 1]).unwrap().end, None);
        let empty = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(response(empty).unwrap().end, Some(empty.len()));
    }

    #[test]
    fn header_fields_are_found_whatever_their_case() {
        let head = b"HTTP/1.1 200 OK\r\nLast-Modified: x\r\nEtag: 0\r\n\r\n";
        assert_eq!(header(head, "etag"), Some(&b"0"[..]));
        assert_eq!(header(head, "modified"), None);
    }

    #[test]
    fn the_next_seq_is_read() {
        assert_eq!(
            next_seq(br#"{"type":"next_seq","seq":4,"content":""}"#),
            Some(4)
        );
        assert_eq!(
            next_seq(br#"{"type":"data","seq":4,"content":""}"#),
            Some(5)
        );
        let batch = br#"[{"type":"data","seq":4,"c":""},{"type":"data","seq":11,"c":""}]"#;
        assert_eq!(next_seq(batch), Some(12));
        assert_eq!(next_seq(b"hello"), None);
    }

    #[test]
    fn a_browser_sends_some_six_hundred_bytes() {
        let length = Client::Browser.headers().len();
        // Host, Accept and the request line come on top.
        assert!((500..600).contains(&length), "{length}");
    }
}

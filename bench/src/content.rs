//! The content of a published message, found again in whatever a server sends.
//!
//! It tells channel, number and time of publishing between two `~`, and is filled up to 50 bytes,
//! of characters that need escaping nowhere. So it is found in a chunked stream, in SSE and in
//! JSON alike, without decoding any of them.

/// Bytes of a content.
pub const LENGTH: usize = 50;

/// Bytes from one `~` to the other.
const MARK: usize = 38;

/// What a content says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The number of the channel.
    pub channel: u32,
    /// The number of the message in its channel, from 1.
    pub number: u32,
    /// When it was published ([`crate::sys::now`]).
    pub time: u64,
}

impl Content {
    /// Its text.
    pub fn write(&self) -> String {
        format!(
            "~{:08}.{:08}.{:018}~{}",
            self.channel,
            self.number,
            self.time,
            "x".repeat(LENGTH - MARK)
        )
    }

    fn read(mark: &[u8]) -> Option<Self> {
        if mark[0] != b'~' || mark[MARK - 1] != b'~' || mark[9] != b'.' || mark[18] != b'.' {
            return None;
        }
        Some(Self {
            channel: u32::try_from(digits(&mark[1..9])?).ok()?,
            number: u32::try_from(digits(&mark[10..18])?).ok()?,
            time: digits(&mark[19..MARK - 1])?,
        })
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u64::from(byte - b'0'))
    })
}

/// Calls `each` for every content in the bytes; answers from where on they must be looked at again
/// when more has come (a content may be cut anywhere).
pub fn scan(bytes: &[u8], mut each: impl FnMut(Content)) -> usize {
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'~', &bytes[from..]) {
        let start = from + at;
        let Some(mark) = bytes.get(start..start + MARK) else {
            return start;
        };
        match Content::read(mark) {
            Some(content) => {
                each(content);
                from = start + MARK;
            }
            None => from = start + 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Content = Content {
        channel: 7,
        number: 12,
        time: 123_456_789_012,
    };

    #[test]
    fn a_content_is_fifty_bytes_and_read_back() {
        let text = ONE.write();
        assert_eq!(text.len(), LENGTH);
        let mut found = Vec::new();
        let bytes = format!("id: a-1\ndata: {{\"content\":\"{text}\"}}\n\n{text}");
        assert_eq!(scan(bytes.as_bytes(), |c| found.push(c)), bytes.len());
        assert_eq!(found, [ONE, ONE]);
    }

    #[test]
    fn a_cut_content_is_kept_for_later() {
        let text = ONE.write();
        for cut in 1..MARK {
            let bytes = format!("ab{}", &text[..cut]);
            assert_eq!(scan(bytes.as_bytes(), |_| panic!("not yet")), 2);
        }
    }

    #[test]
    fn a_tilde_that_is_no_content_is_passed() {
        let bytes = b"~ no content at all, but long enough to look like one";
        assert_eq!(scan(bytes, |_| panic!("none")), bytes.len());
    }
}

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

    /// A JSON text of so many bytes (200 at least), as of a chat: words and names that compress as such do.
    pub fn write_json(&self, length: usize) -> String {
        const WORDS: [&str; 32] = [
            "the", "of", "message", "and", "tomorrow", "a", "in", "we", "meeting", "is", "train",
            "you", "that", "it", "weather", "was", "for", "on", "question", "are", "with", "Paris",
            "they", "be", "at", "one", "number", "have", "this", "from", "by", "thanks",
        ];
        let mark = self.write();
        let mark = &mark[..MARK];
        let mut text = format!("{{\"mark\":\"{mark}\",\"room\":\"general\",\"messages\":[");
        // A linear congruential generator (Knuth's MMIX): the same text for all, in any run.
        let mut state = u64::from(self.number);
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        while text.len() + 110 < length {
            let (user, time) = (next(1000), 1_000_000 + next(1_000_000));
            text.push_str(&format!(
                "{{\"user\":\"u{user:03}\",\"time\":{time},\"text\":\""
            ));
            for _ in 0..6 {
                let word = WORDS[usize::try_from(next(32)).unwrap_or(0)];
                text.push_str(word);
                text.push(' ');
            }
            text.push_str("\"},");
        }
        text.push_str("{\"end\":\"");
        let rest = length.saturating_sub(text.len() + 4);
        text.push_str(&"x".repeat(rest));
        text.push_str("\"}]}");
        text
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
    fn a_json_text_is_one_of_its_length_and_read_back() {
        for length in [200, 1024, 2048] {
            let text = ONE.write_json(length);
            assert_eq!(text.len(), length);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            let mut found = Vec::new();
            scan(text.as_bytes(), |c| found.push(c));
            assert_eq!(found, [ONE]);
        }
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

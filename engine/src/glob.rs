//! Patterns of channel names.

/// A pattern in which `*` stands for any bytes, also none; every other byte stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pattern: Box<[u8]>,
}

impl Glob {
    /// The pattern.
    pub fn new(pattern: &[u8]) -> Glob {
        Glob {
            pattern: pattern.into(),
        }
    }

    /// Whether the whole name matches; at most as many steps as the name's length times the pattern's.
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = &*self.pattern;
        let (mut at, mut read) = (0, 0);
        // Behind the last star: where it is in the pattern, and which byte of the name it ends before.
        let mut star = None;
        while read < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, read));
                }
                Some(byte) if *byte == name[read] => {
                    at += 1;
                    read += 1;
                }
                _ => {
                    let Some((behind, taken)) = star else {
                        return false;
                    };
                    star = Some((behind, taken + 1));
                    (at, read) = (behind, taken + 1);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the pattern means, told by recursion.
    fn means(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', rest @ ..] => (0..=name.len()).any(|n| means(rest, &name[n..])),
            [byte, rest @ ..] => name.first() == Some(byte) && means(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_as_the_pattern_means(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Glob::new(pattern).matches(name), means(pattern, name));
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(Glob::new(b"chat.*").matches(b"chat.7"));
        assert!(Glob::new(b"chat.*").matches(b"chat."));
        assert!(!Glob::new(b"chat.*").matches(b"chat"));
        assert!(!Glob::new(b"chat.*").matches(b"a chat.7"));
        assert!(Glob::new(b"*.log").matches(b".log.log"));
        assert!(!Glob::new(b"").matches(b"a"));
    }
}

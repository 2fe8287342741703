//! Where a hook posts to.

use core::fmt;

use hyper::Uri;

/// A checked `http:` or `https:` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// TLS or not.
    pub(crate) secure: bool,
    /// Name or address, without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As the `Host` field has it.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It is none.
    Malformed,
    /// Its scheme is neither `http` nor `https`.
    Scheme,
    /// It names a user or password, which would stand in logs.
    User,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetError::Malformed => "is no URL: use one as \"https://backend.example/hook\"",
            TargetError::Scheme => "must begin with \"http://\" or \"https://\"",
            TargetError::User => "names a user: sign with secret=FILE instead",
        })
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Target, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(TargetError::Scheme),
        };
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::User);
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .map_or(host, |rest| rest.trim_end_matches(']'));
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // "host:" and ports beyond 65535 are none to http's parser.
            None if authority.as_str() != authority.host() => return Err(TargetError::Malformed),
            None if secure => 443,
            None => 80,
        };
        if host.is_empty() || port == 0 || text.contains('#') {
            return Err(TargetError::Malformed);
        }
        Ok(Target {
            secure,
            host: host.to_owned(),
            port,
            authority: authority.to_string(),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

impl fmt::Display for Target {
    /// Without the query, which may hold what no log should.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() -> Result<(), TargetError> {
        let target = Target::parse("https://[::1]:8443/a/b?key=1")?;
        assert_eq!(
            (target.host.as_str(), target.port, target.secure),
            ("::1", 8443, true)
        );
        assert_eq!(
            (target.authority.as_str(), target.path.as_str()),
            ("[::1]:8443", "/a/b?key=1")
        );
        assert_eq!(target.to_string(), "https://[::1]:8443/a/b");
        let target = Target::parse("http://backend")?;
        assert_eq!((target.port, target.path.as_str()), (80, "/"));
        Ok(())
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (text, error) in [
            ("backend/hook", TargetError::Malformed),
            ("/hook", TargetError::Scheme),
            ("ftp://backend/", TargetError::Scheme),
            ("http://", TargetError::Malformed),
            ("http://backend:99999/", TargetError::Malformed),
            ("http://backend:0/", TargetError::Malformed),
            ("http://me:word@backend/", TargetError::User),
            ("http://backend/#here", TargetError::Malformed),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }
}

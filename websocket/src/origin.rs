//! Whether a page of some origin may connect: unlike with other requests, a browser asks nobody
//! before it lets a page open a WebSocket (RFC 6455, section 10.2).

/// Which pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Those of the host that is asked.
    #[default]
    SameHost,
    /// All.
    Any,
    /// Those of these origins, as a browser writes them.
    Listed(Vec<String>),
}

impl AllowedOrigins {
    /// Whether a request with that `Origin` and `Host` may connect. Without an `Origin` it comes from no
    /// page, and may.
    pub fn allow(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            AllowedOrigins::Any => true,
            AllowedOrigins::SameHost => host.is_some_and(|host| is_same_host(origin, host)),
            AllowedOrigins::Listed(listed) => listed
                .iter()
                .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }
}

/// Whether a text is an origin that a browser could send: `null`, or a scheme, a host and perhaps a
/// port, without a path.
pub fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return text == "null";
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    !scheme.is_empty()
        && scheme.chars().all(letters)
        && !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']'))
}

fn is_same_host(origin: &[u8], host: &[u8]) -> bool {
    let Some(at) = origin.windows(3).position(|part| part == b"://") else {
        return false;
    };
    let (scheme, rest) = origin.split_at(at);
    let port: &[u8] = match scheme {
        b"https" => b":443",
        _ => b":80",
    };
    // A browser leaves the scheme's own port out.
    let named = rest.get(3..).unwrap_or_default();
    let host = host.strip_suffix(port).unwrap_or(host);
    !named.is_empty() && named.eq_ignore_ascii_case(host)
}

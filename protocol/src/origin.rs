//! Whether a page may ask: a browser lets pages of all origins open a WebSocket (RFC 6455, section 10.2),
//! run a script, open a frame and send a form, and asks nobody before.

/// An origin that a configuration names: `https://example.com`, `https://*.example.com`, `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Lower-case, without the scheme's own port; a wildcard stands here without its `*.`.
    origin: String,
    /// All hosts below it, and not the host itself.
    below: bool,
}

impl Pattern {
    /// Reads one; the error says what would be right.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        if text == "null" {
            let origin = text.to_owned();
            return Ok(Pattern {
                origin,
                below: false,
            });
        }
        let Some((scheme, host)) = text.split_once("://") else {
            return Err(
                "give origins as browsers send them, as in \"https://example.com\", \
                 or \"*\" alone",
            );
        };
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        if host.contains('*') {
            return Err("\"*\" stands for the first labels of a host alone, \
                 as in \"https://*.example.com\"");
        }
        if matches!(scheme.to_ascii_lowercase().as_str(), "ws" | "wss") {
            return Err(
                "give the page's scheme, which is \"http\" or \"https\" for a WebSocket as well",
            );
        }
        let origin = Origin::parse(format!("{scheme}://{host}").as_bytes()).ok_or(
            "give a scheme, a host and perhaps a port, without a path, \
             as in \"https://example.com:8443\"",
        )?;
        Ok(Pattern {
            origin: origin.0,
            below,
        })
    }

    fn matches(&self, origin: &Origin) -> bool {
        if !self.below {
            return self.origin == origin.0;
        }
        let (Some((scheme, base)), Some((asked, host))) =
            (self.origin.split_once("://"), origin.0.split_once("://"))
        else {
            return false;
        };
        scheme == asked
            && host
                .strip_suffix(base)
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty())
    }
}

/// An origin in one spelling: lower-case, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin(String);

impl Origin {
    /// An `Origin` field; `null` is one as well.
    fn parse(text: &[u8]) -> Option<Origin> {
        let text = core::str::from_utf8(text).ok()?;
        if text == "null" {
            return Some(Origin(text.to_owned()));
        }
        let (scheme, rest) = text.split_once("://")?;
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if scheme.is_empty() || !scheme.chars().all(letters) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(rest)?;
        let port = match (scheme.as_str(), port) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        let host = host.to_ascii_lowercase();
        Some(Origin(format!("{scheme}://{host}{port}")))
    }

    /// The origin of the page in a `Referer`.
    fn of_url(url: &[u8]) -> Option<Origin> {
        let text = core::str::from_utf8(url).ok()?;
        let (scheme, rest) = text.split_once("://")?;
        let host = rest.split(['/', '?', '#']).next()?;
        Origin::parse(format!("{scheme}://{host}").as_bytes())
    }
}

fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = (text.get(..end)?, text.get(end..)?);
    let named = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => {
            !address.is_empty()
                && address
                    .chars()
                    .all(|c| c.is_ascii_hexdigit() || ":.".contains(c))
        }
        None => {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
    };
    if !named {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        _ => None,
    }
}

/// What a request says of the page that sent it, and where it came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// `Sec-Fetch-Site`, which no page can set.
    pub site: Option<&'a [u8]>,
    /// `Origin`.
    pub origin: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// One of these came more than once, which no browser does.
    pub twice: bool,
    /// `Host`.
    pub host: Option<&'a [u8]>,
    /// The request came by TLS.
    pub tls: bool,
}

impl Page<'_> {
    /// Whether the browser, or else the page's origin, says that the page is of this very origin. A
    /// browser also knows of a proxy that ended TLS.
    fn is_own(&self, origin: Option<&Origin>) -> bool {
        match self.site {
            Some(site) => site == b"same-origin",
            None => self.own().is_some_and(|own| origin == Some(&own)),
        }
    }

    fn own(&self) -> Option<Origin> {
        let host = core::str::from_utf8(self.host?).ok()?;
        let scheme = if self.tls { "https" } else { "http" };
        Origin::parse(format!("{scheme}://{host}").as_bytes())
    }
}

/// Which pages may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Those of the origin that is asked.
    #[default]
    SameOrigin,
    /// All.
    Any,
    /// Those of these origins.
    Listed(Vec<Pattern>),
}

impl AllowedOrigins {
    /// Whether a page may open a WebSocket. Without an `Origin` it comes from no page, and may.
    pub fn allow_socket(&self, page: &Page<'_>) -> bool {
        let Some(text) = page.origin else {
            return !page.twice;
        };
        let origin = Origin::parse(text);
        match self {
            AllowedOrigins::Any => true,
            _ if page.twice => false,
            AllowedOrigins::SameOrigin => page.is_own(origin.as_ref()),
            AllowedOrigins::Listed(_) => origin.is_some_and(|origin| self.lists(&origin)),
        }
    }

    /// Whether a request that any page could have made may be served. Pages of the own origin may, and
    /// what says nothing of a page, as other clients than browsers do.
    pub fn allow(&self, page: &Page<'_>) -> bool {
        if *self == AllowedOrigins::Any {
            return true;
        }
        if page.twice {
            return false;
        }
        if page.site == Some(b"none") {
            // Typed into the address line, or a bookmark.
            return true;
        }
        let origin = match (page.origin, page.referer) {
            (Some(origin), _) => Origin::parse(origin),
            (None, Some(url)) => Origin::of_url(url),
            (None, None) if page.site.is_none() => return true,
            (None, None) => None,
        };
        page.is_own(origin.as_ref()) || origin.is_some_and(|origin| self.lists(&origin))
    }

    /// What `Access-Control-Allow-Origin` says where not all may read: the page's origin, if it is listed.
    pub fn reader<'a>(&self, page: &Page<'a>) -> Option<&'a [u8]> {
        let text = page.origin.filter(|_| !page.twice)?;
        let origin = Origin::parse(text)?;
        self.lists(&origin).then_some(text)
    }

    fn lists(&self, origin: &Origin) -> bool {
        match self {
            AllowedOrigins::Listed(listed) => listed.iter().any(|known| known.matches(origin)),
            _ => false,
        }
    }
}

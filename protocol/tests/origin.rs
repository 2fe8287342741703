//! Which pages may ask.

use icomet_protocol::origin::{AllowedOrigins, Page, Pattern};
use proptest::prelude::*;

fn page<'a>(origin: &'a str, host: &'a str, tls: bool) -> Page<'a> {
    Page {
        origin: Some(origin.as_bytes()),
        host: Some(host.as_bytes()),
        tls,
        ..Page::default()
    }
}

fn listed(origins: &[&str]) -> AllowedOrigins {
    let read: Vec<_> = origins
        .iter()
        .flat_map(|text| Pattern::parse(text))
        .collect();
    assert_eq!(read.len(), origins.len(), "all are origins");
    AllowedOrigins::Listed(read)
}

#[test]
fn the_own_origin_has_a_scheme() {
    let same = AllowedOrigins::SameOrigin;
    for (origin, host, tls) in [
        ("https://a.example", "a.example", true),
        ("https://a.example", "A.example:443", true),
        ("http://a.example:8080", "a.example:8080", false),
        ("http://[::1]:8080", "[::1]:8080", false),
    ] {
        let page = page(origin, host, tls);
        assert!(
            same.allow_socket(&page) && same.allow(&page),
            "{origin} {host}"
        );
    }
    for (origin, host, tls) in [
        ("http://a.example", "a.example", true),
        ("https://a.example", "a.example", false),
        ("https://b.example", "a.example", true),
        ("http://a.example:8080", "a.example", false),
        ("https://a.example", "a.example:80", true),
        ("null", "a.example", false),
        ("", "", false),
        ("http://", "", false),
    ] {
        let page = page(origin, host, tls);
        assert!(
            !same.allow_socket(&page) && !same.allow(&page),
            "{origin} {host}"
        );
    }
    assert!(same.allow_socket(&Page::default()) && same.allow(&Page::default()));
}

#[test]
fn a_list_is_normalised_and_has_wildcards() {
    let list = listed(&["https://A.example:443", "https://*.b.example:8443", "null"]);
    for good in [
        "https://a.example",
        "https://A.example:443",
        "https://x.b.example:8443",
        "https://x.y.B.example:8443",
        "null",
    ] {
        let page = page(good, "other", false);
        assert!(list.allow_socket(&page) && list.allow(&page), "{good}");
        assert_eq!(list.reader(&page), Some(good.as_bytes()));
    }
    for bad in [
        "https://a.example.evil",
        "http://a.example",
        "https://b.example:8443",
        "https://.b.example:8443",
        "https://xb.example:8443",
        "https://x.b.example",
        "http://x.b.example:8443",
        "",
    ] {
        let page = page(bad, "other", false);
        assert!(!list.allow_socket(&page) && !list.allow(&page), "{bad}");
        assert_eq!(list.reader(&page), None);
    }
}

#[test]
fn what_a_list_does_not_take() {
    for bad in [
        "",
        "a.example",
        "*",
        "https://",
        "https://a.example/",
        "://a",
        "https://a b",
        "https://*",
        "https://*.",
        "https://a.*.example",
        "https://*a.example",
        "https://a.example:x",
        "https://a.example:70000",
        "wss://a.example",
        "https://[::1",
    ] {
        assert!(Pattern::parse(bad).is_err(), "{bad}");
    }
    for good in [
        "null",
        "https://a.example",
        "http://[::1]:80",
        "app+x://y",
        "http://*.a:8080",
    ] {
        assert!(Pattern::parse(good).is_ok(), "{good}");
    }
}

#[test]
fn what_the_browser_says_counts() {
    let from =
        |site: &'static str, origin: Option<&'static str>, referer: Option<&'static str>| Page {
            site: Some(site.as_bytes()),
            origin: origin.map(str::as_bytes),
            referer: referer.map(str::as_bytes),
            host: Some(b"a.example"),
            ..Page::default()
        };
    let same = AllowedOrigins::SameOrigin;
    assert!(same.allow(&from("same-origin", None, None)));
    assert!(same.allow(&from("none", None, None)));
    // TLS ended at a proxy: the browser knows what it asked.
    assert!(same.allow(&from("same-origin", Some("https://a.example"), None)));
    assert!(same.allow_socket(&from("same-origin", Some("https://a.example"), None)));
    for site in ["cross-site", "same-site", "other", ""] {
        assert!(!same.allow(&from(site, None, None)), "{site}");
        assert!(
            !same.allow(&from(site, Some("http://a.example"), None)),
            "{site}"
        );
        assert!(
            !same.allow(&from(site, None, Some("http://a.example/"))),
            "{site}"
        );
        assert!(
            !same.allow_socket(&from(site, Some("http://a.example"), None)),
            "{site}"
        );
        assert!(AllowedOrigins::Any.allow(&from(site, None, None)), "{site}");
    }
    let list = listed(&["https://b.example"]);
    assert!(list.allow(&from("cross-site", None, Some("https://b.example/x?y"))));
    assert!(list.allow(&from("same-site", Some("https://b.example"), None)));
    assert!(!list.allow(&from(
        "cross-site",
        None,
        Some("https://c.example/https://b.example")
    )));
    assert!(!list.allow(&from("cross-site", None, None)));
}

#[test]
fn an_old_browser_sends_a_referer() {
    let from = |url: &'static str| Page {
        referer: Some(url.as_bytes()),
        host: Some(b"a.example"),
        ..Page::default()
    };
    let same = AllowedOrigins::SameOrigin;
    assert!(same.allow(&from("http://a.example/page")));
    for foreign in [
        "http://b.example/page",
        "https://a.example/",
        "about:blank",
        "http://a.example@b/",
    ] {
        assert!(!same.allow(&from(foreign)), "{foreign}");
    }
    let twice = Page {
        twice: true,
        ..from("http://a.example/page")
    };
    assert!(!same.allow(&twice));
}

proptest! {
    #[test]
    fn no_text_panics_and_a_wildcard_keeps_to_its_host(text in ".{0,40}", label in "[a-z.:/@*-]{0,12}") {
        let _ = Pattern::parse(&text);
        let list = listed(&["https://*.example.com"]);
        let origin = format!("https://{label}evil.example");
        prop_assert!(!list.allow(&page(&origin, &text, true)));
        prop_assert!(!list.allow(&page("https://example.com", &text, false)));
        let _ = list.allow(&page(&text, &label, true));
    }
}

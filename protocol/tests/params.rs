//! Parameters: decoding, precedence, and each answer to bad input.

use icomet_protocol::params::{check_channel_name, check_user};
use icomet_protocol::resume::Epoch;
use icomet_protocol::{ParameterError, Params};
use proptest::prelude::*;
use std::borrow::Cow;

fn query(query: &str) -> Params<'_> {
    Params::new(query.as_bytes(), None)
}

fn said<T>(result: Result<T, ParameterError>) -> String {
    match result {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn values_are_decoded() {
    let params = query("a=1+2&b=%41%c3%a9%2B&c=100%&d=%zz%4&%65=key&f&g=x=y&&=nameless&h=");
    let get = |name| params.get(name).map(Cow::into_owned);
    assert_eq!(get("a").unwrap(), b"1 2");
    assert_eq!(get("b").unwrap(), "Aé+".as_bytes());
    assert_eq!(get("c").unwrap(), b"100%");
    assert_eq!(get("d").unwrap(), b"%zz%4");
    assert_eq!(get("e").unwrap(), b"key");
    assert_eq!(get("f").unwrap(), b"");
    assert_eq!(get("g").unwrap(), b"x=y");
    assert_eq!(get("h").unwrap(), b"");
    assert_eq!(get("A"), None);
    assert_eq!(get("zz"), None);
}

#[test]
fn plain_values_are_borrowed() {
    assert!(matches!(
        query("cname=abc").get("cname"),
        Some(Cow::Borrowed(b"abc"))
    ));
    assert!(matches!(
        query("cname=abc").channel_name(),
        Ok(Cow::Borrowed("abc"))
    ));
    assert!(matches!(query("content=%41").content(), Cow::Owned(_)));
}

#[test]
fn body_wins_and_the_first_of_a_name_wins() {
    let params = Params::new(
        b"cname=query&seq=7&noop=3",
        Some(b"cname=body&cname=later&seq="),
    );
    assert_eq!(params.channel_name().unwrap(), "body");
    assert_eq!(
        params.seq(),
        Ok(0),
        "an empty value in the body hides the query's"
    );
    assert_eq!(params.noop(), Ok(3));
    assert_eq!(query("cname=one&cname=two").channel_name().unwrap(), "one");
    assert_eq!(
        Params::new(b"cname=query", Some(b""))
            .channel_name()
            .unwrap(),
        "query"
    );
}

#[test]
fn absent_and_empty_values_take_their_defaults() {
    for text in [
        "",
        "seq=&noop=&wait=&detail=&expires=&epoch=&cb=&token=&content=",
    ] {
        let params = query(text);
        assert_eq!(params.seq(), Ok(0));
        assert_eq!(params.noop(), Ok(0));
        assert_eq!(params.wait(), Ok(None));
        assert_eq!(params.detail(), Ok(false));
        assert_eq!(params.expires(), Ok(-1));
        assert_eq!(params.epoch(), None);
        assert_eq!(params.asks_epoch(), !text.is_empty());
        assert_eq!(params.last_event_id(), None);
        assert_eq!(params.callback(), Ok(None));
        assert_eq!(params.token(), None);
        assert_eq!(params.content(), Cow::Borrowed(b""));
    }
}

#[test]
fn numbers_within_their_range() {
    assert_eq!(query("seq=18446744073709551615").seq(), Ok(u64::MAX));
    assert_eq!(query("noop=18446744073709551615").noop(), Ok(u64::MAX));
    assert_eq!(query("seq=%31%32").seq(), Ok(12));
    assert_eq!(query("wait=0").wait(), Ok(Some(0)));
    assert_eq!(query("detail=0").detail(), Ok(false));
    assert_eq!(query("detail=1").detail(), Ok(true));
    assert!(query("detail=2").detail().is_err());
    assert_eq!(query("wait=3600").wait(), Ok(Some(3600)));
    assert_eq!(query("expires=31536000").expires(), Ok(31_536_000));
    assert_eq!(query("expires=-2147483648").expires(), Ok(-2_147_483_648));
    assert_eq!(query("expires=-0").expires(), Ok(0));
}

#[test]
fn an_epoch_is_one_of_ours_or_another_one() {
    let ours = Epoch {
        zone: 0x00ff_abcd_1234_5678,
        incarnation: 35,
    };
    assert_eq!(query("epoch=00ffABcd12345678.z").epoch(), Some(ours));
    for other in ["0", "00ffabcd12345678", "00ffabcd12345678.", "x,y", "%00"] {
        let found = query(&format!("epoch={other}")).epoch();
        assert_eq!(found, Some(Epoch::NONE), "{other}");
    }
}

#[test]
fn polyfills_say_the_last_id_in_the_query() {
    for text in [
        "lastEventId=a-1",
        "Last-Event-ID=a-1",
        "lastEventID=a%2D1",
        "lastEventId=&lastEventID=a-1",
    ] {
        let found = query(text).last_event_id();
        assert_eq!(found.as_deref(), Some(&b"a-1"[..]), "{text}");
    }
    assert_eq!(query("last-event-id=a-1").last_event_id(), None);
}

#[test]
fn numbers_out_of_range_say_the_range() {
    let full = "is not a number from 0 to 18446744073709551615";
    for bad in [
        "-1",
        "+1",
        "1+",
        "1.5",
        "1e3",
        "abc",
        "0x1",
        "18446744073709551616",
    ] {
        assert_eq!(
            said(query(&format!("seq={bad}")).seq()),
            format!("seq {full}")
        );
        assert_eq!(
            said(query(&format!("noop={bad}")).noop()),
            format!("noop {full}")
        );
    }
    for bad in ["-1", "3601", "65536", "99999999999999999999", "x"] {
        assert_eq!(
            said(query(&format!("wait={bad}")).wait()),
            "wait is not a number from 0 to 3600"
        );
    }
    for bad in [
        "31536001",
        "-2147483649",
        "-",
        "--1",
        "-9223372036854775809",
        "1 ",
    ] {
        assert_eq!(
            said(query(&format!("expires={bad}")).expires()),
            "expires is not a number from -2147483648 to 31536000"
        );
    }
}

#[test]
fn channel_names() {
    let longest = "n".repeat(256);
    for name in ["a", "a,b", "<b>\"x\"</b>", "日本", "a b", longest.as_str()] {
        assert_eq!(check_channel_name(name.as_bytes()), Ok(name));
    }
    let too_long = "n".repeat(257);
    for (name, error) in [
        (&b""[..], ParameterError::ChannelNameEmpty),
        (too_long.as_bytes(), ParameterError::ChannelNameTooLong),
        (b"a\xff", ParameterError::ChannelNameNotUtf8),
        (b"a\0", ParameterError::ChannelNameControl),
        (b"a\nb", ParameterError::ChannelNameControl),
        (b"\x7f", ParameterError::ChannelNameControl),
        ("a\u{85}".as_bytes(), ParameterError::ChannelNameControl),
    ] {
        assert_eq!(check_channel_name(name), Err(error), "{name:?}");
    }
    assert_eq!(
        query("seq=1").channel_name(),
        Err(ParameterError::ChannelNameMissing)
    );
    assert_eq!(
        query("cname=").channel_name(),
        Err(ParameterError::ChannelNameEmpty)
    );
    assert_eq!(
        query("cname=a%00b").channel_name(),
        Err(ParameterError::ChannelNameControl)
    );
    assert_eq!(query("cname=a%20b+c").channel_name().unwrap(), "a b c");
}

#[test]
fn callbacks() {
    let callback = query("cb=app.on%5Fmessage").callback().unwrap().unwrap();
    assert_eq!(callback.as_str(), "app.on_message");
    assert!(said(query("cb=alert(1)").callback()).starts_with("cb is not a JavaScript identifier"));
    let long = format!("cb={}", "a".repeat(129));
    assert_eq!(said(query(&long).callback()), "cb is longer than 128 bytes");
}

#[test]
fn a_long_pair_does_not_hide_the_next() {
    let body = format!("content={}&cname=abc", "x".repeat(1 << 20));
    let params = Params::new(b"", Some(body.as_bytes()));
    assert_eq!(params.channel_name().unwrap(), "abc");
    assert_eq!(params.content().len(), 1 << 20);
    let no_value = format!("{}&cname=abc", "x".repeat(1000));
    assert_eq!(query(&no_value).channel_name().unwrap(), "abc");
    assert_eq!(query("%63%6e%61%6d%65=abc").channel_name().unwrap(), "abc");
}

/// As a browser encodes a form value.
fn encode(value: &[u8]) -> String {
    value
        .iter()
        .map(|&byte| match byte {
            b' ' => "+".to_owned(),
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect()
}

#[test]
fn users() {
    assert_eq!(query("").user(), Ok(None));
    assert_eq!(query("user=").user(), Ok(None));
    assert_eq!(query("user=ann").user(), Ok(Some("ann".into())));
    assert_eq!(query("user=a+%c3%a9").user(), Ok(Some("a \u{e9}".into())));
    let longest = "a".repeat(128);
    assert_eq!(
        query(&format!("user={longest}")).user(),
        Ok(Some(longest.as_str().into()))
    );
    assert_eq!(
        query(&format!("user={longest}a")).user(),
        Err(ParameterError::UserLength)
    );
    assert_eq!(query("user=%ff").user(), Err(ParameterError::UserNotUtf8));
    for control in ["%00", "%0a", "%7f", "%c2%85"] {
        assert_eq!(
            query(&format!("user=a{control}")).user(),
            Err(ParameterError::UserControl)
        );
    }
    assert_eq!(check_user(b""), Err(ParameterError::UserLength));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(query: Vec<u8>, body: Option<Vec<u8>>) {
        read_all(Params::new(&query, body.as_deref()));
    }

    #[test]
    fn near_parameters_never_panic(
        text in "((cname|seq|noop|wait|expires|epoch|cb|token|content|%63name)[=&%+]?[-0-9a-f%+.&=]{0,20}&?){0,6}"
    ) {
        read_all(query(&text));
    }

    #[test]
    fn encode_then_get(before: Vec<u8>, value: Vec<u8>) {
        let text = format!("x={}&content={}&y", encode(&before), encode(&value));
        prop_assert_eq!(query(&text).content(), &value[..]);
        let in_body = Params::new(b"content=no", Some(text.as_bytes()));
        prop_assert_eq!(in_body.content(), &value[..]);
    }

    #[test]
    fn numbers_come_back(seq: u64, expires in -2_147_483_648i64..=31_536_000, wait in 0u16..=3600) {
        let text = format!("seq={seq}&expires={expires}&wait={wait}");
        prop_assert_eq!(query(&text).seq(), Ok(seq));
        prop_assert_eq!(query(&text).expires(), Ok(expires));
        prop_assert_eq!(query(&text).wait(), Ok(Some(wait)));
    }

    #[test]
    fn names_that_pass_hold_what_is_promised(name: Vec<u8>) {
        if let Ok(name) = check_channel_name(&name) {
            prop_assert!((1..=256).contains(&name.len()));
            prop_assert!(!name.chars().any(char::is_control));
        }
    }
}

fn read_all(params: Params<'_>) {
    let _ = params.channel_name().map_err(|error| error.to_string());
    let _ = params.seq().map_err(|error| error.to_string());
    let _ = (
        params.noop(),
        params.wait(),
        params.expires(),
        params.epoch(),
    );
    let _ = params.callback().map_err(|error| error.to_string());
    let _ = (
        params.token(),
        params.user(),
        params.content(),
        params.get(""),
    );
}

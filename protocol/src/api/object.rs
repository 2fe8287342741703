//! JSON objects and arrays, one level at a time; what stands in them stays text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Problem;
use super::problem::shortened;

/// A body as one JSON value.
pub(crate) fn parse(body: &[u8]) -> Result<&RawValue, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("this is not UTF-8 at byte {}", error.valid_up_to());
        Problem::new(400, "not_utf8", detail)
    })?;
    serde_json::from_str(text).map_err(|error| bad_json(&error))
}

/// serde_json says what it expected, and where; it repeats nothing of the text.
fn bad_json(error: &serde_json::Error) -> Problem {
    Problem::new(400, "bad_json", format!("this is not JSON: {error}"))
}

/// The member that may be any JSON value, `null` as well.
const ANY: &str = "content";

/// The members of an object, in the order of `names`. `pointer` is where it stands. One that is `null` is
/// not there, but for [`ANY`]: many libraries write so what they have no value for.
pub(crate) fn members<'a, const N: usize>(
    value: &'a RawValue,
    names: &[&'static str; N],
    pointer: &str,
) -> Result<[Option<&'a RawValue>; N], Problem> {
    if !value.get().starts_with('{') {
        let detail = format!("an object is needed, with {}", names.join(", "));
        return Err(Problem::at(pointer, "wrong_type", detail));
    }
    let mut problem = None;
    let visitor = Members {
        names,
        pointer,
        problem: &mut problem,
    };
    let read = serde_json::Deserializer::from_str(value.get()).deserialize_map(visitor);
    read.map_err(|error| problem.unwrap_or_else(|| bad_json(&error)))
}

struct Members<'v, const N: usize> {
    names: &'v [&'static str; N],
    pointer: &'v str,
    problem: &'v mut Option<Problem>,
}

impl<'a, const N: usize> Visitor<'a> for Members<'_, N> {
    type Value = [Option<&'a RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = [None; N];
        let mut seen = [false; N];
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let known = self.names.iter().position(|name| *name == key);
            let slot = known.and_then(|n| members.get_mut(n).zip(seen.get_mut(n)));
            let (code, detail) = match slot {
                Some((slot, seen @ false)) => {
                    *seen = true;
                    let value: &RawValue = map.next_value()?;
                    *slot = (value.get() != "null" || key == ANY).then_some(value);
                    continue;
                }
                Some((_, true)) => ("duplicate_member", "this member is there twice".to_owned()),
                None => (
                    "unknown_member",
                    format!("no such member: {} are known", self.names.join(", ")),
                ),
            };
            map.next_value::<IgnoredAny>()?;
            let pointer = format!("{}/{}", self.pointer, escaped(&key));
            *self.problem = Some(Problem::at(pointer, code, detail));
            return Err(A::Error::custom("a member"));
        }
        Ok(members)
    }
}

/// A key as it stands in a JSON pointer.
fn escaped(key: &str) -> String {
    shortened(key).replace('~', "~0").replace('/', "~1")
}

/// The elements of an array; `None` when there are more than `most`.
pub(crate) fn elements<'a>(
    value: &'a RawValue,
    most: usize,
    pointer: &str,
) -> Result<Option<Vec<&'a RawValue>>, Problem> {
    if !value.get().starts_with('[') {
        return Err(Problem::at(pointer, "wrong_type", "an array is needed"));
    }
    let mut is_long = false;
    let visitor = Elements {
        most,
        is_long: &mut is_long,
    };
    match serde_json::Deserializer::from_str(value.get()).deserialize_seq(visitor) {
        Ok(elements) => Ok(Some(elements)),
        Err(_) if is_long => Ok(None),
        Err(error) => Err(bad_json(&error)),
    }
}

struct Elements<'v> {
    most: usize,
    is_long: &'v mut bool,
}

impl<'a> Visitor<'a> for Elements<'_> {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() >= self.most {
                *self.is_long = true;
                return Err(A::Error::custom("too many"));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

/// A boolean that may be left out, which is false then.
pub(crate) fn flag(value: Option<&RawValue>, pointer: &str) -> Result<bool, Problem> {
    match value.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::at(
            pointer,
            "wrong_type",
            "true or false is needed",
        )),
    }
}

/// A string's text.
pub(crate) fn string<'a>(value: &'a RawValue, pointer: &str) -> Result<Cow<'a, str>, Problem> {
    let text = value.get();
    if !text.starts_with('"') {
        return Err(Problem::at(pointer, "wrong_type", "a string is needed"));
    }
    if let Some(inside) = text.get(1..text.len() - 1)
        && !inside.contains('\\')
    {
        return Ok(Cow::Borrowed(inside));
    }
    // What JSON's grammar lets pass, and no text has: half of a surrogate pair.
    serde_json::from_str(text).map(Cow::Owned).map_err(|_| {
        let detail = "the string has half of a surrogate pair, which is no character";
        Problem::at(pointer, "bad_string", detail)
    })
}

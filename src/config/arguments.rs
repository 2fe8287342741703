//! Which parameters of a request a value with variables reads: its `$arg_NAME`.

/// NAME of a value that is `$arg_NAME` and nothing else.
pub fn parameter_name(text: &'static [u8]) -> Option<&'static str> {
    let text = core::str::from_utf8(text).ok()?;
    let name = text.strip_prefix("$arg_").or_else(|| {
        text.strip_prefix("${arg_")
            .and_then(|rest| rest.strip_suffix('}'))
    })?;
    (!name.is_empty() && name.bytes().all(is_of_name)).then_some(name)
}

/// The NAME of each `$arg_NAME` and `${arg_NAME}` in a value, each once.
pub fn parameters(text: &'static [u8]) -> Vec<&'static str> {
    const ARG: &[u8] = b"arg_";
    let mut names: Vec<&'static str> = Vec::new();
    for part in text.split(|byte| *byte == b'$').skip(1) {
        let part = part.strip_prefix(b"{").unwrap_or(part);
        // nginx knows variables in any case of their letters.
        let name = match part.split_at_checked(ARG.len()) {
            Some((head, name)) if head.eq_ignore_ascii_case(ARG) => name,
            _ => continue,
        };
        let end = name.iter().position(|byte| !is_of_name(*byte));
        let name = core::str::from_utf8(name.get(..end.unwrap_or(name.len())).unwrap_or_default());
        let name = name.unwrap_or_default();
        let is_known = || names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if !name.is_empty() && !is_known() {
            names.push(name);
        }
    }
    names
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_of_a_value_is_found() {
        for (text, names) in [
            ("$arg_x", &["x"][..]),
            ("${arg_x}y", &["x"]),
            ("a$arg_x-$ARG_y_2.$arg_X", &["x", "y_2"]),
            ("$uri$arg_$args$arg", &[]),
            ("arg_x", &[]),
            ("$$arg_x${arg_y", &["x", "y"]),
            ("", &[]),
        ] {
            assert_eq!(parameters(text.as_bytes()), names, "{text}");
        }
    }
}

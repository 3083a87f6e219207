//! Names as Route 53 keeps them: lower case, a dot at the end, `\ooo` for what is not a-z 0-9 - _ .

/// Brings a name into the stored form.
///
/// # Errors
/// A text that says what is wrong with which name.
pub(crate) fn normalise(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("DomainLabelEmpty (Domain label is empty)".into());
    }
    let bytes = name.strip_suffix('.').unwrap_or(name).as_bytes();
    let mut out = String::with_capacity(bytes.len() + 1);
    // Lengths are those of the real name, in which an escape is one character.
    let (mut label, mut total) = (0, 0);
    let mut at = 0;
    while at < bytes.len() {
        let (byte, escaped) = match bytes[at] {
            b'\\' => {
                let digits = bytes.get(at + 1..at + 4).and_then(|d| std::str::from_utf8(d).ok());
                let value = digits.and_then(|d| u8::from_str_radix(d, 8).ok());
                at += 3;
                (
                    value.ok_or_else(|| {
                        format!(
                            "UnsupportedCharacter (a backslash must start three octal digits) encountered with '{name}'"
                        )
                    })?,
                    true,
                )
            }
            byte => (byte, false),
        };
        at += 1;
        if byte == b'.' && !escaped {
            if label == 0 {
                return Err(format!("DomainLabelEmpty (Domain label is empty) encountered with '{name}'"));
            }
            label = 0;
            out.push('.');
        } else {
            label += 1;
            if label > 63 {
                return Err(format!("DomainLabelTooLong (Domain label is too long) encountered with '{name}'"));
            }
            let lower = byte.to_ascii_lowercase();
            if lower.is_ascii_lowercase() || lower.is_ascii_digit() || lower == b'-' || lower == b'_' {
                out.push(char::from(lower));
            } else {
                out.push_str(&format!("\\{lower:03o}"));
            }
        }
        total += 1;
    }
    if label == 0 {
        return Err(format!("DomainLabelEmpty (Domain label is empty) encountered with '{name}'"));
    }
    if total + 1 > 255 {
        return Err(format!("DomainNameTooLong (Domain name is too long) encountered with '{name}'"));
    }
    out.push('.');
    Ok(out)
}

/// The order key of a stored name: labels reversed, with the dot at the end.
pub(crate) fn reversed(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for label in name.trim_end_matches('.').rsplit('.') {
        out.push_str(label);
        out.push('.');
    }
    out
}

/// Whether a stored name is the zone's or below it.
pub(crate) fn within(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form() {
        for (given, stored) in [
            ("App.Example.com", "app.example.com."),
            ("app.example.com.", "app.example.com."),
            ("*.example.com", "\\052.example.com."),
            ("\\052.example.com", "\\052.example.com."),
            ("_x.example.com", "_x.example.com."),
            ("a@b.example.com", "a\\100b.example.com."),
        ] {
            assert_eq!(normalise(given).unwrap(), stored, "{given}");
        }
        for refused in ["", ".", "a..b", ".a", "a\\9.b"] {
            assert!(normalise(refused).is_err(), "{refused}");
        }
        assert!(normalise(&format!("{}.com", "a".repeat(64))).is_err());
        assert!(normalise(&"abcdefg.".repeat(32)).is_err());
    }

    #[test]
    fn order_and_containment() {
        assert_eq!(reversed("www.example.com."), "com.example.www.");
        assert!(within("a.example.com.", "example.com."));
        assert!(within("example.com.", "example.com."));
        assert!(!within("anexample.com.", "example.com."));
    }
}

use std::fmt::Write as _;

use super::{Arg, Directive, Name, Piece};

/// Writes the tree.
///
/// Quoting keeps text in its place but does not remove every meaning: `$` has no escape in nginx, and a leading
/// `~`, `=` or `@` is a modifier even inside quotes. So text with `$` or a control character never reaches here
/// (the grammars of this crate have no such text), and modifiers are separate static words.
///
/// # Panics
/// If literal text holds `$` or anything but visible ASCII and space. That is a fault of this crate: every type
/// with a grammar excludes it, and a panic in a test is better than a directive in production.
#[must_use]
pub fn serialize(tree: &[Directive]) -> String {
    let mut out = String::with_capacity(4096);
    for directive in tree {
        write_directive(&mut out, directive, 0);
    }
    out
}

fn write_directive(out: &mut String, directive: &Directive, depth: usize) {
    indent(out, depth);
    match &directive.name {
        Name::Static(name) => out.push_str(name),
        Name::Key(key) => write_quoted(out, key),
    }
    for arg in &directive.args {
        out.push(' ');
        write_arg(out, arg);
    }
    match &directive.block {
        None => out.push_str(";\n"),
        Some(children) => {
            out.push_str(" {\n");
            for child in children {
                write_directive(out, child, depth + 1);
            }
            indent(out, depth);
            out.push_str("}\n");
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn write_arg(out: &mut String, arg: &Arg) {
    match arg {
        Arg::Word(word) => out.push_str(word),
        Arg::Number(number) => append(out, format_args!("{number}")),
        Arg::Unit(prefix, number, suffix) => append(out, format_args!("{prefix}{number}{suffix}")),
        Arg::Quoted(text) => write_quoted(out, text),
        Arg::OneLabelWildcard(suffix) => {
            let escaped = suffix.replace('.', "\\.");
            assert!(
                suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'),
                "wildcard suffix {suffix:?}"
            );
            append(out, format_args!("\"~^[^.]+\\.{escaped}$\""));
        }
        Arg::Variable(prefix, hash) => append(out, format_args!("${prefix}{}", hash.as_str())),
        Arg::VariableUrl(scheme, prefix, hash) => append(out, format_args!("{scheme}://${prefix}{}", hash.as_str())),
        Arg::UpstreamHeader(name) => {
            let word = name.as_str().replace('-', "_");
            // Its grammar has nothing else; a word of nginx with more in it would be more than a word.
            assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "header name {word:?}");
            append(out, format_args!("$upstream_http_{word}"));
        }
        Arg::Named(prefix, hash, suffix) => append(out, format_args!("{prefix}{}{suffix}", hash.as_str())),
        Arg::Joined(pieces) => {
            out.push('"');
            for piece in pieces {
                match piece {
                    Piece::Text(text) => write_escaped(out, text),
                    Piece::Variable(name) => append(out, format_args!("${{{name}}}")),
                }
            }
            out.push('"');
        }
    }
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    write_escaped(out, text);
    out.push('"');
}

fn write_escaped(out: &mut String, text: &str) {
    assert!(
        text.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && b != b'$'),
        "text outside the grammars reached the serializer: {text:?}"
    );
    for c in text.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
}

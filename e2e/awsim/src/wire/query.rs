//! The Query wire of ELBv2 and STS: form fields in, XML out.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::tree::Tree;
use super::xml::{self, Names};

/// Fields of a form or a query string, decoded.
pub(crate) fn fields(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// `Conditions.member.1.Field=host-header` and so on, as a tree. `Action` and `Version` are no members.
pub(crate) fn tree(fields: &[(String, String)]) -> Tree {
    let mut root = Tree::empty();
    for (key, value) in fields.iter().filter(|(key, _)| key != "Action" && key != "Version") {
        let mut at = &mut root;
        for part in key.split('.').filter(|part| *part != "member") {
            at = at.child(part);
        }
        *at = Tree::Text(value.clone());
    }
    sort_lists(&mut root);
    root
}

/// Lists come as numbered children, in any order.
fn sort_lists(tree: &mut Tree) {
    let Tree::Map(members) = tree else { return };
    if members.iter().all(|(key, _)| key.parse::<u32>().is_ok()) {
        members.sort_by_key(|(key, _)| key.parse::<u32>().unwrap_or_default());
    }
    members.iter_mut().for_each(|(_, child)| sort_lists(child));
}

/// The answer of an action.
pub(crate) fn answer(namespace: &str, action: &str, result: &Value, request_id: &str) -> String {
    let mut out = format!("<{action}Response xmlns=\"{namespace}\"><{action}Result>");
    xml::write(&mut out, result, Names::Member);
    out.push_str(&format!(
        "</{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_lists_are_sorted() {
        let fields = fields("Action=X&L.member.10=c&L.member.2=b&L.member.1=a&Empty=&S=a%2Fb+c");
        let text = |text: &str| Tree::Text(text.into());
        let list = |items: &[(&str, &str)]| Tree::Map(items.iter().map(|(k, v)| ((*k).into(), text(v))).collect());
        let expected = Tree::Map(vec![
            ("L".into(), list(&[("1", "a"), ("2", "b"), ("10", "c")])),
            ("Empty".into(), text("")),
            ("S".into(), text("a/b c")),
        ]);
        assert_eq!(tree(&fields), expected);
    }
}

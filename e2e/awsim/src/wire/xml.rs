//! XML: reading of bodies into trees, writing of answers.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use serde_json::Value;

use super::timestamp;
use super::tree::Tree;

/// What list items are called.
#[derive(Clone, Copy)]
pub(crate) enum Names {
    /// Always `member`.
    Member,
    /// Route 53's names.
    Route53,
}

/// Members that hold a moment; everything else that is a number is one.
const MOMENTS: [&str; 3] = ["CreatedTime", "SubmittedAt", "Expiration"];

/// Writes the members of an object (and nothing around them); absent members are left out.
pub(crate) fn write(out: &mut String, value: &Value, names: Names) {
    match value {
        Value::Null => {}
        Value::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Value::Number(it) => out.push_str(&it.to_string()),
        Value::String(text) => out.push_str(&escape(text.as_str())),
        Value::Array(items) => items.iter().for_each(|item| write(out, item, names)),
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                out.push_str(&format!("<{key}>"));
                match value {
                    Value::Array(items) => {
                        let name = item_name(key, names);
                        for item in items {
                            out.push_str(&format!("<{name}>"));
                            write(out, item, names);
                            out.push_str(&format!("</{name}>"));
                        }
                    }
                    Value::Number(moment) if MOMENTS.contains(&key.as_str()) => {
                        out.push_str(&timestamp(moment.as_u64().unwrap_or_default()));
                    }
                    other => write(out, other, names),
                }
                out.push_str(&format!("</{key}>"));
            }
        }
    }
}

fn item_name(list: &str, names: Names) -> &str {
    match (names, list) {
        (Names::Member, _) => "member",
        (Names::Route53, "VPCs") => "VPC",
        // HostedZones, ResourceRecordSets, ResourceRecords, NameServers, Tags: all without the plural.
        (Names::Route53, _) => list.strip_suffix('s').unwrap_or(list),
    }
}

/// Reads a document; the answer is the root element's content.
///
/// # Errors
/// A text that says where the document is not XML.
pub(crate) fn parse(document: &str) -> Result<Tree, String> {
    let mut reader = Reader::from_str(document);
    // Open elements: name and content so far. The first entry stands for the document itself.
    let mut open: Vec<(String, Tree)> = vec![(String::new(), Tree::empty())];
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|e| format!("XML at byte {at}: {e}"))?;
        let mut text = |piece: &str| {
            if let Some((_, Tree::Text(text))) = open.last_mut() {
                text.push_str(piece);
            }
        };
        match event {
            Event::Start(start) => {
                let name = start.local_name();
                open.push((name.as_ref().to_owned(), Tree::Text(String::new())));
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                if let Some((_, parent)) = open.last_mut() {
                    parent.insert(&name, Tree::Text(String::new()));
                }
            }
            Event::End(_) => {
                let Some((name, content)) = open.pop() else { break };
                let Some((_, parent)) = open.last_mut() else {
                    return Err(format!("XML at byte {at}: {name} ends twice"));
                };
                parent.insert(&name, content);
            }
            Event::Text(piece) => text(&piece.xml10_content()),
            Event::CData(piece) => text(&piece.xml10_content()),
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref() {
                    Ok(Some(c)) => c.to_string(),
                    _ => match reference.xml10_content().as_ref() {
                        "lt" => "<".into(),
                        "gt" => ">".into(),
                        "amp" => "&".into(),
                        "quot" => "\"".into(),
                        "apos" => "'".into(),
                        other => return Err(format!("XML at byte {at}: the entity {other} is not known")),
                    },
                };
                text(&resolved);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((_, Tree::Map(mut roots))), true) if roots.len() == 1 => Ok(roots.remove(0).1),
        _ => Err("XML has not exactly one root element".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_become_members() {
        let tree =
            parse("<?xml version=\"1.0\"?><R xmlns=\"x\"><A>1 &amp; &#50;</A><L>\n <I>a</I>\n <I>b</I></L><E/></R>");
        let text = |text: &str| Tree::Text(text.into());
        let list = Tree::Map(vec![("I".into(), text("a")), ("I".into(), text("b"))]);
        let expected = Tree::Map(vec![("A".into(), text("1 & 2")), ("L".into(), list), ("E".into(), text(""))]);
        assert_eq!(tree.unwrap(), expected);
        assert!(parse("<a><b></a>").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn lists_bear_the_names_of_their_wire() {
        let value = json!({"HostedZones": [{"Name": "a<b", "X": null}], "SubmittedAt": 0});
        let mut out = String::new();
        write(&mut out, &value, Names::Route53);
        let expected = "<HostedZones><HostedZone><Name>a&lt;b</Name></HostedZone></HostedZones>\
            <SubmittedAt>1970-01-01T00:00:00.000Z</SubmittedAt>";
        assert_eq!(out, expected);
    }
}

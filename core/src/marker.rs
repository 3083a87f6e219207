//! Ownership TXT records of external-dns, in every form it has written: read to respect them, written to hand over.
//!
//! The value is `"heritage=external-dns,external-dns/owner=<id>,..."`. The name is the host itself (before v0.18 of
//! external-dns), or the host with a record type before its first label, or either with a configured prefix or suffix;
//! the `*` of a wildcard may be written as another word.

use std::collections::BTreeSet;

use gatehouse_crds::AdoptOwner;
use gatehouse_route::Host;

use crate::aws::{Record, RecordData};
use crate::identity::ClusterId;

/// Record types that stand before the first label.
const TYPES: [&str; 4] = ["a-", "aaaa-", "cname-", ""];

/// The owner that a marker names.
#[must_use]
pub fn owner_of(record: &Record) -> Option<&str> {
    match &record.data {
        RecordData::Txt { value, .. } => ClusterId::txt_owner(value),
        _ => None,
    }
}

/// The hosts that a marker of this name may speak of: `typed` with a record type in the name, or not (the old form).
#[must_use]
pub fn hosts(name: &str, forms: &[AdoptOwner], typed: bool) -> BTreeSet<Host> {
    let plain = AdoptOwner::default();
    let mut out = BTreeSet::new();
    for form in forms.iter().chain([&plain]) {
        for kind in TYPES.iter().filter(|t| typed != t.is_empty()) {
            out.extend(inverse(name, form, kind));
        }
    }
    out
}

/// The names under which a host's marker may stand.
#[must_use]
pub fn names(host: &Host, forms: &[AdoptOwner]) -> BTreeSet<String> {
    let plain = AdoptOwner::default();
    let forms = forms.iter().chain([&plain]);
    forms.flat_map(|form| TYPES.iter().map(|kind| marker_name(host, form, kind))).collect()
}

/// The hosts whose marker has this name.
fn inverse(name: &str, form: &AdoptOwner, kind: &str) -> Vec<Host> {
    let bare = kind.trim_end_matches('-');
    let (a, prefix) = templated(&form.txt_prefix, bare);
    let (b, suffix) = templated(&form.txt_suffix, bare);
    let Some(rest) = name.strip_prefix(&prefix) else { return Vec::new() };
    let Some(rest) = rest.strip_prefix(if a || b { "" } else { kind }) else { return Vec::new() };
    let (first, domain) = rest.split_once('.').unwrap_or((rest, ""));
    let Some(first) = first.strip_suffix(&suffix) else { return Vec::new() };
    let mut texts = vec![format!("{first}.{domain}")];
    if !form.txt_wildcard_replacement.is_empty() && first == form.txt_wildcard_replacement {
        texts.push(format!("*.{domain}"));
    }
    let parsed = texts.iter().filter_map(|t| Host::parse(t).ok());
    parsed.filter(|host| marker_name(host, form, kind) == name).collect()
}

/// The name of a host's marker of one record type, as this owner writes it.
#[must_use]
pub fn marker_name(host: &Host, form: &AdoptOwner, kind: &str) -> String {
    let text = host.as_text();
    let text = match text.strip_prefix("*.") {
        Some(suffix) if !form.txt_wildcard_replacement.is_empty() => {
            format!("{}.{suffix}", form.txt_wildcard_replacement)
        }
        _ => text,
    };
    let bare = kind.trim_end_matches('-');
    let (templated, prefix) = templated(&form.txt_prefix, bare);
    let (templated_too, suffix) = self::templated(&form.txt_suffix, bare);
    // A template says where the type goes; without one it goes before the first label.
    let kind = if templated || templated_too { "" } else { kind };
    let (first, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
    format!("{prefix}{kind}{first}{suffix}{rest}").to_lowercase()
}

fn templated(affix: &str, kind: &str) -> (bool, String) {
    const TEMPLATE: &str = "%{record_type}";
    (affix.contains(TEMPLATE), affix.replace(TEMPLATE, kind))
}

/// The markers that give a host's records to another owner: one for each address family.
#[must_use]
pub fn hand_over(host: &Host, namespace: &str, form: &AdoptOwner, families: &[&str], ttl: u32) -> Vec<Record> {
    let value = format!(
        "\"heritage=external-dns,external-dns/owner={},external-dns/resource=exposedapp/{namespace}/{}\"",
        form.owner,
        host.as_text().replace('*', "wildcard")
    );
    families
        .iter()
        .map(|kind| {
            let data = RecordData::Txt { ttl, value: value.clone() };
            Record::simple(marker_name(host, form, &format!("{kind}-")), data)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(prefix: &str, suffix: &str, wildcard: &str) -> AdoptOwner {
        AdoptOwner {
            owner: "dns".into(),
            txt_prefix: prefix.into(),
            txt_suffix: suffix.into(),
            txt_wildcard_replacement: wildcard.into(),
        }
    }

    #[test]
    fn every_form_is_read() {
        for (name, host, form, typed) in [
            ("shop.example.com", "shop.example.com", form("", "", ""), false),
            ("a-shop.example.com", "shop.example.com", form("", "", ""), true),
            ("cname-shop.example.com", "shop.example.com", form("", "", ""), true),
            ("txt-a-shop.example.com", "shop.example.com", form("txt-", "", ""), true),
            ("txt.aaaa-shop.example.com", "shop.example.com", form("txt.", "", ""), true),
            ("a-txt-shop.example.com", "shop.example.com", form("%{record_type}-txt-", "", ""), true),
            ("a-shop-owner.example.com", "shop.example.com", form("", "-owner", ""), true),
            ("a-any.example.com", "*.example.com", form("", "", "any"), true),
            ("a-*.example.com", "*.example.com", form("", "", ""), true),
        ] {
            let host = Host::parse(host).unwrap();
            assert!(hosts(name, &[form], typed).contains(&host), "{name} marks {host}");
        }
        let shop = Host::parse("shop.example.com").unwrap();
        assert!(!hosts("a-other.example.com", &[], true).contains(&shop));
        assert!(!hosts("a-shop.example.com", &[], false).contains(&shop));
    }
}

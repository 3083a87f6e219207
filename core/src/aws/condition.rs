//! What a rule's conditions say, as ELBv2 takes them: its hosts, and for gRPC the content type.

use std::collections::BTreeSet;

use gatehouse_route::Host;

use super::ProtocolVersion;

/// The header that a rule for gRPC looks at.
pub const CONTENT_TYPE: &str = "content-type";

/// A condition of a rule as found in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleCondition<'a> {
    /// On the host.
    Host {
        /// Plain values.
        values: &'a [String],
        /// Regular expressions.
        regex: &'a [String],
    },
    /// On a header.
    Header {
        /// Its name.
        name: &'a str,
        /// Plain values.
        values: &'a [String],
        /// Regular expressions.
        regex: &'a [String],
    },
    /// Anything else, and a transform: no rule of ours has one.
    Other,
}

/// The hosts of a rule, and the protocol that it is for. A rule of a form that we do not write has no hosts for us: it
/// is a stranger's, or was changed by hand.
#[must_use]
pub fn meaning<'a>(conditions: impl IntoIterator<Item = RuleCondition<'a>>) -> (BTreeSet<Host>, ProtocolVersion) {
    let texts = |list: &'a [String]| list.iter().map(String::as_str);
    let (mut hosts, mut protocol, mut ours) = (None, None, true);
    for condition in conditions {
        match condition {
            RuleCondition::Host { values, regex } if hosts.is_none() => {
                hosts = Some(hosts_of_condition(texts(values), texts(regex)));
            }
            RuleCondition::Header { name, values, regex }
                if protocol.is_none() && name.eq_ignore_ascii_case(CONTENT_TYPE) =>
            {
                protocol = ProtocolVersion::of_content_types(texts(values));
                // Without values it is no condition that we write: those for every request have none at all.
                ours &= !values.is_empty() && regex.is_empty() && protocol.is_some();
            }
            _ => ours = false,
        }
    }
    (hosts.filter(|_| ours).unwrap_or_default(), protocol.unwrap_or_default())
}

/// The host condition of a rule, as ELBv2 takes it: plain values for exact hosts, or regular expressions for
/// wildcards, because an ALB's own `*` would cross dots and catch deeper names of other tenants.
/// The expression allows a port: regular expressions see the Host header as it was sent.
#[must_use]
pub fn host_condition(hosts: &BTreeSet<Host>) -> (Vec<String>, Vec<String>) {
    let (wildcards, exact): (Vec<&Host>, Vec<&Host>) = hosts.iter().partition(|h| h.is_wildcard());
    let regex = |h: &&Host| format!("{REGEX_START}{}{REGEX_END}", h.suffix().replace('.', "\\."));
    (exact.iter().map(ToString::to_string).collect(), wildcards.iter().map(regex).collect())
}

const REGEX_START: &str = "^[^.]+\\.";
const REGEX_END: &str = "(:[0-9]+)?$";

/// The hosts of a condition, if it has a form that [`host_condition`] writes; empty otherwise.
#[must_use]
pub fn hosts_of_condition<'a>(
    values: impl IntoIterator<Item = &'a str>,
    regex: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<Host> {
    let exact = values.into_iter().map(|v| Host::parse(v).ok());
    let wildcards = regex.into_iter().map(|r| {
        let suffix = r.strip_prefix(REGEX_START)?.strip_suffix(REGEX_END)?.replace("\\.", ".");
        Host::parse(&format!("*.{suffix}")).ok()
    });
    exact.chain(wildcards).collect::<Option<BTreeSet<Host>>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_condition_reads_back() {
        for hosts in [vec!["a.example.com", "b.example.com"], vec!["*.example.com", "*.shop.example.com"]] {
            let hosts: BTreeSet<Host> = hosts.into_iter().map(|h| Host::parse(h).unwrap()).collect();
            let (values, regex) = host_condition(&hosts);
            assert_eq!(hosts_of_condition(values.iter().map(String::as_str), regex.iter().map(String::as_str)), hosts);
        }
        assert!(hosts_of_condition(["*.example.com*"], []).is_empty());
    }

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_of_ours_reads_back_and_no_other_has_hosts() {
        let hosts = BTreeSet::from([Host::parse("a.example.com").unwrap(), Host::parse("b.example.com").unwrap()]);
        let (values, none) = host_condition(&hosts);
        let host = || RuleCondition::Host { values: &values, regex: &none };
        let grpc = list(ProtocolVersion::Grpc.content_types());
        let header = |name, values, regex| RuleCondition::Header { name, values, regex };
        assert_eq!(meaning([host()]), (hosts.clone(), ProtocolVersion::Http1));
        assert_eq!(meaning([header("Content-Type", &grpc, &none), host()]), (hosts, ProtocolVersion::Grpc));
        let (html, all) = (list(&["text/html"]), list(&[".*"]));
        for strange in [
            vec![],
            vec![host(), host()],
            vec![host(), RuleCondition::Other],
            vec![host(), header("accept", &grpc, &none)],
            vec![host(), header(CONTENT_TYPE, &html, &none)],
            vec![host(), header(CONTENT_TYPE, &none, &all)],
            vec![host(), header(CONTENT_TYPE, &grpc, &all)],
            vec![host(), header(CONTENT_TYPE, &grpc, &none), header(CONTENT_TYPE, &grpc, &none)],
            vec![header(CONTENT_TYPE, &grpc, &none)],
        ] {
            assert!(meaning(strange.clone()).0.is_empty(), "{strange:?}");
        }
    }
}

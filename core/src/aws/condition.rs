//! Hosts as ELBv2 takes them in a rule.

use std::collections::BTreeSet;

use gatehouse_route::Host;

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
}

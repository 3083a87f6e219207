//! What each rule asks for, why, and what to do: the text behind an id.

use super::{Class, Rule};

/// A rule in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// What it asks for, in one line.
    pub asks: &'static str,
    /// Why.
    pub why: &'static str,
    /// What to do about a finding.
    pub cure: &'static str,
}

impl Class {
    /// What a finding of the class means.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Class::Ownership => {
                "always enforced, no exceptions; a running app that loses its right is withdrawn after a grace"
            }
            Class::Governance => {
                "enforced, warned of or audited as the policy says; a running app is frozen, not stopped"
            }
            Class::Reference => "never refused; told, and only the app's own requests suffer",
        }
    }
}

impl Rule {
    /// Every rule, in the order in which findings are told.
    pub const ALL: [Rule; 14] = [
        Rule::Grammar,
        Rule::Host,
        Rule::Attachment,
        Rule::Certificate,
        Rule::ManagedPods,
        Rule::HostMissing,
        Rule::Ingress,
        Rule::Labels,
        Rule::TlsMode,
        Rule::Limits,
        Rule::OpenCidr,
        Rule::RefusedKinds,
        Rule::Backend,
        Rule::RouteConflict,
    ];

    /// It in words.
    #[must_use]
    pub fn about(self) -> About {
        match self {
            Rule::Grammar => About {
                asks: "every field is written as its grammar says",
                why: "what a field holds becomes configuration of a load balancer, of DNS and of nginx; only what is known \
                      to be harmless may",
                cure: "write the value as the message shows; `kubectl explain exposedapp.spec` names each form",
            },
            Rule::Host => About {
                asks: "the namespace is granted each host, and no other namespace holds it",
                why: "a host has one holder in the cluster. An ungranted and a taken host read the same, so that nobody \
                      learns what others publish",
                cure: "choose a host below a granted domain, or ask the platform team with the reference in the message; \
                       `gatehouse claims explain REFERENCE` tells them who holds it",
            },
            Rule::Attachment => About {
                asks: "the namespace may use each load balancer that the app names",
                why: "a load balancer decides who can reach the app: the internet, or the company",
                cure: "name one that the message lists, or ask for `loadBalancers` in an ExposurePolicy",
            },
            Rule::Certificate => About {
                asks: "a certificate named by its ARN is granted to the namespace",
                why: "a listener serves every certificate it has to whoever asks for a matching name",
                cure: "use tls.mode Discover, or ask for the ARN in `grants[].certificates`",
            },
            Rule::ManagedPods => About {
                asks: "no NetworkPolicy of others opens pods that Gatehouse manages",
                why: "policies add up: one more could let anybody reach the edge past the load balancer",
                cure: "let the policy select pods by labels of the app's own",
            },
            Rule::HostMissing => About {
                asks: "an Ingress names at least one host",
                why: "the shared load balancer knows apps by their hosts; one without would answer for everybody's",
                cure: "give a rule a host, or name it in spec.tls[].hosts",
            },
            Rule::Ingress => About {
                asks: "what an Ingress says has an exact meaning here",
                why: "an annotation that is ignored in silence publishes another app than was meant",
                cure: "remove what the message names, or write it as the field of an ExposedApp; docs/ingress.md has the list",
            },
            Rule::Labels => About {
                asks: "the app carries the labels that the policies require",
                why: "by them the platform knows whose an app is, and who pays",
                cure: "set the label as the message says, or ask for a default in the policy",
            },
            Rule::TlsMode => About {
                asks: "the source of the certificate is one that the policies allow",
                why: "certificates that are asked for count against a yearly quota of the account",
                cure: "use one of the modes that the message lists",
            },
            Rule::Limits => About {
                asks: "the namespace stays within the policies' counts of apps, hosts, routes, rules, certificates and claims",
                why: "load balancers have room for few rules and certificates, and all tenants share it",
                cure: "remove what is not used, or ask for more; of what is over a limit the newest is refused",
            },
            Rule::OpenCidr => About {
                asks: "access.allowCidrs does not name the whole internet",
                why: "an app that must be closed is closed by a list; 0.0.0.0/0 in it opens it again",
                cure: "name the networks that are meant",
            },
            Rule::RefusedKinds => About {
                asks: "nothing is published past the platform by another kind of object",
                why: "a Service of type LoadBalancer has a public address without grant, limit or TLS rule",
                cure: "publish it by an ExposedApp; docs/refused-kinds.md has the kinds and the exceptions",
            },
            Rule::Backend => About {
                asks: "each backend names a Service of the namespace and a port that it has",
                why: "requests for its share are answered 503 until it is there; everything else goes on",
                cure: "create the Service, or correct name or port",
            },
            Rule::RouteConflict => About {
                asks: "no older app of the namespace has the same host and path",
                why: "one path leads to one app; the older keeps it",
                cure: "choose another path, or remove one of the two",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_is_listed_once_in_the_order_of_its_class() {
        let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        assert!(Rule::ALL.is_sorted_by_key(|rule| (rule.class(), *rule)));
        // One that is added to the enum stands behind all that are listed.
        let last = Rule::ALL.iter().max().unwrap();
        assert_eq!(*last as usize + 1, Rule::ALL.len());
    }
}

use std::fmt;

use gatehouse_crds::Enforcement;
use gatehouse_route::Host;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// Which rule speaks. The text form is the id used in policies, metrics and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A field's text is outside its grammar.
    Grammar,
    /// The namespace has no grant for the host, or another namespace holds it. One rule, because the two must read the same.
    Host,
    /// The namespace may not use the load balancer.
    Attachment,
    /// The namespace may not use the certificate.
    Certificate,
    /// A NetworkPolicy reaches pods that Gatehouse manages.
    ManagedPods,
    /// An Ingress names no host, and the shared load balancer knows apps by their hosts.
    HostMissing,
    /// An Ingress asks for what has no meaning here.
    Ingress,
    /// A required label is missing or has a wrong value.
    Labels,
    /// The source of the certificate is not allowed.
    TlsMode,
    /// A count is above the policy's limit.
    Limits,
    /// The whole internet is named in access.allowCidrs.
    OpenCidr,
    /// A kind that publishes past the platform.
    RefusedKinds,
    /// A Service or a port of it does not exist.
    Backend,
    /// An older app of the namespace has the same host and path.
    RouteConflict,
}

/// What a rule protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// Other tenants: always enforced, no exceptions.
    Ownership,
    /// The platform's order: enforcement and exceptions apply.
    Governance,
    /// The app's own health: never refused, always told.
    Reference,
}

impl Rule {
    /// Its class.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Rule::Grammar
            | Rule::Host
            | Rule::Attachment
            | Rule::Certificate
            | Rule::ManagedPods
            | Rule::HostMissing
            | Rule::Ingress => Class::Ownership,
            Rule::Labels | Rule::TlsMode | Rule::Limits | Rule::OpenCidr | Rule::RefusedKinds => Class::Governance,
            Rule::Backend | Rule::RouteConflict => Class::Reference,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Rule::Grammar => "grammar",
            Rule::Host => "host",
            Rule::Attachment => "attachment",
            Rule::Certificate => "certificate",
            Rule::ManagedPods => "managed-pods",
            Rule::HostMissing => "host-missing",
            Rule::Ingress => "ingress",
            Rule::Labels => "labels",
            Rule::TlsMode => "tls-mode",
            Rule::Limits => "limits",
            Rule::OpenCidr => "open-cidr",
            Rule::RefusedKinds => "refused-kinds",
            Rule::Backend => "backend",
            Rule::RouteConflict => "route-conflict",
        }
    }

    /// The reason word of the condition it makes false.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Rule::Grammar => Reason::Invalid,
            Rule::Host => Reason::HostNotAvailable,
            Rule::Attachment => Reason::LoadBalancerNotAllowed,
            Rule::Certificate => Reason::CertificateNotGranted,
            Rule::ManagedPods => Reason::ManagedPodsSelected,
            Rule::HostMissing => Reason::HostMissing,
            Rule::Ingress => Reason::NotTranslated,
            Rule::Labels => Reason::LabelMissing,
            Rule::TlsMode => Reason::TlsModeNotAllowed,
            Rule::Limits => Reason::LimitExceeded,
            Rule::OpenCidr => Reason::OpenCidrNotAllowed,
            Rule::RefusedKinds => Reason::KindRefused,
            Rule::Backend => Reason::BackendNotFound,
            Rule::RouteConflict => Reason::RouteConflict,
        }
    }
}

/// One fault: the field, its value, the cure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it does here.
    pub enforcement: Enforcement,
    /// Path of the field, such as `spec.hosts[0]`.
    pub field: String,
    /// Value and cure, to be read after the field.
    pub message: String,
    /// The host, when only one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
}

impl Finding {
    /// An ownership or reference finding, or a governance one before its enforcement is known.
    #[must_use]
    pub fn new(rule: Rule, field: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { rule, enforcement: Enforcement::Enforce, field: field.into(), message: message.into(), host: None }
    }

    /// About one host only.
    #[must_use]
    pub fn for_host(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Whether admission refuses the object for it.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.rule.class() != Class::Reference && self.enforcement == Enforcement::Enforce
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.field, self.message, self.rule.id())
    }
}

/// All findings that refuse, as one line for `kubectl` and Argo CD: the number first, then every fault.
#[must_use]
pub fn refusal(findings: &[Finding]) -> Option<String> {
    let faults: Vec<String> = findings.iter().filter(|f| f.refuses()).map(ToString::to_string).collect();
    match faults.len() {
        0 => None,
        1 => Some(faults[0].clone()),
        n => Some(format!("{n} faults: {}", faults.join("; "))),
    }
}

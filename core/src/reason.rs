//! Every reason of a condition or an event, with its cause and its cure: one table, read by the plan, by the command and
//! by the page of reasons. A reason that is not in it cannot be written.

/// What a reason says of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The kind.
    pub kind: &'static str,
    /// The condition that carries it, or [`EVENT`].
    pub condition: &'static str,
    /// Whether waiting is of no use, so that `Stalled` is set.
    pub stalls: bool,
    /// What has happened.
    pub cause: &'static str,
    /// What to do; empty where nothing is to be done.
    pub cure: &'static str,
}

/// In place of a condition: only an event carries it.
pub const EVENT: &str = "event";

const APP: &str = "ExposedApp";
const BALANCER: &str = "SharedLoadBalancer";
const POLICY: &str = "ExposurePolicy";
const INGRESS: &str = "Ingress";
const POD: &str = "Pod";

const fn told(kind: &'static str, condition: &'static str, cause: &'static str, cure: &'static str) -> Told {
    Told { kind, condition, stalls: false, cause, cure }
}

const fn stalls(kind: &'static str, condition: &'static str, cause: &'static str, cure: &'static str) -> Told {
    Told { kind, condition, stalls: true, cause, cure }
}

macro_rules! reasons {
    ($($name:ident: [$($told:expr),+ $(,)?],)+) => {
        /// A reason: the stable word of a condition or an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "what each means stands in its entry")]
        pub enum Reason { $($name),+ }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),+];

            /// The word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name)),+ }
            }

            /// Where it is said, what it means there, and what to do.
            #[must_use]
            pub const fn told(self) -> &'static [Told] {
                match self { $(Reason::$name => const { &[$($told),+] }),+ }
            }
        }
    };
}

reasons! {
    Pending: [
        told(APP, "Accepted", "the operator has not looked at it yet", "wait; if it stays, does an operator lead? (`kubectl -n gatehouse-system get lease`)"),
        told(APP, "ResolvedRefs", "the operator has not looked at it yet", "wait"),
        told(APP, "CertificateReady", "the host has no place yet, or the Region's certificates are being listed", "wait; if it stays on an accepted app, no shard has room"),
        told(APP, "Programmed", "waits for the host to be claimed", "the cure of `Accepted`"),
        told(APP, "DNSReady", "the record waits for what stands in the message: it is written last", "wait; if it stays, look at the conditions before it"),
        told(APP, "NetworkPolicyApplied", "waits for the host to be claimed", "the cure of `Accepted`"),
        told(BALANCER, "Accepted", "the operator has not looked at it yet", "wait; if it stays, does an operator lead?"),
        told(BALANCER, "Programmed", "the operator has not looked at it yet", "wait"),
        told(POLICY, "Accepted", "the operator has not looked at it yet", "wait; if it stays, does an operator lead?"),
    ],
    Ready: [
        told(APP, "Ready", "every other condition holds: published", ""),
        told(BALANCER, "Ready", "every other condition holds", ""),
        told(POLICY, "Ready", "every other condition holds", ""),
    ],
    Accepted: [
        told(APP, "Accepted", "admitted as written", ""),
        told(BALANCER, "Accepted", "read", ""),
        told(POLICY, "Accepted", "every grant could be read", ""),
    ],
    ClaimPending: [told(APP, "Accepted", "the host is being claimed", "wait; if it stays, the operator cannot write claims: see its log")],
    NoShardWithRoom: [told(APP, "Accepted", "the host is claimed, and every shard of the load balancer is full", "the platform team raises `spec.limits.shards` of the load balancer, or the account's quotas")],
    Invalid: [stalls(APP, "Accepted", "a field is outside its grammar", "the message names field, value and what is right")],
    HostNotAvailable: [stalls(APP, "Accepted", "no grant covers the host, or another namespace holds it", "another host in `spec.hosts`, or ask the platform team with the reference (`gatehouse claims explain`)")],
    LoadBalancerNotAllowed: [stalls(APP, "Accepted", "the load balancer is not open to the namespace, or does not exist", "name one in `spec.loadBalancers` that the message lists")],
    CertificateNotGranted: [
        stalls(APP, "Accepted", "the ARN in `spec.tls.certificateArn` is not granted to the namespace", "`spec.tls.mode: Discover`, or a grant"),
        stalls(APP, "CertificateReady", "a name on the certificate is not granted to the namespace", "a certificate with granted names only; or the platform team grants the name, or shares the certificate (`spec.certificates.shared`)"),
    ],
    ManagedPodsSelected: [told(APP, EVENT, "reserved: a NetworkPolicy that reaches Gatehouse's pods is refused at admission and has no status", "select the app's own pods")],
    HostMissing: [told(APP, EVENT, "reserved: an Ingress without host is refused at admission, and told of by `Refused`", "name a host in `spec.rules`")],
    LabelMissing: [stalls(APP, "Accepted", "a required label is absent or has a wrong value", "set it in `metadata.labels`; a running app is served as last admitted meanwhile")],
    TlsModeNotAllowed: [stalls(APP, "Accepted", "the policy does not allow this certificate source", "a `spec.tls.mode` that the message lists")],
    LimitExceeded: [
        stalls(APP, "Accepted", "the namespace or the app is above a limit of its policies; the newest lose", "remove some, or ask the platform team for a higher limit"),
        stalls(APP, "CertificateReady", "the policy's `limits.certificates` is reached", "fewer hosts, or a higher limit"),
    ],
    OpenCidrNotAllowed: [stalls(APP, "Accepted", "the policy wants client networks listed", "`spec.access.allowCidrs` without `0.0.0.0/0` and `::/0`")],
    KindRefused: [told(APP, EVENT, "reserved: refused kinds are refused at admission and have no status of ours", "publish by an ExposedApp")],
    ResolvedRefs: [told(APP, "ResolvedRefs", "every backend exists", "")],
    BackendNotFound: [stalls(APP, "ResolvedRefs", "a Service or its port is missing, has no selector, or is an ExternalName; its share answers 503", "create it, or correct `service` and `port` of the backend")],
    RouteConflict: [told(APP, "ResolvedRefs", "(the status stays True) an older app of the namespace has the same host and path", "another `path`")],
    Attached: [told(APP, "CertificateReady", "the certificate is on the listener", "")],
    Attaching: [told(APP, "CertificateReady", "the certificate is being attached to the listener", "wait; if it stays, the listener may be full: see the load balancer")],
    ExpiresSoon: [told(APP, "CertificateReady", "(the status stays True) a certificate in use ends within 30 days; also an event", "renew it or import another, which is taken by itself")],
    CertificateInOtherRegion: [stalls(APP, "CertificateReady", "the certificate is of another Region than the load balancer", "a `spec.tls.certificateArn` of its Region")],
    CertificateNotFound: [stalls(APP, "CertificateReady", "no certificate has this ARN", "a `spec.tls.certificateArn` that exists")],
    CertificateNotUsable: [stalls(APP, "CertificateReady", "the certificate is expired, revoked, failed or not issued yet", "an issued one in `spec.tls.certificateArn`")],
    CertificateDoesNotCover: [stalls(APP, "CertificateReady", "no name on the certificate covers the host", "one that covers it in `spec.tls.certificateArn`")],
    Requesting: [told(APP, "CertificateReady", "ACM is about to be asked for a certificate", "wait")],
    Validating: [told(APP, "CertificateReady", "ACM looks for the validation record", "wait, usually minutes; after an hour check that the public zone is delegated")],
    RecordConflict: [stalls(APP, "CertificateReady", "another CNAME stands where ACM wants its proof", "delete it")],
    RequestFailed: [stalls(APP, "CertificateReady", "ACM refused a name; the message has its reason and the time of the next request", "mend CAA records, or the zone's delegation")],
    NameTooLong: [stalls(APP, "CertificateReady", "a common name has 64 characters at most", "a grant of the wildcard above, a shorter host beside it, or an imported certificate")],
    NoCertificate: [
        stalls(APP, "CertificateReady", "no issued certificate covers the host with names granted to the namespace", "request or import one (ACM is looked at again every minute), or `spec.tls.mode: Request`"),
        told(BALANCER, "Programmed", "the HTTPS listener needs a default certificate", "`spec.certificates.default`, or publish an app that one covers"),
    ],
    Programmed: [
        told(APP, "Programmed", "rule live, target healthy, this generation's routes served", ""),
        told(BALANCER, "Programmed", "active, with both listeners", ""),
    ],
    Provisioning: [told(BALANCER, "Programmed", "AWS is making the ALB, or its listeners", "wait, minutes on real AWS; the message has what AWS said last")],
    RulePending: [told(APP, "Programmed", "the rule is not in the ALB's data plane yet", "wait up to 12 s; if it stays, quota or listener: see the load balancer")],
    NoHealthyTarget: [told(APP, "Programmed", "no edge pod is healthy behind the ALB", "pods of `gatehouse-edge`; the pods' security group must let the ALB to the edge's port and to 8081; `spec.subnets[].cidrs` of the load balancer must be the subnets'")],
    TablePending: [told(APP, "Programmed", "not every edge pod reports the current routes", "wait; if it stays, the edge's log and `/status` say why")],
    Frozen: [told(APP, "Programmed", "the edge serves what was last admitted, not this generation", "the cure of `Accepted`")],
    Held: [
        told(APP, "Programmed", "a change for the namespace is held back", "the message names reason and cure"),
        told(BALANCER, "Programmed", "a change is held back: a same-named ALB without our tag, deletion protection, rules that are not ours, hosts still published, a full listener", "`status.held` names reason and cure"),
    ],
    Denied: [
        stalls(APP, "CertificateReady", "AWS refuses for want of rights", "compare the operator's role with `config/iam/policy.json`"),
        stalls(APP, "Programmed", "AWS refuses for want of rights", "compare the operator's role with `config/iam/policy.json`"),
        stalls(BALANCER, "Programmed", "AWS refuses for want of rights", "compare the operator's role with `config/iam/policy.json`"),
    ],
    QuotaExceeded: [
        stalls(APP, "CertificateReady", "the listener has no free slot for another certificate, or ACM gives no more", "a wildcard, or a higher AWS quota"),
        stalls(APP, "Programmed", "an AWS quota is reached", "raise it, or `spec.limits.shards` of the load balancer"),
        stalls(APP, "DNSReady", "the hosted zone is full", "raise its quota of records, or another zone"),
        stalls(BALANCER, "Programmed", "an AWS quota is reached", "raise it; `status.bindingQuota` names the one nearest to its end"),
    ],
    AwsRefused: [
        told(APP, "CertificateReady", "AWS refuses for another reason, in its own words", "the message"),
        told(APP, "Programmed", "AWS refuses for another reason, in its own words", "the message"),
        stalls(BALANCER, "Programmed", "AWS refuses the spec, in its own words: an unknown subnet or security group, a wrong attribute, an SSL policy that does not exist", "correct the field that the message names"),
    ],
    Published: [told(APP, "DNSReady", "every name server has the record", "")],
    Propagating: [told(APP, "DNSReady", "the record is on its way to all name servers", "wait, usually within a minute")],
    NoHostedZone: [
        stalls(APP, "CertificateReady", "no public zone that the load balancer may write to holds the host, so ACM cannot validate", "name the zone in `spec.dns.zones` of the load balancer, or import a certificate"),
        stalls(APP, "DNSReady", "no hosted zone holds the host", "create one, or name it in `spec.dns.zones` of the load balancer"),
    ],
    DNSConflict: [stalls(APP, "DNSReady", "a record is there that is not ours", "remove it, or name its owner in `spec.dns.adoptOwners` of the load balancer")],
    DNSShadowed: [told(APP, "DNSReady", "a name below exists, so the prewired wildcard does not answer for this one", "wait: it gets a record of its own")],
    HandedOver: [told(APP, "DNSReady", "(the status stays True) the records belong to another owner now; the host is served, they are left alone", "none; delete the app when nobody comes any more")],
    Applied: [told(APP, "NetworkPolicyApplied", "the policies stand as asked for", "")],
    Off: [told(APP, "NetworkPolicyApplied", "the app wants no policy", "")],
    Applying: [told(APP, "NetworkPolicyApplied", "a NetworkPolicy is being applied", "wait; if it stays, a NetworkPolicy of that name is not ours")],
    InvalidGrant: [stalls(POLICY, "Accepted", "a grant, a limit or a name cannot be read and grants nothing; the others count", "correct the field that the message names")],
    TargetHealthy: [told(POD, "gatehouse.dev/target-healthy", "the readiness gate of edge pods: True once the pod is healthy in every target group that a rule uses", "the cure of `NoHealthyTarget`")],
    Converted: [told(INGRESS, EVENT, "the Ingress is served as the ExposedApps that the event names", "")],
    Refused: [told(INGRESS, EVENT, "a part of the Ingress, or all of it, is not served", "the event names field and cure")],
    NotTranslated: [told(INGRESS, EVENT, "a part of the Ingress has no meaning here and is left out", "`gatehouse convert` prints what the Ingress becomes; docs/ingress.md lists the annotations")],
    NotNeeded: [told(INGRESS, EVENT, "an annotation asks for what happens anyway", "remove it, or leave it")],
    NameTaken: [told(INGRESS, EVENT, "an ExposedApp stands under the name that the Ingress would get, and was not made from it", "rename one of them")],
    More: [told(INGRESS, EVENT, "there was more to say than events are written", "`gatehouse convert` prints all of it")],
}

impl Reason {
    /// By its word.
    #[must_use]
    pub fn of(word: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// What it says in a condition of a kind. `Ready` and `Stalled` speak with the word of another condition.
    #[must_use]
    pub fn in_condition(self, kind: &str, condition: &str) -> Option<&'static Told> {
        self.told().iter().find(|t| t.kind == kind && t.condition == condition)
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> String {
        reason.word().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_crds::keys;

    use super::*;
    use crate::review::Rule;

    #[test]
    fn every_condition_of_every_kind_is_told() {
        let positive = [
            (APP, keys::APP_CONDITIONS),
            (BALANCER, keys::LOAD_BALANCER_CONDITIONS),
            (POLICY, keys::POLICY_CONDITIONS),
        ];
        for (kind, conditions) in positive {
            for condition in conditions {
                let holds = Reason::ALL.iter().filter(|r| r.in_condition(kind, condition).is_some());
                assert!(holds.count() > 0, "{kind} {condition} has no reason");
            }
        }
        let default = gatehouse_crds::conditions_default(&["Ready"]);
        assert_eq!(default[0].reason, Reason::Pending.word());
    }

    #[test]
    fn entries_are_whole() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.word()), Some(*reason));
            for t in reason.told() {
                let word = reason.word();
                assert!(!t.cause.is_empty() && !t.cause.ends_with('.') && !t.cure.ends_with('.'), "{word}: {t:?}");
                assert!(!t.stalls || !t.cure.is_empty(), "{word} asks a person to act and does not say how");
                let same = reason.told().iter().filter(|o| (o.kind, o.condition) == (t.kind, t.condition)).count();
                assert_eq!(same, 1, "{word} is told twice in {} of {}", t.condition, t.kind);
                assert!(!t.cause.contains('|') && !t.cure.contains('|'), "{word}: a bar would end a cell of the page");
            }
        }
        assert_eq!(Reason::of("NoSuchWord"), None);
    }

    #[test]
    fn what_refuses_an_app_stalls_it() {
        for rule in Rule::ALL {
            let told = rule.reason().told();
            let conditions = told.iter().filter(|t| t.kind == APP && t.condition == "Accepted");
            assert!(conditions.clone().all(|t| t.stalls), "{rule:?}");
        }
    }
}

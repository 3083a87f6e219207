//! The vocabulary: [`Request`], [`Answer`], [`AwsError`], [`Caller`], with AWS's own action and member names.
//!
//! Every shape has `Default`, so a request is written as `CreateRule { listener_arn, priority: 10, ..Default::default() }`.
//! Serde names are AWS's wire names; deserialising refuses members that the model does not know.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::iam::Policy;

macro_rules! shapes {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )*};
}

// The members are AWS's own and documented there; repeating that text here would only age.
#[expect(missing_docs, reason = "AWS's API reference documents these members")]
pub mod acm;
#[expect(missing_docs, reason = "AWS's API reference documents these members")]
pub mod elbv2;
#[expect(missing_docs, reason = "AWS's API reference documents these members")]
pub mod route53;
#[expect(missing_docs, reason = "AWS's API reference documents these members")]
pub mod sts;

/// Milliseconds since the Unix epoch in a state machine that has no clock of its own; also a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// A span of whole seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }
}

impl std::ops::Add for Millis {
    type Output = Self;
    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl std::ops::Sub for Millis {
    type Output = Self;
    /// Never negative: an earlier minus a later moment is zero.
    fn sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// A moment in an answer: milliseconds since the Unix epoch. Each wire writes it in its own format.
pub type Timestamp = Millis;

shapes! {
    /// A tag of any service.
    Tag {
        /// At most 128 characters, not starting with `aws:`.
        key: String,
        /// At most 256 characters.
        value: String,
    }
    /// The answer of calls that answer nothing.
    Empty {}
}

impl Tag {
    /// A tag of this key and value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Who calls: the access key id, and the policy that limits it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Access key id, or any name a test likes.
    pub id: String,
    /// `None` may do everything; a policy allows only what it says.
    pub policy: Option<Arc<Policy>>,
}

impl Caller {
    /// A caller of this name who may do everything.
    pub fn admin(id: impl Into<String>) -> Self {
        Self { id: id.into(), policy: None }
    }

    /// A caller of this name who may do what `policy` allows.
    pub fn limited(id: impl Into<String>, policy: Policy) -> Self {
        Self { id: id.into(), policy: Some(Arc::new(policy)) }
    }
}

/// A refusal, as AWS words it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AwsError {
    /// AWS's error code, `PriorityInUse`.
    pub code: String,
    /// AWS's text; names the field and the value.
    pub message: String,
    /// 400 for most, 403 for denied, 404 for some of Route 53's, 503 for none of ours.
    pub http_status: u16,
    /// Route 53's `InvalidChangeBatch` carries one text per fault; empty elsewhere.
    pub messages: Vec<String>,
}

impl AwsError {
    /// An error with HTTP status 400.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self::status(400, code, message)
    }

    /// An error with an HTTP status of its own.
    pub fn status(http_status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), http_status, messages: Vec::new() }
    }

    /// ELBv2's `ValidationError`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for AwsError {}

/// The services that the model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Service {
    /// Elastic Load Balancing v2.
    Elbv2,
    /// Route 53.
    Route53,
    /// Certificate Manager.
    Acm,
    /// Security Token Service.
    Sts,
    /// Resource Groups Tagging API.
    Tagging,
}

impl Service {
    /// The prefix of the service's actions in an IAM policy.
    pub const fn iam_prefix(self) -> &'static str {
        match self {
            Self::Elbv2 => "elasticloadbalancing",
            Self::Route53 => "route53",
            Self::Acm => "acm",
            Self::Sts => "sts",
            Self::Tagging => "tag",
        }
    }
}

/// A request whose type knows its answer: what [`crate::Aws::ask`] takes.
pub trait Call: Into<Request> {
    /// What AWS answers.
    type Answer: TryFrom<Answer>;
}

macro_rules! calls {
    ($($service:ident $module:ident { $($name:ident => $answer_module:ident :: $answer:ident),* $(,)? })*) => {
        /// One API call.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "each variant is the call of its name")]
        pub enum Request { $($($name($module::$name),)*)* }

        impl Request {
            /// The action's name on the wire, `CreateRule`.
            pub const fn action(&self) -> &'static str {
                match self { $($(Self::$name(_) => stringify!($name),)*)* }
            }

            /// The service that answers it.
            pub const fn service(&self) -> Service {
                match self { $($(Self::$name(_) => Service::$service,)*)* }
            }

            /// Reads the members of `action` from any serde format.
            ///
            /// # Errors
            /// `None` for an action that is not modelled, the format's own error for members that do not fit.
            pub fn decode<'de, D: serde::Deserializer<'de>>(
                service: Service,
                action: &str,
                members: D,
            ) -> Option<Result<Self, D::Error>> {
                Some(match (service, action) {
                    $($((Service::$service, stringify!($name)) => {
                        <$module::$name as Deserialize>::deserialize(members).map(Self::$name)
                    })*)*
                    _ => return None,
                })
            }

            /// Every action that is modelled, with its service.
            pub const ACTIONS: &'static [(Service, &'static str)] =
                &[$($((Service::$service, stringify!($name)),)*)*];
        }

        $($(
            impl From<$module::$name> for Request {
                fn from(call: $module::$name) -> Self { Self::$name(call) }
            }
            impl Call for $module::$name { type Answer = $answer_module::$answer; }
        )*)*
    };
}

calls! {
    Elbv2 elbv2 {
        CreateLoadBalancer => elbv2::LoadBalancers, DescribeLoadBalancers => elbv2::LoadBalancers,
        DeleteLoadBalancer => common::Empty, ModifyLoadBalancerAttributes => elbv2::Attributes,
        DescribeLoadBalancerAttributes => elbv2::Attributes, SetSubnets => elbv2::Subnets,
        SetSecurityGroups => elbv2::SecurityGroups, SetIpAddressType => elbv2::IpAddressType,
        CreateListener => elbv2::Listeners, ModifyListener => elbv2::Listeners, DescribeListeners => elbv2::Listeners,
        DeleteListener => common::Empty, DescribeListenerAttributes => elbv2::Attributes,
        ModifyListenerAttributes => elbv2::Attributes, AddListenerCertificates => elbv2::Certificates,
        RemoveListenerCertificates => common::Empty, DescribeListenerCertificates => elbv2::Certificates,
        CreateRule => elbv2::Rules, ModifyRule => elbv2::Rules, DeleteRule => common::Empty,
        DescribeRules => elbv2::Rules, SetRulePriorities => elbv2::Rules,
        CreateTargetGroup => elbv2::TargetGroups, ModifyTargetGroup => elbv2::TargetGroups,
        ModifyTargetGroupAttributes => elbv2::Attributes, DescribeTargetGroupAttributes => elbv2::Attributes,
        DescribeTargetGroups => elbv2::TargetGroups, DeleteTargetGroup => common::Empty,
        RegisterTargets => common::Empty, DeregisterTargets => common::Empty,
        DescribeTargetHealth => elbv2::TargetHealths,
        AddTags => common::Empty, RemoveTags => common::Empty, DescribeTags => elbv2::TagDescriptions,
        DescribeAccountLimits => elbv2::Limits, DescribeSSLPolicies => elbv2::SslPolicies,
    }
    Route53 route53 {
        ListHostedZones => route53::HostedZones, ListHostedZonesByName => route53::HostedZonesByName,
        GetHostedZone => route53::HostedZoneAnswer, CreateHostedZone => route53::HostedZoneAnswer,
        DeleteHostedZone => route53::ChangeAnswer, ListResourceRecordSets => route53::ResourceRecordSets,
        ChangeResourceRecordSets => route53::ChangeAnswer, GetChange => route53::ChangeAnswer,
        GetHostedZoneLimit => route53::ZoneLimit, ListTagsForResource => route53::ResourceTags,
        ChangeTagsForResource => common::Empty,
    }
    Acm acm {
        RequestCertificate => acm::CertificateArn, ImportCertificate => acm::CertificateArn,
        DescribeCertificate => acm::CertificateAnswer, ListCertificates => acm::CertificateList,
        DeleteCertificate => common::Empty, AddTagsToCertificate => common::Empty,
        RemoveTagsFromCertificate => common::Empty, ListTagsForCertificate => acm::CertificateTags,
        GetCertificate => acm::CertificateBody,
    }
    Sts sts {
        GetCallerIdentity => sts::CallerIdentity, AssumeRoleWithWebIdentity => sts::AssumedRole,
        AssumeRole => sts::RoleSession,
    }
    Tagging sts { GetResources => sts::Resources }
}

mod common {
    pub(super) use super::Empty;
}

macro_rules! answers {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// What AWS answers; several actions share a variant where their answers have one shape.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "each variant is the shape of its name")]
        pub enum Answer { $($name($module::$name),)* }

        $(
            impl From<$module::$name> for Answer {
                fn from(answer: $module::$name) -> Self { Self::$name(answer) }
            }
            impl TryFrom<Answer> for $module::$name {
                type Error = Answer;
                fn try_from(answer: Answer) -> Result<Self, Answer> {
                    match answer { Answer::$name(it) => Ok(it), other => Err(other) }
                }
            }
        )*
    };
}

answers! {
    common::Empty,
    elbv2::LoadBalancers, elbv2::Listeners, elbv2::Rules, elbv2::TargetGroups, elbv2::Certificates,
    elbv2::Attributes, elbv2::Subnets, elbv2::SecurityGroups, elbv2::IpAddressType, elbv2::TargetHealths,
    elbv2::TagDescriptions, elbv2::Limits, elbv2::SslPolicies,
    route53::HostedZones, route53::HostedZonesByName, route53::HostedZoneAnswer, route53::ChangeAnswer,
    route53::ResourceRecordSets, route53::ZoneLimit, route53::ResourceTags,
    acm::CertificateArn, acm::CertificateAnswer, acm::CertificateList, acm::CertificateTags, acm::CertificateBody,
    sts::CallerIdentity, sts::AssumedRole, sts::RoleSession, sts::Resources,
}

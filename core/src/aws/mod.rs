//! What we ask of AWS, in AWS's words, and what it answers, as plain values.
//!
//! Reads are composite: one `AwsCall` is one question of ours, which the adapter may answer with several pages or
//! with a describe call and the tags that belong to it.

mod answer;
mod call;
mod certificate;
mod condition;
mod protocol;

pub use answer::{
    Alias, AwsAnswer, ChangeAction, HealthCheck, HostedZone, Limits, Listener, ListenerRule, LoadBalancer, Record,
    RecordChange, RecordData, Refusal, RefusalClass, Routing, Target, TargetGroup, TargetState, ZoneRoom,
};
pub use call::{AwsCall, DETAILS, DefaultAction, Family, ListenerKind, RULES_PER_PAGE, TAGS_PER_CALL, Tags};
pub use certificate::{Certificate, CertificateDetails, CertificateStatus, ValidationRecord};
pub use condition::{CONTENT_TYPE, RuleCondition, host_condition, hosts_of_condition, meaning};
pub use protocol::{GRPC_CONTENT_TYPES, ProtocolVersion};

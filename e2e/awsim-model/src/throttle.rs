//! Token buckets, one per call family, as AWS shares them among all callers of an account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::{AwsError, Millis, Request, Service};

/// Calls that share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Family {
    /// ELBv2 `Describe*`.
    Elbv2Describe,
    /// ELBv2 `RegisterTargets` and `DeregisterTargets`.
    Elbv2Targets,
    /// ELBv2 `Modify*` and `Set*` of one resource.
    Elbv2Modify,
    /// ELBv2 `Create*`, `Delete*`, `SetRulePriorities`, `Add*`, `Remove*`.
    Elbv2Create,
    /// Route 53 requests of any kind.
    Route53,
    /// Route 53 changes: CREATE and DELETE cost 1, UPSERT 2, a new zone 2.
    Route53Changes,
    /// ACM.
    Acm,
    /// The tagging API.
    Tagging,
}

/// Size and refill of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Bucket {
    /// Calls that may come at once.
    pub burst: u32,
    /// Calls per second afterwards.
    pub per_second: u32,
}

impl Family {
    /// All families.
    pub const ALL: &'static [Self] = &[
        Self::Elbv2Describe,
        Self::Elbv2Targets,
        Self::Elbv2Modify,
        Self::Elbv2Create,
        Self::Route53,
        Self::Route53Changes,
        Self::Acm,
        Self::Tagging,
    ];

    /// AWS's figures, or the safe assumption where none is documented.
    pub const fn documented(self) -> Bucket {
        let (burst, per_second) = match self {
            Self::Elbv2Describe => (200, 50),
            Self::Elbv2Targets => (20, 4),
            Self::Elbv2Modify | Self::Elbv2Create => (20, 3),
            Self::Route53 => (50, 10),
            Self::Route53Changes => (1500, 100),
            Self::Acm => (10, 5),
            Self::Tagging => (15, 15),
        };
        Bucket { burst, per_second }
    }

    /// The family of a request; STS is not throttled here.
    pub fn of(request: &Request) -> Option<Self> {
        let action = request.action();
        match request.service() {
            Service::Route53 => Some(Self::Route53),
            Service::Acm => Some(Self::Acm),
            Service::Tagging => Some(Self::Tagging),
            Service::Sts => None,
            Service::Elbv2 => Some(match action {
                "RegisterTargets" | "DeregisterTargets" => Self::Elbv2Targets,
                "SetRulePriorities" => Self::Elbv2Create,
                _ if action.starts_with("Describe") => Self::Elbv2Describe,
                _ if action.starts_with("Modify") || action.starts_with("Set") => Self::Elbv2Modify,
                _ => Self::Elbv2Create,
            }),
        }
    }
}

/// How full the buckets are; a family never used is full and absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Levels(BTreeMap<Family, Level>);

/// Tokens in thousandths, so that refill per millisecond is a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Level {
    thousandths: u64,
    at: Millis,
}

impl Levels {
    /// Takes the request's tokens, or none of them and the service's throttling error.
    pub(crate) fn take(
        &mut self,
        now: Millis,
        buckets: &BTreeMap<Family, Bucket>,
        request: &Request,
    ) -> Result<(), AwsError> {
        let mut costs = Vec::with_capacity(2);
        costs.extend(Family::of(request).map(|family| (family, 1)));
        let changes = change_cost(request);
        if changes > 0 {
            costs.push((Family::Route53Changes, changes));
        }
        let mut taken = Vec::with_capacity(costs.len());
        for (family, cost) in costs {
            let Some(bucket) = buckets.get(&family) else { continue };
            let full = u64::from(bucket.burst) * 1000;
            let level = self.0.get(&family).copied().unwrap_or(Level { thousandths: full, at: now });
            let refill = (now - level.at).0.saturating_mul(u64::from(bucket.per_second));
            let filled = level.thousandths.saturating_add(refill).min(full);
            // A batch larger than the whole bucket passes when the bucket is full.
            let Some(left) = filled.checked_sub((cost * 1000).min(full)) else {
                let code = if request.service() == Service::Acm || request.service() == Service::Tagging {
                    "ThrottlingException"
                } else {
                    "Throttling"
                };
                return Err(AwsError::new(code, "Rate exceeded"));
            };
            taken.push((family, Level { thousandths: left, at: now }));
        }
        self.0.extend(taken);
        Ok(())
    }
}

fn change_cost(request: &Request) -> u64 {
    match request {
        Request::ChangeResourceRecordSets(call) => {
            call.change_batch.changes.iter().map(|change| if change.action == "UPSERT" { 2 } else { 1 }).sum()
        }
        Request::CreateHostedZone(_) => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::elbv2::{CreateRule, DescribeRules};

    #[test]
    fn burst_then_refill_per_family() {
        let buckets = BTreeMap::from([(Family::Elbv2Create, Bucket { burst: 2, per_second: 4 })]);
        let mut levels = Levels::default();
        let create = Request::from(CreateRule::default());
        assert!(levels.take(Millis(0), &buckets, &create).is_ok());
        assert!(levels.take(Millis(0), &buckets, &create).is_ok());
        assert_eq!(levels.take(Millis(0), &buckets, &create).unwrap_err().code, "Throttling");
        assert!(levels.take(Millis(249), &buckets, &create).is_err());
        assert!(levels.take(Millis(250), &buckets, &create).is_ok());
        assert!(levels.take(Millis(250), &buckets, &DescribeRules::default().into()).is_ok());
    }
}

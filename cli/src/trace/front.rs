//! From the app's admission to the target group: what stands in front of the namespace.

use std::collections::BTreeSet;

use gatehouse_core::Reason;
use gatehouse_core::identity::claim_name;
use gatehouse_crds::{ClaimState, ConditionStatus, HostStatus, SharedLoadBalancer};

use super::{Answer, Hop, Read, Way, said};

pub(super) fn hops(way: &Way<'_>) -> Vec<Hop> {
    let mut out = vec![app(way), claim(way), dns(way)];
    let places: Vec<&HostStatus> = places(way).collect();
    if places.is_empty() {
        out.push(no_place(way));
    }
    for place in places {
        let at = format!("{}#{}", place.load_balancer, place.shard.unwrap_or(0));
        let four = [load_balancer(way, place), listener(way, place), rule(way, place), target_group(way, place)];
        out.extend(four.into_iter().map(|hop| hop.at(at.clone())));
    }
    out
}

/// Where the host stands.
pub(super) fn places<'a>(way: &Way<'a>) -> impl Iterator<Item = &'a HostStatus> {
    let host = way.host.as_text();
    way.app.status.iter().flat_map(|s| &s.hosts).filter(move |h| h.host == host)
}

fn app(way: &Way<'_>) -> Hop {
    const HOP: &str = "app";
    if way.app.metadata.deletion_timestamp.is_some() {
        return Hop::broken(HOP, "is being deleted", way.object(), "metadata.deletionTimestamp")
            .cure("apply it again when it is gone");
    }
    let told = way.app.status.as_ref().and_then(|s| s.observed_generation);
    if told != way.app.metadata.generation {
        let text = match told {
            None => "the operator has not looked at it yet".to_owned(),
            Some(told) => format!("the status speaks of generation {told}, not of the present one"),
        };
        return Hop::waits(HOP, text).cure("wait; if it stays, does an operator lead?");
    }
    match way.condition("Accepted") {
        None => Hop::waits(HOP, "the operator has not looked at it yet"),
        // The claim and the place are hops of their own.
        Some(c) if c.status == ConditionStatus::True || ["ClaimPending", "NoShardWithRoom"].contains(&&*c.reason) => {
            Hop::ok(HOP, format!("{} is admitted", way.object()))
        }
        Some(c) => way.by_condition(HOP, c, &way.object(), "spec"),
    }
}

fn claim(way: &Way<'_>) -> Hop {
    const HOP: &str = "claim";
    let accepted = way.judged("Accepted");
    let follows = || Hop::waits(HOP, "none: the app must be admitted first");
    match &way.facts.claim {
        Read::Hidden(why) => match accepted {
            (ConditionStatus::True, _) | (_, "NoShardWithRoom") => Hop::ok(HOP, "held, as the app's status says"),
            (_, "ClaimPending") => Hop::waits(HOP, "the host is being claimed"),
            _ => Hop::hidden(HOP, why),
        },
        Read::Seen(None) if accepted.1 == "ClaimPending" => Hop::waits(HOP, "the host is being claimed"),
        Read::Seen(None) => follows(),
        Read::Seen(Some(claim)) => {
            let status = claim.status.clone().unwrap_or_default();
            let object = format!("HostClaim {}", claim_name(way.host));
            if claim.spec.namespace != way.namespace {
                let explain = format!("gatehouse claims explain {}/{}", way.namespace, way.host);
                return Hop::broken(
                    HOP,
                    format!("held by namespace {}", claim.spec.namespace),
                    object,
                    "spec.namespace",
                )
                .cure(format!("{explain} tells what can be done"));
            }
            if let Some(at) = status.revoked_at {
                return Hop::broken(HOP, format!("its grant was taken away at {at}"), "ExposurePolicy", "spec.grants")
                    .cure("grant the host again before the revocation grace ends");
            }
            match (status.state, status.transfer_to) {
                (_, Some(to)) => Hop::waits(HOP, format!("on its way to namespace {to}")),
                (ClaimState::Held, None) => Hop::ok(HOP, format!("held by {}", way.namespace)),
                (state, None) => Hop::waits(HOP, format!("{state:?}")),
            }
        }
    }
}

fn dns(way: &Way<'_>) -> Hop {
    const HOP: &str = "dns";
    let condition = way.condition("DNSReady");
    if let Some(c) = condition.filter(|c| c.status == ConditionStatus::False) {
        let balancer = format!("SharedLoadBalancer {}", balancer_name(way));
        return match c.reason.as_str() {
            "NoHostedZone" => way.by_condition(HOP, c, &balancer, "spec.dns.zones"),
            _ => way.by_condition(HOP, c, &format!("the record {} in Route 53", way.host), "its owner, its values"),
        };
    }
    let published = condition.is_some_and(|c| c.status == ConditionStatus::True);
    let handed_over = condition.is_some_and(|c| c.reason == Reason::HandedOver.word());
    let own: BTreeSet<_> =
        places(way).filter_map(|p| way.facts.addresses.get(p.record.as_ref()?)).flatten().copied().collect();
    let list =
        |all: &BTreeSet<std::net::IpAddr>| all.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match &way.facts.dns {
        None if published => Hop::ok(HOP, "published, as the app's status says; no resolver was asked"),
        None => Hop::waits(HOP, "not published yet"),
        Some(Answer::None(why)) if published => {
            let zone = format!("the hosted zone of {}", way.host);
            Hop::broken(HOP, format!("published, and this machine finds no address: {why}"), zone, "its delegation (NS)")
                .cure("delegate the zone from its parent; a private zone answers inside its VPCs only; --no-dns takes the operator's word")
        }
        Some(Answer::None(why)) => Hop::waits(HOP, format!("not published yet: {why}")),
        Some(Answer::Addresses(found)) if handed_over => {
            Hop::ok(HOP, format!("{}: the record belongs to another owner now", list(found)))
        }
        Some(Answer::Addresses(found)) if !own.is_empty() && own.is_disjoint(found) => {
            let text = format!("{} is not the load balancer, which is {}", list(found), list(&own));
            Hop::broken(HOP, text, format!("the record {} that this resolver knows", way.host), "its values")
                .cure("another zone, a hosts file, a cache or a proxy answers: ask the zone's own name servers")
        }
        Some(Answer::Addresses(found)) if published => Hop::ok(HOP, list(found)),
        Some(Answer::Addresses(found)) => {
            Hop::waits(HOP, format!("{}, but the operator has not published it", list(found)))
        }
    }
}

/// The load balancer that the app asks for, as far as it says.
fn balancer_name(way: &Way<'_>) -> String {
    let placed = places(way).next().map(|p| p.load_balancer.clone());
    let default = || {
        let all = way.facts.load_balancers.seen()?;
        all.iter().find(|lb| lb.spec.default).and_then(|lb| lb.metadata.name.clone())
    };
    placed
        .or_else(|| way.app.spec.load_balancers.first().cloned())
        .or_else(default)
        .unwrap_or("(the default)".to_owned())
}

fn no_place(way: &Way<'_>) -> Hop {
    const HOP: &str = "load-balancer";
    let name = balancer_name(way);
    match way.condition("Accepted") {
        Some(c) if c.reason == Reason::NoShardWithRoom.word() => {
            let cure = Reason::NoShardWithRoom.told()[0].cure;
            Hop::broken(HOP, c.message.clone(), format!("SharedLoadBalancer {name}"), "spec.limits.shards").cure(cure)
        }
        _ => Hop::waits(HOP, "the host has no place yet").at(name),
    }
}

fn find<'a>(way: &Way<'a>, name: &str) -> Option<&'a SharedLoadBalancer> {
    way.facts.load_balancers.seen()?.iter().find(|lb| lb.metadata.name.as_deref() == Some(name))
}

fn load_balancer(way: &Way<'_>, place: &HostStatus) -> Hop {
    const HOP: &str = "load-balancer";
    let name = &place.load_balancer;
    if let Read::Hidden(why) = &way.facts.load_balancers {
        return if place.rule_arn.is_some() || place.record.is_some() {
            Hop::ok(HOP, format!("{} stands, as the app's status says", place.record.as_deref().unwrap_or("it")))
        } else {
            Hop::hidden(HOP, why)
        };
    }
    let object = format!("SharedLoadBalancer {name}");
    let Some(lb) = find(way, name) else {
        return Hop::broken(HOP, format!("{object} does not exist"), way.object(), "spec.loadBalancers")
            .cure("name one that exists, or apply it again");
    };
    let status = lb.status.clone().unwrap_or_default();
    let row = status.shards.iter().find(|s| Some(s.shard) == place.shard);
    let programmed = status.conditions.iter().find(|c| c.type_ == "Programmed");
    let refused = programmed.filter(|c| c.status == ConditionStatus::False).and_then(|c| {
        let told = Reason::of(&c.reason)?.in_condition("SharedLoadBalancer", "Programmed")?;
        told.stalls.then_some((c, told))
    });
    if let Some((c, told)) = refused {
        let field = super::named_field(&c.message).unwrap_or("spec");
        return Hop::broken(HOP, said(c), object, field).cure(told.cure);
    }
    match row.and_then(|r| r.address.clone()) {
        Some(address) => match programmed.filter(|c| c.status == ConditionStatus::False) {
            Some(c) if c.reason == Reason::Provisioning.word() => Hop::waits(HOP, format!("{address}: {}", said(c))),
            Some(c) => Hop::ok(HOP, format!("{address} ({})", said(c))),
            None => Hop::ok(HOP, address),
        },
        None => Hop::waits(HOP, programmed.map_or("AWS is making it".to_owned(), said)),
    }
}

fn listener(way: &Way<'_>, place: &HostStatus) -> Hop {
    const HOP: &str = "listener";
    let balancer = format!("SharedLoadBalancer {}", place.load_balancer);
    let default = find(way, &place.load_balancer).and_then(|lb| {
        let conditions = &lb.status.as_ref()?.conditions;
        conditions.iter().find(|c| c.type_ == "Programmed" && c.reason == Reason::NoCertificate.word())
    });
    match way.condition("CertificateReady") {
        None => Hop::waits(HOP, "the operator has not looked for a certificate yet"),
        Some(c) if c.status == ConditionStatus::True => match (default, &place.certificate_arn) {
            (Some(waiting), _) => Hop::waits(HOP, waiting.message.clone()),
            (None, Some(arn)) => {
                Hop::ok(HOP, format!("shows {arn}{}", if c.message.is_empty() { "" } else { ", which ends soon" }))
            }
            (None, None) => Hop::ok(HOP, said(c)),
        },
        Some(c) => {
            let app = way.object();
            let (object, field) = match c.reason.as_str() {
                "NoHostedZone" => (&balancer, "spec.dns.zones"),
                "QuotaExceeded" | "Denied" => (&balancer, "the account's quotas and rights in AWS"),
                "LimitExceeded" => (&app, "spec.hosts"),
                "NoCertificate" | "RequestFailed" | "RecordConflict" | "NameTooLong" => (&app, "spec.tls.mode"),
                _ => (&app, "spec.tls.certificateArn"),
            };
            way.by_condition(HOP, c, object, field)
        }
    }
}

fn rule(way: &Way<'_>, place: &HostStatus) -> Hop {
    const HOP: &str = "rule";
    let balancer = format!("SharedLoadBalancer {}", place.load_balancer);
    match way.condition("Programmed") {
        Some(c) if c.status == ConditionStatus::False => match c.reason.as_str() {
            "Denied" => way.by_condition(HOP, c, "the operator's role in AWS", "its policy"),
            "QuotaExceeded" => way.by_condition(HOP, c, &balancer, "spec.limits.shards"),
            "AwsRefused" => Hop::broken(HOP, said(c), balancer, "spec").cure("what the message names"),
            "Held" => Hop::broken(HOP, said(c), balancer, "status.held").cure("the message names reason and cure"),
            "RulePending" | "Pending" => way.by_condition(HOP, c, &balancer, ""),
            _ => stands(place),
        },
        _ => stands(place),
    }
}

fn stands(place: &HostStatus) -> Hop {
    match &place.rule_arn {
        Some(arn) => Hop::ok("rule", arn.rsplit("listener-rule/").next().unwrap_or(arn)),
        None => Hop::waits("rule", "none yet"),
    }
}

fn target_group(way: &Way<'_>, place: &HostStatus) -> Hop {
    const HOP: &str = "target-group";
    let (status, reason) = way.judged("Programmed");
    let trouble = || {
        let text = "no edge pod is healthy behind the load balancer, though they are ready";
        let cure = Reason::NoHealthyTarget.told()[0].cure;
        Hop::broken(HOP, text, format!("SharedLoadBalancer {}", place.load_balancer), "spec.securityGroups").cure(cure)
    };
    match &way.facts.pods {
        Read::Hidden(why) => match (status, reason) {
            (ConditionStatus::True, _) => Hop::ok(HOP, "a target is healthy, as the app's status says"),
            (_, "NoHealthyTarget") => trouble(),
            _ => Hop::hidden(HOP, why),
        },
        Read::Seen(pods) => {
            let healthy = pods.iter().filter(|p| super::back::is(p, gatehouse_crds::keys::TARGET_HEALTHY)).count();
            let ready = pods.iter().filter(|p| super::back::is(p, "ContainersReady")).count();
            match (healthy, ready, reason) {
                (1.., _, _) => Hop::ok(HOP, format!("{healthy} of {} targets are healthy", pods.len())),
                (0, 0, _) => Hop::waits(HOP, "no healthy target: no edge pod is ready"),
                (0, _, "NoHealthyTarget") => trouble(),
                _ => Hop::waits(HOP, "the edge pods' health is asked for when the rule stands"),
            }
        }
    }
}

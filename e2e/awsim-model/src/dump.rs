//! The state as JSON, for people and for comparison.

use std::hash::{Hash, Hasher};

use serde_json::{Map, Value, json};

use crate::Aws;
use crate::api::Millis;
use crate::api::route53::ResourceRecordSet;
use crate::elbv2::{Group, Listener, LoadBalancer};
use crate::route53::Zone;

impl Aws {
    /// The whole state at `now`, readable and in a fixed order. ARNs are members of what they name.
    pub fn dump(&self, now: Millis) -> Value {
        self.tree(Some(now))
    }

    /// What a caller meant, without what AWS made up: no ids, times, states or counters. Two histories that differ only
    /// in order, retries and waits have the same essence.
    pub fn essence(&self) -> Value {
        self.tree(None)
    }

    /// What [`Aws::essence`] says, into a hasher, for searches that look at many states. ARNs go in as they are, for
    /// callers remember them: it tells apart a rule from its equal that was made after it was deleted.
    pub fn hash_essence(&self, out: &mut impl Hasher) {
        let tags = |arn: &str| self.elb.tags.get(arn).map(|tagged| &tagged.tags);
        for lb in self.elb.load_balancers.values() {
            (&lb.name, &lb.scheme, &lb.ip_address_type, &lb.security_groups, &lb.attributes, tags(&lb.arn)).hash(out);
            lb.addresses.keys().for_each(|subnet| subnet.hash(out));
            for listener in lb.listeners.values().filter_map(|arn| self.elb.listeners.get(arn)) {
                let Listener { port, protocol, ssl_policy, certificate, certificates, default_actions, .. } =
                    &**listener;
                (port, protocol, ssl_policy, certificate, certificates, default_actions, tags(&listener.arn)).hash(out);
                for rule in listener.rules.values().filter_map(|arn| self.elb.rules.get(arn)) {
                    (&rule.arn, rule.priority, &rule.conditions, &rule.actions, tags(&rule.arn)).hash(out);
                }
            }
        }
        for group in self.elb.groups.values() {
            let Group { name, protocol, protocol_version, port, target_type, attributes, health_check, .. } = &**group;
            (name, protocol, protocol_version, port, target_type, attributes, health_check).hash(out);
            (&group.arn, tags(&group.arn), group.used_by.is_empty()).hash(out);
            let targets = group.targets.iter().filter(|(_, target)| target.draining_until.is_none());
            targets.for_each(|(key, _)| key.hash(out));
        }
        for zone in self.route53.zones.values() {
            (&zone.id, &zone.name, zone.private, zone.records.values().collect::<Vec<_>>()).hash(out);
        }
        for certificate in self.acm.certificates.values() {
            (&certificate.names, certificate.imported, &certificate.tags, &certificate.key_algorithm).hash(out);
        }
    }

    fn tree(&self, now: Option<Millis>) -> Value {
        let load_balancers: Map<String, Value> =
            self.elb.load_balancers.values().map(|lb| (lb.name.clone(), self.load_balancer_tree(now, lb))).collect();
        let groups: Map<String, Value> =
            self.elb.groups.values().map(|group| (group.name.clone(), self.group_tree(now, group))).collect();
        let zones: Map<String, Value> =
            self.route53.zones.values().map(|zone| (zone.id.clone(), zone_tree(now, zone))).collect();
        let mut certificates: Vec<Value> = self
            .acm
            .certificates
            .values()
            .map(|certificate| {
                let mut tree = json!({
                    "names": certificate.names, "imported": certificate.imported, "tags": certificate.tags,
                    "keyAlgorithm": certificate.key_algorithm,
                });
                if let Some(now) = now {
                    tree["arn"] = json!(certificate.arn);
                    tree["status"] = json!(self.acm.status(now, &certificate.arn));
                    tree["requested"] = json!(certificate.requested);
                }
                tree
            })
            .collect();
        certificates.sort_by_key(Value::to_string);
        let mut tree = json!({
            "loadBalancers": load_balancers, "targetGroups": groups, "zones": zones, "certificates": certificates,
        });
        if let Some(now) = now {
            tree["now"] = json!(now);
            tree["nextEvent"] = json!(self.next_event(now));
            tree["settings"] = json!(self.settings.as_ref());
        }
        tree
    }

    fn load_balancer_tree(&self, now: Option<Millis>, lb: &LoadBalancer) -> Value {
        let listeners: Map<String, Value> = lb
            .listeners
            .iter()
            .filter_map(|(port, arn)| Some((port.to_string(), self.listener_tree(now, self.elb.listeners.get(arn)?))))
            .collect();
        let mut tree = json!({
            "scheme": lb.scheme, "ipAddressType": lb.ip_address_type, "securityGroups": lb.security_groups,
            "subnets": lb.addresses.keys().collect::<Vec<_>>(), "attributes": lb.attributes,
            "tags": self.tags_tree(&lb.arn), "listeners": listeners,
        });
        if let Some(now) = now {
            tree["arn"] = json!(lb.arn);
            tree["dnsName"] = json!(lb.dns_name);
            tree["addresses"] = json!(lb.addresses);
            tree["state"] = json!(if lb.active_at <= now { "active" } else { "provisioning" });
        }
        tree
    }

    fn listener_tree(&self, now: Option<Millis>, listener: &Listener) -> Value {
        let rules: Vec<Value> = listener
            .rules
            .values()
            .filter_map(|arn| self.elb.rules.get(arn))
            .map(|rule| {
                let mut tree = json!({
                    "priority": rule.priority, "conditions": lean(json!(rule.conditions)),
                    "actions": self.by_name(lean(json!(rule.actions)), now),
                    "transforms": rule.transforms, "tags": self.tags_tree(&rule.arn),
                });
                if now.is_some() {
                    tree["arn"] = json!(rule.arn);
                }
                tree
            })
            .collect();
        let mut tree = json!({
            "protocol": listener.protocol, "sslPolicy": listener.ssl_policy, "rules": rules,
            "defaultActions": self.by_name(lean(json!(listener.default_actions)), now),
            "certificate": listener.certificate.as_ref().map(|arn| self.certificate_tree(arn, now)),
            "certificates": listener.certificates.iter().map(|arn| self.certificate_tree(arn, now)).collect::<Vec<_>>(),
            "tags": self.tags_tree(&listener.arn),
        });
        if now.is_some() {
            tree["arn"] = json!(listener.arn);
        }
        tree
    }

    fn group_tree(&self, now: Option<Millis>, group: &Group) -> Value {
        let targets: Map<String, Value> = group
            .targets
            .iter()
            .filter(|(_, target)| target.draining_until.is_none_or(|until| now.is_some_and(|now| now < until)))
            .map(|(key, _)| {
                let state = now.map(|now| self.target_health(now, group, key).state);
                (format!("{}:{}", key.id, key.port), json!(state))
            })
            .collect();
        let check = &group.health_check;
        let mut tree = json!({
            "protocol": group.protocol, "protocolVersion": group.protocol_version, "port": group.port,
            "targetType": group.target_type, "attributes": group.attributes, "tags": self.tags_tree(&group.arn),
            "targets": targets, "inUse": !group.used_by.is_empty(),
            "healthCheck": {
                "protocol": check.protocol, "port": check.port, "path": check.path, "interval": check.interval,
                "timeout": check.timeout, "healthy": check.healthy, "unhealthy": check.unhealthy,
                "matcher": lean(json!(check.matcher)),
            },
        });
        if now.is_some() {
            tree["arn"] = json!(group.arn);
            tree["loadBalancer"] = json!(group.load_balancer);
        }
        tree
    }

    fn tags_tree(&self, arn: &str) -> Value {
        json!(self.elb.tags.get(arn).map(|tagged| &tagged.tags))
    }

    /// Names instead of ARNs, in an essence.
    fn by_name(&self, mut tree: Value, now: Option<Millis>) -> Value {
        if now.is_none() {
            self.rename(&mut tree);
        }
        tree
    }

    fn rename(&self, tree: &mut Value) {
        match tree {
            Value::String(text) => {
                if let Some(group) = self.elb.groups.get(text) {
                    text.clone_from(&group.name);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.rename(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.rename(item)),
            _ => {}
        }
    }

    fn certificate_tree(&self, arn: &str, now: Option<Millis>) -> Value {
        match (now, self.acm.certificates.get(arn)) {
            (None, Some(certificate)) => json!(certificate.names),
            _ => json!(arn),
        }
    }
}

fn zone_tree(now: Option<Millis>, zone: &Zone) -> Value {
    let records: Vec<Value> =
        zone.records.values().map(|set: &std::sync::Arc<ResourceRecordSet>| lean(json!(set.as_ref()))).collect();
    let mut tree = json!({ "name": zone.name, "private": zone.private, "records": records });
    if let Some(now) = now {
        let live = zone.live(now).is_some_and(|live| *live == *zone.records);
        tree["inSync"] = json!(live);
    }
    tree
}

/// Without members that are null.
fn lean(tree: Value) -> Value {
    match tree {
        Value::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, lean(value))).collect()
        }
        Value::Array(list) => list.into_iter().map(lean).collect(),
        other => other,
    }
}

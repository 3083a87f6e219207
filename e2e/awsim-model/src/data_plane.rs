//! What load balancers do with requests: a certificate by SNI, a rule as of the last batch, an action, targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::Aws;
use crate::api::Millis;
use crate::api::elbv2::Action;
use crate::elbv2::{Group, ListenerView, TargetKey, apply_transforms, condition};

/// A request as it reaches a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exchange {
    /// Whether it came through TLS.
    pub https: bool,
    /// The listener's port.
    pub port: u16,
    /// The host header as sent, port and all.
    pub host: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// `GET`.
    pub method: String,
    /// Names and values as sent.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub source: Option<IpAddr>,
    /// Any number: chooses among weighted target groups, so that the model needs no randomness.
    pub dice: u64,
}

impl Exchange {
    /// The host header without its port.
    pub fn host_name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }
}

/// What a listener does with a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataPlaneDecision {
    /// The rule that matched, maybe the default one.
    pub rule_arn: String,
    /// What it says.
    pub action: DataPlaneAction,
}

/// The outcome of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataPlaneAction {
    /// Send it to any of these targets.
    Forward {
        /// The chosen target group.
        target_group: String,
        /// Healthy targets, or all when the group fails open. Never empty.
        targets: Vec<Backend>,
        /// Whether too few were healthy.
        fail_open: bool,
        /// Host header for the target, after transforms.
        host: String,
        /// Path with query for the target, after transforms.
        path_and_query: String,
    },
    /// Answer with a redirect.
    Redirect {
        /// 301 or 302.
        status: u16,
        /// The whole URL.
        location: String,
    },
    /// Answer with this.
    Fixed {
        /// 2XX, 4XX or 5XX.
        status: u16,
        /// Media type, when the rule names one.
        content_type: Option<String>,
        /// Maybe empty.
        body: String,
    },
    /// The chosen target group has no target at all, or every weight is 0: 503.
    NoTargets {
        /// The group, when one was chosen.
        target_group: Option<String>,
    },
}

/// A target with its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// IP address (or instance id, which nothing can connect to).
    pub id: String,
    /// TCP port.
    pub port: u16,
}

/// A listener that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LiveListener {
    /// Its load balancer.
    pub load_balancer_arn: String,
    /// Itself.
    pub listener_arn: String,
    /// Where it listens.
    pub addresses: Vec<Ipv4Addr>,
    /// On which port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub https: bool,
}

/// A health check that a load balancer performs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthProbe {
    /// The group of the target.
    pub target_group: String,
    /// The target.
    pub target: Backend,
    /// Where the check comes from: an address of the load balancer.
    pub source: Ipv4Addr,
    /// Where it goes to, which may differ from the traffic port.
    pub port: u16,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// Whether it is a gRPC call, whose status the codes are.
    pub grpc: bool,
    /// Path with query, or the method of a gRPC call.
    pub path: String,
    /// Ranges of good status codes, both ends included.
    pub codes: Vec<(u16, u16)>,
    /// Between checks.
    pub interval: Millis,
    /// Of one check.
    pub timeout: Millis,
    /// Successes in a row that make a target healthy again; the first success is enough for a new one.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_threshold: u32,
}

impl Aws {
    /// What the load balancer does at `now` with a request on `port`; `None` when nothing listens there (yet).
    pub fn route(&self, now: Millis, load_balancer: &str, port: u16, exchange: &Exchange) -> Option<DataPlaneDecision> {
        let view = self.view(now, load_balancer, port)?;
        let matched = view
            .rules
            .iter()
            .find(|rule| rule.conditions.iter().all(|condition| condition::matches(condition, exchange)));
        let (rule_arn, actions, transforms) = match matched {
            Some(rule) => (&rule.arn, &rule.actions, rule.transforms.as_slice()),
            None => (&view.default_rule, &view.default_actions, [].as_slice()),
        };
        let action = match self.perform(now, actions.first()?, exchange) {
            DataPlaneAction::Forward { target_group, targets, fail_open, host, path_and_query } => {
                let (host, path_and_query) = apply_transforms(transforms, &host, &path_and_query);
                DataPlaneAction::Forward { target_group, targets, fail_open, host, path_and_query }
            }
            other => other,
        };
        Some(DataPlaneDecision { rule_arn: rule_arn.clone(), action })
    }

    /// The certificate that a listener presents to a client asking for `sni`: an exact name, else a wildcard of one
    /// label, else the default one. `None` when it speaks no TLS or does not listen.
    pub fn certificate_for(&self, now: Millis, load_balancer: &str, port: u16, sni: Option<&str>) -> Option<String> {
        let view = self.view(now, load_balancer, port).filter(|view| view.https)?;
        let sni = sni.map(str::to_ascii_lowercase);
        let parent = sni.as_deref().and_then(|name| name.split_once('.')).map(|(_, parent)| format!("*.{parent}"));
        let serving = |wanted: &Option<String>| {
            let wanted = wanted.as_ref()?;
            view.certificates
                .iter()
                .find(|arn| self.acm.certificates.get(arn).is_some_and(|c| c.names.contains(wanted)))
        };
        serving(&sni).or_else(|| serving(&parent)).or_else(|| view.certificates.first()).cloned()
    }

    /// The names of a certificate, for whoever makes one that looks like it.
    pub fn certificate_names(&self, arn: &str) -> Option<Vec<String>> {
        self.acm.certificates.get(arn).map(|certificate| certificate.names.clone())
    }

    /// Every certificate's ARN and names.
    pub fn certificates(&self) -> BTreeMap<String, Vec<String>> {
        self.acm.certificates.iter().map(|(arn, certificate)| (arn.clone(), certificate.names.clone())).collect()
    }

    /// Every listener that accepts connections at `now`.
    pub fn live_listeners(&self, now: Millis) -> Vec<LiveListener> {
        let mut live = Vec::new();
        for load_balancer in self.elb.load_balancers.values().filter(|lb| lb.active_at <= now) {
            for (port, arn) in &load_balancer.listeners {
                let Ok(port) = u16::try_from(*port) else { continue };
                if let Some(view) = self.view(now, &load_balancer.arn, port) {
                    live.push(LiveListener {
                        load_balancer_arn: load_balancer.arn.clone(),
                        listener_arn: arn.clone(),
                        addresses: load_balancer.addresses.values().copied().collect(),
                        port,
                        https: view.https,
                    });
                }
            }
        }
        live
    }

    /// Every health check that load balancers perform at `now`, one per target in use and not draining.
    pub fn health_probes(&self, now: Millis) -> Vec<HealthProbe> {
        let mut probes = Vec::new();
        for group in self.elb.groups.values() {
            let Some(load_balancer) = group.load_balancer.as_ref().and_then(|arn| self.elb.load_balancers.get(arn))
            else {
                continue;
            };
            let Some(source) = load_balancer.addresses.values().next().copied() else { continue };
            if load_balancer.active_at > now {
                continue;
            }
            let check = &group.health_check;
            let grpc = group.protocol_version == "GRPC";
            let codes = if grpc { &check.matcher.grpc_code } else { &check.matcher.http_code };
            let codes = codes.as_deref().and_then(crate::elbv2::parse_codes).unwrap_or_default();
            for key in group.targets.iter().filter(|(_, t)| t.draining_until.is_none()).map(|(key, _)| key) {
                let Ok(traffic) = u16::try_from(key.port) else { continue };
                probes.push(HealthProbe {
                    target_group: group.arn.clone(),
                    target: Backend { id: key.id.clone(), port: traffic },
                    source,
                    port: check.port.parse().unwrap_or(traffic),
                    protocol: check.protocol.clone(),
                    path: check.path.clone(),
                    grpc,
                    codes: codes.clone(),
                    interval: span(check.interval),
                    timeout: span(check.timeout),
                    healthy_threshold: u32::try_from(check.healthy).unwrap_or(5),
                    unhealthy_threshold: u32::try_from(check.unhealthy).unwrap_or(2),
                });
            }
        }
        probes
    }

    /// An attribute of a load balancer, `idle_timeout.timeout_seconds` for example.
    pub fn load_balancer_attribute(&self, load_balancer: &str, key: &str) -> Option<String> {
        self.elb.load_balancers.get(load_balancer)?.attributes.get(key).cloned()
    }

    /// Protocol and protocol version with which a target group is spoken to: (`HTTP`, `HTTP1`).
    pub fn target_group_protocol(&self, target_group: &str) -> Option<(String, String)> {
        let group = self.elb.groups.get(target_group)?;
        Some((group.protocol.clone(), group.protocol_version.clone()))
    }

    /// Load balancers' ARNs and addresses, active or not.
    pub fn load_balancer_addresses(&self) -> BTreeMap<String, Vec<Ipv4Addr>> {
        let all = self.elb.load_balancers.values();
        all.map(|lb| (lb.arn.clone(), lb.addresses.values().copied().collect())).collect()
    }

    fn view(&self, now: Millis, load_balancer: &str, port: u16) -> Option<&ListenerView> {
        let load_balancer = self.elb.load_balancers.get(load_balancer).filter(|lb| lb.active_at <= now)?;
        let listener = self.elb.listeners.get(load_balancer.listeners.get(&i64::from(port))?)?;
        listener.versions.iter().rev().find(|(from, _)| *from <= now).map(|(_, view)| view.as_ref())
    }

    fn perform(&self, now: Millis, action: &Action, exchange: &Exchange) -> DataPlaneAction {
        if let Some(redirect) = &action.redirect_config {
            let scheme = if exchange.https { "https" } else { "http" };
            let fill = |part: &Option<String>| {
                part.as_deref()
                    .unwrap_or_default()
                    .replace("#{protocol}", scheme)
                    .replace("#{host}", exchange.host_name())
                    .replace("#{port}", &exchange.port.to_string())
                    .replace("#{path}", exchange.path.trim_start_matches('/'))
                    .replace("#{query}", &exchange.query)
            };
            let query = fill(&redirect.query);
            let mark = if query.is_empty() { "" } else { "?" };
            return DataPlaneAction::Redirect {
                status: if redirect.status_code == "HTTP_302" { 302 } else { 301 },
                location: format!(
                    "{}://{}:{}{}{mark}{query}",
                    fill(&redirect.protocol).to_ascii_lowercase(),
                    fill(&redirect.host),
                    fill(&redirect.port),
                    fill(&redirect.path)
                ),
            };
        }
        if let Some(fixed) = &action.fixed_response_config {
            return DataPlaneAction::Fixed {
                status: fixed.status_code.parse().unwrap_or(503),
                content_type: fixed.content_type.clone(),
                body: fixed.message_body.clone().unwrap_or_default(),
            };
        }
        let tuples = action.forward_config.as_ref().map(|f| f.target_groups.as_slice()).unwrap_or_default();
        let weight = |n: Option<i64>| u64::try_from(n.unwrap_or(1)).unwrap_or(0);
        let total: u64 = tuples.iter().map(|tuple| weight(tuple.weight)).sum();
        let mut dice =
            if total == 0 { return DataPlaneAction::NoTargets { target_group: None } } else { exchange.dice % total };
        for tuple in tuples {
            let weight = weight(tuple.weight);
            if dice < weight {
                return self.forward(now, &tuple.target_group_arn, exchange);
            }
            dice -= weight;
        }
        DataPlaneAction::NoTargets { target_group: None }
    }

    fn forward(&self, now: Millis, arn: &str, exchange: &Exchange) -> DataPlaneAction {
        let none = DataPlaneAction::NoTargets { target_group: Some(arn.to_owned()) };
        let Some(group) = self.elb.groups.get(arn) else { return none };
        let (healthy, all) = self.backends(now, group);
        if all.is_empty() {
            return none;
        }
        let number = |key: &str| group.attributes.get(key).and_then(|value| value.parse::<usize>().ok()).unwrap_or(0);
        let least = number("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count");
        let percentage = number("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage");
        let fail_open = healthy.len() < least.min(all.len()).max(1) || healthy.len() * 100 < percentage * all.len();
        let query = if exchange.query.is_empty() { String::new() } else { format!("?{}", exchange.query) };
        DataPlaneAction::Forward {
            target_group: arn.to_owned(),
            targets: if fail_open { all } else { healthy },
            fail_open,
            host: exchange.host.clone(),
            path_and_query: format!("{}{query}", exchange.path),
        }
    }

    /// Healthy targets, and all that are registered and not draining.
    fn backends(&self, now: Millis, group: &Group) -> (Vec<Backend>, Vec<Backend>) {
        let backend = |key: &TargetKey| u16::try_from(key.port).ok().map(|port| Backend { id: key.id.clone(), port });
        let present: Vec<&TargetKey> =
            group.targets.iter().filter(|(_, t)| t.draining_until.is_none()).map(|(key, _)| key).collect();
        let healthy = present
            .iter()
            .filter(|key| self.target_health(now, group, key).state == "healthy")
            .filter_map(|key| backend(key))
            .collect();
        (healthy, present.into_iter().filter_map(backend).collect())
    }
}

fn span(seconds: i64) -> Millis {
    Millis::secs(u64::try_from(seconds).unwrap_or(1))
}

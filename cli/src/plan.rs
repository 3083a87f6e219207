//! `gatehouse plan`: what would exist in AWS and Kubernetes for these files, if nothing existed.
//!
//! What should exist comes from the engine; names, hosts of a rule, priorities and records from the functions that the
//! engine uses when it makes them.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_core::aws::{Alias, Limits, ProtocolVersion, RecordData};
use gatehouse_core::desired::NamespaceDesired;
use gatehouse_core::plan::{attributes, band, pack, priority, records};
use gatehouse_core::world::LoadBalancerFacts;
use gatehouse_core::{Engine, Mono, Now, Settings, ShardKey};
use gatehouse_crds::{ClaimState, TlsMode, keys};
use gatehouse_route::Host;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Format, PlanArgs};
use crate::check::{Judged, findings, judge, notes};
use crate::print::{Out, Tone};
use crate::report::Subject;

/// What stands for everything only AWS can tell.
const UNKNOWN: &str = "(known after observation)";

/// One object that would be added.
#[derive(Debug, Serialize)]
struct Added {
    kind: String,
    name: String,
    scope: String,
    namespace: Option<String>,
    values: Value,
    /// What a person reads after the `+`.
    #[serde(skip)]
    line: String,
    /// Lines below it.
    #[serde(skip)]
    below: Vec<String>,
}

/// A heading and what is added under it.
struct Section {
    title: String,
    added: Vec<Added>,
    /// What is known to follow, but is no object of its own.
    remarks: Vec<String>,
}

/// Runs the command; returns the exit code.
pub fn run(args: &PlanArgs, out: &mut Out) -> u8 {
    let Some(Judged { objects, engine }) = judge(&args.input, out) else { return 1 };
    let settings = args.input.settings();
    let mut sections: Vec<Section> =
        engine.world().load_balancers.iter().map(|(name, lb)| load_balancer(&engine, &settings, name, lb)).collect();
    sections.extend(engine.desired().iter().map(|(namespace, desired)| of_namespace(&engine, namespace, desired)));
    // Apps are refused at admission; what the platform's own objects get wrong is told, and planned as it stands.
    let (refused, faulty): (Vec<&Subject>, Vec<&Subject>) =
        objects.subjects.iter().filter(|s| s.refused()).partition(|s| s.kind == "ExposedApp");
    let mut remarks = objects.notes.clone();
    let now = Now { mono: Mono(1), wall: args.input.now() };
    remarks.extend(engine.full_plan(now).into_values().flat_map(|part| part.held).map(|held| format!("held: {held}")));
    let add: usize = sections.iter().map(|s| s.added.len()).sum();
    match args.output {
        Format::Json => {
            let all: Vec<&Added> = sections.iter().flat_map(|s| &s.added).collect();
            let list = |subjects: &[&Subject]| subjects.iter().map(|s| as_json(s)).collect::<Vec<Value>>();
            out.json(&json!({
                "version": 1, "clusterId": settings.cluster_id.0, "add": all, "refused": list(&refused), "faulty": list(&faulty), "notes": remarks,
                "summary": { "add": add, "change": 0, "destroy": 0 },
            }));
        }
        Format::Text => text(
            &settings,
            &sections,
            &[("Not planned, refused", refused), ("Planned, but faulty", faulty)],
            &remarks,
            out,
        ),
    }
    if args.detailed_exitcode && add > 0 { 2 } else { 0 }
}

fn text(
    settings: &Settings,
    sections: &[Section],
    faults: &[(&str, Vec<&Subject>)],
    remarks: &[String],
    out: &mut Out,
) {
    out.line(&format!("What would exist for cluster id {}, if nothing existed yet:", settings.cluster_id.0));
    out.line("");
    for section in sections {
        out.line(&out.paint(Tone::Strong, &section.title));
        for added in &section.added {
            out.line(&format!("  {} {}", out.paint(Tone::Good, "+"), added.line));
            for line in &added.below {
                out.line(&format!("      {}", out.paint(Tone::Dim, line)));
            }
        }
        for remark in &section.remarks {
            out.line(&format!("    {remark}"));
        }
        out.line("");
    }
    for (title, subjects) in faults.iter().filter(|(_, subjects)| !subjects.is_empty()) {
        out.line(&out.paint(Tone::Bad, title));
        for subject in subjects {
            let place = out.paint(Tone::Dim, &subject.source.to_string());
            out.line(&format!("  {}  {place}", subject.title()));
            findings(&subject.findings, "    ", out);
        }
        out.line("");
    }
    notes(remarks, out);
    let add: usize = sections.iter().map(|s| s.added.len()).sum();
    out.line(&out.paint(Tone::Strong, &format!("Plan: {add} to add, 0 to change, 0 to destroy")));
}

fn as_json(s: &Subject) -> Value {
    let reasons: Vec<String> = s.findings.iter().map(|f| format!("{}: {} [{}]", f.field, f.message, f.rule)).collect();
    json!({
        "kind": s.kind, "namespace": s.namespace, "name": s.name, "file": s.source.file, "line": s.source.line,
        "reasons": reasons,
    })
}

fn load_balancer(engine: &Engine, settings: &Settings, name: &str, lb: &LoadBalancerFacts) -> Section {
    let mut section = Section {
        title: format!("SharedLoadBalancer {name}  {} {}", lb.spec.region, word(&lb.spec.scheme)),
        added: Vec::new(),
        remarks: Vec::new(),
    };
    // The first ALB stands even before the first app; others come with what is placed on them.
    let mut shards = BTreeSet::from([ShardKey { load_balancer: name.to_owned(), index: 0 }]);
    shards.extend(engine.desired().values().flat_map(|d| d.shards.keys()).filter(|s| s.load_balancer == name).cloned());
    for shard in shards {
        on_shard(engine, settings, &shard, lb, &mut section);
    }
    section
}

fn on_shard(engine: &Engine, settings: &Settings, shard: &ShardKey, lb: &LoadBalancerFacts, section: &mut Section) {
    let spec = &lb.spec;
    let alb = settings.cluster_id.load_balancer_name(shard);
    let attributes = attributes(lb);
    let subnets: Vec<&str> = spec.subnets.iter().map(|s| s.id.as_str()).collect();
    let settings_of: Vec<String> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut put =
        |kind: &str, name: String, namespace: Option<&str>, values: Value, line: String, below: Vec<String>| {
            let (kind, scope, namespace) = (kind.to_owned(), shard.to_string(), namespace.map(str::to_owned));
            section.added.push(Added { kind, name, scope, namespace, values, line, below });
        };
    put(
        "LoadBalancer",
        alb.clone(),
        None,
        json!({
            "region": spec.region, "vpcId": spec.vpc_id, "scheme": spec.scheme, "ipAddressType": spec.ip_address_type,
            "subnets": subnets, "securityGroups": spec.security_groups, "attributes": attributes,
            "arn": UNKNOWN, "dnsName": UNKNOWN,
        }),
        format!("load balancer {shard}: {alb}"),
        vec![
            format!("subnets {}; security groups {}", subnets.join(", "), spec.security_groups.join(", ")),
            settings_of.join(", "),
            format!("ARN and DNS name {UNKNOWN}"),
        ],
    );
    let redirect = json!({ "port": 80, "protocol": "HTTP", "default": "redirect to https", "arn": UNKNOWN });
    put("Listener", "http".into(), None, redirect, format!("listener on {shard}: http 80, redirects to https"), vec![]);
    let here: Vec<(&String, &NamespaceDesired, &BTreeSet<Host>)> =
        engine.desired().iter().filter_map(|(ns, d)| Some((ns, d, d.shards.get(shard)?))).collect();
    let certificate = spec.certificates.default.clone();
    let https = certificate.is_some() || !here.is_empty();
    if https {
        let certificate = certificate.as_deref().unwrap_or(UNKNOWN);
        let values = json!({
            "port": 443, "protocol": "HTTPS", "sslPolicy": spec.ssl_policy, "default": "404",
            "defaultCertificate": certificate, "arn": UNKNOWN,
        });
        let line = format!("listener on {shard}: https 443, answers 404 unless a rule says otherwise");
        put(
            "Listener",
            "https".into(),
            None,
            values,
            line,
            vec![format!("{}, default certificate {certificate}", spec.ssl_policy)],
        );
    }
    let mut taken = BTreeSet::new();
    let mut remarks = Vec::new();
    // A rule for every app, as long as the quota allows it; near the quota rules of a namespace are merged.
    let apart: usize = here
        .iter()
        .flat_map(|(_, desired, hosts)| ProtocolVersion::ALL.map(|protocol| (desired, *hosts, protocol)))
        .map(|(desired, hosts, protocol)| {
            let app = |h: &Host| (desired.hosts.get(h).and_then(|h| h.apps.first()), h.is_wildcard());
            let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
            speaking(desired, hosts, protocol).for_each(|h| *sizes.entry(app(h)).or_default() += 1);
            sizes.values().map(|n| n.div_ceil(protocol.hosts_per_rule())).sum::<usize>()
        })
        .sum();
    let pressed = apart + 1 > usize::try_from(Limits::default().rules).unwrap_or(usize::MAX);
    if pressed {
        remarks
            .push(format!("rules on {shard}: one per app would be {apart}; rules of a namespace are merged instead"));
    }
    for (namespace, desired, hosts) in here {
        for protocol in ProtocolVersion::ALL {
            let mut missing: Vec<&Host> = speaking(desired, hosts, protocol).collect();
            if missing.is_empty() {
                continue;
            }
            let what = protocol.remark();
            let group = settings.cluster_id.target_group_name(shard, namespace, protocol);
            let values = json!({
                "targetType": "ip", "protocol": "HTTP", "protocolVersion": protocol.as_str(), "port": spec.edge.port,
                "healthPort": keys::ADMIN_PORT, "arn": UNKNOWN, "targets": UNKNOWN,
            });
            let line =
                format!("target group on {shard}{what}: {group} -> edge pods of {namespace}, port {}", spec.edge.port);
            put("TargetGroup", group, Some(namespace), values, line, vec![]);
            let app = |h: &Host| desired.hosts.get(h).and_then(|h| h.apps.first().cloned()).filter(|_| !pressed);
            while !missing.is_empty() {
                let packed = pack(&missing, protocol, app);
                missing.retain(|h| !packed.contains(*h));
                let ready = |w: &Host| {
                    engine.desired().values().any(|d| d.hosts.get(w).is_some_and(|h| h.apps == [keys::PREWIRED]))
                };
                let band = band(&packed, protocol, ready);
                let Some(number) = priority(namespace, &packed, band, &taken) else { break };
                taken.insert(number);
                let names: Vec<String> = packed.iter().map(ToString::to_string).collect();
                let names = names.join(", ");
                let values = json!({
                    "hosts": packed, "contentTypes": protocol.content_types(), "priority": number, "arn": UNKNOWN,
                });
                let line = format!("rule on {shard}{what}: {names} -> edge of {namespace}, priority {number}");
                put("Rule", names, Some(namespace), values, line, vec![]);
            }
        }
        for host in hosts {
            let wanted = &desired.hosts[host];
            let arn = wanted.tls.as_ref().filter(|t| t.mode == TlsMode::Arn).and_then(|t| t.certificate_arn.clone());
            remarks.push(format!("certificate on {shard} for {host}: {}", arn.as_deref().unwrap_or(UNKNOWN)));
            if elsewhere(engine, &shard.load_balancer, &wanted.placement) {
                remarks.push(format!("{host} is published by another load balancer in the same zone"));
                continue;
            }
            // Zones that are named stand in the file; the one found by the longest suffix only AWS knows.
            let zone = if let [zone] = &spec.dns.zones[..] { zone.id.as_str() } else { UNKNOWN };
            let alias = Alias { dns_name: UNKNOWN.into(), zone_id: UNKNOWN.into(), evaluate_target_health: false };
            let routing = spec.dns.routing.as_ref();
            let mut records = records(&settings.cluster_id, host, namespace, spec.ip_address_type, &alias, routing);
            records.sort_by_key(|r| r.name != host.as_text());
            for record in records {
                let (kind, value) = match &record.data {
                    RecordData::A(_) => ("A", format!("alias to {shard}")),
                    RecordData::Aaaa(_) => ("AAAA", format!("alias to {shard}")),
                    RecordData::Txt { value, .. } => ("TXT", value.clone()),
                    RecordData::Cname { value, .. } => ("CNAME", value.clone()),
                    RecordData::Addresses { kind, values, .. } => (kind.as_str(), values.join(" ")),
                };
                let values = json!({ "type": kind, "value": value, "zone": zone });
                let line = format!("record {} {kind} {value}, zone {zone}", record.name);
                put("Record", record.name, Some(namespace), values, line, vec![]);
            }
        }
    }
    if !https {
        remarks.push(
            "listener https 443 waits for a certificate: set spec.certificates.default, or publish an app".into(),
        );
    }
    section.remarks.extend(remarks);
}

/// Those of the hosts over which this is spoken.
fn speaking<'a>(
    desired: &NamespaceDesired,
    hosts: &'a BTreeSet<Host>,
    protocol: ProtocolVersion,
) -> impl Iterator<Item = &'a Host> {
    hosts.iter().filter(move |host| desired.protocols(host).contains(&protocol))
}

/// Whether an earlier load balancer of the host writes the same zone: the first by name owns the name there.
fn elsewhere(engine: &Engine, load_balancer: &str, placement: &BTreeMap<String, u32>) -> bool {
    let zones = |name: &str| {
        let lb = engine.world().load_balancers.get(name);
        lb.map(|lb| lb.spec.dns.zones.iter().map(|z| z.id.clone()).collect::<BTreeSet<_>>()).unwrap_or_default()
    };
    let mine = zones(load_balancer);
    placement.keys().take_while(|name| *name != load_balancer).any(|name| {
        let theirs = zones(name);
        (mine.is_empty() && theirs.is_empty()) || (!mine.is_empty() && mine.is_subset(&theirs))
    })
}

fn of_namespace(engine: &Engine, namespace: &str, desired: &NamespaceDesired) -> Section {
    let mut section = Section { title: format!("Namespace {namespace}"), added: Vec::new(), remarks: Vec::new() };
    let mut put = |kind: &str, name: &str, values: Value, line: String| {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let (scope, namespace) = (namespace.to_owned(), Some(namespace.to_owned()));
        section.added.push(Added { kind, name, scope, namespace, values, line, below: Vec::new() });
    };
    for (name, claim) in &engine.world().claims {
        if claim.spec.namespace == namespace && claim.status.state == ClaimState::Held {
            let apps = claim.status.apps.join(", ");
            let values =
                json!({ "host": claim.spec.host, "apps": claim.status.apps, "placement": claim.status.placement });
            put("HostClaim", name, values, format!("HostClaim {name}: {} held for {apps}", claim.spec.host));
        }
    }
    for (key, fragment) in &desired.children {
        let kind = key.kind.api().1;
        let values = json!({ "apiVersion": key.kind.api().0, "fragment": fragment.hash });
        put(kind, &key.name, values, format!("{kind} {}", key.name));
    }
    section
}

/// An enum as YAML writes it.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

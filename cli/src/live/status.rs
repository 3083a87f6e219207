//! `gatehouse status`: where each app stands, as a tree. What the app's own status says is enough; claims and edges are
//! added for whoever may read them.

use std::collections::BTreeMap;

use gatehouse_core::identity::claim_name;
use gatehouse_crds::{Condition, ConditionStatus, ExposedApp, HostClaim, keys};
use gatehouse_route::Host;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Failure, call, connect, run};
use crate::args::{Format, StatusArgs};
use crate::check::number;
use crate::print::{Out, Tone};

/// What is known of a cluster's apps.
#[derive(Debug, Default)]
struct Seen {
    apps: Vec<ExposedApp>,
    /// By object name; `None` if they may not be read.
    claims: Option<BTreeMap<String, HostClaim>>,
    /// Edge pods by namespace; a namespace whose pods may not be read is absent.
    edges: BTreeMap<String, Vec<Pod>>,
}

/// A line of the tree and what hangs from it.
struct Node {
    label: String,
    text: String,
    tone: Option<Tone>,
    below: Vec<Node>,
}

impl Node {
    fn new(label: impl Into<String>, text: impl Into<String>, tone: Option<Tone>) -> Node {
        Node { label: label.into(), text: text.into(), tone, below: Vec::new() }
    }
}

/// Runs `status`.
pub fn run_status(args: &StatusArgs, out: &mut Out) -> u8 {
    run(out, 2, async |out| {
        let client = connect(&args.cluster).await?;
        let seen = look(&client, args).await?;
        if seen.apps.is_empty() {
            let place = args.namespace.as_ref().map_or("the cluster".to_owned(), |ns| format!("namespace {ns}"));
            let what = args.app.as_ref().map_or("no ExposedApp".to_owned(), |name| format!("no ExposedApp {name}"));
            out.complain(&format!("{what} in {place}"));
            return Ok(u8::from(args.app.is_some()));
        }
        let unready = seen.apps.iter().filter(|app| !ready(app)).count();
        match args.output {
            Format::Json => {
                let apps: Vec<Value> = seen.apps.iter().map(|app| as_json(app, &seen)).collect();
                out.json(&json!({ "version": 1, "summary": { "apps": apps.len(), "unready": unready }, "apps": apps }));
            }
            Format::Text => {
                for app in &seen.apps {
                    let node = tree(app, &seen);
                    out.line(&format!("{}  {}", out.paint(Tone::Strong, &node.label), shown(&node, out)));
                    below(&node, "", out);
                }
                out.line("");
                let tone = if unready == 0 { Tone::Good } else { Tone::Bad };
                out.line(&out.paint(tone, &format!("{}, {unready} not ready", number(seen.apps.len(), "app"))));
            }
        }
        Ok(u8::from(unready > 0))
    })
}

async fn look(client: &Client, args: &StatusArgs) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let api: Api<ExposedApp> = match &args.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut apps = call("list exposedapps", api.list(&ListParams::default())).await?.items;
    apps.retain(|app| args.app.as_ref().is_none_or(|name| app.metadata.name.as_ref() == Some(name)));
    apps.sort_by_key(|app| (app.metadata.namespace.clone(), app.metadata.name.clone()));
    seen.apps = apps;
    let claims: Api<HostClaim> = Api::all(client.clone());
    // A tenant may not read them, and the app's own status says enough.
    if let Ok(found) = call("list hostclaims", claims.list(&ListParams::default())).await {
        let named = found.items.into_iter().filter_map(|claim| Some((claim.metadata.name.clone()?, claim)));
        seen.claims = Some(named.collect());
    }
    let namespaces: std::collections::BTreeSet<String> =
        seen.apps.iter().filter_map(|app| app.metadata.namespace.clone()).collect();
    let edges = ListParams::default().labels(&format!("{}={}", keys::COMPONENT, keys::EDGE));
    for namespace in namespaces {
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        if let Ok(found) = call("list pods", api.list(&edges)).await {
            seen.edges.insert(namespace, found.items);
        }
    }
    Ok(seen)
}

fn condition<'a>(app: &'a ExposedApp, type_: &str) -> Option<&'a Condition> {
    app.status.as_ref()?.conditions.iter().find(|c| c.type_ == type_)
}

fn ready(app: &ExposedApp) -> bool {
    condition(app, "Ready").is_some_and(|c| c.status == ConditionStatus::True)
}

fn of_condition(label: &str, found: Option<&Condition>) -> Node {
    let Some(found) = found else { return Node::new(label, "not judged yet", Some(Tone::Warn)) };
    let tone = match found.status {
        ConditionStatus::True => Tone::Good,
        ConditionStatus::False => Tone::Bad,
        ConditionStatus::Unknown => Tone::Warn,
    };
    let message = if found.message.is_empty() { String::new() } else { format!(": {}", found.message) };
    Node::new(label, format!("{}{message}", found.reason), Some(tone))
}

fn tree(app: &ExposedApp, seen: &Seen) -> Node {
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name) = (name(&app.metadata.namespace), name(&app.metadata.name));
    let mut root = of_condition(&format!("{namespace}/{name}"), condition(app, "Ready"));
    let (asked, told) = (app.metadata.generation, app.status.as_ref().and_then(|s| s.observed_generation));
    if asked != told && told.is_some() {
        let text = format!("the status speaks of generation {}, asked is {}", told.unwrap_or(0), asked.unwrap_or(0));
        root.below.push(Node::new("behind", text, Some(Tone::Warn)));
    }
    for owner in app.metadata.owner_references.iter().flatten().filter(|o| o.kind == "Ingress") {
        root.below.push(Node::new("stands for", format!("Ingress {}", owner.name), None));
    }
    for (label, type_) in [("accepted", "Accepted"), ("backends", "ResolvedRefs")] {
        root.below.push(of_condition(label, condition(app, type_)));
    }
    root.below.extend(app.spec.hosts.iter().map(|host| of_host(app, host, seen)));
    for (label, type_) in [
        ("certificate", "CertificateReady"),
        ("programmed", "Programmed"),
        ("dns", "DNSReady"),
        ("policies", "NetworkPolicyApplied"),
        ("stalled", keys::STALLED),
    ] {
        let found = condition(app, type_);
        if found.is_some() || type_ != keys::STALLED {
            root.below.push(of_condition(label, found));
        }
    }
    root.below.extend(seen.edges.get(&namespace).map(|pods| of_edge(pods)));
    root
}

fn of_host(app: &ExposedApp, host: &str, seen: &Seen) -> Node {
    let mut node = Node::new(host, "", None);
    let claim = Host::parse(host).ok().map(|host| claim_name(&host));
    if let (Some(claims), Some(name)) = (&seen.claims, claim) {
        node.below.push(match claims.get(&name) {
            None => Node::new("claim", "none", Some(Tone::Bad)),
            Some(claim) => {
                let state = claim.status.clone().unwrap_or_default().state;
                let ours = Some(&claim.spec.namespace) == app.metadata.namespace.as_ref();
                let text = if ours { format!("{state:?}") } else { format!("{state:?} by {}", claim.spec.namespace) };
                Node::new("claim", text, Some(if ours { Tone::Good } else { Tone::Bad }))
            }
        });
    }
    let stands = app.status.iter().flat_map(|s| &s.hosts).filter(|h| h.host == host);
    for at in stands {
        let shard = at.shard.map_or(String::new(), |n| format!("#{n}"));
        let mut place = Node::new(format!("{}{shard}", at.load_balancer), "", None);
        let short = |arn: &String| arn.rsplit(':').next().unwrap_or(arn).to_owned();
        let part = |label: &str, text: Option<String>| match text {
            Some(text) => Node::new(label, text, Some(Tone::Good)),
            None => Node::new(label, "none yet", Some(Tone::Warn)),
        };
        place.below.push(part("certificate", at.certificate_arn.as_ref().map(short)));
        place.below.push(part("rule", at.rule_arn.as_ref().map(short)));
        place.below.push(part("record", at.record.clone()));
        node.below.push(place);
    }
    if node.below.is_empty() {
        node.text = "nowhere yet".to_owned();
        node.tone = Some(Tone::Warn);
    }
    node
}

/// Ready, healthy in its target groups, and the table it was told to read.
fn of_pod(pod: &Pod) -> (bool, bool, Option<String>) {
    let status = pod.status.clone().unwrap_or_default();
    let is = |type_: &str| status.conditions.iter().flatten().any(|c| c.type_ == type_ && c.status == "True");
    let table = pod.metadata.annotations.as_ref().and_then(|all| all.get(keys::TABLE).cloned());
    (is("Ready"), is(keys::TARGET_HEALTHY), table)
}

fn of_edge(pods: &[Pod]) -> Node {
    let ready = pods.iter().filter(|pod| of_pod(pod).0).count();
    let tone = if ready == pods.len() && ready > 0 { Tone::Good } else { Tone::Warn };
    let mut node = Node::new("edge", format!("{ready} of {} ready", number(pods.len(), "pod")), Some(tone));
    for pod in pods {
        let (ready, healthy, table) = of_pod(pod);
        let name = pod.metadata.name.clone().unwrap_or_default();
        let words = [
            if ready { "ready" } else { "not ready" }.to_owned(),
            if healthy { "healthy target" } else { "no healthy target yet" }.to_owned(),
            table.map_or("no table yet".to_owned(), |t| format!("table {t}")),
        ];
        node.below.push(Node::new(name, words.join(", "), Some(if ready { Tone::Good } else { Tone::Warn })));
    }
    node
}

fn shown(node: &Node, out: &Out) -> String {
    node.tone.map_or(node.text.clone(), |tone| out.paint(tone, &node.text))
}

fn below(node: &Node, indent: &str, out: &mut Out) {
    let width = node.below.iter().filter(|n| n.below.is_empty()).map(|n| n.label.chars().count()).max().unwrap_or(0);
    for (i, child) in node.below.iter().enumerate() {
        let last = i + 1 == node.below.len();
        let (branch, deeper) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let text = shown(child, out);
        let line = format!("{indent}{branch}{:width$}  {text}", child.label);
        out.line(line.trim_end());
        below(child, &format!("{indent}{deeper}"), out);
    }
}

fn as_json(app: &ExposedApp, seen: &Seen) -> Value {
    let status = app.status.clone().unwrap_or_default();
    let namespace = app.metadata.namespace.clone().unwrap_or_default();
    let claim = |host: &str| {
        let name = claim_name(&Host::parse(host).ok()?);
        let claim = seen.claims.as_ref()?.get(&name)?;
        let state = claim.status.clone().unwrap_or_default().state;
        Some(json!({ "state": state, "namespace": claim.spec.namespace }))
    };
    let hosts: Vec<Value> = app
        .spec
        .hosts
        .iter()
        .map(|host| {
            let stands: Vec<_> = status.hosts.iter().filter(|h| h.host == *host).collect();
            json!({ "host": host, "claim": claim(host), "stands": stands })
        })
        .collect();
    let edge = seen.edges.get(&namespace).map(|pods| {
        let one = |pod: &Pod| {
            let (ready, healthy, table) = of_pod(pod);
            json!({ "name": pod.metadata.name, "ready": ready, "healthyTarget": healthy, "table": table })
        };
        pods.iter().map(one).collect::<Vec<_>>()
    });
    json!({
        "namespace": namespace, "name": app.metadata.name, "ready": ready(app), "generation": app.metadata.generation,
        "observedGeneration": status.observed_generation, "conditions": status.conditions, "hosts": hosts, "edge": edge,
    })
}

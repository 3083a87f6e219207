//! `gatehouse trace`: reads what the way of a request is judged by, and shows the verdict. Nothing that may not be read
//! is an error but the apps themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use gatehouse_core::identity::claim_name;
use gatehouse_crds::{ExposedApp, HostClaim, SharedLoadBalancer, keys};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Failure, call, call_opt, connect, plan, run};
use crate::args::{Format, TraceArgs};
use crate::print::{Out, Tone, table};
use crate::trace::{Answer, Facts, Hop, Mark, Read, Trace, publisher, trace};

/// A resolver that does not answer is told, not waited for.
const RESOLVER: Duration = Duration::from_secs(5);

/// Runs `trace`.
pub fn run_trace(args: &TraceArgs, out: &mut Out) -> u8 {
    run(out, 2, async |out| {
        let facts = look(&connect(&args.cluster).await?, args).await?;
        let found = trace(&facts);
        match args.output {
            Format::Json => out.json(&as_json(args, &found)),
            Format::Text => text(args, &found, out),
        }
        Ok(u8::from(found.first().is_some()))
    })
}

async fn look(client: &Client, args: &TraceArgs) -> Result<Facts, Failure> {
    let apps = apps(client, args).await?;
    let mut facts = Facts {
        host: args.host.clone(),
        path: args.path.clone(),
        apps: Vec::new(),
        dns: None,
        addresses: BTreeMap::new(),
        claim: unasked(),
        load_balancers: unasked(),
        pods: unasked(),
        table: unasked(),
        services: unasked(),
        slices: unasked(),
        plan: unasked(),
    };
    // Under a wildcard there are many names; none of them is the one to ask for.
    if !args.no_dns && !args.host.is_wildcard() {
        facts.dns = Some(match resolve(&args.host.as_text()).await {
            Ok(addresses) => Answer::Addresses(addresses),
            Err(why) => Answer::None(why),
        });
    }
    if let Some(found) = publisher(&apps, &args.host) {
        let namespace = &found.namespace;
        let claims: Api<HostClaim> = Api::all(client.clone());
        facts.claim = read(call_opt("read hostclaims", claims.get(&claim_name(&found.host))).await);
        let balancers: Api<SharedLoadBalancer> = Api::all(client.clone());
        let listed = call("list sharedloadbalancers", balancers.list(&ListParams::default())).await;
        facts.load_balancers = read(listed.map(|l| l.items));
        facts.pods = within(client, namespace, "pods", &format!("{}={}", keys::COMPONENT, keys::EDGE)).await;
        facts.services = within(client, namespace, "services", "").await;
        facts.slices = within(client, namespace, "endpointslices", "").await;
        let tables: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let table = call_opt("read configmaps", tables.get(keys::EDGE_NAME)).await;
        facts.table = read(table.map(|map| map?.data?.remove(keys::TABLE_KEY)));
        facts.plan = read(plan::of_leader(client, &args.operator_namespace, args.plan_port).await);
        if facts.dns.is_some() {
            let names = apps.iter().filter_map(|app| app.status.as_ref()).flat_map(|s| &s.hosts);
            let names: BTreeSet<&String> =
                names.filter(|h| h.host == found.host.as_text()).filter_map(|h| h.record.as_ref()).collect();
            for name in names {
                if let Ok(addresses) = resolve(name).await {
                    facts.addresses.insert(name.clone(), addresses);
                }
            }
        }
    }
    facts.apps = apps;
    Ok(facts)
}

fn unasked<T>() -> Read<T> {
    Read::Hidden("not asked".to_owned())
}

fn read<T>(answer: Result<T, Failure>) -> Read<T> {
    match answer {
        Ok(it) => Read::Seen(it),
        Err(failure) if failure.denied => Read::Hidden("not visible to you".to_owned()),
        Err(failure) => Read::Hidden(format!("not visible: {}", failure.what)),
    }
}

/// Apps of the whole cluster, or of what the rights leave of it.
async fn apps(client: &Client, args: &TraceArgs) -> Result<Vec<ExposedApp>, Failure> {
    let in_namespace = async |namespace: &str| {
        let api: Api<ExposedApp> = Api::namespaced(client.clone(), namespace);
        call(&format!("list exposedapps in {namespace}"), api.list(&ListParams::default())).await
    };
    let listed = match &args.namespace {
        Some(namespace) => in_namespace(namespace).await,
        None => {
            let all: Api<ExposedApp> = Api::all(client.clone());
            match call("list exposedapps", all.list(&ListParams::default())).await {
                Err(failure) if failure.denied => in_namespace(client.default_namespace()).await,
                listed => listed,
            }
        }
    };
    let denied = |failure: Failure| match failure.denied {
        true => failure.cure("name a namespace of yours with -n: the roles view, edit and admin give the right there"),
        false => failure,
    };
    Ok(listed.map_err(denied)?.items)
}

async fn within<K>(client: &Client, namespace: &str, kinds: &str, labels: &str) -> Read<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let listed = call(&format!("list {kinds}"), api.list(&ListParams::default().labels(labels))).await;
    read(listed.map(|l| l.items))
}

async fn resolve(name: &str) -> Result<BTreeSet<IpAddr>, String> {
    match tokio::time::timeout(RESOLVER, tokio::net::lookup_host((name, 443))).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(error.to_string().replace("failed to lookup address information: ", "")),
        Err(_) => Err(format!("the resolver did not answer within {} s", RESOLVER.as_secs())),
    }
}

fn shown(mark: Mark) -> (Tone, &'static str) {
    match mark {
        Mark::Ok => (Tone::Good, "ok"),
        Mark::Broken => (Tone::Bad, "BROKEN"),
        Mark::Waits => (Tone::Warn, "waits"),
        Mark::Hidden => (Tone::Dim, "hidden"),
    }
}

fn text(args: &TraceArgs, found: &Trace, out: &mut Out) {
    let whose = found.app.as_ref().map_or(String::new(), |(ns, name)| format!("  ExposedApp {ns}/{name}"));
    let path = if args.path == "/" { "" } else { &args.path };
    out.line(&format!("{}{whose}", out.paint(Tone::Strong, &format!("{}{path}", args.host))));
    let row = |hop: &Hop| {
        let at = if hop.at.is_empty() { String::new() } else { format!(" {}", hop.at) };
        [shown(hop.mark).1.to_owned(), format!("{}{at}", hop.hop), hop.text.clone()]
    };
    let rows: Vec<[String; 3]> = found.hops.iter().map(row).collect();
    for (hop, line) in found.hops.iter().zip(table(&rows)) {
        let (tone, word) = shown(hop.mark);
        out.line(&format!("  {}{}", out.paint(tone, word), &line[word.len()..]));
    }
    if let Some(lines) = found.plan.as_ref().filter(|lines| !lines.is_empty()) {
        out.line("");
        out.line("The leader says:");
        lines.iter().for_each(|line| out.line(&format!("  {line}")));
    }
    out.line("");
    let Some(first) = found.first().map(|i| &found.hops[i]) else {
        let unseen = found.hops.iter().filter(|hop| hop.mark == Mark::Hidden).count();
        let rest = if unseen == 0 { String::new() } else { format!(" ({unseen} not visible to you)") };
        return out.line(&out.paint(Tone::Good, &format!("Nothing on the way is broken{rest}.")));
    };
    let (tone, head) =
        if first.mark == Mark::Broken { (Tone::Bad, "First broken hop") } else { (Tone::Warn, "Waits at") };
    let at = if first.at.is_empty() { String::new() } else { format!(" {}", first.at) };
    out.line(&out.paint(tone, &format!("{head}: {}{at}", first.hop)));
    for (label, value) in
        [("because", &first.text), ("object", &first.object), ("field", &first.field), ("cure", &first.cure)]
    {
        if !value.is_empty() {
            out.line(&format!("  {label:7}  {value}"));
        }
    }
}

fn as_json(args: &TraceArgs, found: &Trace) -> serde_json::Value {
    let (namespace, app) = found.app.clone().unzip();
    json!({
        "version": 1, "host": args.host, "path": args.path, "namespace": namespace, "app": app, "broken": found.first(),
        "hops": found.hops, "plan": found.plan,
    })
}

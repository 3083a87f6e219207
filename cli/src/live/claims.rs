//! `gatehouse claims list` and `explain`: who holds what, and what a tenant was not told.

use gatehouse_core::explain::{Explanation, Verdict, explain, find};
use gatehouse_core::{AppKey, World, facts};
use gatehouse_crds::{ClaimState, ExposedApp, ExposurePolicy, HostClaim, SharedLoadBalancer};
use gatehouse_route::Host;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use serde_json::json;
use std::sync::Arc;

use super::{Failure, connect, run};
use crate::args::{ExplainArgs, Format, ListArgs};
use crate::check::{Judged, judge};
use crate::print::{Out, Tone, table};

/// Runs `claims list`.
pub fn list(args: &ListArgs, out: &mut Out) -> u8 {
    run(out, 2, async |out| {
        let client = connect(&args.cluster).await?;
        let mut claims: Vec<HostClaim> = super::list(&client, "hostclaims").await?;
        claims.retain(|c| args.namespace.as_ref().is_none_or(|ns| c.spec.namespace == *ns));
        claims.sort_by(|a, b| (&a.spec.namespace, &a.spec.host).cmp(&(&b.spec.namespace, &b.spec.host)));
        match args.output {
            Format::Json => {
                let rows: Vec<serde_json::Value> = claims.iter().map(as_json).collect();
                out.json(&json!({ "version": 1, "claims": rows }));
            }
            Format::Text if claims.is_empty() => out.line("no claims"),
            Format::Text => {
                let head = ["HOST", "NAMESPACE", "STATE", "APPS", "PLACEMENT", "SINCE"].map(str::to_owned);
                let rows: Vec<[String; 6]> = std::iter::once(head).chain(claims.iter().map(row)).collect();
                table(&rows).iter().for_each(|line| out.line(line));
            }
        }
        Ok(0)
    })
}

fn since(claim: &HostClaim) -> String {
    let released = claim.status.as_ref().and_then(|s| s.released_at.clone());
    released.unwrap_or_else(|| facts::meta(&claim.metadata).created.rfc3339())
}

fn row(claim: &HostClaim) -> [String; 6] {
    let status = claim.status.clone().unwrap_or_default();
    let state = match &status.transfer_to {
        Some(to) => format!("{:?}, to {to}", status.state),
        None => format!("{:?}", status.state),
    };
    let place = |(name, p): (&String, &gatehouse_crds::Placement)| match p.from {
        Some(from) => format!("{name}#{} (from #{from})", p.shard),
        None => format!("{name}#{}", p.shard),
    };
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [
        claim.spec.host.clone(),
        claim.spec.namespace.clone(),
        state,
        or_none(status.apps.join(", ")),
        or_none(status.placement.iter().map(place).collect::<Vec<_>>().join(", ")),
        since(claim),
    ]
}

fn as_json(claim: &HostClaim) -> serde_json::Value {
    let status = claim.status.clone().unwrap_or_default();
    json!({
        "host": claim.spec.host, "namespace": claim.spec.namespace, "state": status.state, "apps": status.apps,
        "placement": status.placement, "transferTo": status.transfer_to, "since": since(claim),
    })
}

/// Runs `claims explain`.
pub fn explanation(args: &ExplainArgs, out: &mut Out) -> u8 {
    if args.input.from.files.is_empty() {
        return run(out, 2, async |out| {
            let world = world(&connect(&args.cluster).await?).await?;
            told(args, &world, "this cluster", out)
        });
    }
    let Some(Judged { objects, engine }) = judge(&args.input, out) else { return 2 };
    let mut world = engine.world().clone();
    // What admission refused is what is asked about.
    for app in objects.apps {
        if let Some(facts) = app.facts {
            world.apps.entry(app.key).or_insert_with(|| Arc::new(facts));
        }
    }
    run(out, 2, async |out| told(args, &world, "these files", out))
}

/// The few kinds that decide who may hold what.
async fn world(client: &Client) -> Result<World, Failure> {
    let mut world = World::default();
    for o in super::list::<ExposedApp>(client, "exposedapps").await? {
        world.apps.insert(facts::key(&o.metadata), facts::app(&o));
    }
    for o in super::list::<SharedLoadBalancer>(client, "sharedloadbalancers").await? {
        world.load_balancers.insert(facts::key(&o.metadata).name, facts::load_balancer(&o));
    }
    for o in super::list::<ExposurePolicy>(client, "exposurepolicies").await? {
        world.policies.insert(facts::key(&o.metadata).name, facts::policy(&o));
    }
    for o in super::list::<HostClaim>(client, "hostclaims").await? {
        world.claims.insert(facts::key(&o.metadata).name, facts::claim(&o));
    }
    for o in super::list::<Namespace>(client, "namespaces").await? {
        world.namespaces.insert(facts::key(&o.metadata).name, facts::namespace(&o));
    }
    Ok(world)
}

fn told(args: &ExplainArgs, world: &World, place: &str, out: &mut Out) -> Result<u8, Failure> {
    let subject = match args.reference.split_once('/') {
        Some((namespace, host)) => {
            let host = Host::parse(host).map_err(|e| Failure::new(format!("host: {e}")))?;
            Some((host, namespace.to_owned()))
        }
        None => {
            let reference = args.reference.to_ascii_lowercase();
            if reference.len() != 8 || !reference.bytes().all(|b| b.is_ascii_hexdigit()) {
                let what = format!("{:?} is no reference: eight digits such as 1a2b3c4d", args.reference);
                return Err(Failure::new(what).cure("or ask with NAMESPACE/HOST, such as team-b/shop.example.com"));
            }
            find(world, &reference)
        }
    };
    let Some((host, namespace)) = subject else {
        out.complain(&format!("no host and namespace of {place} have the reference {}", args.reference));
        out.complain("  of what admission refused nothing may be stored: ask the tenant, and then with NAMESPACE/HOST");
        return Ok(1);
    };
    let found = explain(world, &host, &namespace, u64::from(args.release_grace.get()));
    match args.output {
        Format::Json => {
            let mut value = serde_json::to_value(&found).map_err(|e| Failure::new(e.to_string()))?;
            value["version"] = json!(1);
            out.json(&value);
        }
        Format::Text => text(&found, out),
    }
    Ok(0)
}

fn text(e: &Explanation, out: &mut Out) {
    let list = |names: &[String], none: &str| if names.is_empty() { none.to_owned() } else { names.join(", ") };
    let apps: Vec<String> = e.apps.iter().map(|name| AppKey::new(&e.namespace, name).to_string()).collect();
    let exists = if e.namespace_exists { "" } else { ", which does not exist" };
    out.line(&out.paint(Tone::Strong, &format!("{}: {} for namespace {}{exists}", e.reference, e.host, e.namespace)));
    let mut rows = vec![
        ["  asked by".to_owned(), list(&apps, "no app that is stored")],
        ["  policies".to_owned(), list(&e.policies, "none speaks to the namespace")],
        ["  granted by".to_owned(), list(&e.granted_by, "none")],
    ];
    if let Some(state) = e.own {
        rows.push(["  own claim".to_owned(), format!("{state:?}")]);
    }
    let way = e.blocked_by.as_ref().map_or_else(
        || "nothing".to_owned(),
        |b| {
            let gone = if b.namespace_gone { " (gone, or made anew under its name)" } else { "" };
            let state = match (b.state, &b.kept_until) {
                (ClaimState::Released, Some(until)) => format!("released, kept from others until {until}"),
                (state, _) => format!("{} since {}", format!("{state:?}").to_lowercase(), b.since),
            };
            let places: Vec<String> = b.placement.iter().map(|(name, shard)| format!("{name}#{shard}")).collect();
            let on = if places.is_empty() { String::new() } else { format!(", on {}", places.join(", ")) };
            let apps = if b.apps.is_empty() { String::new() } else { format!(", apps {}", b.apps.join(", ")) };
            let leaving = b.transfer_to.as_ref().map_or_else(String::new, |to| format!(", on its way to {to}"));
            format!("{} of namespace {}{gone}: {state}{apps}{on}{leaving}", b.host, b.namespace)
        },
    );
    rows.push(["  in the way".to_owned(), way]);
    let verdict = match e.verdict {
        Verdict::Held => "held: the namespace has the host",
        Verdict::Free => "free: the namespace may have the host",
        Verdict::NotGranted => "not granted",
        Verdict::Taken => "granted, but taken",
    };
    rows.push(["  so it is".to_owned(), verdict.to_owned()]);
    table(&rows).iter().for_each(|line| out.line(line));
    out.line("");
    out.line("What can be done:");
    for cure in &e.cures {
        out.line(&format!("  - {}", cure.what));
        if let Some(command) = &cure.command {
            out.line(&format!("      {}", out.paint(Tone::Strong, command)));
        }
    }
}

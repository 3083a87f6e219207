//! What the parts on the wire stand on: a control plane, the simulator with the account's buckets, hollow edges, the
//! release operator with its default delays, and a client inside.

use std::time::Duration;

use anyhow::{Context as _, Result};
use scenarios::bench::{Operator, operator_command};
use scenarios::hollow::Hollow;
use scenarios::lab::Lab;
use serde_json::{Value, json};

use crate::calls::{self, Call};
use crate::figure::Scene;
use crate::inside::{Inside, now};

/// Milliseconds that every AWS call takes at least.
pub const LATENCY: u64 = 30;

/// The simulator's data plane takes rules at multiples of so many milliseconds.
pub const RULE_BATCH: f64 = 50.0;

/// Teams whose names the account's certificate covers.
const TEAMS: usize = 100;

const CERTIFICATE: &str = "00000000-0000-4000-8000-000000000001";

/// How long something small may take before the bench gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running stand.
pub struct Stand {
    /// The client.
    pub inside: Inside,
    hollow: Hollow,
    /// Cluster and simulator.
    pub lab: Lab,
    operators: u32,
    /// The last call that was seen, so that a long log is not read again and again.
    seen: std::cell::Cell<u64>,
}

impl Stand {
    /// Brings everything up but operators.
    pub fn up(name: &str) -> Result<Stand> {
        let cache = platform::Cache::from_env()?;
        std::fs::create_dir_all(cache.join("bench"))?;
        // JSON is YAML.
        let seed = cache.join(format!("bench/seed-{name}.yaml"));
        let names: Vec<String> = (0..TEAMS).map(|n| format!("*.{}.example.com", team(n))).collect();
        let names = [vec!["example.com".to_owned()], names].concat();
        let certificates = json!([{ "id": CERTIFICATE, "names": names }]);
        let settings = json!({ "certificates": certificates, "buckets": calls::buckets() });
        std::fs::write(&seed, settings.to_string())?;
        let latency = format!("{LATENCY}ms");
        let lab = Lab::seeded(name, true, &seed, &["--profile", "fast", "--call-latency", &latency])?;
        lab.install_kinds()?;
        let hollow = Hollow::start(&lab)?;
        let inside = Inside::start(&lab)?;
        Ok(Stand { inside, hollow, lab, operators: 0, seen: 0.into() })
    }

    /// Takes everything down.
    pub fn down(self) -> Result<()> {
        let Stand { inside, hollow, lab, .. } = self;
        drop(inside);
        drop(hollow);
        lab.down()
    }

    /// Starts an operator with the defaults of its flags.
    pub fn operator(&mut self) -> Result<Operator> {
        self.operators += 1;
        let command = operator_command(&self.lab, "bench", self.operators)?;
        Ok(Operator::of(self.lab.spawn(&format!("operator-{}", self.operators), command)?))
    }

    /// The load balancer, one edge pod per namespace, with so many shards at most.
    pub fn load_balancer(&self, shards: usize) -> Result<()> {
        let subnet = |id: &str, zone: &str, cidr: &str| json!({ "id": id, "zone": zone, "cidrs": [cidr] });
        let spec = json!({
            "default": true, "region": "eu-central-1", "vpcId": "vpc-0123456789abcdef0",
            "subnets": [
                subnet("subnet-0aaa", "eu-central-1a", "10.0.0.0/24"),
                subnet("subnet-0bbb", "eu-central-1b", "10.0.1.0/24"),
            ],
            "securityGroups": ["sg-0ccc"], "scheme": "internet-facing",
            "certificates": { "shared": [format!("arn:aws:acm:eu-central-1:123456789012:certificate/{CERTIFICATE}")] },
            "edge": { "port": 8080, "replicas": 1 }, "limits": { "shards": shards },
        });
        self.inside.create(vec![object("SharedLoadBalancer", None, "public", spec)]).map(drop)
    }

    /// Namespaces with their policies and a Service; prewired ones have their domain kept ready.
    pub fn teams(&self, numbers: impl IntoIterator<Item = usize>, prewired: bool) -> Result<()> {
        let names: Vec<String> = numbers.into_iter().map(team).collect();
        let namespaces = names.iter().map(|name| object("Namespace", None, name, Value::Null));
        self.inside.create(namespaces.collect())?;
        let policies = names.iter().map(|name| {
            let domain = format!("{name}.example.com");
            let ready = json!([{ "domain": domain, "namespace": name, "loadBalancer": "public" }]);
            let mut spec = json!({
                "namespaces": { "names": [name] }, "grants": [{ "domains": [domain, format!("x.{domain}")] }],
                "loadBalancers": ["public"],
            });
            if prewired {
                spec["prewire"] = ready;
            }
            object("ExposurePolicy", None, name, spec)
        });
        let services = names.iter().map(|name| {
            let ports = json!([{ "port": 80, "targetPort": 8080 }]);
            object("Service", Some(name), "web", json!({ "selector": { "app": "web" }, "ports": ports }))
        });
        self.inside.create(policies.chain(services).collect()).map(drop)
    }

    /// Sets quotas of the account.
    pub fn quotas(&self, quotas: &Value) -> Result<()> {
        self.inside.aws("quotas", Some(&quotas.to_string())).map(drop)
    }

    /// Creates apps and waits for all of them.
    pub fn apps_ready(&self, apps: &[(String, String)], patience: Duration) -> Result<()> {
        self.inside.create(apps.iter().map(|(ns, name)| app(ns, name)).collect())?;
        for (ns, name) in apps {
            self.inside.when(ns, name, "Ready", patience).with_context(|| self.end_of_log())?;
        }
        Ok(())
    }

    /// Deletes apps and waits until they are gone.
    pub fn apps_gone(&self, apps: &[(String, String)], patience: Duration) -> Result<()> {
        for (ns, name) in apps {
            self.inside.delete(ns, name)?;
        }
        for (ns, name) in apps {
            self.inside.gone(ns, name, patience).with_context(|| self.end_of_log())?;
        }
        Ok(())
    }

    /// Calls of operators after this one.
    pub fn calls(&self, since: u64) -> Result<Vec<Call>> {
        let mut calls = calls::parse(&self.inside.aws(&format!("calls?since={since}"), None)?)?;
        self.seen.set(calls.last().map_or(self.seen.get(), |c| c.seq));
        calls.retain(|c| c.caller.starts_with("operator-"));
        Ok(calls)
    }

    /// The last call so far.
    pub fn last_call(&self) -> Result<u64> {
        self.calls(self.seen.get())?;
        Ok(self.seen.get())
    }

    /// Waits until nothing has been called for so long.
    pub fn quiet(&self, span: Duration) -> Result<()> {
        let mut last = (self.last_call()?, now());
        let end = now() + 180_000.0;
        while now() - last.1 < span.as_secs_f64() * 1000.0 {
            anyhow::ensure!(now() < end, "AWS is called without end: {}", calls::by_action(&self.calls(last.0)?));
            std::thread::sleep(Duration::from_millis(100));
            let seq = self.last_call()?;
            if seq != last.0 {
                last = (seq, now());
            }
        }
        Ok(())
    }

    /// What stands in AWS: shards, rules and target groups of ours.
    pub fn scene(&self) -> Result<(Scene, usize)> {
        let state: Value = serde_json::from_str(&self.inside.aws("state", None)?)?;
        let balancers = state["loadBalancers"].as_object().context("the simulator's state")?;
        let rules = balancers.values().flat_map(|b| b["listeners"]["443"]["rules"].as_array().into_iter().flatten());
        let hosts = |r: &Value| {
            let conditions = r["conditions"].as_array().into_iter().flatten();
            let values = conditions.flat_map(|c| c["HostHeaderConfig"]["Values"].as_array());
            values.map(Vec::len).sum::<usize>()
        };
        let hosts: Vec<usize> = rules.map(hosts).filter(|n| *n > 0).collect();
        let namespaces = state["targetGroups"].as_object().map_or(0, serde_json::Map::len);
        Ok((Scene { namespaces, hosts: hosts.iter().sum(), shards: balancers.len() }, hosts.len()))
    }

    /// For who reads why the bench could not go on.
    fn end_of_log(&self) -> String {
        self.lab.log(&format!("operator-{}", self.operators))
    }
}

/// The n-th team's namespace.
pub fn team(n: usize) -> String {
    format!("team-{n:03}")
}

/// The host of an app.
pub fn host(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.example.com")
}

/// An app on its own host.
pub fn app(namespace: &str, name: &str) -> Value {
    app_with(namespace, name, &host(namespace, name), "web")
}

/// An app on this host and Service.
pub fn app_with(namespace: &str, name: &str, host: &str, service: &str) -> Value {
    let routes = json!([{ "backends": [{ "service": service, "port": 80 }] }]);
    object("ExposedApp", Some(namespace), name, json!({ "hosts": [host], "routes": routes }))
}

fn object(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Value {
    let ours = ["ExposedApp", "ExposurePolicy", "SharedLoadBalancer"].contains(&kind);
    let version = if ours { "gatehouse.dev/v1alpha1" } else { "v1" };
    let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if !spec.is_null() {
        object["spec"] = spec;
    }
    object
}

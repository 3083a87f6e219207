//! The operator as a process on a bench: real API server, simulated AWS, no node. What the wire tests stand on.

#![allow(clippy::unwrap_used, reason = "for tests: a panic with the place is the report")]

use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::hollow::Hollow;
use crate::lab::{AWS, Lab, binary};

const SHARED: &str = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000001";

/// The port of `/plan` of the n-th operator is this plus n.
pub const PLAN_PORT: u32 = 17_000;

/// Whether the machine can run these; says so if not.
#[must_use]
pub fn wanted() -> bool {
    let asked = std::env::var_os("GATEHOUSE_PLATFORM").is_some_and(|v| v == "1");
    if !asked {
        eprintln!("not run: needs root and GATEHOUSE_PLATFORM=1 (`make test` sets it)");
    }
    asked
}

/// The n-th operator of a lab, with ports of its own; its access key is its name in AWS's call log.
///
/// # Errors
/// If it has not been built.
pub fn operator_command(lab: &Lab, cluster: &str, n: u32) -> anyhow::Result<std::process::Command> {
    let mut command = lab.platform.command(binary("gatehouse-operator")?);
    command
        .args(["--edge-image=hollow:dev", "--cluster-dns=10.96.0.10", "--namespace=gatehouse-system", "--log=info"])
        .args([&format!("--cluster-id={cluster}"), &format!("--identity=operator-{n}")])
        .arg(format!("--health-address=127.0.0.1:{}", 18_000 + n))
        .arg(format!("--plan-address=127.0.0.1:{}", PLAN_PORT + n))
        .args([&format!("--metrics-address=127.0.0.1:{}", 19_000 + n), "--webhook-certificates=false"])
        .envs([("AWS_ENDPOINT_URL", AWS), ("AWS_SECRET_ACCESS_KEY", "unchecked"), ("AWS_REGION", "eu-central-1")])
        .env("AWS_ACCESS_KEY_ID", format!("operator-{n}"));
    Ok(command)
}

/// A control plane with the CRDs, the simulator, hollow edges and as many operators as are started.
pub struct Bench {
    /// Cluster and simulator.
    pub lab: Lab,
    _hollow: Hollow,
    operators: u32,
}

/// A running operator.
pub struct Operator(Child);

impl Operator {
    /// An operator that was started by somebody else's hand.
    #[must_use]
    pub fn of(child: Child) -> Operator {
        Operator(child)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`: nothing is given back, no call ends.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

impl Bench {
    /// Brings everything up but operators.
    #[must_use]
    pub fn new(name: &str) -> Bench {
        let lab = Lab::up(name, true, &["--profile", "fast", "--call-latency", "20ms"]).unwrap();
        lab.install_kinds().unwrap();
        let hollow = Hollow::start(&lab).unwrap();
        Bench { lab, _hollow: hollow, operators: 0 }
    }

    /// Starts an operator; its access key is its name in AWS's call log.
    pub fn operator(&mut self) -> Operator {
        self.operators += 1;
        let n = self.operators;
        let mut command = operator_command(&self.lab, "wire", n).unwrap();
        command.args(["--record-ttl=1s", "--release-grace=5s", "--call-deadline=3s", "--lease-duration=3s"]);
        Operator(self.lab.spawn(&format!("operator-{n}"), command).unwrap())
    }

    /// The load balancer of every test, with one edge pod per namespace.
    pub fn load_balancer(&self) {
        self.yaml(&format!(
            "apiVersion: gatehouse.dev/v1alpha1\nkind: SharedLoadBalancer\nmetadata: {{name: public}}\nspec:\n  default: true\n  region: eu-central-1\n  vpcId: vpc-0123456789abcdef0\n  subnets: [{{id: subnet-0aaa, zone: eu-central-1a, cidrs: [10.0.0.0/24]}}, {{id: subnet-0bbb, zone: eu-central-1b, cidrs: [10.0.1.0/24]}}]\n  securityGroups: [sg-0ccc]\n  scheme: internet-facing\n  certificates: {{shared: [\"{SHARED}\"]}}\n  edge: {{port: 8080, replicas: 1}}\n"
        ));
    }

    /// Applies YAML.
    pub fn yaml(&self, text: &str) {
        let out = self.lab.apply_text(text).unwrap();
        assert!(out.status.success(), "{}\n{text}", String::from_utf8_lossy(&out.stderr));
    }

    /// A namespace with its policy, a Service and an app on `NAME.example.com`.
    pub fn app(&self, name: &str) {
        self.yaml(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {{name: {name}}}\nspec:\n  namespaces: {{names: [{name}]}}\n  grants: [{{hosts: [{name}.example.com]}}]\n  loadBalancers: [public]\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {name}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {{name: web, namespace: {name}}}\nspec:\n  hosts: [{name}.example.com]\n  routes: [{{backends: [{{service: web, port: 80}}]}}]\n"
        ));
    }

    /// Arms a fault of the simulator.
    pub fn fault(&self, action: &str, kind: &str, count: u32) {
        let body = format!("{{\"action\": \"{action}\", \"nth\": 1, \"kind\": \"{kind}\", \"count\": {count}}}");
        self.lab.aws("faults", Some(&body)).unwrap();
    }

    /// Status, reason and message of a condition of the app `web` in a namespace.
    #[must_use]
    pub fn condition(&self, name: &str, type_: &str) -> (String, String, String) {
        let text = self.lab.must(&["-n", name, "get", "exposedapp", "web", "-o", "json"]).unwrap();
        let app: Value = serde_json::from_str(&text).unwrap();
        let found = app["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|c| c["type"] == type_)
            .cloned()
            .unwrap_or_default();
        let text = |key: &str| found[key].as_str().unwrap_or("").to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// Waits until the app is ready and really answers, from its own namespace.
    pub fn ready(&self, name: &str, patience: u64) -> Duration {
        let took = self.lab.wait(&format!("{name} to be ready"), Duration::from_secs(patience), || {
            Ok(self.condition(name, "Ready").0 == "True")
        });
        let took = took.unwrap_or_else(|e| {
            let status = self.lab.must(&["-n", name, "get", "exposedapp", "web", "-o", "yaml"]).unwrap_or_default();
            panic!("{e}\n{status}\n{}", self.lab.log(&format!("operator-{}", self.operators)));
        });
        let (status, body) = self.lab.get(&format!("https://{name}.example.com/")).unwrap();
        assert_eq!((status, body.as_str()), (200, name));
        took
    }

    /// What the simulator holds.
    #[must_use]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.lab.aws("state", None).unwrap()).unwrap()
    }

    /// Every namespace has exactly one target group, one rule and one name: nothing leaked, nothing doubled.
    pub fn nothing_leaked(&self, apps: usize) {
        let state = self.state();
        let state = if state["loadBalancers"].is_object() { &state } else { &state["aws"] };
        let balancers = state["loadBalancers"].as_object().unwrap();
        assert_eq!(balancers.len(), 1);
        assert_eq!(state["targetGroups"].as_object().unwrap().len(), apps);
        let rules = &balancers.values().next().unwrap()["listeners"]["443"]["rules"];
        let forwards = rules
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["conditions"].as_array().is_some_and(|c| !c.is_empty()))
            .count();
        assert_eq!(forwards, apps, "{rules:#}");
    }

    /// Calls that change something, as AWS saw them.
    #[must_use]
    pub fn writes(&self) -> Vec<Value> {
        let log = self.lab.aws("calls", None).unwrap();
        let calls = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        calls
            .filter(|c| !["Describe", "List", "Get"].iter().any(|p| c["action"].as_str().unwrap_or("").starts_with(p)))
            .collect()
    }
}

//! NetworkPolicy on the real platform: a truth table, and a change while traffic flows.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use platform::Platform;
use serde_json::{Value, json};

use super::support::{container, echo, eventually, kubectl, load_echo, options, pod, turn, up};

/// The cast. Namespaces a (team=a) and b (team=b), pods in both; `web` in a listens on 8080 (http) and 8081 (admin).
/// Outside: a load balancer on two addresses, the node, and host processes on a local and on the node's address.
struct Stage {
    platform: Platform,
    /// Ended by the platform.
    hosts: Vec<Child>,
    /// Address of `namespace/pod`.
    ips: Vec<(&'static str, String)>,
}

const PODS: [&str; 5] = ["a/web", "a/client", "a/other", "b/client", "b/other"];
const OUTSIDE: [(&str, &str); 3] = [("alb", "10.0.0.10"), ("alb2", "10.0.1.10"), ("node", "10.100.0.1")];

/// Who asks whom; a case lists those that get an answer, and all others must not.
const PROBES: [(&str, &[&str]); 8] = [
    ("a/client", &["http", "admin", "svc", "b-other", "host", "nodehost"]),
    ("a/other", &["http", "admin"]),
    ("b/client", &["http", "admin"]),
    ("b/other", &["http", "admin"]),
    ("a/web", &["http", "svc"]),
    ("alb", &["http", "admin"]),
    ("alb2", &["http", "admin"]),
    ("node", &["http", "admin"]),
];

impl Stage {
    fn set() -> Stage {
        let platform = up(options("t-policy"));
        load_echo(&platform);
        let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}});
        platform
            .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [namespace("a"), namespace("b")]}))
            .unwrap();
        let mut items = vec![json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        })];
        for id in PODS {
            let (namespace, name) = id.split_once('/').unwrap();
            let mut containers = vec![container("http", 8080)];
            if name == "web" {
                containers.push(container("admin", 8081));
            }
            items.push(pod(namespace, name, &containers));
        }
        for namespace in ["a", "b"] {
            kubectl(&platform, &["-n", namespace, "wait", "--for=create", "sa/default", "--timeout=20s"]);
        }
        let began = Instant::now();
        platform.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).unwrap();
        for namespace in ["a", "b"] {
            kubectl(&platform, &["-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]);
        }
        println!("five pods ready: {:.1} s", began.elapsed().as_secs_f64());
        let hosts = ["10.0.0.20:9000", "10.100.0.1:9000"]
            .map(|listen| platform.command(echo()).args(["--listen", listen]).stderr(Stdio::null()).spawn().unwrap());
        let ips = PODS
            .iter()
            .map(|id| {
                let (namespace, name) = id.split_once('/').unwrap();
                let path = "jsonpath={.status.podIP}";
                (*id, kubectl(&platform, &["-n", namespace, "get", "pod", name, "-o", path]))
            })
            .collect();
        Stage { platform, hosts: hosts.into(), ips }
    }

    fn ip(&self, id: &str) -> &str {
        &self.ips.iter().find(|(name, _)| *name == id).unwrap().1
    }

    fn url(&self, target: &str) -> String {
        match target {
            "http" => format!("http://{}:8080/healthz", self.ip("a/web")),
            "admin" => format!("http://{}:8081/healthz", self.ip("a/web")),
            "svc" => "http://web.a.svc.cluster.local/healthz".to_owned(),
            "b-other" => format!("http://{}:8080/healthz", self.ip("b/other")),
            "host" => "http://10.0.0.20:9000/healthz".to_owned(),
            "nodehost" => "http://10.100.0.1:9000/healthz".to_owned(),
            other => panic!("no target {other}"),
        }
    }

    /// The targets that answered.
    fn ask(&self, source: &str, targets: &[&str]) -> Vec<String> {
        let mut command = match OUTSIDE.iter().find(|(name, _)| *name == source) {
            Some((_, from)) => {
                let mut command = self.platform.command(echo());
                command.args(["get", "--timeout", "1", "--from", from]);
                command
            }
            None => {
                let (namespace, name) = source.split_once('/').unwrap();
                let mut command = self.platform.command("kubectl");
                command.args(["-n", namespace, "exec", name, "-c", "http", "--", "/echo", "get", "--timeout", "1"]);
                command
            }
        };
        let urls: Vec<String> = targets.iter().map(|target| self.url(target)).collect();
        let out = command.args(&urls).stderr(Stdio::null()).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        targets
            .iter()
            .zip(urls)
            .filter(|(_, url)| text.lines().any(|line| line == format!("{url} 200")))
            .map(|(target, _)| format!("{source}>{target}"))
            .collect()
    }

    fn observe(&self) -> BTreeSet<String> {
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                PROBES.iter().map(|(source, targets)| scope.spawn(|| self.ask(source, targets))).collect();
            asked.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Replaces all policies by these.
    fn policies(&self, policies: &[Value]) {
        kubectl(&self.platform, &["delete", "networkpolicy", "-A", "--all", "--wait=false"]);
        let items: Vec<Value> = policies
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                json!({
                    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": {"namespace": "a", "name": format!("p{index}")}, "spec": spec,
                })
            })
            .collect();
        if !items.is_empty() {
            self.platform.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).unwrap();
        }
    }
}

fn ingress(rules: &Value) -> Vec<Value> {
    vec![json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": rules})]
}

fn egress(rules: &Value) -> Vec<Value> {
    vec![json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": rules})]
}

fn with(mut first: Vec<Value>, more: Vec<Value>) -> Vec<Value> {
    first.extend(more);
    first
}

struct Case {
    name: &'static str,
    policies: Vec<Value>,
    /// Of ingress to `web` from elsewhere than the node, which always gets through: `*` means all.
    to_web: &'static str,
    /// Of egress from a/client: `*` means all that ingress lets in.
    from_client: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |name, policies, to_web, from_client| Case { name, policies, to_web, from_client };
    let client = json!({"podSelector": {"matchLabels": {"app": "client"}}});
    let team_b = json!({"namespaceSelector": {"matchLabels": {"team": "b"}}});
    let both =
        json!({"podSelector": {"matchLabels": {"app": "client"}}, "namespaceSelector": {"matchLabels": {"team": "b"}}});
    let home = json!({"podSelector": {}});
    let block = json!({"ipBlock": {"cidr": "10.0.0.0/16"}});
    let except = json!({"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.0.1.0/24"]}});
    let node = json!({"ipBlock": {"cidr": "10.100.0.1/32"}});
    let dns = json!({
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    });
    vec![
        case("no policy", vec![], "*", "*"),
        case("default deny ingress", vec![json!({"podSelector": {}, "policyTypes": ["Ingress"]})], "", "*"),
        case("an empty rule allows everybody", ingress(&json!([{}])), "*", "*"),
        case("podSelector", ingress(&json!([{"from": [client]}])), "a/client", "*"),
        case("namespaceSelector", ingress(&json!([{"from": [team_b]}])), "b/client b/other", "*"),
        case("both in one item: and", ingress(&json!([{"from": [both]}])), "b/client", "*"),
        case("two items: or", ingress(&json!([{"from": [client, team_b]}])), "a/client b/client b/other", "*"),
        case("all pods of the namespace", ingress(&json!([{"from": [home]}])), "a/client a/other", "*"),
        case("ipBlock", ingress(&json!([{"from": [block]}])), "alb alb2", "*"),
        case("ipBlock with except", ingress(&json!([{"from": [except]}])), "alb", "*"),
        case("port by number", ingress(&json!([{"from": [client], "ports": [{"port": 8080}]}])), "a/client:http", "*"),
        case(
            "port by name",
            ingress(&json!([{"from": [client], "ports": [{"port": "admin"}]}])),
            "a/client:admin",
            "*",
        ),
        case("port range", ingress(&json!([{"ports": [{"port": 8081, "endPort": 8090}]}])), "*:admin", "*"),
        case("port of another protocol", ingress(&json!([{"ports": [{"port": 8080, "protocol": "UDP"}]}])), "", "*"),
        case("default deny egress", egress(&json!([])), "*", ""),
        case("egress to pods, no DNS", egress(&json!([{"to": [home]}])), "*", "http admin"),
        case("egress to pods and DNS", egress(&json!([{"to": [home]}, dns])), "*", "http admin svc"),
        case("egress to DNS only", egress(&json!([dns])), "*", ""),
        case("egress to another namespace", egress(&json!([{"to": [team_b]}])), "*", "b-other"),
        case("egress to host processes", egress(&json!([{"to": [block]}])), "*", "host"),
        case("egress to the node", egress(&json!([{"to": [node]}])), "*", "nodehost"),
        case("egress by port name", egress(&json!([{"ports": [{"port": "admin"}]}])), "*", "admin"),
        case(
            "both ends must agree",
            with(egress(&json!([{"to": [home, block]}])), ingress(&json!([{"ports": [{"port": 8081}]}]))),
            "*:admin",
            "http admin host",
        ),
        case(
            "policies add up",
            with(
                ingress(&json!([])),
                with(ingress(&json!([{"from": [client]}])), ingress(&json!([{"from": [except]}]))),
            ),
            "a/client alb",
            "*",
        ),
    ]
}

/// The probes that must be answered. The Service leads to the port `http`; `web` always reaches itself.
fn expected(case: &Case) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (source, targets) in PROBES {
        for target in targets {
            let port = if *target == "svc" { "http" } else { target };
            let at_web = ["http", "admin"].contains(&port);
            let let_in = !at_web
                || ["node", "a/web"].contains(&source)
                || case.to_web.split(' ').any(|item| {
                    let (who, what) = item.split_once(':').unwrap_or((item, port));
                    (who == "*" || who == source) && what == port
                });
            let let_out =
                source != "a/client" || case.from_client == "*" || case.from_client.split(' ').any(|t| t == *target);
            if let_in && let_out {
                all.insert(format!("{source}>{target}"));
            }
        }
    }
    all
}

#[test]
fn truth_table() {
    let Some(_turn) = turn("truth_table") else { return };
    let stage = Stage::set();
    let mut before = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let wanted = expected(&case);
        stage.policies(&case.policies);
        let began = Instant::now();
        // A rule is in force when the watch has brought it, so look again for a moment.
        let mut seen = stage.observe();
        while seen != wanted && began.elapsed() < Duration::from_secs(6) {
            seen = stage.observe();
        }
        let same = if wanted == before { " (as before)" } else { "" };
        println!("{:32} {:2} answered, {:.1} s{same}", case.name, seen.len(), began.elapsed().as_secs_f64());
        if seen != wanted {
            let missing: Vec<_> = wanted.difference(&seen).collect();
            let extra: Vec<_> = seen.difference(&wanted).collect();
            wrong.push(format!("{}: wrongly refused {missing:?}, wrongly let through {extra:?}", case.name));
        }
        before = wanted;
    }
    // Probes of the kubelet got through all the while.
    let pods = kubectl(&stage.platform, &["-n", "a", "get", "pod", "web", "--no-headers"]);
    assert!(pods.contains("2/2") && pods.contains("Running   0"), "{pods}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    established_connections_go_on(&stage);
    stage.platform.down().unwrap();
    for mut host in stage.hosts {
        assert!(host.try_wait().unwrap().is_some(), "a host process still runs");
    }
}

/// A change binds new connections at once; a request under way gets its answer.
fn established_connections_go_on(stage: &Stage) {
    stage.policies(&[]);
    let open = || !stage.ask("alb", &["http"]).is_empty();
    assert!(eventually(open), "not open again");
    let slow = format!("http://{}:8080/slow?ms=3000", stage.ip("a/web"));
    let mut command = stage.platform.command(echo());
    command.args(["get", "--timeout", "6", "--from", "10.0.0.10", &slow]).stdout(Stdio::piped());
    let flowing = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    stage.policies(&ingress(&json!([])));
    let applied = began.elapsed();
    assert!(eventually(|| !open()), "new connections are not refused");
    println!(
        "new connections refused {:.2} s after kubectl began (kubectl took {:.2} s, a refused probe 1 s)",
        began.elapsed().as_secs_f64(),
        applied.as_secs_f64()
    );
    let out = flowing.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stdout));
}

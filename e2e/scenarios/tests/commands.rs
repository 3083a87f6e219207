//! The platform team's commands against a running operator: the built `gatehouse`, a real API server, its admission
//! policies and RBAC. Runs as root with GATEHOUSE_PLATFORM=1, as `make test` does.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use scenarios::bench::{Bench, PLAN_PORT, wanted};
use scenarios::lab::binary;
use serde_json::Value;

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the command inside the platform; `who` is a kubeconfig, the administrator's if there is none.
fn gatehouse(bench: &Bench, who: Option<&PathBuf>, args: &[&str]) -> Ran {
    let mut command = bench.lab.platform.command(binary("gatehouse").unwrap());
    if let Some(who) = who {
        command.env("KUBECONFIG", who);
    }
    let out = command.args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) };
    println!("gatehouse {} -> {:?}\n{}{}", args.join(" "), ran.code, ran.stdout, ran.stderr);
    ran
}

impl Ran {
    #[track_caller]
    fn wants(&self, code: i32, says: &str) -> &Ran {
        let said = self.stdout.contains(says) || self.stderr.contains(says);
        assert!(self.code == Some(code) && said, "wanted {code} and {says:?}");
        self
    }
}

/// A service account with this ClusterRole, as a kubeconfig.
fn person(bench: &Bench, name: &str, role: &str) -> PathBuf {
    let lab = &bench.lab;
    lab.must(&["create", "serviceaccount", name]).unwrap();
    lab.must(&[
        "create",
        "clusterrolebinding",
        name,
        "--clusterrole",
        role,
        "--serviceaccount",
        &format!("default:{name}"),
    ])
    .unwrap();
    let token = lab.must(&["create", "token", name, "--duration=1h"]).unwrap();
    let path = lab.folder.join(format!("{name}.kubeconfig"));
    std::fs::copy(lab.platform.kubeconfig(), &path).unwrap();
    let file = path.display().to_string();
    lab.must(&["--kubeconfig", &file, "config", "set-credentials", name, "--token", token.trim()]).unwrap();
    lab.must(&["--kubeconfig", &file, "config", "set-context", "--current", "--user", name]).unwrap();
    path
}

fn policy(bench: &Bench, namespace: &str, hosts: &str) {
    bench.yaml(&format!(
        "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {{name: {namespace}}}\nspec:\n  namespaces: {{names: [{namespace}]}}\n  grants: [{{hosts: [{hosts}]}}]\n  loadBalancers: [public]\n"
    ));
}

fn app(bench: &Bench, namespace: &str, name: &str, host: &str) {
    bench.yaml(&format!(
        "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [{host}]\n  routes: [{{backends: [{{service: web, port: 80}}]}}]\n"
    ));
}

#[test]
fn the_platform_team_commands_and_looks() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-commands");
    let path = |file: &str| scenarios::lab::root().join(file).display().to_string();
    bench
        .lab
        .must(&["apply", "-f", &path("config/rbac/tenant.yaml"), "-f", &path("config/policy/requests.yaml")])
        .unwrap();
    bench.yaml(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: editor}\nrules:\n- apiGroups: [gatehouse.dev]\n  resources: [sharedloadbalancers, hostclaims]\n  verbs: [get, list, patch]\n",
    );
    gatehouse(&bench, None, &["plan", "--live"]).wants(1, "no operator leads");
    gatehouse(&bench, None, &["move", "one", "--to", "1"]).wants(2, "there is no SharedLoadBalancer");
    let operator = bench.operator();
    bench.load_balancer();
    let keep_alive = r#"{"spec": {"attributes": {"client_keep_alive.seconds": "60"}}}"#;
    bench.lab.must(&["patch", "sharedloadbalancer", "public", "--type=merge", "-p", keep_alive]).unwrap();
    bench.app("one");
    bench.app("two");
    bench.ready("one", 60);
    bench.ready("two", 60);

    // Who may: the policy asks for the verb, and says so.
    let (team, editor) = (person(&bench, "team", "gatehouse-platform"), person(&bench, "editor", "editor"));
    let denied = |bench: &Bench| gatehouse(bench, Some(&editor), &["move", "one", "--to", "0", "--no-wait"]);
    // The API server takes up a new policy within seconds.
    bench.lab.wait("the policy", Duration::from_secs(30), || Ok(denied(&bench).code == Some(2))).unwrap();
    denied(&bench).wants(2, "need the verb operate").wants(2, "gatehouse-platform");
    gatehouse(&bench, Some(&editor), &["claims", "explain", "two/one.example.com"]).wants(2, "not allowed to list");
    gatehouse(&bench, Some(&team), &["plan", "--live"]).wants(1, "not allowed to read the lease");
    bench
        .lab
        .must(&[
            "-n",
            "gatehouse-system",
            "create",
            "rolebinding",
            "team",
            "--role=gatehouse-platform",
            "--serviceaccount=default:team",
        ])
        .unwrap();
    // Without a kubelet the leader is no pod; the demo's lab has one.
    gatehouse(&bench, Some(&team), &["plan", "--live"]).wants(1, "which is no pod of gatehouse-system");

    // Nothing is held: no digest is right. A load balancer that is not there names those that are.
    gatehouse(&bench, Some(&team), &["approve", "public", "--digest", "00000000"]).wants(1, "refused: nothing is held");
    gatehouse(&bench, Some(&team), &["approve", "privat", "--digest", "00000000"]).wants(2, "there are: public");
    gatehouse(&bench, Some(&team), &["move", "one", "--to", "9"]).wants(1, "beyond spec.limits.shards 4");
    gatehouse(&bench, Some(&team), &["move", "nobody", "--to", "1"]).wants(1, "has no host on public");

    // A move takes longer than anybody watches: it says how far it is, and goes on.
    gatehouse(&bench, Some(&team), &["move", "one", "--to", "1", "--timeout", "3s"])
        .wants(1, "working: ")
        .wants(1, "the request stands");
    let moving = Instant::now();

    // A tenant is refused with a reference; the platform team turns it back into host and holder.
    policy(&bench, "two", "two.example.com, one.example.com, deep.two.example.com");
    app(&bench, "two", "more", "one.example.com");
    let mut message = String::new();
    bench
        .lab
        .wait("the refusal", Duration::from_secs(20), || {
            let text = bench.lab.must(&["-n", "two", "get", "exposedapp", "more", "-o", "json"])?;
            let app: Value = serde_json::from_str(&text)?;
            message = app["status"]["conditions"].to_string();
            Ok(message.contains("reference "))
        })
        .unwrap();
    assert!(!message.contains("namespace one"), "a tenant is not told who holds it: {message}");
    let reference: String = message.split("reference ").nth(1).unwrap().chars().take(8).collect();
    gatehouse(&bench, Some(&team), &["claims", "explain", &reference])
        .wants(0, "one.example.com for namespace two")
        .wants(0, "one.example.com of namespace one: held since")
        .wants(0, "gatehouse claims transfer one.example.com --to two");
    gatehouse(&bench, Some(&team), &["claims", "explain", "00000000"]).wants(1, "NAMESPACE/HOST");

    // An app without a certificate waits, and the plan says for what; nobody else's part is shown.
    app(&bench, "two", "deep", "deep.two.example.com");
    let address = format!("127.0.0.1:{}", PLAN_PORT + 1);
    let plan =
        |more: &[&str]| gatehouse(&bench, Some(&team), &[&["plan", "--live", "--address", &address], more].concat());
    bench
        .lab
        .wait("the plan to say so", Duration::from_secs(20), || {
            let ran = plan(&["--part", "two"]);
            Ok(ran.code == Some(0)
                && ran.stdout.lines().any(|l| l.contains("deep.two.example.com") && l.contains("certificate")))
        })
        .unwrap();
    plan(&["--part", "two"]).wants(0, "Leader operator-1 since").wants(0, "namespace two");
    let value: Value = serde_json::from_str(&plan(&["-o", "json"]).stdout).unwrap();
    assert_eq!((&value["version"], &value["leader"]["mayAct"]), (&1.into(), &true.into()));
    assert!(value["counts"]["waiting"].as_u64() > Some(0), "{value:#}");
    plan(&["--detailed-exitcode"]).wants(2, "waits for");

    // A stand-by names the leader.
    let second = bench.operator();
    let address = format!("127.0.0.1:{}", PLAN_PORT + 2);
    bench
        .lab
        .wait("the stand-by", Duration::from_secs(20), || {
            let ran = gatehouse(&bench, None, &["plan", "--live", "--address", &address]);
            Ok(ran.code == Some(1) && ran.stderr.contains("operator-2 stands by; the leader is operator-1"))
        })
        .unwrap();
    second.terminate();

    // The move arrives, and the host changes hands.
    gatehouse(&bench, Some(&team), &["move", "one", "--to", "1", "--timeout", "180s"]).wants(0, "done: ");
    println!("moved after {:?}", moving.elapsed());
    gatehouse(&bench, Some(&team), &["claims", "list", "--namespace", "one"]).wants(0, "public#1");
    gatehouse(&bench, Some(&team), &["claims", "transfer", "one.example.com", "--to", "three"])
        .wants(1, "namespace three does not exist");
    gatehouse(&bench, Some(&team), &["claims", "transfer", "one.example.com", "--to", "two"])
        .wants(0, "one.example.com is two's");
    bench
        .lab
        .wait("two to answer", Duration::from_secs(60), || {
            Ok(bench
                .lab
                .get("https://one.example.com/")
                .is_ok_and(|(status, body)| (status, body.as_str()) == (200, "two")))
        })
        .unwrap_or_else(|e| panic!("{e}\n{}", bench.lab.log("operator-1")));
    gatehouse(&bench, Some(&team), &["claims", "explain", "two/one.example.com"]).wants(0, "held");
    operator.terminate();
    bench.lab.down().unwrap();
}

#[test]
fn a_tenant_traces_his_host() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-trace");
    let tenants = scenarios::lab::root().join("config/rbac/tenant.yaml").display().to_string();
    bench.lab.must(&["apply", "-f", &tenants]).unwrap();
    let operator = bench.operator();
    bench.load_balancer();
    bench.app("one");
    bench.ready("one", 60);
    // What Kubernetes gives a reader of his namespace, and our ClusterRoles add to it.
    let tenant = person(&bench, "tenant", "view");
    let trace = |who: Option<&PathBuf>, more: &[&str]| {
        gatehouse(&bench, who, &[&["trace", "one.example.com", "--no-dns"], more].concat())
    };
    let marks = |ran: &Ran| -> Vec<(String, String)> {
        let value: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let text = |hop: &Value, field: &str| hop[field].as_str().unwrap_or_default().to_owned();
        value["hops"].as_array().into_iter().flatten().map(|hop| (text(hop, "hop"), text(hop, "mark"))).collect()
    };
    // Hollow edges serve, and nothing stands behind the Service: that is the one broken hop.
    let all = ["app", "claim", "dns", "load-balancer", "listener", "rule", "target-group", "edge", "route", "service"];
    let mut wanted: Vec<(String, String)> = all.map(|hop| (hop.to_owned(), "ok".to_owned())).into();
    wanted.push(("pods".to_owned(), "broken".to_owned()));
    bench
        .lab
        .wait("the way up to the pods", Duration::from_secs(30), || {
            Ok(marks(&trace(Some(&tenant), &["-o", "json"])) == wanted)
        })
        .unwrap();
    trace(Some(&tenant), &["-n", "one"])
        .wants(1, "held, as the app's status says")
        .wants(1, "First broken hop: pods web")
        .wants(1, "Service one/web")
        .wants(1, "spec.selector");
    // With more rights it goes deeper.
    trace(None, &[]).wants(1, "held by one").wants(1, "First broken hop: pods web");
    trace(Some(&tenant), &["--path", "/.well-known/x"]).wants(1, "First broken hop: pods web");
    bench.lab.must(&["-n", "one", "delete", "service", "web"]).unwrap();
    trace(Some(&tenant), &[])
        .wants(1, "First broken hop: service web")
        .wants(1, "ExposedApp one/web")
        .wants(1, "spec.routes[0].backends[0].service");
    gatehouse(&bench, Some(&tenant), &["trace", "nobody.example.com", "--no-dns"]).wants(1, "no ExposedApp");
    // Whoever may read no app is told which right is missing.
    bench.yaml("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: nothing}\nrules: []\n");
    let stranger = person(&bench, "stranger", "nothing");
    trace(Some(&stranger), &["-n", "one"]).wants(2, "not allowed to list exposedapps").wants(2, "view, edit and admin");
    operator.terminate();
    bench.lab.down().unwrap();
}

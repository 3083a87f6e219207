//! Admission on a real API server: the shipped webhook configurations and policies, two webhooks with caches of their own,
//! and an operator. Runs as root with GATEHOUSE_PLATFORM=1, as `make test` does.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use base64::Engine as _;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use scenarios::bench::{Bench, wanted};
use scenarios::lab::{Lab, binary, root};
use serde_json::{Value, json};

/// A certificate for loopback, written where the webhook reads it; what to trust it by.
fn certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    base64::engine::general_purpose::STANDARD.encode(made.cert.pem())
}

/// The n-th webhook, on loopback inside the platform.
struct Webhook {
    process: Child,
    metrics: u16,
}

const PORT: u16 = 8443;

impl Webhook {
    fn start(lab: &Lab, n: u16) -> Webhook {
        let mut command = lab.platform.command(binary("gatehouse-webhook").unwrap());
        command.args(["--bind=127.0.0.1", "--lame-duck=0", &format!("--port={}", PORT + n)]);
        command.args([&format!("--health-port={}", 8_080 + n), &format!("--metrics-port={}", 9_090 + n)]);
        command.arg("--tls-dir").arg(lab.folder.join("tls"));
        let process = lab.spawn(&format!("webhook-{n}"), command).unwrap();
        let webhook = Webhook { process, metrics: 9_090 + n };
        let ready = || Ok(get(lab, &format!("http://127.0.0.1:{}/readyz", 8_080 + n)).is_some());
        lab.wait("the webhook", Duration::from_secs(30), ready)
            .unwrap_or_else(|e| panic!("{e}\n{}", lab.log("webhook-0")));
        webhook
    }

    fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Answers of an endpoint so far.
    fn answers(&self, lab: &Lab, endpoint: &str) -> u64 {
        let text = get(lab, &format!("http://127.0.0.1:{}/metrics", self.metrics)).unwrap();
        let of = format!("gatehouse_webhook_decisions_total{{endpoint=\"{endpoint}\"");
        let values = text.lines().filter(|line| line.starts_with(&of)).map(|line| line.rsplit_once(' ').unwrap().1);
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    }
}

fn get(lab: &Lab, url: &str) -> Option<String> {
    let out = lab.platform.command("curl").args(["-sS", "--fail", "--max-time", "5", url]).output().unwrap();
    out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
}

/// The shipped configurations, with the n-th webhook's address instead of the Service's: no kube-proxy runs here. `only`
/// narrows those that look at namespaces, so that two replicas can be asked at the same instant.
fn configure(lab: &Lab, authority: &str, n: u16, only: Option<&str>) {
    let text = std::fs::read_to_string(root().join("config/webhook/configurations.yaml")).unwrap();
    for document in text.split("\n---\n") {
        let mut configuration: Value = serde_saphyr::from_str(document).unwrap();
        configuration["metadata"]["name"] = json!(format!("gatehouse-{n}"));
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap().to_owned();
            let url = format!("https://127.0.0.1:{}{path}", PORT + n);
            webhook["clientConfig"] = json!({ "url": url, "caBundle": authority });
            if let (Some(namespace), Some(selector)) = (only, webhook["namespaceSelector"].as_object_mut()) {
                let one = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace] });
                selector["matchExpressions"].as_array_mut().unwrap().push(one);
            }
        }
        let out = lab.apply_text(&configuration.to_string()).unwrap();
        assert!(out.status.success(), "{}", said(&out));
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn applied(lab: &Lab, text: &str) -> (bool, String) {
    let out = lab.apply_text(text).unwrap();
    (out.status.success(), said(&out))
}

fn app(namespace: &str, name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "gatehouse.dev/v1alpha1", "kind": "ExposedApp", "metadata": { "name": name, "namespace": namespace },
        "spec": { "hosts": [host], "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] },
    })
}

fn team(bench: &Bench, name: &str, domain: &str) {
    bench.yaml(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {{name: {name}}}\nspec:\n  namespaces: {{names: [{name}]}}\n  grants: [{{domains: [{domain}]}}]\n  loadBalancers: [public]\n  rules: {{refuse: [ServiceNodePort]}}\n"
    ));
}

fn service(namespace: &str, name: &str, kind: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
        "spec": { "type": kind, "selector": { "app": name }, "ports": [{ "port": 80 }] },
    })
    .to_string()
}

/// What the API server asks, and what it does when nobody answers.
#[test]
fn the_cluster_lives_without_the_webhook_and_policies_stay() {
    if !wanted() {
        return;
    }
    let mut bench = Bench::new("wire-admission");
    let authority = certificate(&bench.lab.folder.join("tls"));
    let operator = bench.operator();
    bench.load_balancer();
    team(&bench, "team-a", "a.example.com");
    let lab = &bench.lab;
    let policies = root().join("config/policy");
    for file in ["services", "grants"] {
        lab.must(&["apply", "-f", &policies.join(format!("{file}.yaml")).display().to_string()]).unwrap();
    }
    let webhook = Webhook::start(lab, 0);
    configure(lab, &authority, 0, None);
    let refused = || Ok(!applied(lab, &app("team-a", "wrong", "b.example.com").to_string()).0);
    lab.wait("the configuration", Duration::from_secs(30), refused).unwrap();
    let (ok, text) = applied(lab, &app("team-a", "wrong", "b.example.com").to_string());
    assert!(!ok && text.contains("spec.hosts[0]: \"b.example.com\" is not available to namespace team-a"), "{text}");
    // While nothing of the operator's stands here, only people's objects are asked about. A Service that publishes nothing
    // does not leave the API server, however it is changed.
    let before = webhook.answers(lab, "foreign");
    for ports in [80, 81] {
        let text = service("team-a", "web", "ClusterIP").replace("80", &ports.to_string());
        assert!(applied(lab, &text).0);
    }
    assert_eq!(webhook.answers(lab, "foreign"), before);

    // The policy of the API server speaks first, and once.
    let wait = |what: &str, question: &dyn Fn() -> bool| {
        lab.wait(what, Duration::from_secs(30), || Ok(question())).unwrap();
    };
    wait("the policy on Services", &|| {
        applied(lab, &service("team-a", "open", "NodePort")).1.contains("ValidatingAdmissionPolicy")
    });
    assert_eq!(webhook.answers(lab, "foreign"), before, "what is refused already is not asked about");
    // The platform lets a namespace out of it; then the policies of the namespace decide.
    lab.must(&["label", "namespace", "team-a", "grant.gatehouse.dev/services=allowed"]).unwrap();
    wait("the webhook's word", &|| {
        let (ok, text) = applied(lab, &service("team-a", "open", "NodePort"));
        !ok && text.contains("admission webhook \"services.gatehouse.dev\" denied")
    });
    lab.must(&["label", "namespace", "team-a", "grant.gatehouse.dev/services-"]).unwrap();

    // An edit is told what it would do, and is admitted.
    let (ok, text) = applied(lab, &app("team-a", "right", "one.a.example.com").to_string());
    assert!(ok, "{text}");
    let patch = r#"{"spec":{"grants":[{"domains":["other.example.com"]}]}}"#;
    let edit = ["patch", "exposurepolicy", "team-a", "--type=merge", "-p", patch, "--dry-run=server"];
    let told = "Warning: 1 live app would lose hosts after the grace";
    wait("the warning", &|| said(&lab.kubectl(&edit).unwrap()).contains(told));
    let gone = lab.kubectl(&["delete", "exposurepolicy", "team-a", "--dry-run=server"]).unwrap();
    assert!(gone.status.success() && said(&gone).contains(told), "{}", said(&gone));

    // Nobody answers any more. What is ours is closed; the rest of the cluster does not notice.
    webhook.kill();
    let (ok, text) = applied(lab, &app("team-a", "late", "two.a.example.com").to_string());
    assert!(!ok && text.contains("failed calling webhook \"review.gatehouse.dev\""), "{text}");
    let pod = "containers: [{name: c, image: registry.invalid/none}]";
    for namespace in ["kube-system", "gatehouse-system", "team-a"] {
        let (ok, text) = applied(
            lab,
            &format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: back, namespace: {namespace}}}\nspec:\n  selector: {{matchLabels: {{app: back}}}}\n  template: {{metadata: {{labels: {{app: back}}}}, spec: {{{pod}}}}}\n"
            ),
        );
        assert!(ok, "{namespace}: {text}");
        wait(&format!("a pod in {namespace}"), &|| {
            let pods = lab.must(&["-n", namespace, "get", "pods", "-l", "app=back", "-o", "name"]).unwrap();
            pods.starts_with("pod/")
        });
    }
    let (ok, text) = applied(lab, "apiVersion: v1\nkind: Node\nmetadata: {name: back}\n");
    assert!(ok, "{text}");
    assert!(applied(lab, &service("team-a", "plain", "ClusterIP")).0);
    let (ok, text) = applied(lab, &service("kube-system", "open", "NodePort"));
    assert!(ok, "nobody may hold kube-system up: {text}");
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: other, namespace: team-a}\nspec: {ingressClassName: other, defaultBackend: {service: {name: web, port: {number: 80}}}}\n";
    assert!(applied(lab, ingress).0);
    // The API server's own policies still refuse: the Service, and a tenant who grants himself something.
    wait("the policy on Services again", &|| {
        let (ok, text) = applied(lab, &service("team-a", "open", "NodePort"));
        !ok && text.contains("NodePort opens a port on every node")
    });
    bench.yaml("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: labels}\nrules: [{apiGroups: [\"\"], resources: [namespaces], verbs: [get, patch]}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: labels}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: labels}\nsubjects: [{kind: User, name: tenant, apiGroup: rbac.authorization.k8s.io}]\n");
    let label = |word: &str| said(&lab.kubectl(&["--as=tenant", "label", "namespace", "team-a", word]).unwrap());
    wait("the tenant's right to label", &|| label("team=a").contains("labeled"));
    let denied = label("grant.gatehouse.dev/services=allowed");
    assert!(denied.contains("needs the verb operate"), "{denied}");

    // A namespace with a served app goes, to its end.
    let begun = Instant::now();
    lab.must(&["delete", "namespace", "team-a", "--timeout=90s"]).unwrap();
    println!("the namespace was gone after {:?}", begun.elapsed());

    // Without any webhook the schema still refuses what one object shows to be wrong.
    lab.must(&["delete", "validatingwebhookconfiguration", "gatehouse-0"]).unwrap();
    for (field, wrong) in [
        ("spec.hosts", json!({ "hosts": [], "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] })),
        (
            "spec.hosts[0]",
            json!({ "hosts": ["UPPER.example.com"], "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] }),
        ),
        (
            "spec.routes[0].backends[0].port",
            json!({ "hosts": ["a.example.com"], "routes": [{ "backends": [{ "service": "web", "port": 0 }] }] }),
        ),
        (
            "spec.tls.mode",
            json!({ "hosts": ["a.example.com"], "tls": { "mode": "None" }, "routes": [{ "backends": [{ "service": "web", "port": 80 }] }] }),
        ),
    ] {
        let mut object = app("default", "wrong", "x");
        object["spec"] = wrong;
        wait("the schema alone", &|| !applied(lab, &object.to_string()).1.contains("failed calling webhook"));
        let (ok, text) = applied(lab, &object.to_string());
        assert!(!ok && text.contains(field), "{field}: {text}");
    }
    operator.terminate();
}

const APP: (&str, &str) = ("ExposedApp", "exposedapps");
const CLAIM: (&str, &str) = ("HostClaim", "hostclaims");

fn resource((kind, plural): (&str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("gatehouse.dev", "v1alpha1", kind), plural)
}

/// Two creations that leave at the same instant; whether each was admitted.
async fn race(client: &Client, pair: [Value; 2]) -> [bool; 2] {
    let create = async |object: &Value| {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), object["metadata"]["namespace"].as_str().unwrap(), &resource(APP));
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) => {
                assert!(status.message.contains("is not available to namespace"), "{}", status.message);
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    let (one, two) = futures::join!(create(&pair[0]), create(&pair[1]));
    [one, two]
}

/// The namespaces that hold something below a domain of a round, by round; and whether each round has come to rest.
async fn holders(client: &Client) -> BTreeMap<String, BTreeSet<String>> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(CLAIM));
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for claim in api.list(&ListParams::default()).await.unwrap() {
        let text = |at: &str| claim.data.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let admitted =
            claim.data.pointer("/status/admitted").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        if text("/status/state") == "Held" && admitted {
            let host = text("/spec/host");
            let round = host.split('.').find(|label| label.starts_with("round-")).unwrap().to_owned();
            out.entry(round).or_default().insert(text("/spec/namespace"));
        }
    }
    out
}

/// Every round two namespaces want one host, or a wildcard and a host below it, at one instant; each is judged by a webhook
/// of its own, whose cache cannot know of the other. One of them holds it, always.
#[test]
fn two_namespaces_race_for_a_host_and_one_has_it() {
    if !wanted() {
        return;
    }
    let rounds: usize = std::env::var("ROUNDS").map_or(200, |text| text.parse().unwrap());
    let mut bench = Bench::new("wire-race");
    let authority = certificate(&bench.lab.folder.join("tls"));
    let operator = bench.operator();
    bench.load_balancer();
    bench
        .lab
        .must(&["patch", "sharedloadbalancer", "public", "--type=merge", "-p", r#"{"spec":{"limits":{"shards":12}}}"#])
        .unwrap();
    for name in ["team-a", "team-b"] {
        team(&bench, name, "race.example.com");
    }
    let lab = &bench.lab;
    let webhooks: Vec<Webhook> = (0..2).map(|n| Webhook::start(lab, n)).collect();
    configure(lab, &authority, 0, Some("team-a"));
    configure(lab, &authority, 1, Some("team-b"));
    for name in ["team-a", "team-b"] {
        let refused = || Ok(!applied(lab, &app(name, "wrong", "x.example.org").to_string()).0);
        lab.wait("the configuration", Duration::from_secs(30), refused).unwrap();
    }
    let kubeconfig = lab.platform.kubeconfig();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = lab.thread(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
            let config = Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
            let client = Client::try_from(config).unwrap();
            let mut both = 0;
            let begun = Instant::now();
            for i in 0..rounds {
                let (name, domain) = (format!("app-{i}"), format!("round-{i}.race.example.com"));
                // Every other round a wildcard stands against a host below it, now of the one and now of the other.
                let hosts = match i % 4 {
                    0 | 2 => [format!("x.{domain}"), format!("x.{domain}")],
                    1 => [format!("*.{domain}"), format!("x.{domain}")],
                    _ => [format!("x.{domain}"), format!("*.{domain}")],
                };
                let admitted = race(&client, [app("team-a", &name, &hosts[0]), app("team-b", &name, &hosts[1])]).await;
                assert!(admitted.contains(&true), "round {i}: nobody was admitted");
                both += usize::from(admitted == [true, true]);
                // While the claims are being made too: never two holders.
                if i % 20 == 0 {
                    let now = holders(&client).await;
                    assert!(now.values().all(|all| all.len() == 1), "{now:?}");
                }
            }
            println!("{rounds} rounds in {:?}; in {both} both were admitted and the operator decided", begun.elapsed());
            let patience = Instant::now();
            loop {
                let now = holders(&client).await;
                assert!(now.values().all(|all| all.len() == 1), "two hold one: {now:?}");
                if now.len() == rounds {
                    break;
                }
                assert!(
                    patience.elapsed() < Duration::from_secs(180),
                    "{} of {rounds} rounds have a holder",
                    now.len()
                );
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let winners = holders(&client).await;
            let of_a = winners.values().filter(|all| all.contains("team-a")).count();
            println!("team-a has {of_a}, team-b {}; all after {:?}", rounds - of_a, begun.elapsed());
            tell.send((both, winners)).unwrap();
        });
    });
    thread.unwrap().join().unwrap();
    let (both, winners) = told.recv().unwrap();
    assert!(both * 10 > rounds, "only {both} rounds were races: the caches were never behind");
    // What AWS was told: no host leads to the one that lost.
    let state = bench.state();
    let state = if state["loadBalancers"].is_object() { &state } else { &state["aws"] };
    let mut served = 0;
    for balancer in state["loadBalancers"].as_object().unwrap().values() {
        for rule in balancer["listeners"]["443"]["rules"].as_array().into_iter().flatten() {
            let owner = rule["tags"]["gatehouse.dev/namespace"].as_str();
            for host in rule["conditions"][0]["HostHeaderConfig"]["Values"].as_array().into_iter().flatten() {
                let host = host.as_str().unwrap();
                let round = host.split('.').find(|label| label.starts_with("round-")).unwrap();
                if let Some(owner) = owner {
                    assert!(winners[round].contains(owner), "{host} leads to {owner}");
                    served += 1;
                }
            }
        }
    }
    println!("{served} hosts have a rule by now");
    webhooks.into_iter().for_each(Webhook::kill);
    operator.terminate();
}

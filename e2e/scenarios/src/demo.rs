//! The story of the demo.

use std::time::{Duration, Instant};

use anyhow::Result;
use scenarios::lab::{Lab, binary};
use scenarios::tell::Tell;
use serde_json::Value;

/// Routes of the samples: URL and the name that must answer.
const ROUTES: &[(&str, &str)] = &[
    ("https://shop.example.com/", "shop"),
    ("https://shop.example.com/cart", "cart"),
    ("https://shop.example.com/cart/items", "cart"),
    ("https://shop.example.com/cartoons", "shop"),
    ("https://pay.shop.example.com/", "pay"),
    ("https://pr-7.preview.shop.example.com/", "preview"),
    ("https://blog.example.com/", "blog"),
    ("https://news.example.com/about", "blog"),
    ("https://blog.example.com/feed.xml", "feed"),
    ("https://blog.example.com/feed.xml/old", "blog"),
    ("https://edit.blog.example.com/", "editors"),
    ("https://api.example.com/v1/users", "api-v1"),
    ("https://api.example.com/v2", "api-v2"),
];

/// Typical mistakes and a word of the answer; what only warns is admitted.
const BAD: &[(&str, &str)] = &[
    ("foreign-host", "is not available to namespace"),
    ("missing-label", "metadata.labels[team]"),
    ("tls-mode", "spec.tls.mode"),
    ("unknown-load-balancer", "spec.loadBalancers[0]"),
    ("broken-path", "path"),
    ("ingress", "configuration-snippet"),
];

/// Hourly price of an ALB with two public IPv4 addresses, us-east-1 list price of 2026-09, times 730.
const MONTHLY_DOLLARS: f64 = (0.0225 + 2.0 * 0.005) * 730.0;

const LATE: &str = r"
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: late, namespace: team-shop, labels: {team: shop, cost-center: '1003'}}
spec:
  hosts: [late.shop.example.com]
  routes:
  - backends: [{service: shop, port: 80}]
";

const REFUSED: &str = r"
apiVersion: gatehouse.dev/v1alpha1
kind: ExposedApp
metadata: {name: greedy, namespace: team-shop, labels: {team: shop}}
spec:
  hosts: [blog.example.com]
  tls: {mode: Request}
  routes:
  - backends: [{service: shop, port: 80}]
";

/// Tells the story; gives the number of facts that did not hold.
pub fn run(name: &str, once: bool) -> Result<u32> {
    let mut tell = Tell::default();
    tell.chapter("A cluster and an AWS to stand on");
    let began = Instant::now();
    let lab = Lab::up(name, false, &["--profile", "fast", "--call-latency", "30ms"])?;
    tell.fact(true, "Kubernetes 1.36 with a node, and the AWS simulator (30 ms per call)", began.elapsed());
    let began = Instant::now();
    lab.load_images()?;
    tell.fact(true, "images of operator, webhook, edge and the test application", began.elapsed());

    let story = story(&lab, &mut tell);
    if let Err(error) = story {
        tell.fact(false, &format!("{error:#}"), None);
        explain(&lab, &tell);
    }
    let failed = tell.failed();
    if once {
        lab.down()?;
        tell.chapter("Everything is taken down");
    } else {
        tell.chapter("Everything keeps running. To try next:");
        let run = format!("cargo run -q -p platform -- run --name {name} --");
        let ca = lab.folder.join("ca.pem");
        tell.say(&format!("{run} kubectl get exposedapp,sharedloadbalancer,hostclaim -A"));
        tell.say(&format!("{run} kubectl describe exposedapp -n team-shop shop"));
        tell.say(&format!("{run} curl --cacert {} https://shop.example.com/cart", ca.display()));
        tell.say(&format!("{run} curl -s {}/_awsim/calls", scenarios::lab::AWS));
        tell.say(&format!("cargo run -q -p platform -- down --name {name}"));
        lab.leave_running()?;
    }
    Ok(failed)
}

fn story(lab: &Lab, tell: &mut Tell) -> Result<()> {
    install(lab, tell)?;
    refused(lab, tell)?;
    publish(lab, tell)?;
    requests(lab, tell);
    closed(lab, tell)?;
    neighbour(lab, tell)?;
    seventh(lab, tell)?;
    removed(lab, tell)?;
    ingress(lab, tell)?;
    looked(lab, tell)?;
    bill(lab, tell)
}

fn install(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("Gatehouse from config/");
    let began = Instant::now();
    lab.install()?;
    tell.fact(true, "CRDs, RBAC, admission policies, operator and webhook run", began.elapsed());
    let took = lab.wait("the webhook answers", Duration::from_secs(30), || {
        let out = lab.apply_text(REFUSED)?;
        Ok(String::from_utf8_lossy(&out.stderr).contains("denied the request"))
    })?;
    tell.fact(true, "the webhook's certificate reached the API server", took);
    Ok(())
}

fn refused(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("An app that breaks three rules gets its answer at once");
    let began = Instant::now();
    let out = lab.apply_text(REFUSED)?;
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    tell.say(&text);
    tell.fact(!out.status.success(), "kubectl apply fails", took);
    for (what, word) in
        [("the foreign host", "spec.hosts[0]"), ("the missing label", "cost-center"), ("the TLS mode", "spec.tls.mode")]
    {
        tell.fact(text.contains(word), &format!("the answer names {what}"), None);
    }
    for (file, word) in BAD {
        let path = scenarios::lab::root().join(format!("config/samples/bad/{file}.yaml"));
        let began = Instant::now();
        let out = lab.kubectl(&["apply", "--dry-run=server", "-f", &path.display().to_string()])?;
        let said = String::from_utf8_lossy(&out.stderr);
        tell.fact(said.contains(word), &format!("config/samples/bad/{file}.yaml is told {word:?}"), began.elapsed());
    }
    Ok(())
}

fn publish(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("Three teams, six apps");
    let began = Instant::now();
    lab.apply("config/samples/apps.yaml")?;
    let mut answered = None;
    lab.wait("six apps to be ready", Duration::from_secs(90), || {
        if answered.is_none() && lab.get("https://shop.example.com/").is_ok_and(|(status, _)| status == 200) {
            answered = Some(began.elapsed());
        }
        let all: Value = serde_json::from_str(&lab.must(&["get", "exposedapp", "-A", "-o", "json"])?)?;
        let ready =
            all["items"].as_array().into_iter().flatten().filter(|app| condition(app, "Ready") == Some("True")).count();
        Ok(ready == 6)
    })?;
    tell.fact(
        true,
        "six apps applied, all Ready=True (ALB, certificates, edges, rules, targets, DNS)",
        began.elapsed(),
    );
    tell.fact(answered.is_some(), "the first of them answered through its public name after", answered);
    tell.say(&lab.must(&["get", "exposedapp", "-A"])?);
    tell.say(&lab.must(&["get", "sharedloadbalancer"])?);
    tell.say(&lab.must(&["get", "hostclaim"])?);
    let claims: Value = serde_json::from_str(&lab.must(&["get", "hostclaim", "-o", "json"])?)?;
    let held = claims["items"].as_array().into_iter().flatten().filter(|c| c["status"]["state"] == "Held").count();
    tell.fact(held == 7, "seven hosts, seven claims held", None);
    Ok(())
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a str> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == type_)?["status"].as_str()
}

fn requests(lab: &Lab, tell: &mut Tell) {
    tell.chapter("Requests by DNS name, TLS verified, through ALB, edge and pod");
    for (url, name) in ROUTES {
        let began = Instant::now();
        let (holds, shown) = match lab.get(url) {
            Ok((200, body)) => {
                let app = serde_json::from_str::<Value>(&body)
                    .map(|b| b["app"].as_str().unwrap_or("?").to_owned())
                    .unwrap_or_default();
                // The weighted route sends a tenth of its requests to the next version.
                (app == *name || (*name == "pay" && app == "pay-next"), app)
            }
            Ok((status, _)) => (false, format!("HTTP {status}")),
            Err(error) => (false, error.to_string()),
        };
        tell.fact(holds, &format!("{url:<46} -> {shown}"), began.elapsed());
    }
    let status = |url: &str| lab.get(url).map(|(status, _)| status);
    tell.fact(status("https://api.example.com/").is_ok_and(|s| s == 404), "a path without route answers 404", None);
    tell.fact(status("http://shop.example.com/").is_ok_and(|s| s == 301), "plain http is redirected", None);
    tell.fact(
        status("https://a.b.preview.shop.example.com/").is_err(),
        "a name two labels below the wildcard does not exist",
        None,
    );
}

fn closed(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("Only the edge reaches the pods");
    let ip =
        lab.must(&["-n", "team-shop", "get", "pod", "-l", "app=shop", "-o", "jsonpath={.items[0].status.podIP}"])?;
    let url = format!("http://{ip}:8080/");
    let began = Instant::now();
    let out = lab.kubectl(&["-n", "team-blog", "exec", "deploy/blog", "--", "/echo", "get", "--timeout", "2", &url])?;
    tell.fact(out.status.code() == Some(7), "a pod of another namespace is refused by NetworkPolicy", began.elapsed());
    let edge = lab.must(&[
        "-n",
        "team-blog",
        "get",
        "pod",
        "-l",
        "gatehouse.dev/component=edge",
        "-o",
        "jsonpath={.items[0].status.podIP}",
    ])?;
    let out = lab.kubectl(&[
        "-n",
        "team-shop",
        "exec",
        "deploy/shop",
        "--",
        "/echo",
        "get",
        "--timeout",
        "2",
        &format!("http://{edge}:8080/"),
    ])?;
    tell.fact(out.status.code() == Some(7), "and so is one that goes to another namespace's edge, past the ALB", None);
    Ok(())
}

fn neighbour(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("A bad neighbour: a Service that does not exist");
    let began = Instant::now();
    lab.apply("config/samples/bad/unknown-service.yaml")?;
    let mut said = String::new();
    lab.wait("the condition", Duration::from_secs(10), || {
        let path = "jsonpath={.status.conditions[?(@.type==\"ResolvedRefs\")].message}";
        said = lab.must(&["-n", "team-shop", "get", "exposedapp", "unknown-service", "-o", path])?;
        Ok(said.contains("routes[0].backends[0].service") && said.contains("routes[1].backends[0].port"))
    })?;
    tell.say(&said);
    tell.fact(true, "its condition names the field, the value and the cure", began.elapsed());
    tell.fact(
        lab.get("https://shop.example.com/").is_ok_and(|(s, _)| s == 200),
        "the other apps of its namespace are served as before",
        None,
    );
    lab.must(&["-n", "team-shop", "delete", "exposedapp", "unknown-service", "--timeout=30s"])?;
    Ok(())
}

fn seventh(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("One more app, in a namespace that has an edge");
    let before = count_calls(lab)?;
    let began = Instant::now();
    let out = lab.apply_text(LATE)?;
    anyhow::ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    lab.wait("the seventh app to answer", Duration::from_secs(30), || {
        Ok(lab.get("https://late.shop.example.com/").is_ok_and(|(status, _)| status == 200))
    })?;
    let took = began.elapsed();
    tell.fact(true, "apply -> first 200 through the public name", took);
    lab.must(&["-n", "team-shop", "wait", "--for=condition=Ready", "--timeout=20s", "exposedapp/late"])?;
    let (reads, writes) = count_calls(lab)?;
    tell.fact(
        writes - before.1 <= 2,
        &format!("AWS calls for it: {} writes, {} reads", writes - before.1, reads - before.0),
        None,
    );
    Ok(())
}

fn removed(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("An app is deleted");
    let began = Instant::now();
    lab.must(&["-n", "team-shop", "delete", "exposedapp", "late", "--timeout=30s"])?;
    tell.fact(true, "kubectl delete returns: its rule and record are gone from AWS", began.elapsed());
    let state = lab.aws("state", None)?;
    tell.fact(!state.contains("late.shop.example.com"), "neither rule nor record names the host any more", None);
    lab.wait("the claim to be released", Duration::from_secs(20), || {
        Ok(lab.must(&["get", "hostclaim", "h.late.shop.example.com", "-o", "jsonpath={.status.state}"])? == "Released")
    })?;
    tell.fact(true, "claim Released, kept from strangers during the grace (TTL of the demo: 2 s)", began.elapsed());
    Ok(())
}

fn ingress(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("An Ingress of class gatehouse");
    let began = Instant::now();
    lab.apply("config/samples/ingress.yaml")?;
    lab.wait("the Ingress to answer", Duration::from_secs(30), || {
        Ok(lab.get("https://basket.shop.example.com/").is_ok_and(|(status, _)| status == 200))
    })?;
    tell.fact(true, "apply -> first 200 through the public name", began.elapsed());
    lab.wait("its address", Duration::from_secs(10), || {
        let path = "jsonpath={.status.loadBalancer.ingress[0].hostname}";
        Ok(!lab.must(&["-n", "team-shop", "get", "ingress", "basket", "-o", path])?.is_empty())
    })?;
    tell.say(&lab.must(&["-n", "team-shop", "get", "ingress,exposedapp"])?);
    let events = lab.must(&[
        "-n",
        "team-shop",
        "get",
        "events",
        "--field-selector",
        "involvedObject.kind=Ingress",
        "-o",
        "jsonpath={.items[*].message}",
    ])?;
    tell.fact(
        events.contains("served as ExposedApp ingress-basket"),
        "an event of the Ingress says what it became",
        None,
    );
    lab.must(&["-n", "team-shop", "create", "rolebinding", "alice", "--clusterrole=admin", "--user=alice"])?;
    let out = lab.kubectl(&["-n", "team-shop", "--as=alice", "delete", "exposedapp", "ingress-basket"])?;
    let said = String::from_utf8_lossy(&out.stderr);
    tell.fact(said.contains("change the Ingress instead"), "its app is out of a tenant's hands", None);
    let began = Instant::now();
    lab.must(&["-n", "team-shop", "--as=alice", "delete", "ingress", "basket", "--timeout=30s"])?;
    lab.wait("its app to go", Duration::from_secs(30), || {
        Ok(!lab.must(&["-n", "team-shop", "get", "exposedapp", "-o", "name"])?.contains("ingress-basket"))
    })?;
    tell.fact(true, "the Ingress is deleted: its app, rule and record are gone", began.elapsed());
    Ok(())
}

fn looked(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("What the platform team sees of a running operator");
    let gatehouse = |args: &[&str]| -> Result<(bool, String)> {
        let out = lab.platform.command(binary("gatehouse")?).args(args).output()?;
        let said = [out.stdout, out.stderr].concat();
        Ok((out.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    // The deleted Ingress was in the same table: until every edge pod reports the new one, no app of it is ready.
    let (mut said, mut took) = (String::new(), Duration::ZERO);
    lab.wait("the shop to be ready", Duration::from_secs(20), || {
        let began = Instant::now();
        let (ready, text) = gatehouse(&["status", "shop", "-n", "team-shop"])?;
        (said, took) = (text, began.elapsed());
        Ok(ready)
    })?;
    tell.say(&said);
    tell.fact(
        said.contains("Held") && said.contains("2 of 2 pods ready"),
        "gatehouse status: claim, certificate, rule, record and edge of an app",
        took,
    );
    let foreign = scenarios::lab::root().join("config/samples/bad/foreign-host.yaml").display().to_string();
    let (ran, said) = gatehouse(&["check", "-f", &foreign, "--against-cluster"])?;
    tell.fact(
        !ran && said.contains("[host]"),
        "gatehouse check --against-cluster: admission's answer, before a commit",
        None,
    );
    let (ran, said) = gatehouse(&["bundle", "export"])?;
    let holds = ran && said.contains("kind: ExposurePolicy") && !said.contains("uid:");
    tell.fact(holds, "gatehouse bundle export: what an app's repository is judged by", None);
    let began = Instant::now();
    let (ran, said) = gatehouse(&["plan", "--live"])?;
    let took = began.elapsed();
    tell.say(&said);
    let holds = ran && said.contains("Leader gatehouse-operator-");
    tell.fact(holds, "gatehouse plan --live: the leader's plan, by port-forward to loopback of its pod", took);
    let (ran, said) = gatehouse(&["claims", "explain", "team-blog/late.shop.example.com"])?;
    tell.say(&said);
    tell.fact(
        ran && said.contains("kept from others until"),
        "gatehouse claims explain: a released host, until when",
        None,
    );
    Ok(())
}

/// Reads and writes that the operator has sent to AWS.
fn count_calls(lab: &Lab) -> Result<(usize, usize)> {
    let log = lab.aws("calls", None)?;
    let actions = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|c| c["action"].as_str().map(str::to_owned));
    let (reads, writes): (Vec<String>, Vec<String>) =
        actions.partition(|a| a.starts_with("Describe") || a.starts_with("List") || a.starts_with("Get"));
    Ok((reads.len(), writes.len()))
}

fn bill(lab: &Lab, tell: &mut Tell) -> Result<()> {
    tell.chapter("The bill");
    let state: Value = serde_json::from_str(&lab.aws("state", None)?)?;
    let balancers = state["loadBalancers"]
        .as_object()
        .or_else(|| state["aws"]["loadBalancers"].as_object())
        .map_or(0, serde_json::Map::len);
    tell.fact(balancers == 1, &format!("{balancers} load balancer for three namespaces and six apps"), None);
    let (reads, writes) = count_calls(lab)?;
    tell.say(&format!("AWS calls in all: {writes} writes, {reads} reads"));
    tell.say(&format!(
        "idle cost a month (ALB hours and IPv4 addresses, us-east-1 list price): one ALB ${MONTHLY_DOLLARS:.2}, one per app ${:.2}",
        MONTHLY_DOLLARS * 6.0
    ));
    Ok(())
}

/// What a person would look at when something did not come.
fn explain(lab: &Lab, tell: &Tell) {
    for args in [
        &["get", "pods", "-A", "-o", "wide"][..],
        &["get", "exposedapp", "-A", "-o", "wide"],
        &["get", "sharedloadbalancer", "-o", "yaml"],
        &["get", "hostclaim"],
        &["-n", "gatehouse-system", "logs", "deploy/gatehouse-operator", "--tail=40"],
        &["-n", "gatehouse-system", "logs", "deploy/gatehouse-webhook", "--tail=20"],
    ] {
        tell.chapter(&format!("kubectl {}", args.join(" ")));
        if let Ok(out) = lab.kubectl(args) {
            tell.say(&String::from_utf8_lossy(&out.stdout));
            tell.say(&String::from_utf8_lossy(&out.stderr));
        }
    }
    for line in lab
        .must(&[
            "get",
            "exposedapp",
            "-A",
            "-o",
            "jsonpath={range .items[*]}{.metadata.name}{\" \"}{.status.conditions}{\"\\n\"}{end}",
        ])
        .unwrap_or_default()
        .lines()
    {
        tell.say(line);
    }
}

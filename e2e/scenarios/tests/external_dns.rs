//! external-dns itself beside us in one hosted zone: four of it, each writing its markers in another form, and our
//! operator. What the tests of core believe it writes, it writes here. Runs as root with GATEHOUSE_PLATFORM=1.
//!
//! The forms of before external-dns 0.18 (a marker without record type) are not here: no release that still builds can
//! write them; `core/tests/converge/names.rs` has them.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use scenarios::bench::{Bench, Operator, wanted};
use scenarios::lab::{AWS, binary};
use serde_json::Value;

/// One external-dns: its name is its owner id, its namespace and its access key.
struct Form {
    name: &'static str,
    flags: &'static [&'static str],
    /// The same, as `spec.dns.adoptOwners` says it.
    adopt: &'static str,
    /// A wildcard of its own; there are certificates for three.
    wildcard: Option<&'static str>,
    /// The name of its marker of an address record of `NAME-a.example.com`.
    marker: &'static str,
}

const FORMS: [Form; 4] = [
    Form {
        name: "plain",
        flags: &[],
        adopt: "",
        wildcard: Some("*.blog.example.com"),
        marker: "a-plain-a.example.com.",
    },
    Form {
        name: "prefix",
        flags: &["--txt-prefix=txt-", "--txt-wildcard-replacement=any"],
        adopt: ", txtPrefix: txt-, txtWildcardReplacement: any",
        wildcard: Some("*.shop.example.com"),
        marker: "txt-a-prefix-a.example.com.",
    },
    Form {
        name: "suffix",
        flags: &["--txt-suffix=-owner", "--txt-wildcard-replacement=any"],
        adopt: ", txtSuffix: -owner, txtWildcardReplacement: any",
        wildcard: Some("*.preview.shop.example.com"),
        marker: "a-suffix-a-owner.example.com.",
    },
    Form {
        name: "template",
        flags: &["--txt-prefix=%{record_type}-own.", "--txt-wildcard-replacement=any"],
        adopt: ", txtPrefix: '%{record_type}-own.', txtWildcardReplacement: any",
        wildcard: None,
        marker: "a-own.template-a.example.com.",
    },
];

/// A load balancer of somebody else: external-dns makes alias records of it.
const THEIR_ALB: &str = "k8s-theirs-0123456789.eu-central-1.elb.amazonaws.com";

/// Records by name and type.
type Records = BTreeMap<(String, String), Value>;

struct Stage {
    bench: Bench,
    program: PathBuf,
    running: BTreeMap<&'static str, Child>,
}

impl Stage {
    fn start(&mut self, form: &Form) {
        let lab = &self.bench.lab;
        let mut command = lab.platform.command(&self.program);
        command
            .args(["--provider=aws", "--registry=txt", "--policy=sync", "--source=ingress", "--interval=300ms"])
            .args(["--domain-filter=example.com", "--metrics-address=127.0.0.1:0", "--log-level=debug"])
            .args(["--aws-batch-change-interval=1ms", &format!("--txt-owner-id={}", form.name)])
            .args([
                &format!("--namespace={}", form.name),
                &format!("--kubeconfig={}", kubeconfig(&self.bench).display()),
            ])
            .args(form.flags)
            .envs([("AWS_ENDPOINT_URL", AWS), ("AWS_SECRET_ACCESS_KEY", "unchecked"), ("AWS_REGION", "us-east-1")])
            .env("AWS_ACCESS_KEY_ID", form.name);
        let child = lab.spawn(form.name, command).unwrap();
        self.running.insert(form.name, child);
    }

    fn restart(&mut self, form: &Form) {
        let mut old = self.running.remove(form.name).unwrap();
        old.kill().unwrap();
        old.wait().unwrap();
        self.start(form);
    }

    /// Two whole rounds of every external-dns from here: in the first what it saw before may still be written.
    fn rounds(&mut self) {
        let began = self.calls().len();
        let patience = Duration::from_secs(60);
        let lists = |calls: &[Value], name: &str| {
            calls[began..].iter().filter(|c| c["caller"] == name && c["action"] == "ListResourceRecordSets").count()
        };
        for form in &FORMS {
            let done = self.bench.lab.wait("two rounds", patience, || {
                let ended = self.running.get_mut(form.name).unwrap().try_wait()?;
                anyhow::ensure!(ended.is_none(), "{} ended: {ended:?}", form.name);
                Ok(lists(&calls(&self.bench), form.name) >= 3)
            });
            done.unwrap_or_else(|e| panic!("{e}\n{}", self.bench.lab.log(form.name)));
        }
    }

    fn calls(&self) -> Vec<Value> {
        calls(&self.bench)
    }

    fn wait(&self, what: &str, mut question: impl FnMut(&Records) -> bool) {
        let done = self.bench.lab.wait(what, Duration::from_secs(60), || Ok(question(&records(&self.bench))));
        let last = |name: &str| self.bench.lab.log(name);
        done.unwrap_or_else(|e| {
            panic!("{e}\n{:#?}\n{}\n{}", records(&self.bench), last("operator-1"), last("prefix"));
        });
    }

    fn ingress(&self, form: &Form, name: &str, host: &str, target: &str) {
        let namespace = form.name;
        self.bench.yaml(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  annotations: {{external-dns.kubernetes.io/target: {target}}}\nspec:\n  rules: [{{host: '{host}'}}]\n"
        ));
    }

    fn delete(&self, namespace: &str, kind: &str, name: &str) {
        self.bench.lab.must(&["-n", namespace, "delete", kind, name, "--timeout=60s"]).unwrap();
    }
}

fn kubeconfig(bench: &Bench) -> PathBuf {
    Path::new(&bench.lab.platform.kubeconfig()).to_owned()
}

fn calls(bench: &Bench) -> Vec<Value> {
    let log = bench.lab.aws("calls", None).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the zone holds beside its own NS and SOA.
fn records(bench: &Bench) -> Records {
    let state = bench.state();
    let zones = state["zones"].as_object().unwrap_or_else(|| panic!("{state:#}"));
    let all = zones.values().flat_map(|zone| zone["records"].as_array().unwrap());
    let text = |set: &Value, key: &str| set[key].as_str().unwrap().to_owned();
    all.map(|set| ((text(set, "Name"), text(set, "Type")), set.clone()))
        .filter(|((_, kind), _)| !["NS", "SOA"].contains(&kind.as_str()))
        .collect()
}

/// A host as Route 53 lists it.
fn listed(host: &str) -> String {
    format!("{}.", host.replace('*', "\\052"))
}

fn at(records: &Records, host: &str) -> Records {
    records.iter().filter(|((name, _), _)| *name == listed(host)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Records of ours and of others: ours are our markers and what stands at the hosts they mark.
fn divided(records: &Records) -> (Records, Records) {
    let hosts: BTreeSet<String> = records
        .keys()
        .filter_map(|(name, _)| {
            let plain = name.strip_prefix("_gatehouse.").map(str::to_owned);
            plain.or_else(|| name.strip_prefix("_gatehouse-wildcard.").map(|rest| format!("\\052.{rest}")))
        })
        .collect();
    records.clone().into_iter().partition(|((name, _), _)| name.starts_with("_gatehouse") || hosts.contains(name))
}

/// The owners that markers name, with the markers' names.
fn owners(records: &Records) -> BTreeSet<(String, String)> {
    let value = |set: &Value| set["ResourceRecords"][0]["Value"].as_str().unwrap_or_default().to_owned();
    let owner = |text: &str| {
        text.split("external-dns/owner=").nth(1).map(|rest| rest.split([',', '"']).next().unwrap().to_owned())
    };
    records.iter().filter_map(|((name, _), set)| Some((owner(&value(set))?, name.clone()))).collect()
}

/// Names that batches of these callers speak of, whether AWS took them or not.
fn spoken_of(calls: &[Value], caller: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let batches =
        calls.iter().filter(|c| c["action"] == "ChangeResourceRecordSets" && caller(c["caller"].as_str().unwrap()));
    let changes = batches.flat_map(|c| c["params"]["ChangeBatch"]["Changes"].as_array().unwrap());
    changes.map(|c| listed(c["ResourceRecordSet"]["Name"].as_str().unwrap().trim_end_matches('.'))).collect()
}

fn operators(caller: &str) -> bool {
    caller.starts_with("operator-")
}

/// A namespace that may use every name of the zone, and its app.
fn app(bench: &Bench, name: &str, hosts: &[&str]) {
    let hosts = hosts.iter().map(|h| format!("'{h}'")).collect::<Vec<_>>().join(", ");
    bench.yaml(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {{name: {name}}}\nspec:\n  namespaces: {{names: [{name}]}}\n  grants: [{{hosts: [example.com], domains: [example.com]}}]\n  loadBalancers: [public]\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {name}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {{name: web, namespace: {name}}}\nspec:\n  hosts: [{hosts}]\n  routes: [{{backends: [{{service: web, port: 80}}]}}]\n"
    ));
}

fn becomes(bench: &Bench, name: &str, type_: &str, wanted: (&str, &str)) {
    let done = bench.lab.wait(&format!("{type_} of {name} to be {wanted:?}"), Duration::from_secs(60), || {
        let now = bench.condition(name, type_);
        Ok((now.0.as_str(), now.1.as_str()) == wanted)
    });
    done.unwrap_or_else(|e| panic!("{e}\n{:?}\n{}", bench.condition(name, type_), bench.lab.log("operator-1")));
}

#[test]
fn external_dns_beside_us() {
    if !wanted() {
        return;
    }
    let cache = platform::Cache::from_env().unwrap();
    let program = platform::external_dns(&cache, &mut platform::progress(Instant::now())).unwrap();
    let mut bench = Bench::new("dns-beside");
    let operator = bench.operator();
    bench.load_balancer();
    let mut stage = Stage { bench, program, running: BTreeMap::new() };
    let operator = side_by_side(&mut stage, operator);
    taken_over(&mut stage);
    given_back(&mut stage);
    for child in stage.running.values_mut() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    operator.terminate();
    stage.bench.lab.down().unwrap();
}

/// Both create, change, restart and delete: neither speaks of a name of the other.
fn side_by_side(stage: &mut Stage, operator: Operator) -> Operator {
    for form in &FORMS {
        stage.bench.lab.must(&["create", "namespace", form.name]).unwrap();
        stage.start(form);
        stage.ingress(form, "a", &format!("{}-a.example.com", form.name), "192.0.2.1");
        stage.ingress(form, "alias", &format!("{}-alias.example.com", form.name), THEIR_ALB);
        stage.ingress(form, "cname", &format!("{}-cname.example.com", form.name), "elsewhere.example.net");
        stage.ingress(form, "gone", &format!("{}-gone.example.com", form.name), "192.0.2.2");
        if let Some(wildcard) = form.wildcard {
            stage.ingress(form, "wild", wildcard, "192.0.2.3");
        }
    }
    // Ours has a wildcard too, and hosts that look like markers of theirs.
    let hosts = ["names.example.com", "*.example.com", "a-names.example.com", "txt-a-names.example.com"];
    app(&stage.bench, "names", &hosts);
    stage.bench.app("one");
    stage.bench.ready("names", 60);
    stage.bench.ready("one", 60);
    stage.wait("theirs to be written", |r| {
        FORMS.iter().all(|form| {
            let hosts = ["a", "alias", "cname", "gone"].map(|kind| format!("{}-{kind}.example.com", form.name));
            hosts.iter().map(String::as_str).chain(form.wildcard).all(|host| !at(r, host).is_empty())
        })
    });
    stage.rounds();
    let before = records(&stage.bench);
    let (ours, theirs) = divided(&before);
    // Five hosts and their markers.
    assert_eq!(ours.len(), 10, "{ours:#?}");
    for form in &FORMS {
        assert!(owners(&theirs).contains(&(form.name.into(), form.marker.into())), "{:?}", owners(&theirs));
    }

    // Each changes and deletes; the other's stay to the letter, also over restarts of both.
    for form in &FORMS {
        stage.ingress(form, "a", &format!("{}-a.example.com", form.name), "192.0.2.9");
        stage.delete(form.name, "ingress", "gone");
    }
    app(&stage.bench, "names", &["names.example.com", "*.example.com", "more.example.com"]);
    stage.delete("one", "exposedapp", "web");
    stage.wait("all of it", |r| {
        let changed = |form: &Form| {
            let host = format!("{}-a.example.com", form.name);
            at(r, &host).values().all(|set| set["ResourceRecords"][0]["Value"] == "192.0.2.9")
                && at(r, &format!("{}-gone.example.com", form.name)).is_empty()
        };
        FORMS.iter().all(changed)
            && at(r, "one.example.com").is_empty()
            && at(r, "a-names.example.com").is_empty()
            && !at(r, "more.example.com").is_empty()
    });
    operator.kill();
    for form in &FORMS {
        stage.restart(form);
    }
    let operator = stage.bench.operator();
    stage.bench.app("two");
    stage.bench.ready("two", 60);
    stage.rounds();
    let after = records(&stage.bench);
    let unchanged = |of: &Records, but: &[&str]| {
        for (key, set) in of.iter().filter(|((name, _), _)| !but.iter().any(|b| name.contains(b))) {
            assert_eq!(after.get(key), Some(set), "{key:?}");
        }
    };
    unchanged(&ours, &["one.example.com", "a-names.example.com"]);
    unchanged(&theirs, &["-a.example.com", "-a-owner.example.com", "-gone"]);
    let (ours_now, theirs_now) = divided(&after);
    assert_eq!(ours_now.len(), 8, "{ours_now:#?}");
    assert!(!theirs_now.keys().any(|(name, _)| name.contains("-gone")), "{theirs_now:#?}");

    // Nobody has even tried.
    let all = stage.calls();
    let by_us = spoken_of(&all, operators);
    let by_them = spoken_of(&all, |caller| !operators(caller));
    assert_eq!(by_us.intersection(&by_them).collect::<Vec<_>>(), Vec::<&String>::new());
    for form in &FORMS {
        let mine = spoken_of(&all, |caller| caller == form.name);
        let others = spoken_of(&all, |caller| caller != form.name);
        assert!(!mine.is_empty() && mine.is_disjoint(&others), "{}: {mine:?}", form.name);
    }
    stage.delete("names", "exposedapp", "web");
    operator
}

/// The hosts that pass to us: one of each kind of record of each form.
fn inherited() -> Vec<String> {
    let of = |form: &Form| {
        let hosts = ["a", "alias", "cname"].map(|kind| format!("{}-{kind}.example.com", form.name));
        hosts.into_iter().chain(form.wildcard.map(str::to_owned))
    };
    FORMS.iter().flat_map(of).collect()
}

/// A name of theirs is refused to us, then taken over in one batch, and they leave it to us.
fn taken_over(stage: &mut Stage) {
    let hosts = inherited();
    let before = records(&stage.bench);
    // Ten hosts an app at most.
    let (first, second) = hosts.split_at(hosts.len() / 2);
    for (name, hosts) in [("heir", first), ("heiress", second)] {
        app(&stage.bench, name, &hosts.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for name in ["heir", "heiress"] {
        becomes(&stage.bench, name, "DNSReady", ("False", "DNSConflict"));
    }
    stage.rounds();
    for host in &hosts {
        assert_eq!(at(&records(&stage.bench), host), at(&before, host));
    }

    let seen = stage.calls().len();
    let owners_: Vec<String> = FORMS.iter().map(|form| format!("{{owner: {}{}}}", form.name, form.adopt)).collect();
    let patch = format!("spec: {{dns: {{adoptOwners: [{}]}}}}", owners_.join(", "));
    stage.bench.lab.must(&["patch", "sharedloadbalancer", "public", "--type=merge", "-p", &patch]).unwrap();
    let began = Instant::now();
    for name in ["heir", "heiress"] {
        becomes(&stage.bench, name, "Ready", ("True", "Ready"));
    }
    println!("{} names taken over within {:?}", hosts.len(), began.elapsed());
    let batches = |host: &str| {
        let all = stage.calls();
        let name = listed(host);
        let changes = |call: &Value| call["params"]["ChangeBatch"]["Changes"].as_array().unwrap().clone();
        let about = |change: &Value| {
            listed(change["ResourceRecordSet"]["Name"].as_str().unwrap().trim_end_matches('.')) == name
        };
        let of = all[seen..].iter().filter(|c| c["action"] == "ChangeResourceRecordSets" && c["outcome"] == "ok");
        of.map(changes).filter(|all| all.iter().any(about)).collect::<Vec<_>>()
    };
    for host in &hosts {
        let batches = batches(host);
        assert_eq!(batches.len(), 1, "{host} is never without records: {batches:#?}");
        let marked =
            |action: &str, part: &str| batches[0].iter().any(|c| c["Action"] == action && c.to_string().contains(part));
        assert!(marked("DELETE", "external-dns/owner=") && marked("CREATE", "external-dns/owner=wire"), "{batches:#?}");
    }
    let now = records(&stage.bench);
    let left = |name: &str| FORMS.iter().any(|form| name == form.name);
    let theirs: Vec<_> = owners(&now).into_iter().filter(|(owner, _)| left(owner)).collect();
    assert_eq!(theirs, [], "every marker went with its record");

    // They go on, with their Ingresses still there; and they start anew.
    stage.rounds();
    for form in &FORMS {
        stage.restart(form);
    }
    stage.rounds();
    assert_eq!(records(&stage.bench), now);
    // Nor does it concern them when an Ingress goes.
    for form in &FORMS {
        stage.delete(form.name, "ingress", "alias");
    }
    stage.rounds();
    assert_eq!(records(&stage.bench), now);
    let after = &stage.calls()[seen..];
    let attempts = spoken_of(after, |caller| !operators(caller));
    assert_eq!(attempts, BTreeSet::new(), "external-dns has not even tried");
}

/// `gatehouse release` gives names back: external-dns knows its own again, changes and deletes them.
fn given_back(stage: &mut Stage) {
    for form in &FORMS {
        let hosts = [Some(format!("{}-a.example.com", form.name)), form.wildcard.map(str::to_owned)];
        for host in hosts.iter().flatten() {
            let mut command = stage.bench.lab.platform.command(binary("gatehouse").unwrap());
            let out = command.args(["release", host, "--owner", form.name]).output().unwrap();
            let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
            assert!(out.status.success(), "{host}: {said}");
        }
    }
    // What its Ingress says holds again: the record leads where it led before we took it.
    stage.wait("theirs to be theirs again", |r| {
        FORMS.iter().all(|form| {
            let leads = |host: &str, to: &str| {
                at(r, host).len() == 1 && at(r, host).values().all(|set| set["ResourceRecords"][0]["Value"] == to)
            };
            leads(&format!("{}-a.example.com", form.name), "192.0.2.9")
                && form.wildcard.is_none_or(|wildcard| leads(wildcard, "192.0.2.3"))
        })
    });
    stage.rounds();
    for form in &FORMS {
        assert!(owners(&records(&stage.bench)).contains(&(form.name.into(), form.marker.into())));
    }
    becomes(&stage.bench, "heir", "DNSReady", ("True", "HandedOver"));
    // Each deletes what is its own; the zone ends as empty as it was.
    for form in &FORMS {
        stage.delete(form.name, "ingress", "a");
        if form.wildcard.is_some() {
            stage.delete(form.name, "ingress", "wild");
        }
        stage.delete(form.name, "ingress", "cname");
    }
    for name in ["heir", "heiress", "two"] {
        stage.delete(name, "exposedapp", "web");
    }
    stage.wait("the zone to be empty", Records::is_empty);
}

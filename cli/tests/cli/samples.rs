//! Golden outputs over config/samples.

use super::{json, root, run};

const BAD: [&str; 7] =
    ["broken-path", "foreign-host", "ingress", "missing-label", "tls-mode", "unknown-load-balancer", "unknown-service"];

#[test]
fn the_samples_are_clean() {
    insta::assert_snapshot!(run(&["check", "-f", "config/samples"]));
}

#[test]
fn check_of_all_bad_samples() {
    insta::assert_snapshot!(run(&["check", "-f", "config/samples", "-f", "config/samples/bad"]));
    let deep = run(&["check", "-R", "-f", "config/samples"]);
    assert_eq!(deep.code, 1, "-R finds them too");
}

#[test]
fn each_bad_sample_alone() {
    let listed = std::fs::read_dir(root().join("config/samples/bad")).unwrap().count();
    assert_eq!(listed, BAD.len(), "a new bad sample needs its golden file");
    for name in BAD {
        let file = format!("config/samples/bad/{name}.yaml");
        insta::assert_snapshot!(format!("bad-{name}"), run(&["check", "-f", "config/samples", "-f", &file]));
    }
}

#[test]
fn plan_of_the_samples() {
    insta::assert_snapshot!(run(&["plan", "-f", "config/samples"]));
}

#[test]
fn plan_says_what_is_refused() {
    let ran = run(&["plan", "-f", "config/samples", "-f", "config/samples/bad"]);
    let from = ran.stdout.find("Not planned, refused").unwrap();
    insta::assert_snapshot!(&ran.stdout[from..]);
    assert_eq!(ran.code, 0);
}

#[test]
fn render_of_the_samples() {
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().join("made/on/demand");
    let ran = run(&["render", "-f", "config/samples", "-o", dir.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran}");
    let said = ran.stdout.replace(dir.to_str().unwrap(), "OUT");
    insta::assert_snapshot!("render-says", said);
    let mut names: Vec<String> =
        std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["team-api.conf", "team-blog.conf", "team-shop.conf"]);
    for name in names {
        let text = std::fs::read_to_string(dir.join(&name)).unwrap();
        insta::assert_snapshot!(format!("render-{name}"), text);
    }
}

#[test]
fn json_of_check() {
    let ran = run(&["check", "-f", "config/samples", "-f", "config/samples/bad", "-o", "json"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn json_of_plan() {
    let ran = run(&["plan", "-f", "config/samples", "-f", "config/samples/bad", "-o", "json"]);
    let plan = json(&ran);
    assert_eq!((&plan["version"], &plan["clusterId"]), (&1.into(), &"example".into()));
    let added = plan["add"].as_array().unwrap();
    assert_eq!(plan["summary"], serde_json::json!({"add": added.len(), "change": 0, "destroy": 0}));
    for one in added {
        let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["kind", "name", "namespace", "scope", "values"]);
    }
    let rule = added.iter().find(|a| a["name"] == "blog.example.com, news.example.com").unwrap();
    insta::assert_snapshot!(format!("{rule:#}"));
    assert_eq!(plan["refused"].as_array().unwrap().len(), 5);
}

#[test]
fn the_cluster_id_is_in_every_name() {
    let one = run(&["plan", "-f", "config/samples"]).stdout;
    let other = run(&["plan", "-f", "config/samples", "--cluster-id", "prod"]).stdout;
    let groups = |text: &str| -> Vec<String> {
        text.lines().filter(|l| l.contains("target group")).map(str::to_owned).collect()
    };
    assert_eq!(groups(&one).len(), 4);
    assert!(groups(&one).iter().all(|line| !groups(&other).contains(line)));
    assert!(other.contains("external-dns/owner=prod"));
}

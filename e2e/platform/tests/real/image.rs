//! Images built without Docker run.

use serde_json::json;

use super::support::{container, eventually, kubectl, load_echo, options, pod, turn, up};

#[test]
fn a_dynamic_rust_program_runs_hardened_and_answers_by_name() {
    let Some(_turn) = turn("a_dynamic_rust_program_runs_hardened_and_answers_by_name") else { return };
    let platform = up(options("t-image"));
    load_echo(&platform);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    platform
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            service, pod("default", "web", &[container("http", 8080)]),
        ]}))
        .unwrap();
    kubectl(&platform, &["wait", "--for=condition=Ready", "pod/web", "--timeout=30s"]);
    let ask = |args: &[&str]| {
        let out = platform.command("kubectl").args(["exec", "web", "--", "/echo", "get"]).args(args).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    // By name: the resolver of a glibc program works in such an image, and so does the cluster's DNS.
    let url = "http://web.default.svc.cluster.local/x?y=z";
    // kube-proxy may take a second to follow.
    assert!(eventually(|| ask(&[url]).contains(" 200\n")), "{}", ask(&[url]));
    let seen = ask(&[url]);
    assert!(seen.contains("\"pod\": \"web\"") && seen.contains("\"query\": \"y=z\""), "{seen}");
    let h2 = ask(&["--http2", "http://web.default/"]);
    assert!(h2.contains("\"host\": \"web.default\""), "{h2}");
    kubectl(&platform, &["exec", "web", "--", "/nginx", "-v"]);
    platform.down().unwrap();
}

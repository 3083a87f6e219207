//! Images built without Docker run.

use serde_json::json;

use super::support::{container, kubectl, load_echo, options, pod, turn, up};

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
    // By name: the resolver of a glibc program works in such an image, and so does the cluster's DNS.
    let seen = kubectl(&platform, &["exec", "web", "--", "/echo", "get", "http://web.default.svc.cluster.local/x?y=z"]);
    assert!(
        seen.contains(" 200\n") && seen.contains("\"pod\": \"web\"") && seen.contains("\"query\": \"y=z\""),
        "{seen}"
    );
    let h2 = kubectl(&platform, &["exec", "web", "--", "/echo", "get", "--http2", "http://web.default/"]);
    assert!(h2.contains("\"host\": \"web.default\""), "{h2}");
    platform.down().unwrap();
}

//! Tables, and what a careful hand would write for the same routes.

use std::fmt::Write as _;

use gatehouse_route::RouteTable;
use serde_json::{Value, json};

use crate::dns::DNS;

pub const SERVICES: [&str; 2] = ["web", "api"];
/// Of the hand's nginx.
pub const BY_HAND: u16 = 8180;

pub fn host(i: usize) -> String {
    format!("app-{i}.team-a.example.com")
}

/// Hosts with two routes each; another `version` is another table.
pub fn table(hosts: usize, version: usize) -> RouteTable {
    let route = |path: &str, service: &str| {
        let backends = [json!({"service": service, "port": {"number": 9000}, "weight": 1})];
        json!({"path": path, "pathType": "Prefix", "timeout": "60s", "backends": backends})
    };
    let all: serde_json::Map<String, Value> = (0..hosts)
        .map(|i| {
            let mut routes = vec![route("/", SERVICES[0]), route("/api", SERVICES[1])];
            if i == 0 {
                routes.push(route(&format!("/v{version}"), SERVICES[0]));
            }
            (host(i), json!({ "routes": routes }))
        })
        .collect();
    let text = json!({
        "version": 1, "namespace": "team-a", "clusterDomain": "cluster.local", "resolver": DNS.to_string(),
        "ports": {"8080": {
            "loadBalancer": "public", "trusted": ["127.0.0.0/8"], "maxBodySize": "50Mi", "idleTimeout": "60s", "hosts": all,
        }},
    });
    RouteTable::from_json(&text.to_string()).unwrap()
}

/// The same hosts and paths on one page of nginx.conf: no log, no resolver, connections kept.
pub fn by_hand(hosts: usize) -> String {
    let mut out = format!(
        "daemon off; worker_processes 1; pid /tmp/hand.pid; error_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off; keepalive_requests 100000; server_names_hash_bucket_size 256; server_names_hash_max_size 4096;\n\
         client_body_temp_path /tmp/hand-body; proxy_temp_path /tmp/hand-proxy; fastcgi_temp_path /tmp/hand-f;\n\
         uwsgi_temp_path /tmp/hand-u; scgi_temp_path /tmp/hand-s;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $http_x_forwarded_for;\n\
         upstream web {{ server 127.0.9.1:9000; keepalive 16; }}\n\
         upstream api {{ server 127.0.9.2:9000; keepalive 16; }}\n\
         server {{ listen {BY_HAND} default_server; return 404; }}\n"
    );
    for i in 0..hosts {
        let name = host(i);
        writeln!(
            out,
            "server {{ listen {BY_HAND}; server_name {name}; location / {{ proxy_pass http://web; }}\n\
             location = /api {{ proxy_pass http://api; }} location /api/ {{ proxy_pass http://api; }} }}"
        )
        .unwrap();
    }
    out + "}\n"
}

/// What both stand before: small answers from memory.
pub fn backend() -> String {
    "daemon off; worker_processes 1; pid /tmp/backend.pid; error_log stderr warn;\n\
     events { worker_connections 4096; }\n\
     http { access_log off; keepalive_requests 1000000; keepalive_timeout 600s;\n\
     client_body_temp_path /tmp/b-body; proxy_temp_path /tmp/b-proxy; fastcgi_temp_path /tmp/b-f;\n\
     uwsgi_temp_path /tmp/b-u; scgi_temp_path /tmp/b-s;\n\
     server { listen 127.0.9.1:9000; listen 127.0.9.2:9000; default_type text/plain;\n\
     location / { return 200 \"hello from the backend, which has not much to say but says it always\"; } } }\n"
        .to_owned()
}

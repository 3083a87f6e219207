//! Hollow edges: for tests without a node. A thread stands in for the kubelet of edge pods: it gives each an address
//! that is local to the platform, says that its containers are ready, and answers there as the agent and nginx would.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::lab::Lab;

/// The thread; it ends when this is dropped.
pub struct Hollow {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Hollow {
    /// Starts it. Every socket of the thread is inside the platform.
    ///
    /// # Errors
    /// If the thread cannot enter the platform's network.
    pub fn start(lab: &Lab) -> Result<Hollow> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let kubeconfig = lab.platform.kubeconfig();
        let thread = lab.thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime
                && let Err(error) = runtime.block_on(run(&kubeconfig, &seen))
            {
                eprintln!("hollow edges: {error:#}");
            }
        })?;
        Ok(Hollow { stop, thread: Some(thread) })
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(kubeconfig: &std::path::Path, stop: &AtomicBool) -> Result<()> {
    let config = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let pods: Api<Pod> = Api::all(client.clone());
    let edges = ListParams::default().labels("gatehouse.dev/component=edge");
    let mut served: BTreeMap<String, Vec<tokio::task::JoinHandle<()>>> = BTreeMap::new();
    let mut next = 10_u8;
    while !stop.load(Ordering::Relaxed) {
        if let Ok(list) = pods.list(&edges).await {
            served.retain(|uid, tasks| {
                let alive = list.items.iter().any(|p| p.uid().as_ref() == Some(uid));
                if !alive {
                    tasks.iter().for_each(tokio::task::JoinHandle::abort);
                }
                alive
            });
            for pod in list.items {
                let uid = pod.uid().unwrap_or_default();
                if served.contains_key(&uid) {
                    continue;
                }
                let ip = Ipv4Addr::new(10, 0, 200, next);
                next = next.checked_add(1).context("more edges than addresses")?;
                let namespace = pod.namespace().unwrap_or_default();
                let ports = [8080, 8081].map(|port| tokio::spawn(answer(client.clone(), namespace.clone(), ip, port)));
                served.insert(uid, ports.into());
                let now = jiff_now();
                let condition = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": now });
                let status = json!({ "status": {
                    "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
                    "conditions": [condition("ContainersReady"), condition("Initialized")],
                }});
                let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
                if let Err(error) =
                    api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(status)).await
                {
                    eprintln!("hollow edges: {error}");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn jiff_now() -> String {
    k8s_openapi::jiff::Timestamp::now().to_string()
}

/// One request per connection: enough for probes, health checks and curl. A host that the table does not list is not
/// found, as by nginx.
async fn answer(client: Client, namespace: String, ip: Ipv4Addr, port: u16) {
    let Ok(listener) = TcpListener::bind((IpAddr::V4(ip), port)).await else { return };
    while let Ok((mut stream, _)) = listener.accept().await {
        let (client, namespace) = (client.clone(), namespace.clone());
        tokio::spawn(async move {
            let mut head = vec![0; 8192];
            let mut length = 0;
            while length < head.len() && !head[..length].windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut head[length..]).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => length += n,
                }
            }
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = text.split_whitespace().nth(1).unwrap_or("/").to_owned();
            let (status, body) = if path == "/healthz" {
                ("200 OK", String::new())
            } else {
                let table = table(client, &namespace).await.unwrap_or_default();
                if path == "/hash" || path.starts_with("/.well-known/gatehouse/") {
                    ("200 OK", hash(&table))
                } else if lists(&table, port, host(&text)) {
                    ("200 OK", namespace)
                } else {
                    ("404 Not Found", String::new())
                }
            };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// The namespace's table, as its ConfigMap has it now.
async fn table(client: Client, namespace: &str) -> Result<String> {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let map = api.get("gatehouse-edge").await?;
    map.data.and_then(|d| d.get("table.json").cloned()).context("no table")
}

/// The hash of a table: the same function of its text as everywhere.
fn hash(table: &str) -> String {
    use sha2::Digest as _;
    if table.is_empty() {
        return String::new();
    }
    sha2::Sha256::digest(table.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The host that a request asks for.
fn host(head: &str) -> &str {
    let header = head.lines().filter_map(|l| l.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("host"));
    header.map_or("", |(_, value)| value.trim().split(':').next().unwrap_or(""))
}

/// Whether the table has routes for the host on this port.
fn lists(table: &str, port: u16, host: &str) -> bool {
    let table: serde_json::Value = serde_json::from_str(table).unwrap_or_default();
    let hosts = &table["ports"][port.to_string()]["hosts"];
    let wildcard = host.split_once('.').map_or(String::new(), |(_, rest)| format!("*.{rest}"));
    [host, &wildcard].iter().any(|name| hosts.get(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hollow_edge_serves_what_its_table_lists() {
        let table = r#"{"ports": {"8080": {"hosts": {"a.example.com": {}, "*.b.example.com": {}}}}}"#;
        assert!(lists(table, 8080, host("GET / HTTP/1.1\r\nHost: a.example.com:443\r\n\r\n")));
        assert!(lists(table, 8080, "any.b.example.com"));
        assert!(!lists(table, 8080, "deep.any.b.example.com"));
        assert!(!lists(table, 8443, "a.example.com"));
        assert!(!lists("", 8080, "a.example.com"));
    }
}

//! A client that stands inside a platform: it writes objects, watches apps, and asks names and hosts, with the time at
//! which it saw what. kubectl and curl behind a wrapper cost more than what is measured here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use scenarios::lab::Lab;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Creations under way at once.
const PARALLEL: usize = 16;

/// Milliseconds since the epoch: what the simulator's call log counts in.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0
}

/// When an app was first seen how.
#[derive(Clone, Debug, Default)]
struct App {
    /// The first moment at which the condition was true.
    conditions: BTreeMap<String, f64>,
    gone: Option<f64>,
}

#[derive(Default)]
struct Seen {
    apps: Mutex<BTreeMap<(String, String), App>>,
    changed: Condvar,
}

/// The client. Its thread ends when this is dropped.
pub struct Inside {
    runtime: tokio::runtime::Handle,
    client: Client,
    seen: Arc<Seen>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inside {
    /// Starts the client and its watch of apps.
    ///
    /// # Errors
    /// If the platform cannot be entered or its API server not be reached.
    pub fn start(lab: &Lab) -> Result<Inside> {
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let seen = Arc::new(Seen::default());
        let (kubeconfig, watched) = (lab.platform.kubeconfig(), seen.clone());
        let thread = lab.thread(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error.into()))),
            };
            runtime.block_on(async {
                match connect(&kubeconfig).await {
                    Ok(client) => {
                        tokio::spawn(watch(client.clone(), watched));
                        let _ = tell.send(Ok((tokio::runtime::Handle::current(), client)));
                        let _ = stopped.await;
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        })?;
        let (runtime, client) = told.recv().context("the client's thread ended")??;
        Ok(Inside { runtime, client, seen, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs on the client's thread, so that its sockets are inside.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (tell, told) = std::sync::mpsc::channel();
        self.runtime.spawn(async move { drop(tell.send(work.await)) });
        told.recv().context("the client's thread ended")?
    }

    /// Creates objects, some at a time; gives the moment before the first was sent.
    ///
    /// # Errors
    /// The API server's refusal.
    pub fn create(&self, objects: Vec<Value>) -> Result<f64> {
        let client = self.client.clone();
        let began = now();
        self.run(async move {
            let one = |object: Value| {
                let client = client.clone();
                async move {
                    let object: DynamicObject = serde_json::from_value(object)?;
                    let api = api(&client, &object)?;
                    api.create(&PostParams::default(), &object)
                        .await
                        .with_context(|| format!("create {}", object.name_any()))?;
                    anyhow::Ok(())
                }
            };
            futures::stream::iter(objects).map(one).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
            Ok(())
        })?;
        Ok(began)
    }

    /// Deletes an app; gives the moment before.
    ///
    /// # Errors
    /// The API server's refusal.
    pub fn delete(&self, namespace: &str, name: &str) -> Result<f64> {
        let (client, name, namespace) = (self.client.clone(), name.to_owned(), namespace.to_owned());
        let began = now();
        self.run(async move {
            let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource("ExposedApp")?);
            api.delete(&name, &DeleteParams::default()).await.with_context(|| format!("delete {namespace}/{name}"))?;
            Ok(())
        })?;
        Ok(began)
    }

    fn wait(
        &self,
        what: &str,
        patience: Duration,
        look: impl Fn(&BTreeMap<(String, String), App>) -> Option<f64>,
    ) -> Result<f64> {
        let apps = self.seen.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let (apps, late) = self
            .seen
            .changed
            .wait_timeout_while(apps, patience, |apps| look(apps).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            bail!("{what}: not within {} s", patience.as_secs());
        }
        look(&apps).context("it was there")
    }

    /// When the app's condition was first true.
    ///
    /// # Errors
    /// If it is not in time.
    pub fn when(&self, namespace: &str, name: &str, condition: &str, patience: Duration) -> Result<f64> {
        let key = (namespace.to_owned(), name.to_owned());
        self.wait(&format!("{namespace}/{name} {condition}"), patience, |apps| {
            apps.get(&key)?.conditions.get(condition).copied()
        })
    }

    /// When the app was gone.
    ///
    /// # Errors
    /// If it is not in time.
    pub fn gone(&self, namespace: &str, name: &str, patience: Duration) -> Result<f64> {
        let key = (namespace.to_owned(), name.to_owned());
        self.wait(&format!("{namespace}/{name} to be gone"), patience, |apps| apps.get(&key)?.gone)
    }

    /// Of the apps whose name begins so: how many were Ready, and when the last one of them was.
    pub fn ready(&self, prefix: &str) -> (usize, f64) {
        let apps = self.seen.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let times = apps.iter().filter(|((_, name), _)| name.starts_with(prefix));
        let times: Vec<f64> = times.filter_map(|(_, app)| app.conditions.get("Ready").copied()).collect();
        (times.len(), times.iter().copied().fold(0.0, f64::max))
    }

    /// The simulator's control API.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub fn aws(&self, path: &str, body: Option<&str>) -> Result<String> {
        let (method, body) = body.map_or(("GET", String::new()), |b| ("POST", b.to_owned()));
        let head = format!(
            "{method} /_awsim/{path} HTTP/1.1\r\nhost: awsim\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let path = path.to_owned();
        self.run(async move {
            let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::new(10, 100, 0, 1), 4566)).await?;
            stream.write_all(head.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            let (head, body) = answer.split_once("\r\n\r\n").context("awsim cut its answer")?;
            if !head.starts_with("HTTP/1.1 200") {
                bail!("awsim {path}: {head}\n{body}");
            }
            Ok(body.to_owned())
        })
    }

    /// When a client outside first gets 200: it looks the name up until it exists, then asks by TLS until it is served.
    ///
    /// # Errors
    /// If that does not come in time.
    pub fn first_answer(&self, host: &str, ca: std::path::PathBuf, patience: Duration) -> Result<f64> {
        let host = host.to_owned();
        self.run(async move {
            let end = now() + patience.as_secs_f64() * 1000.0;
            loop {
                if let Some(ip) = look_up(&host).await? {
                    let out = tokio::process::Command::new("curl")
                        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", "--cacert"])
                        .arg(&ca)
                        .args(["--resolve", &format!("{host}:443:{ip}"), &format!("https://{host}/")])
                        .output()
                        .await?;
                    if out.stdout == b"200" {
                        return Ok(now());
                    }
                }
                anyhow::ensure!(now() < end, "{host} does not answer within {} s", patience.as_secs());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

async fn connect(kubeconfig: &std::path::Path) -> Result<Client> {
    let config = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    client.apiserver_version().await.context("the API server")?;
    Ok(client)
}

/// The kinds that benches write.
fn resource(kind: &str) -> Result<ApiResource> {
    let (group, version, plural) = match kind {
        "ExposedApp" => ("gatehouse.dev", "v1alpha1", "exposedapps"),
        "ExposurePolicy" => ("gatehouse.dev", "v1alpha1", "exposurepolicies"),
        "SharedLoadBalancer" => ("gatehouse.dev", "v1alpha1", "sharedloadbalancers"),
        "Namespace" => ("", "v1", "namespaces"),
        "Service" => ("", "v1", "services"),
        _ => bail!("kind {kind} is written by no bench"),
    };
    Ok(ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural))
}

fn api(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let kind = object.types.as_ref().context("an object without kind")?;
    let resource = resource(&kind.kind)?;
    Ok(match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

async fn watch(client: Client, seen: Arc<Seen>) {
    use kube::runtime::watcher::{self, Event};
    let Ok(resource) = resource("ExposedApp") else { return };
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = kube::runtime::watcher(api, watcher::Config::default().any_semantic()).boxed();
    while let Some(event) = events.next().await {
        let mut apps = seen.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |o: &DynamicObject| (o.namespace().unwrap_or_default(), o.name_any());
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let app = apps.entry(key(&object)).or_default();
                for condition in object.data["status"]["conditions"].as_array().into_iter().flatten() {
                    if let (Some(type_), Some("True")) = (condition["type"].as_str(), condition["status"].as_str()) {
                        app.conditions.entry(type_.to_owned()).or_insert_with(now);
                    }
                }
            }
            Ok(Event::Delete(object)) => apps.entry(key(&object)).or_default().gone = Some(now()),
            Ok(_) => {}
            Err(error) => eprintln!("watch of apps: {error}"),
        }
        drop(apps);
        seen.changed.notify_all();
    }
}

/// The first IPv4 address of a name, asked of the simulator without any cache between; absent if it has none.
async fn look_up(host: &str) -> Result<Option<IpAddr>> {
    let mut question = vec![0x47, 0x48, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in host.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect("10.100.0.1:53").await?;
    socket.send(&question).await?;
    let mut answer = vec![0; 1500];
    let length = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut answer)).await??;
    Ok(address(&answer[..length], question.len()))
}

/// The first A record of an answer whose question is so long. A name in an answer is a pointer or labels.
fn address(answer: &[u8], question: usize) -> Option<IpAddr> {
    let count = u16::from_be_bytes([*answer.get(6)?, *answer.get(7)?]);
    let mut at = question;
    for _ in 0..count {
        loop {
            match *answer.get(at)? {
                0 => break at += 1,
                length if length >= 0xc0 => break at += 2,
                length => at += usize::from(length) + 1,
            }
        }
        let kind = u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]);
        let length = usize::from(u16::from_be_bytes([*answer.get(at + 8)?, *answer.get(at + 9)?]));
        let data = answer.get(at + 10..at + 10 + length)?;
        if let (1, &[a, b, c, d]) = (kind, data) {
            return Some(Ipv4Addr::new(a, b, c, d).into());
        }
        at += 10 + length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_behind_other_records() {
        let head = [0x47, 0x48, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        let question = [1, b'a', 0, 0, 1, 0, 1];
        let alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 3, 1, b'b', 0];
        let found = [1, b'b', 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, 11];
        let answer = [&head[..], &question, &alias, &found].concat();
        assert_eq!(address(&answer, 19), Some(Ipv4Addr::new(10, 0, 0, 11).into()));
        assert_eq!(address(&answer[..40], 19), None);
        assert_eq!(address(&[0; 12], 12), None);
    }
}

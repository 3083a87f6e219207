//! `gatehouse plan --live`: the leader's own view, read from loopback of its pod.

use std::net::SocketAddr;
use std::time::Duration;

use gatehouse_core::Wall;
use gatehouse_core::engine::report::{PartName, PartReport, Report, StepReport, StepState, VERSION};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Failure, call, call_opt, connect, run};
use crate::args::{Format, PlanArgs};
use crate::check::number;
use crate::print::{Out, Tone};

/// Name of the operator's Lease.
const LEASE: &str = "gatehouse-operator";
/// A plan of 10,000 apps, each with something to do, is some ten megabytes.
const MOST: usize = 256 << 20;
/// From asking to the whole answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the command; returns the exit code.
pub fn look(args: &PlanArgs, out: &mut Out) -> u8 {
    run(out, 1, async |out| {
        let text = match args.address {
            Some(address) => by_hand(address).await?,
            None => by_port_forward(&connect(&args.cluster).await?, &args.operator_namespace, args.plan_port).await?,
        };
        let mut report = parse(&text)?;
        let busy = report.parts.iter().any(|p| !(p.steps.is_empty() && p.waiting.is_empty() && p.held.is_empty()))
            || !report.in_flight.is_empty();
        if let Some(name) = &args.part {
            report.parts.retain(|p| p.part.is_of(name));
            report.in_flight.retain(|c| c.parts.iter().any(|p| p.is_of(name)));
        }
        match args.output {
            Format::Json => out.json(&serde_json::to_value(&report).map_err(|e| Failure::new(e.to_string()))?),
            Format::Text => text_of(&report, args.part.as_deref(), out),
        }
        Ok(if args.detailed_exitcode && busy { 2 } else { 0 })
    })
}

/// The leader's report, by a port-forward to its pod.
///
/// # Errors
/// If nobody leads, or it may not be reached.
pub async fn of_leader(client: &Client, namespace: &str, port: u16) -> Result<Report, Failure> {
    parse(&by_port_forward(client, namespace, port).await?)
}

fn parse(text: &[u8]) -> Result<Report, Failure> {
    let report: Report = serde_json::from_slice(text).map_err(|e| {
        Failure::new(format!("the answer is no plan: {e}")).cure("is it the operator's --plan-address?")
    })?;
    if report.version != VERSION {
        return Err(Failure::new(format!("the operator speaks version {} of the plan", report.version))
            .cure(format!("this command reads version {VERSION}: take the one of the operator's release")));
    }
    Ok(report)
}

async fn by_hand(address: SocketAddr) -> Result<Bytes, Failure> {
    let stream = tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| "no answer".to_owned()).and_then(|s| s.map_err(|e| e.to_string()));
    let stream = stream.map_err(|e| {
        Failure::new(format!("{address}: {e}"))
            .cure("forward the port first: kubectl -n gatehouse-system port-forward pod/LEADER 8082")
    })?;
    answered(get(stream).await, "another operator may lead: kubectl get lease -A says which pod")
}

async fn by_port_forward(client: &Client, namespace: &str, port: u16) -> Result<Bytes, Failure> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let lease = call_opt(&format!("read the lease {LEASE} in {namespace}"), leases.get(LEASE)).await?;
    let absent = || {
        Failure::new(format!("no operator leads: nobody holds the lease {LEASE} in {namespace}"))
            .cure("name its namespace with --operator-namespace, or start it")
    };
    let holder = lease.and_then(|l| l.spec).and_then(|s| s.holder_identity).filter(|h| !h.is_empty());
    let holder = holder.ok_or_else(absent)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    if call_opt(&format!("read pods in {namespace}"), pods.get(&holder)).await?.is_none() {
        return Err(Failure::new(format!("the leader is {holder}, which is no pod of {namespace}"))
            .cure("forward its --plan-address by hand and use --address"));
    }
    let what = format!("forward a port of pod {holder} in {namespace}");
    let mut forward = call(&what, pods.portforward(&holder, &[port])).await?;
    let refused = forward.take_error(port);
    let stream = forward.take_stream(port).ok_or_else(|| Failure::new("the port was not forwarded"))?;
    let answer = get(stream).await;
    // Why the far end did not connect comes by a way of its own.
    if answer.is_err()
        && let Some(refused) = refused
        && let Ok(Some(why)) = tokio::time::timeout(Duration::from_secs(1), refused).await
    {
        return Err(Failure::new(format!("pod {holder}, port {port}: {}", why.trim()))
            .cure("is --plan-port the port of the operator's --plan-address?"));
    }
    answered(answer, "leadership may be changing: ask again")
}

fn answered(answer: Result<(u16, Bytes), String>, cure: &str) -> Result<Bytes, Failure> {
    match answer {
        Ok((200, body)) => Ok(body),
        Ok((status, body)) => {
            let text: String = String::from_utf8_lossy(&body).trim().chars().take(300).collect();
            Err(Failure::new(format!("the operator answered {status}: {text}")).cure(cure))
        }
        Err(why) => Err(Failure::new(format!("the operator did not answer: {why}")).cure(cure)),
    }
}

async fn get(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<(u16, Bytes), String> {
    let ask = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::get("/plan").header("host", "localhost").body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MOST).collect().await?.to_bytes();
        driver.abort();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
    };
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn text_of(report: &Report, only: Option<&str>, out: &mut Out) {
    let (leader, counts) = (&report.leader, &report.counts);
    let age = distance(&leader.since, &report.at).unwrap_or_default();
    out.line(&format!("Leader {} since {} ({age})", leader.identity, leader.since));
    if !leader.synced {
        out.line(
            &out.paint(Tone::Warn, "The cluster is not known yet: nothing is planned before every kind was listed."),
        );
    }
    if !leader.may_act {
        out.line(&out.paint(Tone::Bad, "Its lease has run out: nothing is sent."));
    }
    out.line(&format!(
        "{}, {}, {}: {} ready, {} in flight, {} backing off, {} waiting, {} held",
        number(counts.apps, "app"),
        number(counts.claims, "claim"),
        number(counts.load_balancers, "load balancer"),
        counts.ready,
        counts.in_flight,
        counts.backing_off,
        counts.waiting,
        counts.held
    ));
    if !report.in_flight.is_empty() {
        out.line("");
        out.line(&out.paint(Tone::Strong, "In flight"));
        for call in &report.in_flight {
            let whose: Vec<String> = call.parts.iter().map(title).collect();
            let age = format!("{}.{} s", call.age_ms / 1000, call.age_ms % 1000 / 100);
            out.line(&format!("  {age:>8}  {}  {}", call.order, out.paint(Tone::Dim, &whose.join(", "))));
        }
    }
    for part in &report.parts {
        out.line("");
        of_part(part, &report.at, out);
    }
    if report.parts.is_empty() && report.in_flight.is_empty() {
        out.line(&match only {
            Some(name) => format!("Nothing to do, nothing waits and nothing is held for {name}."),
            None => "Nothing to do, nothing waits and nothing is held.".to_owned(),
        });
    }
    if only.is_none() {
        out.line("");
        let levels: Vec<String> =
            report.buckets.iter().map(|b| format!("{} {}/{}", b.family, b.tokens, b.burst)).collect();
        out.line(&out.paint(Tone::Dim, &format!("AWS calls that may go out at once: {}", levels.join(", "))));
    }
}

fn of_part(part: &PartReport, now: &str, out: &mut Out) {
    out.line(&out.paint(Tone::Strong, &title(&part.part)));
    let mut steps: Vec<&StepReport> = part.steps.iter().collect();
    steps.sort_by_key(|step| step.state);
    for step in steps {
        let (tone, word) = match step.state {
            StepState::Ready => (Tone::Good, "ready      "),
            StepState::LaneBusy => (Tone::Dim, "lane busy  "),
            StepState::BackingOff => (Tone::Warn, "backing off"),
        };
        out.line(&format!("  {}  {}", out.paint(tone, word), step.order));
        if let Some(until) = &step.until {
            let ahead = distance(now, until).unwrap_or_default();
            out.line(&format!("               failed {} times, again at {until} (in {ahead})", step.failures));
        }
        if let Some(refusal) = &step.refusal {
            out.line(&format!("               {refusal}"));
        }
    }
    for (tone, word, texts) in [(Tone::Dim, "waits for  ", &part.waiting), (Tone::Bad, "held       ", &part.held)] {
        for text in texts {
            out.line(&format!("  {}  {text}", out.paint(tone, word)));
        }
    }
    if let Some(at) = &part.looks_again {
        out.line(&format!("  {}", out.paint(Tone::Dim, &format!("looks again at {at}"))));
    }
}

fn title(part: &PartName) -> String {
    let word = match part.kind.as_str() {
        "Namespace" => "namespace",
        "Shard" => "shard",
        "LoadBalancer" => "load balancer",
        "Policy" => "policy",
        "Region" => "Region",
        "Certificates" => "certificates of",
        "Zones" => return "hosted zones".to_owned(),
        other => other,
    };
    format!("{word} {}", part.name)
}

/// How long from one moment to another, in words.
fn distance(from: &str, to: &str) -> Option<String> {
    let seconds = Wall::parse(to)?.since(Wall::parse(from)?);
    Some(match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    })
}

//! The data plane on loopback: TLS by SNI, forwarding, headers, health, upgrades, draining.
#![allow(clippy::unwrap_used, reason = "the helpers are part of tests too")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use awsim::config::seeded;
use awsim::{Options, Simulator};
use awsim_model::{HealthSource, Settings};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Load balancers get 127.0.10.10 and 127.0.11.10: local on every Linux.
const SEED: &str = "network:
  vpcId: vpc-0123456789abcdef0
  cidrs: [127.0.0.0/8]
  subnets:
  - {id: subnet-0aaa, zone: eu-central-1a, cidr: 127.0.10.0/24}
  - {id: subnet-0bbb, zone: eu-central-1b, cidr: 127.0.11.0/24}
  securityGroups: [sg-0ccc]
";
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 10);
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    simulator: Simulator,
    load_balancer: String,
}

impl World {
    /// A simulator with one load balancer; every test has subnets of its own to listen in.
    async fn new(third: u8) -> (Self, Ipv4Addr) {
        let seed = SEED.replace("127.0.10", &format!("127.{third}.10")).replace("127.0.11", &format!("127.{third}.11"));
        let settings = Settings { health: HealthSource::Observed, ..Settings::instant() };
        let settings = seeded(&settings, &seed).unwrap();
        let options = Options {
            data_plane: true,
            check_interval: Some(Duration::from_millis(50)),
            ..Options::loopback(settings)
        };
        let simulator = Simulator::start(options).await.unwrap();
        let mut world = Self { simulator, load_balancer: String::new() };
        let body =
            world.aws("CreateLoadBalancer&Name=lb&Subnets.member.1=subnet-0aaa&Subnets.member.2=subnet-0bbb").await;
        world.load_balancer = tag(&body, "LoadBalancerArn");
        let octets = BALANCER.octets();
        (world, Ipv4Addr::new(octets[0], third, octets[2], octets[3]))
    }

    async fn aws(&self, form: &str) -> String {
        let stream = TcpStream::connect(self.simulator.address).await.unwrap();
        let head = "Authorization: AWS4-HMAC-SHA256 Credential=A/1/eu-central-1/elasticloadbalancing/aws4_request\r\n";
        let body = format!("Action={form}");
        let answer = talk(
            stream,
            &format!(
                "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{form}: {answer}");
        answer
    }

    async fn listener(&self, port: u16, rest: &str) -> String {
        let form = format!("CreateListener&LoadBalancerArn={}&Port={port}&{rest}", self.load_balancer);
        tag(&self.aws(&form).await, "ListenerArn")
    }

    /// A group with one target, which a rule for `host` uses; healthy when this returns.
    async fn app(&self, listener: &str, host: &str, target: SocketAddr) -> String {
        let group = self.aws("CreateTargetGroup&Name=tg&Protocol=HTTP&Port=80&TargetType=ip&VpcId=vpc-0123456789abcdef0&HealthCheckPath=/health").await;
        let group = tag(&group, "TargetGroupArn");
        self.aws(&format!(
            "RegisterTargets&TargetGroupArn={group}&Targets.member.1.Id={}&Targets.member.1.Port={}",
            target.ip(),
            target.port()
        ))
        .await;
        self.aws(&format!(
            "CreateRule&ListenerArn={listener}&Priority=1&Conditions.member.1.Field=host-header\
             &Conditions.member.1.Values.member.1={host}&Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={group}"
        ))
        .await;
        self.until(&group, "healthy").await;
        group
    }

    async fn until(&self, group: &str, state: &str) {
        let wanted = format!("<State>{state}</State>");
        let poll = async {
            while !self.aws(&format!("DescribeTargetHealth&TargetGroupArn={group}")).await.contains(&wanted) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("target never became {state}"));
    }
}

const FIXED: &str = "DefaultActions.member.1.Type=fixed-response\
    &DefaultActions.member.1.FixedResponseConfig.StatusCode=404\
    &DefaultActions.member.1.FixedResponseConfig.MessageBody=nobody";

fn tag(body: &str, name: &str) -> String {
    let rest = body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {body}")).1;
    rest.split_once('<').unwrap().0.to_owned()
}

/// Writes, then reads to the end.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connect(address: Ipv4Addr, port: u16) -> TcpStream {
    let attempt = async {
        loop {
            match TcpStream::connect((address, port)).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(PATIENCE, attempt).await.unwrap()
}

fn get(host: &str, path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")
}

/// A target that answers what it was asked, after `delay`; or speaks back after an upgrade.
async fn target(delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                if head.contains("upgrade: websocket") {
                    let switch =
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                    let _ = stream.write_all(switch.as_bytes()).await;
                    let mut buffer = [0; 64];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        let _ = stream.write_all(&buffer[..length]).await;
                    }
                    return;
                }
                if !head.starts_with("get /health") {
                    tokio::time::sleep(delay).await;
                }
                let body = format!("peer {}\n{head}", peer.ip());
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn forwards_from_its_own_address_with_forwarded_headers() {
    let (world, address) = World::new(1).await;
    let listener = world.listener(18080, &format!("Protocol=HTTP&{FIXED}")).await;
    let unknown = talk(connect(address, 18080).await, &get("else.example.com", "/", "")).await;
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.ends_with("nobody"), "{unknown}");

    world.app(&listener, "app.example.com", target(Duration::ZERO).await).await;
    let request = get("app.example.com:18080", "/a?b=c", "X-Forwarded-For: 192.0.2.1\r\n");
    let answer = talk(connect(address, 18080).await, &request).await;
    for part in [
        "HTTP/1.1 200",
        &format!("peer {address}"),
        "get /a?b=c http/1.1",
        "host: app.example.com:18080",
        "x-forwarded-for: 192.0.2.1, 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-port: 18080",
    ] {
        assert!(answer.contains(part), "no '{part}' in {answer}");
    }
}

#[tokio::test]
async fn presents_certificates_of_its_own_authority() {
    let (world, address) = World::new(2).await;
    let arn = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000001";
    let listener =
        world.listener(18443, &format!("Protocol=HTTPS&Certificates.member.1.CertificateArn={arn}&{FIXED}")).await;
    world.app(&listener, "app.example.com", target(Duration::ZERO).await).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.simulator.ca_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
    let stream = connector.connect(name("app.example.com"), connect(address, 18443).await).await.unwrap();
    let answer = talk(stream, &get("app.example.com", "/", "")).await;
    assert!(answer.contains("x-forwarded-proto: https"), "{answer}");
    let stranger = connector.connect(name("app.example.org"), connect(address, 18443).await).await;
    assert!(stranger.is_err(), "the certificate is for example.com only");
}

#[tokio::test]
async fn upgrades_pass_and_requests_outlive_deregistration() {
    let (world, address) = World::new(3).await;
    let listener = world.listener(18081, &format!("Protocol=HTTP&{FIXED}")).await;
    let app = target(Duration::from_millis(500)).await;
    let group = world.app(&listener, "app.example.com", app).await;

    let mut stream = connect(address, 18081).await;
    let hello = "GET /ws HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(hello.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(&echo, b"ping");

    let slow = tokio::spawn(async move { talk(connect(address, 18081).await, &get("app.example.com", "/", "")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    world
        .aws(&format!(
            "DeregisterTargets&TargetGroupArn={group}&Targets.member.1.Id={}&Targets.member.1.Port={}",
            app.ip(),
            app.port()
        ))
        .await;
    let empty = talk(connect(address, 18081).await, &get("app.example.com", "/", "")).await;
    assert!(empty.starts_with("HTTP/1.1 503"), "{empty}");
    assert!(slow.await.unwrap().starts_with("HTTP/1.1 200"), "a request under way is finished");
}

#[tokio::test]
async fn a_dead_target_turns_unhealthy_and_fails_open() {
    let (world, address) = World::new(4).await;
    let listener = world.listener(18082, &format!("Protocol=HTTP&{FIXED}")).await;
    let app = target(Duration::ZERO).await;
    let group = world.app(&listener, "app.example.com", app).await;
    // Port 1 of loopback refuses.
    world
        .aws(&format!("RegisterTargets&TargetGroupArn={group}&Targets.member.1.Id=127.0.0.1&Targets.member.1.Port=1"))
        .await;
    world.until(&group, "unhealthy").await;
    for _ in 0..4 {
        let answer = talk(connect(address, 18082).await, &get("app.example.com", "/", "")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "only the healthy target is used: {answer}");
    }
    world
        .aws(&format!(
            "DeregisterTargets&TargetGroupArn={group}&Targets.member.1.Id={}&Targets.member.1.Port={}",
            app.ip(),
            app.port()
        ))
        .await;
    let answer = talk(connect(address, 18082).await, &get("app.example.com", "/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "with no healthy target all are tried: {answer}");
}

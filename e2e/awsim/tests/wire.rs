//! The endpoint by raw HTTP: every wire, faults, the control API, policies, DNS.
#![allow(clippy::unwrap_used, reason = "the helpers are part of tests too")]

use std::net::SocketAddr;

use awsim::{Options, Simulator};
use awsim_model::{Policy, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Status and body of one request on a connection of its own.
async fn send(to: SocketAddr, head: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nHost: awsim\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn signed(caller: &str, service: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={caller}/20261121/eu-central-1/{service}/aws4_request, Signature=0\r\n"
    )
}

async fn query(to: SocketAddr, caller: &str, body: &str) -> (u16, String) {
    send(to, "POST /", &signed(caller, "elasticloadbalancing"), body).await
}

const CREATE: &str = "Action=CreateTargetGroup&Version=2015-12-01&Name=tg&Protocol=HTTP&Port=80&TargetType=ip\
    &VpcId=vpc-0123456789abcdef0&Tags.member.1.Key=k&Tags.member.1.Value=v+1";

async fn start() -> Simulator {
    Simulator::start(Options::loopback(Settings::instant())).await.unwrap()
}

#[tokio::test]
async fn every_wire_answers() {
    let simulator = start().await;
    let to = simulator.address;
    let (status, body) = query(to, "AKID", CREATE).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("<TargetGroupName>tg</TargetGroupName>") && body.contains("<Port>80</Port>"), "{body}");
    let (status, body) = query(to, "AKID", "Action=DescribeTargetGroups&Names.member.1=none").await;
    assert_eq!(status, 400);
    assert!(body.contains("<Code>TargetGroupNotFound</Code>"), "{body}");

    let change = "<?xml version=\"1.0\"?><ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change>\
        <Action>CREATE</Action><ResourceRecordSet><Name>*.example.com</Name><Type>A</Type><TTL>60</TTL>\
        <ResourceRecords><ResourceRecord><Value>10.0.0.9</Value></ResourceRecord></ResourceRecords>\
        </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>";
    let (status, body) = send(to, "POST /2013-04-01/hostedzone/Z0EXAMPLE1/rrset/", "", change).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = send(to, "POST /2013-04-01/hostedzone/Z0EXAMPLE1/rrset/", "", change).await;
    assert_eq!(status, 400);
    assert!(body.contains("InvalidChangeBatch") && body.contains("but it already exists"), "{body}");
    let (_, body) = send(to, "GET /2013-04-01/hostedzone/Z0EXAMPLE1/rrset?maxitems=300", "", "").await;
    assert!(body.contains("<Name>\\052.example.com.</Name>"), "{body}");

    let target = "X-Amz-Target: CertificateManager.ListCertificates\r\n";
    let (status, body) = send(to, "POST /", target, "{}").await;
    assert_eq!(status, 200);
    assert!(body.contains("\"DomainName\":\"example.com\""), "{body}");

    let filter = "{\"TagFilters\":[{\"Key\":\"k\",\"Values\":[\"v 1\"]}]}";
    let target = "X-Amz-Target: ResourceGroupsTaggingAPI_20170126.GetResources\r\n";
    let (_, body) = send(to, "POST /", target, filter).await;
    assert!(body.contains("targetgroup/tg/"), "{body}");

    let (status, body) =
        send(to, "POST /", &signed("AKID", "sts"), "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(status, 200);
    assert!(body.contains("user/AKID"), "{body}");
}

#[tokio::test]
async fn what_is_not_modelled_says_so() {
    let simulator = start().await;
    let (status, body) = query(simulator.address, "AKID", "Action=CreateTrustStore").await;
    assert_eq!(status, 400);
    assert!(body.contains("InvalidAction") && body.contains("CreateTrustStore"), "{body}");
    let (_, body) = query(simulator.address, "AKID", &format!("{CREATE}&TargetControlPort=3")).await;
    assert!(body.contains("ValidationError") && body.contains("TargetControlPort"), "{body}");
    assert_eq!(send(simulator.address, "GET /elsewhere", "", "").await.0, 400);
}

#[tokio::test]
async fn control_and_faults() {
    let simulator = start().await;
    let to = simulator.address;
    let fault = |kind: &str| format!("{{\"action\":\"CreateTargetGroup\",\"kind\":\"{kind}\"}}");
    for (kind, expected) in [("throttle", 400), ("deny", 403), ("before", 503), ("after", 503)] {
        assert_eq!(send(to, "POST /_awsim/faults", "", &fault(kind)).await.0, 200);
        assert_eq!(query(to, "AKID", CREATE).await.0, expected, "{kind}");
        let there = query(to, "AKID", "Action=DescribeTargetGroups&Names.member.1=tg").await.0 == 200;
        assert_eq!(there, kind == "after", "{kind}");
    }
    let (_, log) = send(to, "GET /_awsim/calls?since=6", "", "").await;
    let last = log.lines().last().unwrap();
    assert!(last.contains("\"action\":\"DescribeTargetGroups\"") && last.contains("\"seq\":8"), "{log}");
    assert_eq!(send(to, "POST /_awsim/availability", "", "{\"down_ms\":60000}").await.0, 200);
    assert_eq!(query(to, "AKID", CREATE).await.0, 503);
    assert_eq!(send(to, "POST /_awsim/clock", "", "{\"advance_ms\":60000}").await.0, 200);
    assert_eq!(query(to, "AKID", CREATE).await.0, 200);
    let (_, state) = send(to, "GET /_awsim/state", "", "").await;
    assert!(state.contains("\"tg\""), "{state}");
    assert_eq!(send(to, "POST /_awsim/quotas", "", "{\"nonsense\":1}").await.0, 400);
}

#[tokio::test]
async fn a_policy_binds_all_but_admins() {
    let policy = r#"{"Statement":[{"Effect":"Allow","Action":"elasticloadbalancing:Describe*","Resource":"*"}]}"#;
    let options = Options { policy: Some(Policy::parse(policy).unwrap()), ..Options::loopback(Settings::instant()) };
    let simulator = Simulator::start(options).await.unwrap();
    assert_eq!(query(simulator.address, "AKID", "Action=DescribeTargetGroups").await.0, 200);
    let (status, body) = query(simulator.address, "AKID", CREATE).await;
    assert_eq!(status, 403);
    assert!(body.contains("<Code>AccessDenied</Code>") && body.contains("CreateTargetGroup"), "{body}");
    assert_eq!(query(simulator.address, "admin-1", CREATE).await.0, 200);
}

#[tokio::test]
async fn dns_over_both_protocols() {
    use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RecordType};
    let dns = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let simulator = Simulator::start(Options { dns, ..Options::loopback(Settings::instant()) }).await.unwrap();
    let to = simulator.dns.unwrap();
    let question = |name: &str| {
        let mut message = Message::new(7, hickory_proto::op::MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::SOA));
        message.to_vec().unwrap()
    };
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question("Example.com."), to).await.unwrap();
    let mut buffer = [0; 512];
    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert!(answer.metadata.authoritative);
    assert_eq!((answer.metadata.id, answer.answers.len()), (7, 1));

    let mut stream = TcpStream::connect(to).await.unwrap();
    let bytes = question("none.example.com.");
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    let answer = Message::from_vec(&reply).unwrap();
    assert_eq!((answer.metadata.response_code, answer.authorities.len()), (ResponseCode::NXDomain, 1));
}

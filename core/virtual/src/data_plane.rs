//! Where a request ends: through the listeners of the model to a pod, and so to a namespace.

use awsim_model::{Aws, DataPlaneAction, Exchange, LiveListener, Millis};
use gatehouse_core::World;
use gatehouse_core::aws::ProtocolVersion;

/// The namespace whose edge a request for the host reaches through one listener, sent as a client of this protocol.
#[must_use]
pub fn edge_behind(
    aws: &Aws,
    world: &World,
    now: u64,
    listener: &LiveListener,
    host: &str,
    protocol: ProtocolVersion,
) -> Option<String> {
    let (method, headers) = match protocol {
        ProtocolVersion::Http1 => ("GET", vec![]),
        ProtocolVersion::Grpc => ("POST", vec![("content-type".to_owned(), "application/grpc+proto".to_owned())]),
    };
    let exchange = Exchange {
        https: true,
        port: 443,
        host: host.replace('*', "any"),
        path: "/".into(),
        method: method.into(),
        headers,
        ..Exchange::default()
    };
    let decision = aws.route(Millis(now), &listener.load_balancer_arn, 443, &exchange)?;
    let DataPlaneAction::Forward { target_group, targets, .. } = decision.action else { return None };
    // An ALB answers 464 when client and target group do not speak the same.
    aws.target_group_protocol(&target_group).filter(|(_, version)| version == protocol.as_str())?;
    let ip = targets.first()?.id.parse().ok()?;
    world.pods.iter().find(|(_, p)| p.ip == Some(ip)).map(|(key, _)| key.namespace.clone())
}

/// The namespace whose edge a request for the host reaches through any load balancer. With `address`, only through
/// the one of that DNS name.
#[must_use]
pub fn edge_of(
    aws: &Aws,
    world: &World,
    now: u64,
    host: &str,
    address: Option<&str>,
    protocol: ProtocolVersion,
) -> Option<String> {
    let at: Option<Vec<String>> =
        address.map(|name| aws.resolve(Millis(now), name, "A").records.into_iter().map(|r| r.value).collect());
    aws.live_listeners(Millis(now))
        .iter()
        .filter(|l| l.port == 443)
        .filter(|l| at.as_ref().is_none_or(|at| l.addresses.iter().any(|a| at.contains(&a.to_string()))))
        .find_map(|listener| edge_behind(aws, world, now, listener, host, protocol))
}

//! One request through a load balancer: the model decides, this carries it out.

use std::net::SocketAddr;

use awsim_model::{Backend, DataPlaneAction, Exchange};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::upstream::{self, Failure, Manner};
use super::{Balancer, Front, idle_timeout};

type Body = BoxBody<Bytes, hyper::Error>;

/// Headers that concern one connection only.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Answers a request of a client.
pub(super) async fn handle(
    balancer: &Balancer,
    front: &Front,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let host = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).map(str::to_owned));
    let Some(host) = host else { return own(StatusCode::BAD_REQUEST) };
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let exchange = Exchange {
        https: front.https,
        port: front.port,
        host,
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        method: request.method().as_str().to_owned(),
        headers: request.headers().iter().map(text).collect(),
        source: Some(client.ip()),
        dice: balancer.dice(),
    };
    let world = &balancer.world;
    let decision = world.aws().route(world.now(), &front.load_balancer, front.port, &exchange);
    let Some(decision) = decision else { return own(StatusCode::SERVICE_UNAVAILABLE) };
    tracing::trace!(rule = decision.rule_arn, host = exchange.host, path = exchange.path, "request");
    match decision.action {
        DataPlaneAction::Fixed { status, content_type, body } => fixed(status, content_type.as_deref(), body),
        DataPlaneAction::Redirect { status, location } => redirect(status, &location),
        DataPlaneAction::NoTargets { .. } => own(StatusCode::SERVICE_UNAVAILABLE),
        DataPlaneAction::Forward { target_group, .. } if !understood(balancer, &target_group, &request) => {
            own(StatusCode::from_u16(464).unwrap_or(StatusCode::BAD_REQUEST))
        }
        DataPlaneAction::Forward { target_group, targets, host, path_and_query, .. } => {
            let target = targets[balancer.turn(&target_group, targets.len())].clone();
            let way = Way { balancer, front, client, target_group, target, host, path_and_query };
            match way.forward(request).await {
                Ok(response) => response,
                Err(failure) => {
                    tracing::debug!(%failure, "target");
                    own(match failure {
                        Failure::Bad(_) => StatusCode::BAD_GATEWAY,
                        Failure::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
                    })
                }
            }
        }
    }
}

/// Whether a target group's protocol version goes with what the client speaks; else an ALB answers 464 itself.
fn understood<B>(balancer: &Balancer, target_group: &str, request: &Request<B>) -> bool {
    let version = balancer.world.aws().target_group_protocol(target_group).unwrap_or_default().1;
    let content = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let grpc = content.is_some_and(|t| t == "application/grpc" || t.starts_with("application/grpc+"));
    let http2 = request.version() == Version::HTTP_2;
    match version.as_str() {
        "GRPC" => http2 && request.method() == Method::POST,
        "HTTP2" => http2,
        _ => !(http2 && grpc),
    }
}

/// The way of one request to its target.
struct Way<'a> {
    balancer: &'a Balancer,
    front: &'a Front,
    client: SocketAddr,
    target_group: String,
    target: Backend,
    host: String,
    path_and_query: String,
}

impl Way<'_> {
    async fn forward(self, mut request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let protocol = self.balancer.world.aws().target_group_protocol(&self.target_group).unwrap_or_default();
        let manner = Manner {
            tls: protocol.0 == "HTTPS",
            http2: ["HTTP2", "GRPC"].contains(&protocol.1.as_str()),
            patience: idle_timeout(self.balancer, &self.front.load_balancer),
        };
        let upgrade = wanted_upgrade(&request).filter(|_| !manner.http2);
        let from_client = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let trailers = manner.http2 && head.headers.get(header::TE).is_some_and(|te| te == "trailers");
        for name in &HOP_BY_HOP {
            head.headers.remove(name);
        }
        if trailers {
            head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if let Some(protocol) = &upgrade {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(header::UPGRADE, protocol.clone());
        }
        self.mark(&mut head.headers);
        let bad = |what: &str| Failure::Bad(format!("{what} cannot be sent to a target"));
        head.headers.insert(header::HOST, self.host.parse().map_err(|_| bad("host"))?);
        head.uri = if manner.http2 {
            head.headers.remove(header::HOST);
            head.version = Version::HTTP_2;
            let scheme = if manner.tls { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(self.host.as_str());
            uri.path_and_query(self.path_and_query.as_str()).build().map_err(|_| bad("path"))?
        } else {
            head.version = Version::HTTP_11;
            self.path_and_query.parse().map_err(|_| bad("path"))?
        };
        let request = Request::from_parts(head, body);
        let mut response = upstream::send(self.front.address, &self.target, manner, request).await?;
        if let (Some(from_client), StatusCode::SWITCHING_PROTOCOLS) = (from_client, response.status()) {
            let to_target = hyper::upgrade::on(&mut response);
            tokio::spawn(async move {
                if let (Ok(client), Ok(target)) = tokio::join!(from_client, to_target) {
                    let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut target).await;
                }
            });
            return Ok(response.map(BodyExt::boxed));
        }
        for name in &HOP_BY_HOP {
            response.headers_mut().remove(name);
        }
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(BodyExt::boxed))
    }

    /// `X-Forwarded-*` as the load balancer's attributes say.
    fn mark(&self, headers: &mut HeaderMap) {
        const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let attribute = |key| self.balancer.attribute(&self.front.load_balancer, key);
        let mut client = self.client.ip().to_string();
        if attribute("routing.http.xff_client_port.enabled") == "true" {
            client = self.client.to_string();
        }
        match attribute("routing.http.xff_header_processing.mode").as_str() {
            "preserve" => {}
            "remove" => {
                headers.remove(FOR);
            }
            _ => {
                let earlier: Vec<&str> = headers.get_all(FOR).iter().filter_map(|value| value.to_str().ok()).collect();
                let all = earlier.into_iter().chain([client.as_str()]).collect::<Vec<_>>().join(", ");
                if let Ok(value) = all.parse() {
                    headers.insert(FOR, value);
                }
            }
        }
        let scheme = if self.front.https { "https" } else { "http" };
        headers.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
        headers.insert("x-forwarded-port", HeaderValue::from(self.front.port));
        if !headers.contains_key("x-amzn-trace-id") {
            let id = format!("Root=1-{:08x}-{:024x}", self.balancer.world.now().0 / 1000, self.balancer.dice());
            if let Ok(value) = id.parse() {
                headers.insert("x-amzn-trace-id", value);
            }
        }
    }
}

/// The protocol that an HTTP/1.1 client wants to switch to, WebSocket for example.
fn wanted_upgrade(request: &Request<Incoming>) -> Option<HeaderValue> {
    let connection = request.headers().get(header::CONNECTION)?.to_str().ok()?;
    let asks = connection.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    request.headers().get(header::UPGRADE).filter(|_| asks).cloned()
}

fn fixed(status: u16, content_type: Option<&str>, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let kind = content_type.and_then(|kind| kind.parse().ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    named(response)
}

fn redirect(status: u16, location: &str) -> Response<Body> {
    let Ok(location) = location.parse() else { return own(StatusCode::BAD_REQUEST) };
    let mut response = own(StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND));
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// A page of the load balancer's own.
fn own(status: StatusCode) -> Response<Body> {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut response =
        Response::new(full(format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    named(response)
}

fn named(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("awselb/2.0"));
    response
}

fn full(body: String) -> Body {
    Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed()
}

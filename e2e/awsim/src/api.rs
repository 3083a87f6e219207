//! The endpoint: one port for every AWS service and for the control API.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use awsim_model::api::acm::CertificateBody;
use awsim_model::{Answer, AwsError, Millis, Request, Service};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::authority::Authority;
use crate::control;
use crate::fault::{self, Kind};
use crate::wire;
use crate::world::{Entry, World, params};

/// No AWS request comes near this.
const MOST_BYTES: usize = 4 << 20;

/// The endpoint's parts.
pub(crate) struct Endpoint {
    pub(crate) world: Arc<World>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) latency: Duration,
}

/// Accepts connections until `stop`.
pub(crate) async fn serve(endpoint: Arc<Endpoint>, listener: TcpListener, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let (endpoint, stop) = (Arc::clone(&endpoint), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let endpoint = Arc::clone(&endpoint);
                async move { handle(&endpoint, request).await }
            });
            let builder = Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                // A fault ends connections without an answer, so an error here is nothing to report.
                _ = connection => {}
            }
        });
    }
}

/// A request that gets no answer: the connection closes.
#[derive(Debug)]
struct Hang;

impl std::fmt::Display for Hang {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer, as a fault placed on awsim says")
    }
}

impl std::error::Error for Hang {}

async fn handle(endpoint: &Arc<Endpoint>, request: http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Hang> {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_BYTES).collect().await else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut off"));
    };
    let body = body.to_bytes();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    if let Some(rest) = path.strip_prefix("/_awsim/") {
        let Ok(response) = control::answer(&endpoint.world, &head.method, rest, query, &body);
        return Ok(response);
    }
    let incoming = wire::Incoming { method: &head.method, path, query, headers: &head.headers, body: &body };
    let decoded = match wire::decode(&incoming) {
        Ok(decoded) => decoded,
        Err(why) => return Ok(text(StatusCode::BAD_REQUEST, &why)),
    };
    if !endpoint.latency.is_zero() {
        tokio::time::sleep(endpoint.latency).await;
    }
    let wire::Decoded { service, action, caller, request } = decoded;
    let call = Call { endpoint: Arc::clone(endpoint), service, action, caller, request, arrived };
    call.answer().await
}

/// One AWS call on its way.
struct Call {
    endpoint: Arc<Endpoint>,
    service: Service,
    action: String,
    caller: String,
    request: Result<Request, AwsError>,
    arrived: Instant,
}

impl Call {
    async fn answer(self) -> Result<Response<Full<Bytes>>, Hang> {
        let world = Arc::clone(&self.endpoint.world);
        if world.is_down() {
            return Ok(self.refuse("unavailable", fault::unavailable()));
        }
        let struck = world.faults().strike(&self.action);
        match struck {
            None => {
                let outcome = self.perform();
                Ok(self.respond(&label(&outcome), &outcome))
            }
            Some((Kind::Before, _)) => Ok(self.refuse("fault before", fault::unavailable())),
            Some((Kind::After, _)) => {
                let outcome = self.perform();
                let outcome = format!("fault after {}", label(&outcome));
                Ok(self.refuse(&outcome, fault::unavailable()))
            }
            Some((Kind::Throttle, _)) => Ok(self.refuse("fault throttle", fault::throttled(self.service))),
            Some((Kind::Deny, _)) => {
                let error = fault::denied(self.service, &self.action, &self.caller);
                Ok(self.refuse("fault deny", error))
            }
            Some((Kind::Timeout, _)) => {
                self.log("fault timeout");
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(Hang)
            }
            Some((Kind::Late, delay)) => {
                let due = world.now() + Millis(delay);
                let response = self.refuse("fault late", fault::unavailable());
                // The effect outlives the connection.
                tokio::spawn(async move {
                    while world.now() < due {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    let outcome = self.perform();
                    self.log(&format!("late {}", label(&outcome)));
                });
                Ok(response)
            }
        }
    }

    fn perform(&self) -> Result<Answer, AwsError> {
        let mut answer = self.endpoint.world.perform(&self.caller, self.request.as_ref().map_err(Clone::clone)?)?;
        // The model signs nothing; an issued certificate is one of the simulator's own.
        if let (Answer::CertificateBody(body), Ok(Request::GetCertificate(call))) = (&mut answer, &self.request)
            && body.certificate.is_empty()
        {
            let names = self.endpoint.world.aws().certificate_names(&call.certificate_arn);
            let pem = self.endpoint.authority.pem(&call.certificate_arn, &names.unwrap_or_default());
            let chain = Some(self.endpoint.authority.ca_pem().to_owned());
            *body = CertificateBody { certificate: pem.unwrap_or_default(), certificate_chain: chain };
        }
        Ok(answer)
    }

    fn refuse(&self, outcome: &str, error: AwsError) -> Response<Full<Bytes>> {
        self.respond(outcome, &Err(error))
    }

    fn respond(&self, label: &str, outcome: &Result<Answer, AwsError>) -> Response<Full<Bytes>> {
        let seq = self.log(label);
        wire::encode(self.service, &self.action, outcome, &format!("awsim-{seq}"))
    }

    fn log(&self, outcome: &str) -> u64 {
        let world = &self.endpoint.world;
        world.record(Entry {
            seq: 0,
            time: world.now(),
            service: self.service,
            action: self.action.clone(),
            caller: self.caller.clone(),
            params: self.request.as_ref().map_or(Value::Null, params),
            outcome: outcome.to_owned(),
            latency_ms: u64::try_from(self.arrived.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn label(outcome: &Result<Answer, AwsError>) -> String {
    outcome.as_ref().map_or_else(|error| error.code.clone(), |_| "ok".to_owned())
}

/// A plain answer, for what is not AWS.
pub(crate) fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    response
}

/// An infallible answer of the control API.
pub(crate) type Answered = Result<Response<Full<Bytes>>, Infallible>;

//! The admin and metrics ports. They answer health, hash and numbers, never anything secret.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use gatehouse_route::GRPC_HEALTH_PATH;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::status::Status;

/// The admin port.
pub fn admin(status: watch::Receiver<Status>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/hash", get(hash))
        .route("/status", get(all))
        .route(GRPC_HEALTH_PATH, post(grpc_healthz))
        .with_state(status)
}

/// The metrics port.
pub fn metrics(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(|State(metrics): State<Metrics>| async move { metrics.text() }))
        .with_state(metrics)
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

type Shared = State<watch::Receiver<Status>>;
type Text = (StatusCode, String);

fn why(status: &Status) -> &'static str {
    if status.fallen {
        "nginx ended and is started again"
    } else if status.served.is_none() {
        "waiting for a table"
    } else if !status.answering {
        "nginx does not answer"
    } else if status.draining {
        "draining"
    } else {
        "ok"
    }
}

fn answer(yes: bool, status: &Status) -> Text {
    (if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, format!("{}\n", why(status)))
}

async fn livez(State(status): Shared) -> Text {
    let status = status.borrow();
    answer(status.alive(), &status)
}

async fn healthz(State(status): Shared) -> Text {
    let status = status.borrow();
    answer(status.healthy(), &status)
}

/// The same to who asks by gRPC: there the status of HTTP is always 200, and without a message the trailers come first.
async fn grpc_healthz(State(status): Shared) -> Response<Body> {
    let status = status.borrow();
    let mut out = Response::new(Body::empty());
    let headers = out.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if status.healthy() {
        headers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    } else {
        // 14 is UNAVAILABLE.
        headers.insert(GRPC_STATUS, HeaderValue::from_static("14"));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(why(&status)));
    }
    out
}

async fn readyz(State(status): Shared) -> Text {
    let status = status.borrow();
    answer(status.ready(), &status)
}

async fn hash(State(status): Shared) -> Text {
    match &status.borrow().served {
        Some(hash) => (StatusCode::OK, hash.clone()),
        None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

async fn all(State(status): Shared) -> axum::Json<Status> {
    axum::Json(status.borrow().clone())
}

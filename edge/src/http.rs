//! The admin and metrics ports. They answer health, hash and numbers, never anything secret.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
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
        .with_state(status)
}

/// The metrics port.
pub fn metrics(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(|State(metrics): State<Metrics>| async move { metrics.text() }))
        .with_state(metrics)
}

type Shared = State<watch::Receiver<Status>>;
type Text = (StatusCode, String);

fn answer(yes: bool, status: &Status) -> Text {
    let why = if status.served.is_none() {
        "waiting for a table"
    } else if !status.answering {
        "nginx does not answer"
    } else if status.draining {
        "draining"
    } else {
        "ok"
    };
    (if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, format!("{why}\n"))
}

async fn livez(State(status): Shared) -> Text {
    let status = status.borrow();
    answer(status.alive(), &status)
}

async fn healthz(State(status): Shared) -> Text {
    let status = status.borrow();
    answer(status.healthy(), &status)
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

//! Routes: admission on the HTTPS port, health and metrics on ports of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State as Extract};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gatehouse_core::Wall;

use crate::admission::{Answer, Request};
use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::verdict;

/// An update carries the object twice, and etcd's limit for one is 1.5 MB; controller-runtime's cap is the same.
pub const MAX_BODY: usize = 7 << 20;

/// Below the 3 s that the API server waits, so that the reason of a slow answer is known here.
const REQUEST: Duration = Duration::from_millis(2500);

/// What the routes share.
#[derive(Clone)]
pub struct State {
    /// The world.
    pub cache: Arc<Cache>,
    /// Metrics.
    pub metrics: Metrics,
    /// Today, for exceptions.
    pub clock: fn() -> Wall,
    /// Set once a certificate is served.
    pub certified: Arc<AtomicBool>,
    /// Set when the end has begun.
    pub stopping: Arc<AtomicBool>,
}

impl State {
    /// Over a cache, by the machine's clock.
    #[must_use]
    pub fn new(cache: Arc<Cache>, metrics: Metrics) -> State {
        let clock = || Wall(jiff::Timestamp::now().as_second());
        State { cache, metrics, clock, certified: Arc::default(), stopping: Arc::default() }
    }

    /// Whether the API server should call this pod, and if not, why.
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            Err("stopping")
        } else if !self.certified.load(Ordering::Relaxed) {
            Err("waiting for a certificate")
        } else if !self.cache.complete() {
            Err("waiting for the caches")
        } else {
            Ok(())
        }
    }
}

/// The HTTPS port.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .route("/mutate", post(mutate))
        .route("/foreign", post(foreign))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(deadline))
        .with_state(state)
}

/// The health port.
pub fn health(state: State) -> Router {
    let ready = |Extract(state): Extract<State>| async move {
        match state.ready() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    };
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(state)
}

/// The metrics port.
pub fn metrics(state: State) -> Router {
    let text = |Extract(state): Extract<State>| async move { state.metrics.text(&state.cache) };
    Router::new().route("/metrics", get(text)).with_state(state)
}

async fn deadline(request: HttpRequest, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took longer than 2.5 s\n").into_response(),
    }
}

async fn validate(Extract(state): Extract<State>, body: Result<Bytes, BytesRejection>) -> Response {
    answer(&state, "validate", body, |state, request| {
        let (answer, findings) = verdict::validate(&state.cache.read(), request, (state.clock)());
        state.metrics.found(&findings);
        answer
    })
}

/// A path of its own, so that the API server may go on without an answer for kinds that are not ours.
async fn foreign(Extract(state): Extract<State>, body: Result<Bytes, BytesRejection>) -> Response {
    answer(&state, "foreign", body, |state, request| {
        let (answer, findings) = verdict::foreign(&state.cache.read(), request, (state.clock)());
        state.metrics.found(&findings);
        answer
    })
}

async fn mutate(Extract(state): Extract<State>, body: Result<Bytes, BytesRejection>) -> Response {
    answer(&state, "mutate", body, |state, request| verdict::mutate(&state.cache.read(), request))
}

fn answer(
    state: &State,
    endpoint: &str,
    body: Result<Bytes, BytesRejection>,
    decide: impl FnOnce(&State, &Request) -> Answer,
) -> Response {
    let begun = Instant::now();
    let fail = |verdict: &str, code: StatusCode, text: String| {
        state.metrics.decided(endpoint, verdict, begun.elapsed().as_secs_f64());
        (code, format!("{text}\n")).into_response()
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            state.metrics.too_large();
            let text = format!("the body is larger than {} MiB", MAX_BODY >> 20);
            return fail("too-large", StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(rejection) => return fail("unreadable", rejection.status(), rejection.body_text()),
    };
    if !state.cache.complete() {
        // With empty caches every host would read as ungranted; a failed webhook is the truth.
        return fail("not-ready", StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled yet".into());
    }
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(why) => return fail("unreadable", StatusCode::BAD_REQUEST, why),
    };
    let answer = decide(state, &request);
    let verdict = match (&answer.refusal, answer.patch.is_empty(), answer.warnings.is_empty()) {
        (Some(_), ..) => "denied",
        (None, false, _) => "patched",
        (None, true, false) => "warned",
        (None, true, true) => "allowed",
    };
    if let Some((code, message)) = &answer.refusal {
        tracing::info!(namespace = request.namespace, name = request.name, code, "denied: {message}");
    }
    let response = Json(answer.write(&request)).into_response();
    state.metrics.decided(endpoint, verdict, begun.elapsed().as_secs_f64());
    response
}

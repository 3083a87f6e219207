//! Routes: admission on the HTTPS port, health and metrics on ports of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State as Extract};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gatehouse_core::Wall;
use tokio::sync::Semaphore;

use crate::admission::{Answer, Request};
use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::{edits, verdict};

/// An update carries the object twice, and etcd's limit for one is 1.5 MB; controller-runtime's cap is the same.
pub const MAX_BODY: usize = 7 << 20;

/// Bodies up to this size are read at once; there are never more of them than connections.
const SMALL_BODY: usize = 256 << 10;

/// KiB that larger bodies may hold together. What finds no room is told to come again: the API server counts that as a
/// failure, which closes what must be closed and lets the rest through.
const ROOM: usize = 32 << 10;

/// Below the 3 s that the API server waits, so that the reason of a slow answer is known here.
const REQUEST: Duration = Duration::from_millis(2500);

/// How long, and for how many apps, the consequences of an edit are looked for, as Pod Security Admission does it.
const EDIT: Duration = Duration::from_secs(1);
const MAX_JUDGED: i32 = 3_000;

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
    /// Where large bodies find room, in KiB.
    pub room: Arc<Semaphore>,
}

impl State {
    /// Over a cache, by the machine's clock.
    #[must_use]
    pub fn new(cache: Arc<Cache>, metrics: Metrics) -> State {
        let clock = || Wall(jiff::Timestamp::now().as_second());
        let room = Arc::new(Semaphore::new(ROOM));
        State { cache, metrics, clock, certified: Arc::default(), stopping: Arc::default(), room }
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
        .route("/edits", post(edits))
        // Of the routes only: what is asked of no endpoint is no label of a metric.
        .route_layer(from_fn_with_state(state.clone(), bounded))
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

/// Looks at the size that is announced before anything is read: else fifty senders could fill the memory with what is
/// refused in the end.
async fn bounded(Extract(state): Extract<State>, request: HttpRequest, next: Next) -> Response {
    // Without a length it may become as large as any.
    let size = request.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let endpoint = request.uri().path().trim_start_matches('/').to_owned();
    if size.is_some_and(|size| size > MAX_BODY) {
        return too_large(&state, &endpoint, Instant::now());
    }
    let size = size.unwrap_or(MAX_BODY);
    if size <= SMALL_BODY {
        return next.run(request).await;
    }
    let Ok(_room) = state.room.try_acquire_many(u32::try_from(size.div_ceil(1 << 10)).unwrap_or(u32::MAX)) else {
        state.metrics.decided(&endpoint, "too-many", 0.0);
        return (StatusCode::TOO_MANY_REQUESTS, "too many large requests at once; ask again\n").into_response();
    };
    next.run(request).await
}

fn too_large(state: &State, endpoint: &str, begun: Instant) -> Response {
    state.metrics.too_large();
    state.metrics.decided(endpoint, "too-large", begun.elapsed().as_secs_f64());
    (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} MiB\n", MAX_BODY >> 20)).into_response()
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

/// What an edit of the platform's people would do to apps that stand. It is always admitted: on a path of its own, so that
/// it never waits for us.
async fn edits(Extract(state): Extract<State>, body: Result<Bytes, BytesRejection>) -> Response {
    // Up to a second of work: not where requests are taken in, and not under the lock that others read by.
    let judged = tokio::task::spawn_blocking(move || {
        answer(&state, "edits", body, |state, request| {
            let begun = Instant::now();
            let mut left = MAX_JUDGED;
            let more = || {
                left -= 1;
                left >= 0 && begun.elapsed() < EDIT
            };
            let Some(edit) = edits::read(request) else { return Answer::default() };
            let world = state.cache.read().clone();
            edits::answer(&world, &edit, (state.clock)(), more)
        })
    });
    judged.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
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
            return too_large(state, endpoint, begun);
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

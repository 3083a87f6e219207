//! The answering side.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long running requests may take after SIGTERM; the kubelet's own patience is 30 s.
const DRAIN: Duration = Duration::from_secs(25);

/// What one request looked like from here.
#[derive(Serialize)]
struct Seen<'a> {
    app: &'a str,
    pod: &'a str,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    host: &'a str,
    headers: BTreeMap<&'a str, String>,
    body_bytes: usize,
}

/// Frames, the last one first. Its length is not told: a body of known length ends before its trailers.
struct Grpc(Vec<Frame<Bytes>>);

impl Body for Grpc {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

struct Identity {
    app: String,
    pod: String,
}

/// Serves until SIGTERM or SIGINT, then lets running requests end.
pub(crate) async fn serve(listen: SocketAddr, app: String) -> Result<()> {
    // Kubernetes sets HOSTNAME to the pod's name.
    let pod = std::env::var("HOSTNAME").unwrap_or_default();
    let identity = Arc::new(Identity { app, pod });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    eprintln!("echo: {} listens on {}", identity.app, listener.local_addr()?);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, say: the next one may work.
                    eprintln!("echo: accept: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let identity = Arc::clone(&identity);
        let service = hyper::service::service_fn(move |request| {
            let identity = Arc::clone(&identity);
            async move {
                let grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc);
                let answer = answer(&identity, request).await;
                Ok::<_, Infallible>(if grpc { as_grpc(answer).await } else { answer.map(Either::Left) })
            }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that hangs up in the middle is its own affair.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        eprintln!("echo: some requests did not end in {} s", DRAIN.as_secs());
    }
    Ok(())
}

async fn answer<B: Body>(identity: &Identity, request: Request<B>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let mut status = StatusCode::OK;
    match head.uri.path() {
        "/healthz" => return text(StatusCode::OK, "ok\n"),
        "/slow" => match number::<u64>(query, "ms") {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => return text(StatusCode::BAD_REQUEST, "/slow: give ?ms=NUMBER\n"),
        },
        "/status" => match number(query, "code").and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(code) if code.as_u16() >= 200 => status = code,
            _ => return text(StatusCode::BAD_REQUEST, "/status: give ?code=200 to 999\n"),
        },
        _ => {}
    }
    let body_bytes = body.collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let seen = Seen {
        app: &identity.app,
        pod: &identity.pod,
        method: head.method.as_str(),
        path: head.uri.path(),
        query,
        host: host.or(head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default(),
        headers: headers(&head.headers),
        body_bytes,
    };
    let mut json = serde_json::to_vec_pretty(&seen).unwrap_or_default();
    json.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(json)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn is_grpc(content_type: &header::HeaderValue) -> bool {
    content_type == "application/grpc" || content_type.as_bytes().starts_with(b"application/grpc+")
}

/// The same as one gRPC message with the status in the trailers: 0, or 2 (UNKNOWN) unless the answer was 200.
async fn as_grpc(answer: Response<Full<Bytes>>) -> Response<Either<Full<Bytes>, Grpc>> {
    let (head, body) = answer.into_parts();
    let message = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(&message);
    let status = if head.status == StatusCode::OK { "0" } else { "2" };
    let trailers = HeaderMap::from_iter([
        (header::HeaderName::from_static("grpc-status"), header::HeaderValue::from_static(status)),
        (header::HeaderName::from_static("grpc-message"), header::HeaderValue::from_static("echoed")),
    ]);
    let frames = [Frame::trailers(trailers), Frame::data(Bytes::from(frame))];
    let mut answer = Response::new(Either::Right(Grpc(frames.into())));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/grpc"));
    answer
}

/// Several headers of one name become one value, as HTTP allows.
fn headers(all: &HeaderMap) -> BTreeMap<&str, String> {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in all {
        let value = String::from_utf8_lossy(value.as_bytes());
        seen.entry(name.as_str()).and_modify(|old| *old = format!("{old}, {value}")).or_insert(value.into_owned());
    }
    seen
}

fn number<N: std::str::FromStr>(query: &str, key: &str) -> Option<N> {
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(path: &str) -> (StatusCode, String) {
        let request = Request::post(path)
            .header("host", "shop.example.com")
            .header("x-a", "1")
            .header("x-a", "2")
            .body(Full::new(Bytes::from_static(b"hello")))
            .unwrap();
        let identity = Identity { app: "shop".into(), pod: "shop-1".into() };
        let response = answer(&identity, request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_answers_what_it_saw() {
        let (status, body) = ask("/a/b?c=d").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::OK);
        let expected = serde_json::json!({
            "app": "shop", "pod": "shop-1", "method": "POST", "path": "/a/b", "query": "c=d",
            "host": "shop.example.com", "headers": {"host": "shop.example.com", "x-a": "1, 2"}, "body_bytes": 5,
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn special_paths() {
        assert_eq!(ask("/healthz").await, (StatusCode::OK, "ok\n".into()));
        assert_eq!(ask("/status?code=503").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask("/slow?ms=1").await.0, StatusCode::OK);
        for bad in ["/status", "/status?code=100", "/status?code=x", "/slow?ms=-1"] {
            assert_eq!(ask(bad).await.0, StatusCode::BAD_REQUEST, "{bad}");
        }
    }
}

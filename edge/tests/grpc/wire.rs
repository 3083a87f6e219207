//! gRPC on the wire, as much of it as the tests need: messages with their five bytes before them, trailers, calls.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// A body that is written as it is sent.
pub struct Written(mpsc::Receiver<Frame<Bytes>>);

impl Body for Written {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

/// The writing end of a body.
pub type Pen = mpsc::Sender<Frame<Bytes>>;

pub fn written() -> (Pen, Written) {
    let (pen, body) = mpsc::channel(16);
    (pen, Written(body))
}

pub fn message(text: &str) -> Frame<Bytes> {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(text.len()).unwrap());
    out.put_slice(text.as_bytes());
    Frame::data(out.freeze())
}

fn trailers(status: &'static str) -> Frame<Bytes> {
    let mut out = HeaderMap::new();
    out.insert("grpc-status", HeaderValue::from_static(status));
    out.insert("x-trailer", HeaderValue::from_static("from the backend"));
    Frame::trailers(out)
}

/// Reads messages out of a body; frames of HTTP/2 do not end where messages do.
pub struct Read {
    body: Incoming,
    rest: BytesMut,
    pub trailers: HeaderMap,
}

impl Read {
    pub fn new(body: Incoming) -> Read {
        Read { body, rest: BytesMut::new(), trailers: HeaderMap::new() }
    }

    /// The next message; `None` at the end, when the trailers are known.
    pub async fn message(&mut self) -> Result<Option<String>, hyper::Error> {
        loop {
            if self.rest.len() >= 5 {
                let len = usize::try_from(u32::from_be_bytes(self.rest[1..5].try_into().unwrap())).unwrap();
                if self.rest.len() >= 5 + len {
                    self.rest.advance(5);
                    return Ok(Some(String::from_utf8(self.rest.split_to(len).to_vec()).unwrap()));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => match frame?.into_data() {
                    Ok(data) => self.rest.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().unwrap(),
                },
            }
        }
    }
}

/// A pod that speaks HTTP/2 by prior knowledge and nothing else.
pub fn serve(name: &'static str, listener: TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, from)) = listener.accept().await {
            let service = hyper::service::service_fn(move |request| async move {
                Ok::<_, Infallible>(answer(name, from.port(), request).await)
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
}

/// Unary, Head (the request's head in the answer), Fail, Stream (three messages), Both (each message as it comes),
/// Huge (says how much came).
async fn answer(name: &'static str, connection: u16, request: Request<Incoming>) -> Response<Written> {
    let (pen, body) = written();
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("x-backend", HeaderValue::from_static(name));
    headers.insert("x-connection", HeaderValue::from(connection));
    headers.insert("x-powered-by", HeaderValue::from_static("a test"));
    let (head, body) = request.into_parts();
    let method = head.uri.path().rsplit('/').next().unwrap().to_owned();
    if method == "Fail" {
        headers.insert("grpc-status", HeaderValue::from_static("5"));
        headers.insert("grpc-message", HeaderValue::from_static("no such thing"));
        return response;
    }
    let mut said = Read::new(body);
    tokio::spawn(async move {
        let send = async |text: String| pen.send(message(&text)).await.is_ok();
        match method.as_str() {
            "Head" => {
                let seen: BTreeMap<&str, &str> =
                    head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
                let lines: Vec<String> = seen.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                let authority = head.uri.authority().map_or("", |authority| authority.as_str());
                send(format!("{:?} {} {authority}\n{}", head.version, head.uri.path(), lines.join("\n"))).await;
            }
            "Stream" => {
                for n in 1..=3 {
                    send(format!("{name} {n}")).await;
                    sleep(Duration::from_millis(20)).await;
                }
            }
            "Both" => {
                while let Ok(Some(text)) = said.message().await {
                    if !send(format!("{name} {text}")).await {
                        return;
                    }
                }
            }
            "Huge" => {
                let mut bytes = 0;
                while let Ok(Some(text)) = said.message().await {
                    bytes += text.len();
                }
                send(bytes.to_string()).await;
            }
            _ => {
                let text = said.message().await.ok().flatten().unwrap_or_default();
                send(format!("{name} {text}")).await;
            }
        }
        let _ = pen.send(trailers("0")).await;
    });
    response
}

/// A connection of a client that knows that the other side speaks HTTP/2.
pub struct Channel(SendRequest<Written>);

/// What came of a call: the head, and the body to read.
pub struct Call {
    pub head: http::response::Parts,
    pub read: Read,
}

impl Channel {
    pub async fn connect(port: u16) -> Channel {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (channel, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Channel(channel)
    }

    /// Begins a call; the answer's head comes when the other side likes.
    pub fn begin(
        &mut self,
        host: &str,
        path: &str,
        metadata: &[(&str, &str)],
    ) -> (Pen, impl Future<Output = Result<Call, hyper::Error>> + use<>) {
        let (pen, body) = written();
        let mut request = Request::post(format!("http://{host}{path}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let answer = self.0.send_request(request.body(body).unwrap());
        let call = async move {
            let (head, body) = answer.await?.into_parts();
            Ok(Call { head, read: Read::new(body) })
        };
        (pen, call)
    }

    /// A whole call with one message to send.
    pub async fn call(&mut self, host: &str, path: &str, metadata: &[(&str, &str)], text: &str) -> Outcome {
        let (pen, call) = self.begin(host, path, metadata);
        let whole = async {
            pen.send(message(text)).await.unwrap();
            drop(pen);
            let mut call = call.await.unwrap();
            let mut messages = Vec::new();
            while let Some(text) = call.read.message().await.unwrap() {
                messages.push(text);
            }
            Outcome { code: call.head.status.as_u16(), head: call.head.headers, messages, trailers: call.read.trailers }
        };
        timeout(Duration::from_secs(10), whole).await.expect("a call takes more than 10 s")
    }
}

/// All of an answer.
#[derive(Debug)]
pub struct Outcome {
    pub code: u16,
    pub head: HeaderMap,
    pub messages: Vec<String>,
    pub trailers: HeaderMap,
}

impl Outcome {
    /// grpc-status, in the trailers or, where there is no message, in the head.
    pub fn status(&self) -> &str {
        self.trailers.get("grpc-status").or(self.head.get("grpc-status")).map_or("-", |value| value.to_str().unwrap())
    }

    pub fn said(&self) -> Vec<&str> {
        self.messages.iter().map(String::as_str).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.head.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}

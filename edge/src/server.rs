//! HTTP for anybody who reaches the pod: bounded in connections, heads, streams and time.
//!
//! A full house does not turn newcomers away, because one of them is the kubelet: the oldest connection goes. Who holds
//! connections open, however many and however slowly, loses them; who asks and listens is answered within milliseconds.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Connections at once.
const MOST: usize = 128;
/// From a connection's or an answer's end to the end of the next head.
const HEAD: Duration = Duration::from_secs(5);
/// All headers of a request.
const HEAD_BYTES: u16 = 16 << 10;
/// Requests of HTTP/2 at once on one connection.
const STREAMS: u32 = 16;
/// After that a connection is told to end.
const LIFE: Duration = Duration::from_secs(60);

/// Serves for ever.
pub async fn serve(listener: TcpListener, router: Router) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(MOST);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the client is gone already.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= MOST
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(connection(stream, router.clone())));
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let mut builder = Builder::new(TokioExecutor::new());
    let size = usize::from(HEAD_BYTES);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(size);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(u32::from(HEAD_BYTES));
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        _ = served.as_mut() => {}
        () = sleep(LIFE) => {
            served.as_mut().graceful_shutdown();
            let _ = timeout(HEAD, served).await;
        }
    }
}

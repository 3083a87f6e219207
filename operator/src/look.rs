//! `/plan` on loopback: what the leader is about to do, waits for and holds. For `gatehouse plan --live`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use gatehouse_core::engine::report::Report;
use tokio::sync::{mpsc, oneshot, watch};

/// Viewers in line; more are turned away.
const LINE: usize = 4;
/// The engine answers between two turns, which are milliseconds apart.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listener.
#[derive(Clone)]
pub struct Look {
    ask: mpsc::Sender<oneshot::Sender<Report>>,
    holder: watch::Receiver<String>,
    identity: String,
}

/// The shell's end.
pub type Asked = mpsc::Receiver<oneshot::Sender<Report>>;

impl Look {
    /// A listener, and what the shell answers.
    pub fn new(holder: watch::Receiver<String>, identity: String) -> (Look, Asked) {
        let (ask, asked) = mpsc::channel(LINE);
        (Look { ask, holder, identity }, asked)
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn serve(self, at: SocketAddr) -> anyhow::Result<()> {
        let listener = tokio::net::TcpListener::bind(at)
            .await
            .map_err(|e| anyhow::anyhow!("cannot listen on {at}: {e}; choose another port with --plan-address"))?;
        axum::serve(listener, self.router()).await?;
        Ok(())
    }

    fn router(self) -> Router {
        Router::new().route("/plan", get(plan)).with_state(self)
    }
}

async fn plan(State(look): State<Look>) -> Response {
    let holder = look.holder.borrow().clone();
    if holder != look.identity {
        let text = match holder.as_str() {
            "" => "no leader is known yet".to_owned(),
            holder => format!("{} stands by; the leader is {holder}", look.identity),
        };
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    let (sender, answer) = oneshot::channel();
    if look.ask.try_send(sender).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many ask at once; ask again").into_response();
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        // Written here, beside the engine's task and not in it.
        Ok(Ok(report)) => match serde_json::to_string(&report) {
            Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the engine did not answer in time; ask again").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(look: Look) -> (StatusCode, String) {
        let answer = plan(State(look)).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_stand_by_names_the_leader_and_the_leader_answers() {
        let (told, holder) = watch::channel(String::new());
        let (look, mut asked) = Look::new(holder, "one".to_owned());
        assert_eq!(ask(look.clone()).await, (StatusCode::SERVICE_UNAVAILABLE, "no leader is known yet".to_owned()));
        told.send_replace("two".to_owned());
        assert_eq!(ask(look.clone()).await.1, "one stands by; the leader is two");
        told.send_replace("one".to_owned());
        let shell = async {
            let answer = asked.recv().await.unwrap();
            answer.send(Report { version: 1, ..Report::default() }).unwrap();
        };
        let ((status, text), ()) = tokio::join!(ask(look), shell);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap().version, 1);
    }

    #[tokio::test]
    async fn a_long_line_turns_viewers_away() {
        let (_told, holder) = watch::channel("one".to_owned());
        let (look, _asked) = Look::new(holder, "one".to_owned());
        for _ in 0..LINE {
            look.ask.try_send(oneshot::channel().0).unwrap();
        }
        let (status, text) = ask(look).await;
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "too many ask at once; ask again"));
    }
}

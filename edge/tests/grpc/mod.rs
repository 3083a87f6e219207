//! gRPC and HTTP/2 through a real nginx, and the load balancer's gRPC health check.

#[allow(dead_code, reason = "the answering side is for routes that speak gRPC")]
mod wire;

use gatehouse_route::GRPC_HEALTH_PATH;

use super::support::{Agent, admin, eventually, isolated, route, table, to};
use wire::Channel;

const HOST: &str = "a.example.com";

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

#[test]
fn the_load_balancer_asks_by_grpc() {
    isolated("grpc::the_load_balancer_asks_by_grpc", || {
        run(async {
            let agent = Agent::start(&[]);
            let mut channel = Channel::connect(8081).await;
            let answer = channel.call("admin", GRPC_HEALTH_PATH, &[], "").await;
            assert_eq!((answer.code, answer.header("content-type")), (200, "application/grpc"));
            assert_eq!((answer.status(), answer.header("grpc-message")), ("14", "waiting for a table"));
            assert_eq!(admin("/healthz").unwrap().code, 503);

            agent.serve(&table(&[(HOST, vec![route("/", "Prefix", &to("web"))])]));
            let answer = channel.call("admin", GRPC_HEALTH_PATH, &[], "").await;
            assert_eq!((answer.code, answer.header("content-type")), (200, "application/grpc"));
            assert_eq!((answer.header("grpc-status"), answer.header("grpc-message")), ("0", "-"));
            assert!(answer.messages.is_empty() && answer.trailers.is_empty(), "trailers only: {answer:?}");
            // HTTP/1.1 goes on beside it.
            eventually("healthy", || admin("/healthz").is_some_and(|answer| answer.code == 200));
        });
    });
}

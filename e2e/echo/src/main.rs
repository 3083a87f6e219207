//! The test application: answers what it was asked, and asks others as a tiny HTTP client.

mod client;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// A server that answers each request with what it saw of it, as JSON; HTTP/1.1 and HTTP/2 without TLS. A gRPC call gets
/// the JSON as its message, with the status in the trailers.
///
/// Paths: /healthz answers "ok"; /slow?ms=N answers after N milliseconds; /status?code=N answers with that status.
/// SIGTERM lets running requests end.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Verb>,
    /// Where to listen
    #[arg(long, env = "ECHO_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The "app" of the answers
    #[arg(long, env = "ECHO_NAME", default_value = "echo")]
    name: String,
}

#[derive(Subcommand)]
enum Verb {
    /// Get URLs and print status and body; exit 0 when all are 2xx, 7 when one cannot be reached, else 1
    Get {
        /// http URLs
        #[arg(required = true, value_name = "URL")]
        urls: Vec<http::Uri>,
        /// Seconds for each
        #[arg(long, env = "ECHO_TIMEOUT", default_value_t = 2.0)]
        timeout: f64,
        /// The local address to connect from
        #[arg(long, env = "ECHO_FROM", value_name = "IP")]
        from: Option<IpAddr>,
        /// Speak HTTP/2 (with prior knowledge)
        #[arg(long)]
        http2: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("echo: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(cli));
    // A name look-up that nobody waits for any more may take the resolver's 20 s.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        None => server::serve(cli.listen, cli.name).await.map(|()| ExitCode::SUCCESS),
        Some(Verb::Get { urls, timeout, from, http2 }) => match Duration::try_from_secs_f64(timeout) {
            Ok(timeout) => client::get(&urls, timeout, from, http2).await,
            Err(error) => Err(anyhow::anyhow!("--timeout {timeout}: {error}; give seconds, such as 2.5")),
        },
    };
    done.unwrap_or_else(|error| {
        eprintln!("echo: {error:#}");
        ExitCode::FAILURE
    })
}

//! The asking side: enough to find out who reaches whom.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Uri;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// curl's exit code for a failed connect.
const UNREACHED: u8 = 7;

/// Gets all URLs at once and prints the outcomes in their order; the worst one is the exit code.
pub(crate) async fn get(urls: &[Uri], timeout: Duration, from: Option<IpAddr>, http2: bool) -> Result<ExitCode> {
    let mut connector = HttpConnector::new();
    connector.set_local_address(from);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(http2).build(connector);
    let asked = urls.iter().map(|url| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let answer = async {
                let response = client.get(url).await?;
                let status = response.status();
                anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
            };
            tokio::time::timeout(timeout, answer).await.context("timed out")?
        })
    });
    let mut worst = 0;
    for (url, outcome) in urls.iter().zip(asked.collect::<Vec<_>>()) {
        match outcome.await? {
            Ok((status, body)) => {
                println!("{url} {}", status.as_u16());
                print!("{}", String::from_utf8_lossy(&body));
                if !status.is_success() {
                    worst = worst.max(1);
                }
            }
            Err(error) => {
                println!("{url} unreached: {error:#}");
                worst = UNREACHED;
            }
        }
    }
    Ok(ExitCode::from(worst))
}

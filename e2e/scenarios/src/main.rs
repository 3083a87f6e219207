//! `make demo`: Gatehouse's whole job on real parts, each fact with its measured time.

mod demo;

use std::process::ExitCode;

use clap::Parser;

/// Shows Gatehouse's whole job: real Kubernetes, kubelet, pods and nginx, AWS SDK calls to a strict simulator, DNS and TLS
/// from the client's side.
///
/// Exits with 1 if any shown fact is not as it should be.
#[derive(Parser)]
#[command(version, name = "demo")]
struct Args {
    /// End after the last fact instead of leaving everything running.
    #[arg(long, env = "ONCE", value_parser = clap::builder::FalseyValueParser::new())]
    once: bool,
    /// Name of the platform.
    #[arg(long, env = "DEMO_NAME", default_value = "demo")]
    name: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match demo::run(&args.name, args.once) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("\n{failed} facts are not as they should be");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\nthe demo could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

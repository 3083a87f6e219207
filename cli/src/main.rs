//! The gatehouse command: check, plan, render. It works on files alone and asks neither a cluster nor AWS.
//!
//! ```text
//! files --input--> documents --facts--> objects --settle--> the engine's own reviews, claims and desired state
//!                     |                                             |
//!                   schema (what the API server would refuse)     check, plan, render --print--> terminal or JSON
//! ```

mod args;
mod check;
mod facts;
mod input;
mod plan;
mod print;
mod render;
mod report;
mod sanity;
mod schema;
mod settle;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let name = args::program(words.first());
    let cli = match args::parse(&name, &mut words) {
        Ok(cli) => cli,
        Err((text, to_stdout, code)) => {
            // Whoever does not want to read the help need not.
            let _ = print::Out::new().finish(&text, to_stdout);
            return ExitCode::from(code);
        }
    };
    let mut out = print::Out::new();
    let code = match &cli.command {
        args::Command::Check(args) => check::run(args, &mut out),
        args::Command::Plan(args) => plan::run(args, &mut out),
        args::Command::Render(args) => render::run(args, &mut out),
    };
    let failed = if matches!(cli.command, args::Command::Plan(_)) { 1 } else { 2 };
    ExitCode::from(if out.flush() { code } else { failed })
}

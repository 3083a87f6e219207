//! The gatehouse command: check, plan, render and convert work on files alone and ask neither a cluster nor AWS;
//! requests, claims, status, trace and `plan --live` talk to a cluster, and only `live` does.
//!
//! ```text
//! files --input--> documents --facts--> objects --settle--> the engine's own reviews, claims and desired state
//!                     |                                             |
//!                   schema (what the API server would refuse)     check, plan, render --print--> terminal or JSON
//! cluster --live--> requests (an annotation, its answer), claims, the leader's /plan
//! ```

mod args;
mod check;
mod convert;
mod facts;
mod foreign;
mod help;
mod input;
mod lines;
mod live;
mod machine;
mod papers;
mod plan;
mod print;
mod reasons;
mod render;
mod report;
mod rules;
mod sanity;
mod schema;
mod settle;
mod suite;
mod trace;

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
        args::Command::Test(args) => suite::run(args, &mut out),
        args::Command::Bundle(args) => match &args.command {
            args::BundleCommand::Export(args) => live::bundle::export(args, &mut out),
        },
        args::Command::Rules(args) => rules::run(args, &mut out),
        args::Command::Reasons(args) => reasons::run(args, &mut out),
        args::Command::Trace(args) => live::trace::run_trace(args, &mut out),
        args::Command::Plan(args) if args.live => live::plan::look(args, &mut out),
        args::Command::Plan(args) => plan::run(args, &mut out),
        args::Command::Render(args) => render::run(args, &mut out),
        args::Command::Convert(args) => convert::run(args, &mut out),
        args::Command::Status(args) => live::status::run_status(args, &mut out),
        args::Command::Approve(args) => live::request::approve(args, &mut out),
        args::Command::Move(args) => live::request::move_namespace(args, &mut out),
        args::Command::Release(args) => live::request::release(args, &mut out),
        args::Command::Claims(args) => match &args.command {
            args::ClaimsCommand::List(args) => live::claims::list(args, &mut out),
            args::ClaimsCommand::Explain(args) => live::claims::explanation(args, &mut out),
            args::ClaimsCommand::Transfer(args) => live::request::transfer(args, &mut out),
        },
        args::Command::Completion(args) => papers::completion(args, &mut out),
        args::Command::Man(args) => papers::man(args, &mut out),
    };
    let failed = if matches!(cli.command, args::Command::Plan(_)) { 1 } else { 2 };
    ExitCode::from(if out.flush() { code } else { failed })
}

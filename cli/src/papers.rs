//! What a package of the command brings besides it: completions of shells, and man pages.

use clap_complete::generate;

use crate::args::{self, CompletionArgs, ManArgs};
use crate::print::Out;

/// Runs `completion`; returns the exit code.
pub fn completion(args: &CompletionArgs, out: &mut Out) -> u8 {
    let mut script = Vec::new();
    generate(args.shell, &mut args::command("gatehouse"), "gatehouse", &mut script);
    out.raw(&String::from_utf8_lossy(&script));
    0
}

/// Runs `man`; returns the exit code.
pub fn man(args: &ManArgs, out: &mut Out) -> u8 {
    let pages = std::fs::create_dir_all(&args.out)
        .and_then(|()| clap_mangen::generate_to(args::command("gatehouse"), &args.out));
    if let Err(error) = pages {
        out.complain(&format!("error: {}: {error}", args.out.display()));
        return 2;
    }
    0
}

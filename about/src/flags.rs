//! The page of a program's flags.

use clap::{Arg, Command};

/// A section of Markdown: what the program is, and a row for each flag.
#[must_use]
pub fn section(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut out = format!("## {}\n\n{}\n\n", command.get_name(), sentence(&about));
    out.push_str("| flag | environment | default | meaning |\n|---|---|---|---|\n");
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
        let env = arg.get_env().map(|env| format!("`{}`", env.to_string_lossy())).unwrap_or_default();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let row = [format!("`--{long}`"), env, default(arg), meaning(arg, &help)];
        out.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    out
}

fn default(arg: &Arg) -> String {
    if arg.is_required_set() {
        return "required".to_owned();
    }
    // What differs from machine to machine is no default to write down.
    if arg.is_hide_default_value_set() {
        return String::new();
    }
    let values: Vec<String> = arg.get_default_values().iter().map(|v| format!("`{}`", v.to_string_lossy())).collect();
    values.join(", ")
}

fn meaning(arg: &Arg, help: &str) -> String {
    let values: Vec<String> =
        arg.get_possible_values().iter().filter(|v| !v.is_hide_set()).map(|v| format!("`{}`", v.get_name())).collect();
    let one_of = if values.is_empty() || values == ["`true`", "`false`"] {
        String::new()
    } else {
        format!(" One of {}.", values.join(", "))
    };
    format!("{}{one_of}", sentence(&help.replace('\n', " ")))
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_flag_that_is_shown() {
        let command = Command::new("program").about("Works").args([
            Arg::new("id").long("id").env("ID").required(true).help("Who it is"),
            Arg::new("log").long("log").default_value("text").value_parser(["text", "json"]).help("Form a|b."),
            Arg::new("secret").long("secret").hide(true),
        ]);
        let rows = "| `--id` | `ID` | required | Who it is. |\n\
                    | `--log` |  | `text` | Form a\\|b. One of `text`, `json`. |\n";
        let section = section(&command);
        assert!(section.starts_with("## program\n\nWorks.\n\n") && section.ends_with(rows), "{section}");
    }
}

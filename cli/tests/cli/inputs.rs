//! How input is read, how runs end, what help says.

use std::io::Read;
use std::process::Stdio;

use super::{command, feed, json, run};

#[test]
fn broken_yaml_is_told_with_its_place() {
    let text = "a: 1\n---\n# a comment\nkind: [\n---\nkind: ExposedApp\napiVersion: gatehouse.dev/v1alpha1\n---\n- 1\n";
    insta::assert_snapshot!(feed(&["check", "-f", "-"], text));
    let ran = feed(&["check", "-f", "-"], "kind: \"x\n");
    assert_eq!(ran.code, 2);
    let ran = feed(&["check", "-f", "-"], "a: 1\na: 2\n");
    assert!(ran.code == 2 && ran.stderr.contains("document 1"), "{ran}");
}

#[test]
fn objects_without_a_name_or_kind_are_told() {
    insta::assert_snapshot!(feed(
        &["check", "-f", "-"],
        "x: 1\n---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {}\n"
    ));
}

#[test]
fn an_empty_directory_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("deeper")).unwrap();
    for sub in ["check", "render"] {
        let mut args = vec![sub, "-f", dir.path().to_str().unwrap()];
        if sub == "render" {
            args.extend(["-o", "unused"]);
        }
        let ran = run(&args);
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains("no .yaml, .yml or .json file in it (-R looks into subdirectories)"), "{ran}");
    }
    assert_eq!(run(&["plan", "-f", dir.path().to_str().unwrap()]).code, 1);
    assert_eq!(run(&["check", "-f", "/does/not/exist"]).code, 2);
    let ran = feed(&["check", "-f", "-"], "# nothing\n");
    assert!(ran.code == 2 && ran.stderr.contains("no document"), "{ran}");
}

#[test]
fn only_other_kinds_is_nothing_to_judge() {
    let ran = feed(&["check", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("skipped objects of other kinds: 1 ConfigMap"), "{ran}");
    assert!(ran.stderr.contains("nothing to judge"), "{ran}");
}

#[test]
fn stdin_json_and_lists_are_read_as_well() {
    let samples = ["apps", "backends", "namespaces", "platform"]
        .map(|f| std::fs::read_to_string(super::root().join(format!("config/samples/{f}.yaml"))).unwrap());
    let ran = feed(&["check", "-f", "-"], &samples.join("\n---\n"));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "6 apps, 0 faults, 0 warnings\n"), "{ran}");
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
        {"apiVersion": "gatehouse.dev/v1alpha1", "kind": "ExposurePolicy", "metadata": {"name": "p"},
         "spec": {"namespaces": {"names": ["a"]}}}]}"#;
    assert_eq!(feed(&["check", "-f", "-"], list).code, 0);
}

#[test]
fn a_file_given_twice_is_read_once() {
    let ran = run(&["check", "-f", "config/samples", "-f", "config/samples/apps.yaml", "-f", "./config/samples"]);
    assert_eq!(ran.stdout, "8 apps, 0 faults, 0 warnings\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let policy = ["--policy", "config/samples"];
    for args in [vec!["plan", "-f", "config/samples"], [&["check", "-f", "config/samples/bad"], &policy[..]].concat()] {
        let mut child =
            command().args(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        assert!(code == Some(i32::from(args[0] == "check")), "{code:?} {said}");
        assert!(!said.contains("panicked") && !said.contains("pipe"), "{said}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    for (sub, code) in [("check", 2), ("plan", 1)] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ran = super::ended(command().args([sub, "-f", "config/samples"]).stdout(full).output().unwrap());
        assert!(ran.code == code && ran.stderr.contains("error: stdout"), "{ran}");
    }
}

#[test]
fn templates_and_other_line_ends_are_read() {
    let text = "%YAML 1.2\n---\napiVersion: gatehouse.dev/v1alpha1\r\nkind: ExposurePolicy\r\nmetadata: {name: p}\nspec: {namespaces: {all: true}}\n...\n---\n# Source: nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    assert_eq!(feed(&["check", "-f", "-"], text).stdout, "0 apps, 0 faults, 0 warnings\n");
}

#[test]
fn exit_codes_of_plan_are_terraforms() {
    assert_eq!(run(&["plan", "-f", "config/samples"]).code, 0);
    assert_eq!(run(&["plan", "-f", "config/samples", "--detailed-exitcode"]).code, 2);
    let policy = "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: p}\nspec: {namespaces: {all: true}}\n";
    let ran = feed(&["plan", "-f", "-", "--detailed-exitcode"], policy);
    assert!(ran.code == 0 && ran.stdout.ends_with("Plan: 0 to add, 0 to change, 0 to destroy\n"), "{ran}");
    assert_eq!(feed(&["plan", "-f", "-", "--detailed-exitcode"], "{").code, 1);
    assert_eq!(run(&["plan", "--no-such-flag"]).code, 1, "2 would mean changes");
    assert_eq!(run(&["check", "--no-such-flag"]).code, 2);
    assert_eq!(run(&["check"]).code, 2, "-f is required");
    assert_eq!(run(&["plan"]).code, 1, "-f or --live is required");
}

#[test]
fn help_is_worth_reading() {
    for (name, args) in [
        ("help", vec!["--help"]),
        ("help-check", vec!["check", "--help"]),
        ("help-plan", vec!["plan", "--help"]),
        ("help-convert", vec!["convert", "--help"]),
        ("help-move", vec!["move", "--help"]),
        ("help-claims", vec!["claims", "--help"]),
        ("help-claims-explain", vec!["claims", "explain", "--help"]),
    ] {
        let ran = run(&args);
        assert_eq!(ran.code, 0);
        insta::assert_snapshot!(name, ran.stdout);
    }
    assert!(run(&["render", "--help"]).stdout.contains("gatehouse render -f manifests -o out"));
    let version = run(&["--version"]);
    let release = concat!("gatehouse ", env!("CARGO_PKG_VERSION"), " (");
    assert!(version.stdout.starts_with(release) && version.stdout.ends_with(")\n"), "{version}");
}

#[test]
fn as_a_kubectl_plugin_it_says_so() {
    use std::os::unix::process::CommandExt;
    let ran =
        super::ended(command().arg0("/usr/local/bin/kubectl-gatehouse").args(["check", "--help"]).output().unwrap());
    assert!(ran.stdout.contains("Usage: kubectl gatehouse check"), "{ran}");
    assert!(ran.stdout.contains("  kubectl gatehouse check -f manifests"), "{ran}");
}

#[test]
fn flags_are_environment_variables() {
    let ran = super::ended(
        command()
            .args(["check"])
            .env("GATEHOUSE_FILE", "config/samples")
            .env("GATEHOUSE_OUTPUT", "json")
            .output()
            .unwrap(),
    );
    assert_eq!(json(&ran)["summary"]["apps"], 8);
    let bad = super::ended(command().args(["check", "-f", "-"]).env("GATEHOUSE_NOW", "tomorrow").output().unwrap());
    assert!(bad.code == 2 && bad.stderr.contains("write a day such as 2027-01-31"), "{bad}");
}

#[test]
fn a_pipe_gets_no_colours() {
    let ran = run(&["check", "-f", "config/samples", "-f", "config/samples/bad"]);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
}

#[test]
fn control_characters_of_files_do_not_reach_the_terminal() {
    let app = "apiVersion: gatehouse.dev/v1alpha1\nkind: ExposedApp\nmetadata: {name: \"a\\e[31m\", namespace: b}\nspec: {hosts: [\"x\\e]0;\\a\"], routes: [{backends: [{service: s, port: 1}]}]}\n";
    let ran = feed(&["check", "-f", "-", "--policy", "config/samples"], app);
    assert!(ran.code == 1 && !ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\u{7}'), "{ran}");
}

#[test]
fn render_never_writes_outside() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink(&victim, out.join("team-api.conf")).unwrap();
    let ran = run(&["render", "-f", "config/samples", "-o", out.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.stderr.contains("is no plain file"), "{ran}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    let apps = std::fs::read_to_string(super::root().join("config/samples/apps.yaml")).unwrap();
    let escaped = apps.replace("namespace: team-shop", "namespace: ../../escaped");
    let ran = feed(&["render", "-f", "config/samples/platform.yaml", "-f", "-", "-o", out.to_str().unwrap()], &escaped);
    assert!(!dir.path().join("escaped.conf").exists() && ran.stderr.contains("not rendered, refused"), "{ran}");
    std::fs::remove_file(out.join("team-api.conf")).unwrap();
    for _ in 0..2 {
        assert_eq!(run(&["render", "-f", "config/samples", "-o", out.to_str().unwrap()]).code, 0, "again and again");
    }
    assert_eq!(run(&["render", "-f", "config/samples", "-o", victim.to_str().unwrap()]).code, 2);
}

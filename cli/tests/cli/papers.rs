//! What a package brings: completions, man pages, the manifest of krew.

use super::{root, run};

#[test]
fn every_shell_gets_a_completion_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completion", shell]);
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{shell}: {ran}");
        for word in ["trace", "against-cluster", "no-dns"] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    assert_eq!(run(&["completion", "cmd"]).code, 2);
    // The shell itself reads it.
    let script = run(&["completion", "bash"]).stdout;
    let read = std::process::Command::new("bash").args(["-n", "-c", &script]).status().expect("bash is there");
    assert!(read.success());
}

#[test]
fn there_is_a_man_page_for_each_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("man");
    let ran = run(&["man", out.to_str().expect("UTF-8")]);
    assert!(ran.code == 0 && ran.stdout.is_empty(), "{ran}");
    for page in ["gatehouse.1", "gatehouse-trace.1", "gatehouse-claims-explain.1"] {
        let text = std::fs::read_to_string(out.join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".TH gatehouse") && text.contains("SYNOPSIS"), "{page}: {text}");
    }
    let trace = std::fs::read_to_string(out.join("gatehouse-trace.1")).expect("it is there");
    assert!(trace.contains("no\\-dns") && trace.contains("Exit codes"), "{trace}");
}

#[test]
fn the_krew_manifest_names_what_the_archives_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("LICENSE"), "text").expect("written");
    for (platform, bin) in [("linux-amd64", "kubectl-gatehouse"), ("windows-amd64", "kubectl-gatehouse.exe")] {
        std::fs::write(path(bin), platform).expect("written");
        let archive = path(&format!("gatehouse-1.2.3-{platform}.tar.gz"));
        let mut tar = std::process::Command::new("tar");
        tar.arg("-czf").arg(archive).arg("-C").arg(folder.path()).args([bin, "LICENSE"]);
        assert!(tar.status().expect("tar is there").success());
    }
    let krew = |version: &str| {
        let mut command = std::process::Command::new(root().join("hack/krew"));
        command.args([version, "https://example.com/releases/"]).arg(folder.path()).output().expect("it runs")
    };
    let out = krew("1.2.3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    let manifest: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!((&manifest["kind"], &manifest["spec"]["version"]), (&"Plugin".into(), &"v1.2.3".into()));
    // What krew's index asks for.
    assert!(manifest["spec"]["shortDescription"].as_str().is_some_and(|s| s.len() <= 50 && !s.ends_with('.')));
    let platforms = manifest["spec"]["platforms"].as_array().expect("a list");
    assert_eq!(platforms.len(), 2);
    for (platform, bin, os) in [(0, "kubectl-gatehouse", "linux"), (1, "kubectl-gatehouse.exe", "windows")] {
        let platform = &platforms[platform];
        assert_eq!((&platform["bin"], &platform["files"][0]["from"]), (&bin.into(), &bin.into()));
        assert_eq!(platform["selector"]["matchLabels"]["os"], os);
        assert!(platform["sha256"].as_str().is_some_and(|sha| sha.len() == 64), "{platform}");
        let uri = format!("https://example.com/releases/gatehouse-1.2.3-{os}-amd64.tar.gz");
        assert_eq!(platform["uri"], uri.as_str());
    }
    assert!(!krew("9.9.9").status.success(), "no archives, no manifest");
}

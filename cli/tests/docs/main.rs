//! The documentation as its readers meet it: links that lead somewhere, a table of contents that leaves nothing out,
//! commands that do what stands beside them. Nothing is asked of a network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A page: what it links to, the anchors of its headings, its blocks of code with the text before each.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
    blocks: Vec<(String, String)>,
}

fn read(text: &str) -> Page {
    let mut page = Page::default();
    let (mut heading, mut code, mut prose) = (None::<String>, None::<String>, String::new());
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.to_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let again = (1..).map(|n| format!("{slug}-{n}"));
                let free = std::iter::once(slug.clone()).chain(again).find(|s| !page.anchors.contains(s));
                page.anchors.extend(free);
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                // Blocks of other languages are no commands.
                let shell = match &kind {
                    CodeBlockKind::Indented => true,
                    CodeBlockKind::Fenced(language) => matches!(language.as_ref(), "sh" | "bash" | ""),
                };
                code = Some(if shell { String::new() } else { "#".to_owned() });
            }
            Event::End(TagEnd::CodeBlock) => {
                page.blocks.push((std::mem::take(&mut prose), code.take().unwrap_or_default()));
            }
            Event::Start(Tag::Paragraph) => prose.clear(),
            Event::Text(text) | Event::Code(text) => {
                if let Some(code) = &mut code {
                    code.push_str(&text);
                } else {
                    heading.as_mut().into_iter().for_each(|h| h.push_str(&text));
                    prose.push_str(&text);
                }
            }
            Event::SoftBreak => prose.push(' '),
            _ => {}
        }
    }
    page
}

/// As code hosts and mdBook make anchors of headings.
fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Every page of the repository, by its path from the root.
fn pages() -> BTreeMap<PathBuf, Page> {
    fn walk(folder: &Path, from: &Path, out: &mut BTreeMap<PathBuf, Page>) {
        let entries = std::fs::read_dir(folder).expect("a folder of the repository");
        for path in entries.map(|entry| entry.expect("readable").path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
                walk(&path, from, out);
            } else if path.extension().is_some_and(|e| e == "md") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                out.insert(path.strip_prefix(from).expect("below").to_owned(), read(&text));
            }
        }
    }
    let (root, mut out) = (root(), BTreeMap::new());
    walk(&root, &root, &mut out);
    assert!(out.len() > 50, "only {} pages were found", out.len());
    out
}

/// A path without `.` and `..`; `None` if it leaves the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => out.pop().then_some(())?,
            Component::Normal(name) => out.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

/// What is wrong with a link of a page.
fn fault(pages: &BTreeMap<PathBuf, Page>, page: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let beside = page.parent().unwrap_or(Path::new(""));
    let Some(target) = (if file.is_empty() { Some(page.to_owned()) } else { plain(&beside.join(file)) }) else {
        return Some("leads out of the repository".to_owned());
    };
    if !root().join(&target).exists() {
        return Some(format!("{} does not exist", target.display()));
    }
    let known = pages.get(&target).is_none_or(|page| anchor.is_empty() || page.anchors.contains(anchor));
    (!known).then(|| format!("{} has no heading for #{anchor}", target.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let all = pages.iter().flat_map(|(path, page)| page.links.iter().map(move |link| (path, link)));
    let faults: Vec<String> = all
        .filter_map(|(path, link)| Some(format!("{}: {link}: {}", path.display(), fault(&pages, path, link)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let pages = pages();
    let page = Path::new("docs/state.md");
    for (link, says) in [
        ("nowhere.md", "does not exist"),
        ("operations.md#no-such-heading", "has no heading"),
        ("#no-such-heading", "has no heading"),
        ("../../../etc/passwd", "leads out"),
    ] {
        assert!(fault(&pages, page, link).is_some_and(|f| f.contains(says)), "{link}");
    }
    assert_eq!(fault(&pages, page, "operations.md#metrics-to-watch"), None);
    assert_eq!(slug("`gatehouse` is: *one* file"), "gatehouse-is-one-file");
}

#[test]
fn the_book_has_every_page_once() {
    let pages = pages();
    let summary = &pages[Path::new("docs/SUMMARY.md")];
    let listed: Vec<PathBuf> = summary.links.iter().map(|link| Path::new("docs").join(link)).collect();
    let once: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    let wanted: BTreeSet<&PathBuf> =
        pages.keys().filter(|p| p.starts_with("docs") && p.file_name() != Some("SUMMARY.md".as_ref())).collect();
    assert_eq!(once, wanted, "docs/SUMMARY.md and docs/ differ");
}

/// What works on files alone.
const ON_FILES: [&str; 9] = ["check", "plan", "render", "convert", "test", "rules", "reasons", "completion", "man"];

/// A command that can run here: as a line of the shell, and the code with which it must end.
fn runnable(prose: &str, line: &str) -> Option<(String, i32)> {
    let line = line.trim().trim_start_matches("$ ").replace("cargo run -q -p gatehouse-cli -- ", "gatehouse ");
    let word = line.strip_prefix("gatehouse ")?.split(' ').next()?;
    let cluster = ["--live", "--against-cluster"].iter().any(|flag| line.contains(flag));
    let code = if prose.contains("ends with 1") { 1 } else { 0 };
    (ON_FILES.contains(&word) && !cluster).then_some((line, code))
}

#[test]
fn commands_do_what_stands_beside_them() {
    // In a folder of its own, beside what the pages speak of: some commands write files.
    let folder = tempfile::tempdir().expect("a folder");
    let root = root().canonicalize().expect("it exists");
    std::os::unix::fs::symlink(root.join("config"), folder.path().join("config")).expect("linked");
    let programs = Path::new(env!("CARGO_BIN_EXE_gatehouse")).parent().expect("a folder");
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let mut ran = BTreeSet::new();
    for (page, Page { blocks, .. }) in &pages() {
        for (prose, block) in blocks {
            for (line, code) in block.lines().filter_map(|line| runnable(prose, line)) {
                let mut shell = Command::new("sh");
                shell.args(["-c", &line]).current_dir(&folder).env_clear().env("PATH", &path);
                let out = shell.output().expect("a shell is there");
                let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
                assert_eq!(out.status.code(), Some(code), "{}: {line}\n{stdout}{stderr}", page.display());
                ran.extend(line.split(' ').nth(1).map(str::to_owned));
            }
        }
    }
    for word in ["check", "plan", "render", "convert", "test", "rules", "reasons", "completion", "man"] {
        assert!(ran.contains(word), "no page shows {word}");
    }
    assert!(folder.path().join("target/rendered/team-shop.conf").exists(), "render wrote what its page says");
}

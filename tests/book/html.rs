//! The book as mdBook makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::pages::{self, root};

/// `PGWEIR_MDBOOK`, else the one that tools/setup.sh has built, else that on PATH.
fn mdbook() -> PathBuf {
    if let Some(program) = std::env::var_os("PGWEIR_MDBOOK") {
        return program.into();
    }
    let ours = root().join("target/mdbook/bin/mdbook");
    if ours.exists() { ours } else { "mdbook".into() }
}

/// Builds it; what mdBook said is looked at for warnings.
fn build(to: &Path) {
    let mut command = Command::new(mdbook());
    command.arg("build").arg(root().join("docs")).arg("--dest-dir").arg(to);
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}\n`make setup` builds mdBook; PGWEIR_MDBOOK names another one")
    });
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("WARN") && !told.contains("ERROR"), "{told}");
}

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let begin = format!(" {attribute}=\"");
    html.split(&begin).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Where links out of the book lead. Nobody looks whether that is still there.
const OUTSIDE: [&str; 1] = ["https://github.com/prometheus-community/pgbouncer_exporter"];

/// Why a link in the page leads nowhere.
fn fault(link: &str, page: &Path, ids: &BTreeMap<PathBuf, BTreeSet<String>>) -> Option<String> {
    if link.starts_with("http://127.0.0.1:") || OUTSIDE.contains(&link) {
        return None;
    }
    if link.contains("://") {
        return Some("leads out of the book, and is not listed here".into());
    }
    let (file, id) = link.split_once('#').unwrap_or((link, ""));
    let file = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !file.exists() {
        return Some("there is no such file".into());
    }
    let has_id = |ids: &BTreeSet<String>| ids.contains(id);
    (!id.is_empty() && !ids.get(&file).is_some_and(has_id)).then(|| "no such heading".into())
}

#[test]
fn it_builds_without_a_warning_has_every_page_and_no_link_in_it_leads_nowhere() {
    let dir = TempDir::with_prefix("pgweir-book-").unwrap();
    build(dir.path());
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        // One page with all of them, for printers: it has the same links.
        if path.extension().is_some_and(|it| it == "html") && !path.ends_with("print.html") {
            let text = fs::read_to_string(&path).unwrap();
            texts.insert(path, text);
        }
    }
    for file in pages::files() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let name = if name == "README" { "index" } else { name };
        let page = dir.path().join(name).with_extension("html");
        assert!(texts.contains_key(&page), "{} is not in docs/SUMMARY.md", file.display());
    }
    let ids = |text: &String| values(text, "id").into_iter().map(str::to_owned).collect();
    let ids: BTreeMap<PathBuf, BTreeSet<String>> =
        texts.iter().map(|(path, text)| (path.clone(), ids(text))).collect();
    let mut faults = Vec::new();
    let mut links = 0;
    for (page, text) in texts.iter().filter(|(page, _)| !page.ends_with("404.html")) {
        for link in [values(text, "href"), values(text, "src")].concat() {
            links += 1;
            let name = page.file_name().unwrap().display();
            faults.extend(fault(link, page, &ids).map(|why| format!("{name}: {link}: {why}")));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(links > 300, "only {links} links found");
}

#[test]
fn the_links_of_the_readme_lead_somewhere() {
    let readme = pages::page(&root().join("README.md")).text;
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links: Vec<&str> = links.collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        let file = link.split('#').next().unwrap();
        assert!(root().join(file).exists(), "{link}");
    }
}

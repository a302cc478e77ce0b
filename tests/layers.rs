//! Rooms import only downwards. This test reads the sources and fails when one looks up, or when
//! a pure room touches a clock, a socket or a file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom. Besides, every room may import itself, `config`, and, unless it is pure,
/// `metrics`. A name with a file, as in `topology::snapshot`, allows that file alone.
///
/// The first row that matches a module counts, so files stand before their rooms.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("metrics", &[]),
    // Pure: plain types of each other, no more.
    ("session", PURE),
    ("routing", PURE),
    ("pool::state", PURE),
    ("pool::limits", PURE),
    ("topology::decide", PURE),
    ("topology::discover::patroni", PURE),
    ("topology::discover::planned", PURE),
    ("topology::lag", PURE),
    ("topology::snapshot", PURE),
    // Acting.
    ("net", &[]),
    ("auth", &[]),
    ("server", &["session", "routing", "net", "auth"]),
    ("topology", &["session", "routing", "net", "auth", "server"]),
    ("pool", &["session", "routing", "net", "auth", "server", "topology::snapshot"]),
    ("worker", WORKER),
    // They read snapshots and send commands.
    ("report", ABOVE_WORKER),
    ("admin", ABOVE_REPORT),
    ("web", ABOVE_REPORT),
    // It looks from outside, as anybody who logs in to a console.
    ("top::model", PURE_ALONE),
    ("top", &["net", "auth", "server"]),
    ("vip", ABOVE_WORKER),
    ("peers", ABOVE_WORKER),
    ("cli", EVERYTHING),
    ("main", EVERYTHING),
    ("lib", EVERYTHING),
];
const PURE: &[&str] = &[
    "session",
    "routing",
    "pool::state",
    "pool::limits",
    "topology::decide",
    "topology::lag",
    "topology::snapshot",
];
/// Pure, and nobody else's business: no room may import it but its own.
const PURE_ALONE: &[&str] = &["top::model"];
/// It acts, and is not pure. Of `topology` it knows two plain things: what is known, and what clients want to know.
const WORKER: &[&str] = &[
    "session",
    "routing",
    "net",
    "auth",
    "server",
    "pool",
    "topology::snapshot",
    "topology::wanted",
];
const ABOVE_WORKER: &[&str] =
    &["session", "routing", "net", "auth", "server", "pool", "topology", "worker"];
const ABOVE_REPORT: &[&str] =
    &["session", "routing", "net", "auth", "server", "pool", "topology", "worker", "report"];
const EVERYTHING: &[&str] = &["*"];

/// What a pure room or file must not even name: whatever acts, waits or knows the time.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "rand::rng",
    "rand::random",
];

/// What the codec may depend on besides std.
const CODEC_DEPENDENCIES: &[&str] = &["bytes", "memchr"];

#[test]
fn rooms_import_only_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let complaints: Vec<_> = sources(&root.join("src"))
        .iter()
        .flat_map(|(module, text)| complaints(module, text))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_codec_does_no_io_and_knows_nothing_of_pgweir() {
    let codec = Path::new(env!("CARGO_MANIFEST_DIR")).join("codec");
    let complaints: Vec<_> = sources(&codec.join("src"))
        .iter()
        .flat_map(|(module, text)| impure_words(module, &bare_code(text)))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));

    let manifest = fs::read_to_string(codec.join("Cargo.toml")).unwrap();
    for name in dependencies(&manifest) {
        assert!(CODEC_DEPENDENCIES.contains(&name), "the codec depends on {name}");
    }
}

/// All modules below a folder: path (`pool::state`) and text.
fn sources(src: &Path) -> Vec<(String, String)> {
    let mut folders = vec![src.to_owned()];
    let mut modules = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = module_of(path.strip_prefix(src).unwrap());
                modules.push((module, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    modules.sort();
    assert!(!modules.is_empty(), "no sources in {}", src.display());
    let of_tests: Vec<_> =
        modules.iter().flat_map(|(module, text)| test_files(module, text)).collect();
    modules.retain(|(module, _)| !of_tests.contains(module));
    modules
}

/// The modules of their own files that a module has for its tests alone.
fn test_files(module: &str, text: &str) -> Vec<String> {
    let behind = text.split("#[cfg(test)]\nmod ").skip(1);
    let named = behind.filter_map(|text| text.split_once(';'));
    let file = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    named.filter(|(name, _)| file(name)).map(|(name, _)| format!("{module}::{name}")).collect()
}

/// `pool/state.rs` is `pool::state`, `pool/mod.rs` is `pool`.
fn module_of(path: &Path) -> String {
    let path: PathBuf = path.with_extension("");
    let mut names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).collect();
    if names.last() == Some(&"mod") {
        names.pop();
    }
    names.join("::")
}

/// Names in the `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().map(str::trim);
    lines
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.']).next())
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

/// What is wrong with a module's imports.
fn complaints(module: &str, text: &str) -> Vec<String> {
    let Some((room, allowed)) = MAY_IMPORT.iter().find(|(room, _)| is_within(module, room)) else {
        return vec![format!("{module}: not in the table of rooms; add it to tests/layers.rs")];
    };
    let code = bare_code(text);
    let is_pure = PURE.contains(room) || PURE_ALONE.contains(room);
    let mut complaints = if is_pure { impure_words(module, &code) } else { Vec::new() };
    for import in imports(module, &code) {
        let of_room = |names: &[&str]| names.iter().any(|name| is_within(&import, name));
        let allowed = *allowed == EVERYTHING
            || of_room(&[room, "config"])
            || of_room(allowed)
            || (!is_pure && of_room(&["metrics"]));
        let is_a_room = MAY_IMPORT.iter().any(|(room, _)| first_name(room) == first_name(&import));
        if !allowed && is_a_room {
            complaints.push(format!("{module} imports {import}, which {room} may not"));
        }
    }
    complaints
}

fn impure_words(module: &str, code: &str) -> Vec<String> {
    let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    // `use std::{fs, net}` names what `std::fs` does.
    let mut paths: BTreeSet<String> = used_paths(code).into_iter().collect();
    paths.extend(words(&squeezed).map(str::to_owned));
    IMPURE
        .iter()
        .filter(|word| paths.iter().any(|path| names(path, word)))
        .map(|word| format!("{module} is pure, yet names {word}"))
        .collect()
}

/// Whether a path holds `word` between borders: `tokio::net` holds `tokio`, `tokio_util` doesn't.
fn names(path: &str, word: &str) -> bool {
    format!("::{path}::").contains(&format!("::{word}::"))
}

/// Identifiers and paths of identifiers.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .map(|word| word.trim_matches(':'))
        .filter(|word| !word.is_empty())
}

/// Whether `path` is `room` or below it.
fn is_within(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn first_name(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// The modules of this crate that a module names, without `crate::`.
fn imports(module: &str, code: &str) -> BTreeSet<String> {
    let mut paths = used_paths(code);
    paths.extend(words(code).map(str::to_owned));
    paths.iter().filter_map(|path| resolve(module, path)).collect()
}

/// Turns `crate::a::b` and `super::b` into `a::b`; `None` for paths elsewhere.
fn resolve(module: &str, path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::").or_else(|| path.strip_prefix("pgweir::")) {
        return Some(rest.to_owned());
    }
    let mut base: Vec<_> = module.split("::").collect();
    let mut rest = path;
    while let Some(shorter) = rest.strip_prefix("super::") {
        base.pop()?; // deeper than the file's own module: an inline module's `super`
        rest = shorter;
    }
    // `super` of an inline module is the file itself: nothing to see, the room is the same.
    let is_relative = rest.len() < path.len();
    is_relative.then(|| base.iter().copied().chain([rest]).collect::<Vec<_>>().join("::"))
}

/// Every path of every `use`, with its braces multiplied out.
fn used_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find("use ") {
        let is_word = !rest[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = &rest[start + "use ".len()..];
        if let (true, Some(end)) = (is_word, rest.find(';')) {
            multiply_out("", &rest[..end], &mut paths);
        }
    }
    paths
}

/// `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn multiply_out(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        let path: String = path.split_whitespace().collect();
        let path = format!("{prefix}{path}");
        paths.push(path.trim_end_matches("::self").to_owned());
        return;
    };
    let head: String = head.split_whitespace().collect();
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.filter(|part| !part.trim().is_empty()) {
        multiply_out(&format!("{prefix}{head}"), part, paths);
    }
}

// ---- reading Rust just well enough ----

/// The code without comments, strings, and modules that are compiled for tests only: tests may
/// build what they need.
fn bare_code(text: &str) -> String {
    without_test_modules(&without_comments_and_strings(text))
}

fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(&code, rest) {
            length
        } else if c == '"' {
            string(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skip..];
    }
    code
}

/// Length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of `"..."` with its escapes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of `r"..."` or `r#"..."#`, unless the `r` ends an identifier.
fn raw_string(before: &str, text: &str) -> Option<usize> {
    let after_r = text.strip_prefix('r').or_else(|| text.strip_prefix("br"))?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let is_identifier = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if is_identifier || !after_r[hashes..].starts_with('"') {
        return None;
    }
    let start = text.len() - after_r.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// Length of a character literal, as opposed to a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut rest = text.strip_prefix('\'')?.char_indices();
    let (_, first) = rest.next()?;
    if first == '\\' {
        let (escaped, _) = rest.next()?;
        let close = text[1 + escaped + 1..].find('\'')?;
        return Some(1 + escaped + 1 + close + 1);
    }
    let (at, second) = rest.next()?;
    (second == '\'').then_some(1 + at + 1)
}

fn without_test_modules(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..start]);
        rest = &rest[start..];
        // The item ends with its braces, or with a semicolon before any.
        let mut depth = 0;
        let end = rest.char_indices().find_map(|(at, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            ((c == '}' || c == ';') && depth == 0).then_some(at + 1)
        });
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    kept + rest
}

// ---- the checker itself ----

#[test]
fn an_import_upwards_is_found_however_it_is_written() {
    for text in [
        "use crate::pool::Pool;",
        "use crate::{config, pool::{self, Pool}};",
        "pub(crate) use crate::pool::Pool as P;",
        "fn f() { crate::pool::take(); }",
        "use super::pool::Pool;",
        "use crate::{\n    net,\n    pool,\n};",
    ] {
        let complaints = complaints("net", text);
        let are_of_pool = complaints.iter().all(|line| line.starts_with("net imports pool"));
        assert!(!complaints.is_empty() && are_of_pool, "{text}: {complaints:?}");
    }
    let text = "use super::super::pool::Pool;";
    assert_eq!(
        complaints("net::stream", text),
        ["net::stream imports pool::Pool, which net may not"]
    );
}

#[test]
fn what_is_allowed_is_not_complained_of() {
    for (module, text) in [
        ("server::dial", "use crate::net::stream::Stream; use crate::config::Host;"),
        ("server::dial", "use super::query; use crate::metrics::Metrics; use super::super::auth;"),
        ("pool::attach", "use crate::topology::snapshot::Snapshot; use crate::pool::state::State;"),
        ("session", "use std::time::{Duration, Instant}; use crate::routing::Intent;"),
        (
            "session",
            "// tokio, crate::net\n/* crate::pool /* nested */ */ const T: &str = \"tokio\";",
        ),
        (
            "session",
            "const T: &str = r#\"crate::net \" \"#; const C: char = '\"'; use tokio_free::A;",
        ),
        ("session", "#[cfg(test)]\nmod tests { use crate::net; fn f() { Instant::now(); } }"),
        ("net", "use tokio::net::TcpStream; use std::net::IpAddr;"),
        ("cli::run", "use crate::worker::Worker;"),
        ("net", "fn f<'a>(x: &'a str) { crate::SOMETHING; }"),
    ] {
        assert_eq!(complaints(module, text), Vec::<String>::new(), "{module}: {text}");
    }
}

#[test]
fn only_the_named_file_of_a_room_is_allowed() {
    assert_eq!(complaints("pool::attach", "use crate::topology::monitor::M;").len(), 1);
    assert_eq!(complaints("worker", "use crate::topology::snapshot::S;").len(), 0);
    assert_eq!(complaints("routing", "use crate::pool::attach::A;").len(), 1);
    assert_eq!(complaints("routing", "use crate::pool::state::S;").len(), 0);
}

#[test]
fn a_pure_file_may_not_act_or_know_the_time() {
    for text in [
        "use tokio::sync::Notify;",
        "use std::{fs, mem};",
        "use std::net::TcpStream;",
        "fn f() { let t = std::time::Instant::now(); }",
        "fn f() { let t = Instant::now(); }",
        "#[cfg(test)] mod tests;\nfn f() { tokio::spawn(x); }",
    ] {
        for module in ["session::machine", "routing", "pool::state", "topology::decide"] {
            assert_eq!(complaints(module, text).len(), 1, "{module}: {text}");
        }
    }
    assert_eq!(complaints("session", "use crate::net::clock;").len(), 1);
    assert_eq!(complaints("session", "use crate::metrics::Metrics;").len(), 1);
    assert_eq!(complaints("pool::attach", "use tokio::sync::Notify;").len(), 0);
}

#[test]
fn a_room_that_is_not_in_the_table_is_complained_of() {
    assert_eq!(complaints("helpers", "").len(), 1);
}

#[test]
fn dependencies_are_read_from_a_manifest() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nbytes = \"1\"\nmemchr.workspace = true\n\n\
                    # why\n[dev-dependencies]\nproptest = \"1\"\n";
    assert_eq!(dependencies(manifest), ["bytes", "memchr"]);
}

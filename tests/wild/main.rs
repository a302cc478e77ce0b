//! Configuration files as they are found in the wild, in their usual shapes: a distribution's sample, entrypoints of images, Helm
//! charts, an operator, guides of cloud services. They load as they are; `pgweir check` may have something to say of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;

use common::home::{Home, write_private};
use common::weir::run_pgweir;

/// What `pgweir check` says of a file, each line.
#[track_caller]
fn check(name: &str) -> Vec<String> {
    let home = Home::new();
    let dir = home.folder("weir");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wild/files").join(name);
    let text = std::fs::read_to_string(source).unwrap();
    let ini = dir.join(name);
    write_private(&ini, &text.replace("@DIR@", &dir.display().to_string()));
    write_private(&dir.join("userlist.txt"), "\"app\" \"a password\"\n\"root\" \"\"\n");
    write_private(&dir.join("extra.ini"), "application_name_add_host = 1\n");
    let run = run_pgweir(&["check", "--static", ini.to_str().unwrap()]);
    run.ok().lines().map(str::to_owned).collect()
}

#[test]
fn they_load_unchanged() {
    for name in [
        "debian.ini",
        "docker-environment.ini",
        "image-with-includes.ini",
        "helm-chart.ini",
        "operator.ini",
    ] {
        let said = check(name);
        let [only] = &said[..] else { panic!("{name}: {said:?}") };
        assert!(only.contains(": ok, "), "{name}: {only}");
    }
}

#[test]
fn what_has_no_effect_or_less_of_it_is_said_with_the_reason() {
    let said = check("cloud-guide.ini");
    let about = |key: &str| {
        said.iter().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{key}: {said:?}"))
    };
    assert!(about("server_tls_protocols").contains("TLS"), "{said:?}");
    assert!(about("server_tls_ciphers").contains("MEDIUM"), "{said:?}");
    assert!(said.last().unwrap().contains(": ok, 3 database entries, 0 errors"), "{said:?}");
}

//! Examples of configuration are such that pgweir takes them.

use std::fs;

use crate::common::Run;
use crate::common::home::Home;
use crate::common::tls::Authority;
use crate::common::weir::run_pgweir;
use crate::pages;

/// The files that examples name, made once for each.
fn files(home: &Home) {
    let files = Authority::new().server().write(home.path(), "server");
    fs::rename(files.authority, home.path().join("ca.crt")).unwrap();
    home.file("userlist.txt", "\"app\" \"secret\"\n");
    home.file("http.token", "a-token-that-is-long-enough\n");
    home.file("hba.conf", "host all all all scram-sha-256\n");
}

/// `pgweir check --static` of an example, which may be a part of a file.
fn check(text: &str) -> Run {
    let home = Home::new();
    files(&home);
    let here = format!("{}/", home.path().display());
    let mut text = text.to_owned();
    for there in ["/etc/pgweir/", "/run/pgweir/", "/var/lib/pgweir/"] {
        text = text.replace(there, &here);
    }
    text = text.replace("/run/pgweir\n", &format!("{here}\n"));
    if !text.contains("[pgbouncer]") {
        let section = "[pgbouncer]\n";
        text = match text.contains("[databases]") {
            true => format!(
                "{text}\n{section}auth_file = {here}userlist.txt\ntopology_user = app\npidfile = {here}pid\n"
            ),
            false => format!("{section}{text}"),
        };
    }
    let file = home.file("example.ini", &text).display().to_string();
    run_pgweir(&["check", "--static", &file])
}

#[test]
fn every_example_of_a_configuration_loads() {
    let mut count = 0;
    for page in pages::all() {
        for block in page.blocks().into_iter().filter(|block| block.language == "ini") {
            let run = check(&block.text);
            count += 1;
            let told = format!("{}{}", run.stdout, run.stderr);
            assert!(run.status.success(), "{}:\n{}\n{told}", page.name, block.text);
            assert!(!told.contains("error:"), "{}:\n{}\n{told}", page.name, block.text);
        }
    }
    assert!(count >= 10, "only {count} examples found");
}

#[test]
fn an_example_that_is_wrong_would_be_found() {
    assert!(!check("pool_mode = transactions\n").status.success());
    assert!(
        !check("[databases]\napp = host=pg1 target_session_attr=read-write\n").status.success()
    );
}

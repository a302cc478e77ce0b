//! HBA and ident files: each line a rule, skipped with a note that names it, or nothing; and every client has an answer.
#![no_main]

use std::net::IpAddr;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pgweir::auth::hba::{Visit, first_match};
use pgweir::config::{hba, ident};

fuzz_target!(|texts: (&str, &str, [u8; 16])| {
    let (rules, maps, address) = texts;
    let lines = |text: &str| text.split('\n').count();
    let (maps_read, notes) = ident::parse(maps, Path::new("ident"));
    assert!(notes.len() <= lines(maps));

    // Name files hold what the ident file does, so that they include each other.
    let mut read = |_: &Path| Ok(maps.to_owned());
    let (hba, notes) = hba::parse(rules, Path::new("hba"), maps_read, &mut read);
    assert!(hba.rules.len() <= lines(rules));
    assert!(notes.iter().all(|note| (note.line as usize) <= lines(rules) && !note.sentence.is_empty()));

    let word = rules.split_whitespace().next_back().unwrap_or("u");
    for address in [None, Some(IpAddr::from(address)), Some(IpAddr::from([127, 0, 0, 1]))] {
        for (tls, replication) in [(false, false), (true, false), (false, true)] {
            let visit = Visit { user: word, database: word, replication, address, tls };
            if let Some(rule) = first_match(&hba, &visit) {
                assert!(rule.users.all || rule.users.names.contains(word));
                assert!(!replication || rule.databases.replication);
            }
        }
    }
});

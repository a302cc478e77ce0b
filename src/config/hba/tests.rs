use proptest::prelude::*;

use super::*;

fn no_files(_: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn read(text: &str) -> (Vec<HbaRule>, Vec<String>) {
    let (hba, notes) = parse(text, Path::new("hba"), IdentMaps::default(), &mut no_files);
    (hba.rules, notes.iter().map(Note::to_string).collect())
}

fn one(line: &str) -> HbaRule {
    let (rules, notes) = read(line);
    assert_eq!(notes, Vec::<String>::new(), "{line}");
    let [rule] = rules.try_into().expect("one rule");
    rule
}

fn fault(line: &str) -> String {
    let (rules, notes) = read(line);
    assert_eq!((rules.len(), notes.len()), (0, 1), "{line}");
    notes[0].clone()
}

fn names<const N: usize>(names: [&str; N]) -> HashSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn every_field_is_read() {
    let rule = one("hostssl app,\"all\",sameuser ann , \"b b\" 10.1.0.0/16 scram-sha-256 # staff");
    assert_eq!(rule.transport, Transport::HostSsl);
    assert_eq!(
        rule.databases,
        HbaDatabases { same_user: true, names: names(["app", "all"]), ..Default::default() }
    );
    assert_eq!(rule.users, HbaUsers { all: false, names: names(["ann", "b b"]) });
    assert_eq!(rule.origin, Origin::V4 { network: 0x0a01_0000, mask: 0xffff_0000 });
    assert_eq!(rule.method, HbaMethod::ScramSha256);
    let rule = one("local all,replication all md5");
    assert!(rule.databases.all && rule.databases.replication && rule.users.all);
    assert_eq!((rule.transport, rule.method), (Transport::Local, HbaMethod::Md5));
}

#[test]
fn addresses_have_a_length_or_a_mask() {
    let origin = |text: &str| one(&format!("host all all {text} trust")).origin;
    assert_eq!(origin("all"), Origin::Any);
    assert_eq!(origin("0.0.0.0/0"), Origin::V4 { network: 0, mask: 0 });
    let same = Origin::V4 { network: 0x7f00_0000, mask: 0xff00_0000 };
    assert_eq!((origin("127.0.0.0/8"), origin("127.0.0.0 255.0.0.0")), (same, same));
    assert_eq!(origin("::1/128"), Origin::V6 { network: 1, mask: u128::MAX });
    assert_eq!(origin("::/0"), Origin::V6 { network: 0, mask: 0 });
    assert_eq!(origin("fe80:: ffc0::"), Origin::V6 { network: 0xfe80 << 112, mask: 0xffc0 << 112 });
    let (rules, notes) = read("host all all 10.1.2.3/8 trust");
    assert_eq!(rules[0].origin, Origin::V4 { network: 0x0a00_0000, mask: 0xff00_0000 });
    assert!(notes[0].contains("bits set"), "{notes:?}");
}

#[test]
fn peer_and_cert_take_a_map_and_the_others_take_nothing() {
    let maps = super::super::ident::parse("m a b\n\"m m\" a b", Path::new("ident")).0;
    let text = "local all all peer map=m\nhost all all all cert map=\"m m\"\nlocal all all peer";
    let (hba, notes) = parse(text, Path::new("hba"), maps, &mut no_files);
    assert_eq!(notes, []);
    let methods: Vec<HbaMethod> = hba.rules.into_iter().map(|rule| rule.method).collect();
    assert_eq!(
        methods,
        [
            HbaMethod::Peer { map: Some("m".to_owned()) },
            HbaMethod::Cert { map: Some("m m".to_owned()) },
            HbaMethod::Peer { map: None },
        ]
    );
    for line in ["local all all md5 map=m", "local all all peer map=m x", "local all all peer x"] {
        assert!(fault(line).contains("behind the method"), "{line}");
    }
}

#[test]
fn what_follows_ldap_are_its_options_up_to_the_end_of_the_line() {
    let method =
        one("host all all all ldap ldapserver=h ldapprefix=\"cn=\" ldapsuffix=\", dc=x\" # x")
            .method;
    let HbaMethod::Ldap(options) = method else { panic!("{method:?}") };
    assert_eq!(options.servers, ["h"]);
}

#[test]
fn a_bad_line_is_skipped_and_named_with_place_and_reason() {
    let (rules, notes) =
        read("host all all all trust\n\nhost all all all gss\nlocal all all md5\n");
    assert_eq!(rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(
        notes,
        [
            "hba:3: hba line 3: \"gss\" is no method; allowed: trust, reject, md5, password, scram-sha-256, peer, \
          cert, ldap; could not parse hba config line 3, it is skipped"
        ]
    );
    for (line, reason) in [
        ("hosts all all all trust", "no kind of connection"),
        ("\"host\" all all all trust", "no kind of connection"),
        ("host", "the line ends before the databases"),
        ("host all", "the line ends before the users"),
        ("host all all", "the line ends before the address"),
        ("host all all all", "the line ends before the method"),
        ("host all all 10.0.0.1 trust", "\"trust\" is no mask"),
        ("host all all 10.0.0.1", "the line ends before the mask"),
        ("host all, all all trust", "\"trust\" is no address"),
        ("host ,all all all trust", "a name is missing in the list of databases"),
        ("host samerole all all trust", "samerole is not supported"),
        ("host all +staff all trust", "+staff is not supported"),
        ("host all all samenet trust", "samenet is not supported"),
        ("host all all db.example trust", "is no address"),
        ("host all all 10.0.0.0/33 trust", "\"33\" is no mask"),
        ("host all all 10.0.0.0/+8 trust", "\"+8\" is no mask"),
        ("host all all ::/129 trust", "\"129\" is no mask"),
        ("host all all 10.0.0.0 ffff:: trust", "is no mask"),
        ("host all all all \"trust\"", "is no method"),
        ("host all all all any", "is no method"),
        ("host all all \"all trust", "a quote does not end"),
        ("host @gone all all trust", "cannot read gone"),
    ] {
        assert!(fault(line).contains(reason), "{line}: {}", fault(line));
    }
}

#[test]
fn lines_that_refuse_everyone_stay_and_are_named() {
    for (line, word) in [
        ("host all all all ldap ldapurl=\"ldap://x/dc=a,b\" \"", "ldap: a quote does not end"),
        ("host all all all ldap", "ldap: one of ldapprefix"),
        ("local all all pam", "pam: it works as auth_type only"),
        ("host all all all peer", "local lines only"),
        ("local all all cert", "cert needs TLS"),
        ("host all all all cert map=absent", "no map \"absent\""),
    ] {
        let (rules, notes) = read(line);
        assert_eq!((rules.len(), notes.len()), (1, 1), "{line}: {notes:?}");
        assert!(notes[0].contains(word), "{notes:?}");
    }
}

#[test]
fn names_come_from_files_beside_the_file_and_from_files_that_these_name() {
    let mut read = |file: &Path| match file.to_str() {
        Some("/etc/w/users") => Ok("ann bob,carl\n\n# nobody\n@more\n".to_owned()),
        Some("/etc/w/more") => Ok("\"all\"\n".to_owned()),
        Some("/abs/dbs") => Ok("app\nsameuser".to_owned()),
        Some("/etc/w/loop") => Ok("@loop".to_owned()),
        _ => no_files(file),
    };
    let text = "host @/abs/dbs x,@users all trust\nhost all @loop all trust";
    let (hba, notes) = parse(text, Path::new("/etc/w/hba"), IdentMaps::default(), &mut read);
    let [rule] = hba.rules.try_into().expect("one rule");
    assert_eq!(
        rule.users,
        HbaUsers { all: false, names: names(["x", "ann", "bob", "carl", "all"]) }
    );
    assert_eq!(rule.databases.names, names(["app"]));
    assert!(rule.databases.same_user);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].sentence.contains("include each other"), "{notes:?}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_each_line_is_a_rule_or_a_note_or_nothing(
        text in "((host|local|hostssl) [ -~\\té]{0,40}\n|[ -~\n]{0,30}|host (all|@f|\"a\"|,)* all (all|::1/12|1.2.3.4/9) (md5|cert|ldap)\n){0,6}"
    ) {
        let mut read = |_: &Path| Ok("@f x".to_owned());
        let (hba, notes) = parse(&text, Path::new("hba"), IdentMaps::default(), &mut read);
        let lines = text.split('\n').count();
        prop_assert!(hba.rules.len() <= lines);
        prop_assert!(hba.rules.is_sorted_by_key(|rule| rule.line));
        for note in notes {
            prop_assert!(note.line as usize <= lines);
        }
    }

    #[test]
    fn a_length_and_its_mask_mean_the_same(address: u32, length in 0..=32_u32) {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let (ip, mask_ip) = (std::net::Ipv4Addr::from(address), std::net::Ipv4Addr::from(mask));
        let (by_length, _) = read(&format!("host all all {ip}/{length} trust"));
        let (by_mask, _) = read(&format!("host all all {ip} {mask_ip} trust"));
        prop_assert_eq!(&by_length[0].origin, &by_mask[0].origin);
        let expected = Origin::V4 { network: address & mask, mask };
        prop_assert_eq!(by_length[0].origin, expected);
    }
}

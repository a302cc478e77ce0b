use proptest::prelude::*;

use super::*;

fn read(text: &str) -> LdapOptions {
    LdapOptions::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn fault(text: &str) -> String {
    LdapOptions::parse(text).expect_err(text).to_string()
}

fn search(text: &str) -> LdapSearch {
    match read(text).method {
        LdapMethod::SearchAndBind(search) => search,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_name_is_built_from_prefix_and_suffix() {
    let options =
        read(r#"ldapserver="one two" ldapport=3890 ldapprefix="uid=" ldapsuffix=", dc=x" # me"#);
    assert_eq!(options.servers, ["one", "two"]);
    assert_eq!((options.port, options.encryption), (3890, Encryption::None));
    let (prefix, suffix) = ("uid=".to_owned(), ", dc=x".to_owned());
    assert_eq!(options.method, LdapMethod::Bind { prefix, suffix });
}

#[test]
fn words_are_quoted_in_all_of_the_ways_that_postgresql_and_pgbouncer_know() {
    let plain = read("ldapserver=h ldapsuffix=@x");
    for text in [
        r#""ldapserver"=h ,"ldapsuffix"="@x""#,
        r#""ldapserver=h","ldapsuffix=@x""#,
        "ldapserver=h,ldapsuffix=@x\n",
        "  ldapserver=other ldapserver=h ldapsuffix=@\"x\" #",
    ] {
        assert_eq!(read(text), plain, "{text}");
    }
    let quotes = read(r#"ldapserver=h ldapprefix="a ""b"" #c" ldapsuffix="""#).method;
    assert_eq!(quotes, LdapMethod::Bind { prefix: "a \"b\" #c".to_owned(), suffix: String::new() });
}

#[test]
fn what_is_looked_for_is_an_attribute_or_a_filter_below_a_base() {
    let found = search("ldapserver=h ldapbasedn=dc=x");
    assert_eq!((found.base.as_str(), found.scope), ("dc=x", LdapScope::Subtree));
    assert_eq!((found.filter.text(), found.as_user.as_str()), ("(uid=$username)", ""));
    let text = "ldapserver=h ldapbasedn=dc=x ldapbinddn=cn=me ldapbindpasswd=hush ldapsearchattribute=mail ldapscope=one";
    let found = search(text);
    assert_eq!((found.filter.text(), found.scope), ("(mail=$username)", LdapScope::One));
    assert_eq!((found.as_user.as_str(), found.password.reveal()), ("cn=me", "hush"));
    let text = r#"ldapserver=h ldapbasedn=dc=x ldapsearchfilter="uid=$username""#;
    assert_eq!(search(text).filter.text(), "(uid=$username)");
}

#[test]
fn a_url_says_all_of_it_at_once() {
    let text =
        "ldapurl=\"ldap://h:3890/dc=a%2Cb,dc=x?uid,cn?sub?(|(uid=$username)(cn=$username))\"";
    assert_eq!(fault(text), LdapFault::AttributeAndFilter.to_string());
    let text = text.replace("uid,cn", "");
    let options = read(&text);
    assert_eq!((&options.servers[..], options.port), (&["h".to_owned()][..], 3890));
    let found = search(&text);
    assert_eq!((found.base.as_str(), found.scope), ("dc=a,b,dc=x", LdapScope::Subtree));
    assert_eq!(found.filter.text(), "(|(uid=$username)(cn=$username))");

    let options = read("ldapurl=ldaps://h/dc=x?mail");
    assert_eq!((options.encryption, options.port), (Encryption::Ldaps, 636));
    let options = read("ldapurl=ldap://[::1]/dc=x?mail");
    assert_eq!((&options.servers[..], options.port), (&["::1".to_owned()][..], 389));
    let found = search("ldapurl=ldap://[::1]/dc=x?mail");
    assert_eq!((found.filter.text(), found.scope), ("(mail=$username)", LdapScope::Base));
}

#[test]
fn tls_begins_with_the_first_byte_or_after_a_question() {
    let encryption = |text: &str| {
        let options = read(&format!("ldapserver=h ldapsuffix=x {text}"));
        (options.encryption, options.port)
    };
    assert_eq!(encryption("ldapscheme=ldaps"), (Encryption::Ldaps, 636));
    assert_eq!(encryption("ldaptls=1"), (Encryption::StartTls, 389));
    assert_eq!(encryption("ldaptls=0 ldapscheme=ldap"), (Encryption::None, 389));
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_would_do() {
    for (text, words) in [
        ("", "one of ldapprefix, ldapsuffix and ldapbasedn"),
        ("ldapserver=h", "one of ldapprefix, ldapsuffix and ldapbasedn"),
        ("ldapserver=h ldapbinddn=cn=me", "one of ldapprefix, ldapsuffix and ldapbasedn"),
        ("ldapbasedn=dc=x", "ldapserver, or a host in ldapurl"),
        ("ldapurl=ldap:///dc=x", "ldapserver, or a host in ldapurl"),
        ("ldapserver=h ldapprefix=a ldapbasedn=dc=x", "ldapprefix and ldapbasedn together"),
        ("ldapserver=h ldapsuffix=a ldapbindpasswd=hush", "ldapsuffix and ldapbindpasswd together"),
        (
            "ldapserver=h ldapbasedn=dc=x ldapsearchattribute=a ldapsearchfilter=(b=c)",
            "one of them",
        ),
        ("ldapserver=h ldapsuffix=x ldaptls=1 ldapscheme=ldaps", "ldaptls=1 with ldapscheme=ldaps"),
        ("ldapserver=h ldapsuffix=x ldaptls=yes", "ldaptls is \"yes\"; allowed: 0, 1"),
        ("ldapserver=h ldapsuffix=x ldapport=0", "ldapport is \"0\""),
        ("ldapserver=h ldapsuffix=x ldapport=70000", "ldapport is \"70000\""),
        ("ldapserver=h ldapsuffix=x ldapscheme=ldapi", "allowed: ldap, ldaps"),
        ("ldapserver=h ldapbasedn=x ldapscope=all", "allowed: base, one, sub"),
        ("ldapserver=h ldapbasedn=x ldapsearchattribute=a)(b", "ldapsearchattribute is"),
        ("ldapserver=h ldapbasedn=x ldapsearchfilter=(a=b", "ldapsearchfilter is"),
        ("ldapserver=h ldapbasedn=x ldapsearchfilter=a=b)(c=d", "ldapsearchfilter is"),
        ("ldapserver=h ldapsufix=x", "\"ldapsufix\" is no ldap option; allowed: ldapserver, "),
        ("ldapserver=h wibble", "a word without \"=\""),
        ("ldapserver=\"h ldapsuffix=x", "a quote does not end"),
        ("ldapurl=http://h/dc=x", "ldapurl is"),
        ("ldapurl=ldap://h:0/dc=x", "ldapurl is"),
        ("ldapurl=ldap://[::1/dc=x", "ldapurl is"),
        ("ldapserver=h/x ldapsuffix=x", "ldapserver is"),
        ("ldapserver=h:1 ldapsuffix=x", "ldapserver is"),
        ("ldapurl=ldap://user@h/dc=x", "ldapserver is"),
        ("ldapurl=ldap://h/dc=%zz", "ldapurl is"),
        ("ldapurl=ldap://h/dc=x?uid?all", "ldapurl is"),
        ("ldapurl=ldap://h/dc=x?uid?sub??bindname=x", "without extensions"),
    ] {
        assert!(fault(text).contains(words), "{text}: {}", fault(text));
    }
}

#[test]
fn a_password_is_never_shown() {
    let text = "ldapserver=h ldapbasedn=dc=x ldapbinddn=cn=me ldapbindpasswd=hush";
    let options = read(text);
    assert!(!format!("{options:?}{}", options.show()).contains("hush"));
    assert!(options.show().contains("ldapbindpasswd=\"********\""));
    for bad in
        ["ldapprefix=a", "ldapport=x", "hush", "hush=1", "\"", "ldapurl=ldap://h/????x-bindpw=hush"]
    {
        assert!(!fault(&format!("{text} {bad}")).contains("hush"), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        text in "(ldap(server|port|prefix|basedn|tls|url|searchfilter)=|ldaps?://|[ -~é\"?%,(]){0,40}"
    ) {
        let _ = LdapOptions::parse(&text);
    }

    #[test]
    fn what_is_shown_can_be_read_back(
        server in "[a-z]{1,5}( [a-z]{1,5})?", port in 1..u16::MAX, prefix in "[ -~]{0,9}", suffix in "[ -~]{0,9}",
        base in "[ -~]{1,9}", search: bool, tls in 0..3,
    ) {
        let encryption =
            [Encryption::None, Encryption::StartTls, Encryption::Ldaps][usize::try_from(tls).unwrap()];
        let method = if search {
            LdapMethod::SearchAndBind(LdapSearch {
                base, scope: LdapScope::One, filter: Filter::parse("(a=$username)").unwrap(), as_user: String::new(),
                password: SecretText::new(String::new()),
            })
        } else {
            LdapMethod::Bind { prefix, suffix }
        };
        let servers = server.split(' ').map(str::to_owned).collect();
        let options = LdapOptions { servers, port, encryption, method };
        prop_assert_eq!(read(&options.show()), options);
    }
}

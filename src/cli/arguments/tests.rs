use super::*;

fn parse_as(name: &str, words: &[&str]) -> Result<Arguments, UsageError> {
    Arguments::parse([name].iter().chain(words).map(OsString::from))
}

fn parse(words: &[&str]) -> Result<Arguments, UsageError> {
    parse_as("pgweir", words)
}

fn refusal(words: &[&str]) -> String {
    parse(words).unwrap_err().to_string()
}

#[test]
fn the_parsers_own_rules_are_kept() {
    Line::command().debug_assert();
    PgbouncerLine::command().debug_assert();
}

#[test]
fn a_file_alone_is_run_and_options_may_follow_it() {
    let run = Arguments { quiet: true, verbose: 2, ..Arguments::only(Action::Run("a.ini".into())) };
    assert_eq!(parse(&["a.ini", "-q", "-vv"]).unwrap(), run);
    assert_eq!(parse(&["-qvv", "a.ini"]).unwrap(), run);
    assert_eq!(parse(&["run", "--quiet", "-v", "-v", "a.ini"]).unwrap(), run);
    assert_eq!(parse(&["-q", "-v", "run", "-v", "a.ini"]).unwrap(), run);
    let file = PathBuf::from("a.ini");
    let check = CheckLine { file, offline: true, json: true, timeout: Some(0.5) };
    let words = ["check", "--offline", "--json", "--timeout=0.5", "a.ini"];
    assert_eq!(parse(&words).unwrap().action, Action::Check(check));
}

#[test]
fn pgbouncers_options_are_understood() {
    let all = parse(&["-d", "-u", "postgres", "a.ini"]).unwrap();
    assert!(all.daemon);
    assert_eq!(all.user.as_deref(), Some("postgres"));
    for words in [
        &["--daemon", "--user=postgres", "a.ini"][..],
        &["-dupostgres", "a.ini"],
        &["a.ini", "-d", "-d", "-u", "x", "-u", "postgres"],
        &["--dae", "--us", "postgres", "--", "a.ini"],
    ] {
        assert_eq!(parse(words).unwrap(), all, "{words:?}");
    }
}

#[test]
fn version_and_help_end_the_line_where_they_stand() {
    assert_eq!(parse(&["-V", "--frobnicate"]).unwrap().action, Action::Version);
    assert_eq!(parse(&["a.ini", "-qV"]).unwrap().action, Action::Version);
    let Action::Print(text) = parse(&["-h", "--frobnicate"]).unwrap().action else { panic!() };
    assert!(text.contains("--daemon") && text.contains("check"), "{text}");
    let Action::Print(text) = parse_as("/x/pgbouncer", &["--help"]).unwrap().action else {
        panic!()
    };
    assert!(text.contains("--daemon") && !text.contains("check"), "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    assert_eq!(refusal(&[]), "no configuration file specified");
    assert!(refusal(&["a.ini", "b.ini"]).contains("b.ini"));
    assert!(refusal(&["a.ini", "check"]).contains("check"));
    assert!(parse(&["-R", "a.ini"]).unwrap().reboot);
    assert_eq!(refusal(&["--frobnicate"]), "unexpected argument '--frobnicate' found");
    assert!(refusal(&["a.ini", "-u"]).contains("--user"));
    assert!(refusal(&["-q", "check", "a.ini"]).contains("before a subcommand"));
}

#[test]
fn only_a_subcommands_usage_has_a_code_of_its_own() {
    let code = |words: &[&str]| parse(words).unwrap_err().code();
    assert_eq!(code(&["check", "--frobnicate"]), 2);
    assert_eq!(code(&["init"]), 2);
    for words in [&["--frobnicate"][..], &["run", "--frobnicate"], &["run"], &[]] {
        assert_eq!(code(words), 1, "{words:?}");
    }
    assert_eq!(parse_as("pgbouncer", &["check", "--frobnicate"]).unwrap_err().code(), 1);
}

#[test]
fn pgbouncer_has_no_subcommands() {
    let arguments = parse_as("pgbouncer", &["check"]).unwrap();
    assert_eq!(arguments.action, Action::Run("check".into()));
}

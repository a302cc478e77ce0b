//! Commands that are for pgweir and not for PostgreSQL: where a session's transactions are to run, and what its reads have
//! to see.
//!
//! | ours | others' |
//! |---|---|
//! | `SET [SESSION] pgweir.route = primary \| replica \| auto \| DEFAULT` | pgcat: `SET SERVER ROLE TO 'primary' \| 'replica' \| 'auto' \| 'any' \| 'default'`; pgdog: `SET pgdog.role = primary \| replica` |
//! | `SET LOCAL pgweir.route = …` | `SET LOCAL pgdog.role = …` |
//! | `RESET pgweir.route` | `RESET pgdog.role` |
//! | `SHOW pgweir.route` | `SHOW SERVER ROLE`, `SHOW pgdog.role` |
//! | `SET [SESSION \| LOCAL] pgweir.min_lsn = '3/16/B374D848' \| DEFAULT`, `RESET`, `SHOW` | |
//! | `SHOW pgweir.lsn` | |
//!
//! Most texts are none of these, and are told by their first word: nothing is allocated for them.

use super::causal::Token as LsnToken;
use super::hint::Target;
use super::scan::{Scanner, Token};

/// The setting's name.
pub const ROUTE: &str = "pgweir.route";

/// What reads have to see at least.
pub const MIN_LSN: &str = "pgweir.min_lsn";

/// Where the primary is. It cannot be set.
pub const LSN: &str = "pgweir.lsn";

/// What pgdog calls the route.
pub const PGDOG_ROLE: &str = "pgdog.role";

/// What is told with a value that there is not.
const ROUTES_HINT: &str = "Available values: primary, replica, auto.";

/// The same for what is no position.
const TOKEN_HINT: &str = "A value of SHOW pgweir.lsn, as '3/16/B374D848', or of PostgreSQL's functions, as \
     '16/B374D848'; an empty one for none.";

/// What pgcat calls the route; no name that PostgreSQL could read as a setting's.
const SERVER_ROLE: &str = "server role";

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `pgweir.route`
    Route,
    /// `pgweir.min_lsn`
    MinLsn,
}

/// What it is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Transactions run there; `None`: by what they say.
    Route(Option<Target>),
    /// Reads see at least that; `None`: whatever a replica has.
    MinLsn(Option<LsnToken>),
}

/// A command for pgweir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCommand {
    /// For the session.
    Set(Value),
    /// For the transaction that was just begun.
    SetLocal(Value),
    /// What was asked for at startup counts again.
    Reset(Setting),
    /// The same, for the transaction that was just begun.
    ResetLocal(Setting),
    /// A value that there is not.
    BadValue {
        /// The setting, as it was called.
        name: &'static str,
        /// The value.
        value: String,
    },
    /// Something that cannot be set, by its name.
    Fixed(&'static str),
    /// The name that was asked for, under which the value is shown.
    Show(&'static str),
}

impl OwnCommand {
    /// A text that says the same.
    pub fn text(&self) -> String {
        match self {
            Self::Set(value) => format!("SET {}", assignment(*value)),
            Self::SetLocal(value) => format!("SET LOCAL {}", assignment(*value)),
            Self::Reset(setting) => format!("RESET {}", setting.name()),
            Self::ResetLocal(setting) => format!("SET LOCAL {} = DEFAULT", setting.name()),
            Self::BadValue { name, value } => format!("SET {name} = '{value}'"),
            Self::Fixed(name) => format!("RESET {name}"),
            Self::Show(name) => format!("SHOW {name}"),
        }
    }
}

impl Setting {
    /// Its name here.
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => ROUTE,
            Self::MinLsn => MIN_LSN,
        }
    }

    /// The one that is called so; `None` if that cannot be set.
    pub fn called(name: &str) -> Option<Self> {
        match name {
            LSN => None,
            MIN_LSN => Some(Self::MinLsn),
            _ => Some(Self::Route),
        }
    }

    /// What is told with a value that there is not.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Route => ROUTES_HINT,
            Self::MinLsn => TOKEN_HINT,
        }
    }

    /// The value of the startup parameter, or of `SET`; `None` if there is none such.
    pub fn read(self, value: &[u8]) -> Option<Value> {
        match self {
            Self::Route => route(value).map(Value::Route),
            Self::MinLsn if value.is_empty() => Some(Value::MinLsn(None)),
            Self::MinLsn => LsnToken::read(value).map(|token| Value::MinLsn(Some(token))),
        }
    }
}

fn assignment(value: Value) -> String {
    match value {
        Value::Route(route) => format!("{ROUTE} = {}", route_name(route)),
        Value::MinLsn(None) => format!("{MIN_LSN} = ''"),
        Value::MinLsn(Some(token)) => format!("{MIN_LSN} = '{token}'"),
    }
}

/// Reads a text; `None` if it is for PostgreSQL.
pub fn own_command(text: &[u8]) -> Option<OwnCommand> {
    let mut tokens = Scanner::new(text);
    let verb = tokens.next()?;
    let command = if verb.is("SET") {
        set(&mut tokens)?
    } else if verb.is("SHOW") {
        OwnCommand::Show(next_name(&mut tokens)?)
    } else if verb.is("RESET") {
        let name = next_name(&mut tokens)?;
        Setting::called(name).map_or(OwnCommand::Fixed(name), OwnCommand::Reset)
    } else {
        return None;
    };
    tokens.all(|token| token == Token::Semicolon).then_some(command)
}

/// Whether the whole text is `RESET ALL`.
pub fn resets_all(text: &[u8]) -> bool {
    let mut tokens = Scanner::new(text);
    tokens.next().is_some_and(|verb| verb.is("RESET"))
        && tokens.next().is_some_and(|what| what.is("ALL"))
        && tokens.all(|token| token == Token::Semicolon)
}

#[expect(clippy::option_option, reason = "the outer one: whether there is such a value")]
fn route(value: &[u8]) -> Option<Option<Target>> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if is("primary") {
        Some(Some(Target::Primary))
    } else if is("replica") {
        Some(Some(Target::Replica))
    } else if is("auto") || is("any") {
        Some(None)
    } else {
        None
    }
}

/// As it is shown.
pub fn route_name(route: Option<Target>) -> &'static str {
    match route {
        Some(Target::Primary) => "primary",
        Some(Target::Replica) => "replica",
        None => "auto",
    }
}

/// What follows `SET`.
fn set(tokens: &mut Scanner<'_>) -> Option<OwnCommand> {
    let mut next = tokens.next_spelled()?;
    let local = next.0.is("LOCAL");
    if local || next.0.is("SESSION") {
        next = tokens.next_spelled()?;
    }
    let name = name(next, tokens)?;
    let (equals, spelled) = tokens.next_spelled()?;
    (equals.is("TO") || spelled == b"=").then_some(())?;
    let (token, spelled) = tokens.next_spelled()?;
    if !matches!(token, Token::Word(_) | Token::Other) {
        return None;
    }
    let value = unquoted(spelled);
    let Some(setting) = Setting::called(name) else { return Some(OwnCommand::Fixed(name)) };
    let is_default = value.eq_ignore_ascii_case(b"default")
        && (setting == Setting::Route || matches!(token, Token::Word(_)));
    Some(match setting.read(value) {
        Some(value) if local => OwnCommand::SetLocal(value),
        Some(value) => OwnCommand::Set(value),
        None if is_default && local => OwnCommand::ResetLocal(setting),
        None if is_default => OwnCommand::Reset(setting),
        None => OwnCommand::BadValue { name, value: String::from_utf8_lossy(value).into_owned() },
    })
}

fn next_name(tokens: &mut Scanner<'_>) -> Option<&'static str> {
    let first = tokens.next_spelled()?;
    name(first, tokens)
}

/// The setting of ours whose name begins with this token.
fn name((first, spelled): (Token<'_>, &[u8]), tokens: &mut Scanner<'_>) -> Option<&'static str> {
    if first.is("SERVER") {
        return tokens.next()?.is("ROLE").then_some(SERVER_ROLE);
    }
    if first == Token::Other {
        let quoted = unquoted(spelled);
        return [ROUTE, MIN_LSN, LSN, PGDOG_ROLE].into_iter().find(|name| {
            spelled.starts_with(b"\"") && quoted.eq_ignore_ascii_case(name.as_bytes())
        });
    }
    let names: &[(&str, &'static str)] = if first.is("PGWEIR") {
        &[("ROUTE", ROUTE), ("MIN_LSN", MIN_LSN), ("LSN", LSN)]
    } else if first.is("PGDOG") {
        &[("ROLE", PGDOG_ROLE)]
    } else {
        return None;
    };
    if tokens.next_spelled()?.1 != b"." {
        return None;
    }
    let last = tokens.next()?;
    names.iter().find(|(word, _)| last.is(word)).map(|(_, name)| *name)
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Option<OwnCommand> {
        own_command(text.as_bytes())
    }

    #[test]
    fn each_spelling_is_understood() {
        let replica = OwnCommand::Set(Value::Route(Some(Target::Replica)));
        for text in [
            "SET pgweir.route = replica",
            "set pgweir.route to 'replica';",
            " Set Session pgweir.route=\"replica\" ; ",
            "set \"pgweir.route\" = 'Replica'",
            "/* app */ SET pgweir.route = replica -- done",
            "SET SERVER ROLE TO 'replica'",
            "set server role = replica",
            "SET pgdog.role TO 'replica'",
        ] {
            assert_eq!(own(text), Some(replica.clone()), "{text}");
        }
        for (text, command) in [
            ("set pgweir.route='primary'", OwnCommand::Set(Value::Route(Some(Target::Primary)))),
            ("set pgweir.route = auto", OwnCommand::Set(Value::Route(None))),
            ("SET SERVER ROLE TO 'any'", OwnCommand::Set(Value::Route(None))),
            ("SET SERVER ROLE TO 'default'", OwnCommand::Reset(Setting::Route)),
            ("set pgweir.route to default", OwnCommand::Reset(Setting::Route)),
            ("RESET pgweir.route;", OwnCommand::Reset(Setting::Route)),
            ("reset pgdog.role", OwnCommand::Reset(Setting::Route)),
            (
                "set local pgweir.route = primary",
                OwnCommand::SetLocal(Value::Route(Some(Target::Primary))),
            ),
            ("set local pgweir.route to default", OwnCommand::ResetLocal(Setting::Route)),
            ("show pgweir.route", OwnCommand::Show("pgweir.route")),
            ("SHOW SERVER ROLE", OwnCommand::Show("server role")),
            ("show pgdog.role", OwnCommand::Show("pgdog.role")),
        ] {
            assert_eq!(own(text), Some(command), "{text}");
        }
        let standby = OwnCommand::BadValue { name: ROUTE, value: "Standby".into() };
        assert_eq!(own("set pgweir.route = 'Standby'"), Some(standby));
    }

    #[test]
    fn what_reads_have_to_see_is_set_shown_and_reset() {
        let token = LsnToken::read(b"3/16/B374D848");
        let set = OwnCommand::Set(Value::MinLsn(token));
        for text in [
            "SET pgweir.min_lsn = '3/16/B374D848'",
            "set session pgweir.min_lsn to '3/16/b374d848';",
            "SET \"pgweir.min_lsn\" = '3/16/B374D848'",
        ] {
            assert_eq!(own(text), Some(set.clone()), "{text}");
        }
        let plain = LsnToken::read(b"16/B374D848");
        let bad = |value: &str| OwnCommand::BadValue { name: MIN_LSN, value: value.into() };
        for (text, command) in [
            ("SET pgweir.min_lsn = '16/B374D848'", OwnCommand::Set(Value::MinLsn(plain))),
            ("SET pgweir.min_lsn = ''", OwnCommand::Set(Value::MinLsn(None))),
            (
                "SET LOCAL pgweir.min_lsn = '16/B374D848'",
                OwnCommand::SetLocal(Value::MinLsn(plain)),
            ),
            ("SET pgweir.min_lsn = DEFAULT", OwnCommand::Reset(Setting::MinLsn)),
            ("SET LOCAL pgweir.min_lsn TO DEFAULT", OwnCommand::ResetLocal(Setting::MinLsn)),
            ("RESET pgweir.min_lsn", OwnCommand::Reset(Setting::MinLsn)),
            ("SHOW pgweir.min_lsn", OwnCommand::Show(MIN_LSN)),
            ("show pgweir.lsn;", OwnCommand::Show(LSN)),
            ("SET pgweir.min_lsn = 'default'", bad("default")),
            ("SET pgweir.min_lsn = '1'", bad("1")),
            ("SET pgweir.min_lsn = 1", bad("1")),
            ("SET pgweir.lsn = '16/B374D848'", OwnCommand::Fixed(LSN)),
            ("RESET pgweir.lsn", OwnCommand::Fixed(LSN)),
        ] {
            assert_eq!(own(text), Some(command), "{text}");
        }
        for text in [
            // PostgreSQL says what is wrong with it.
            "SET pgweir.min_lsn = 3/16/B374D848",
            "SET pgweir.min_lsn = '1/1', '1/1'",
            "SET pgweir.min = '1/1'",
            "SHOW pgweir.lsns",
            "SHOW pgdog.lsn",
        ] {
            assert_eq!(own(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_for_postgresql_is_left_to_it() {
        for text in [
            "",
            "set",
            "select 1",
            "set timezone = 'utc'",
            "set pgweir.routes = replica",
            "set pgweir.route",
            "set pgweir.route =",
            "set pgweir.route = ;",
            "set pgweir.route = replica, primary",
            "set pgweir.route = replica; select 1",
            "set 'pgweir.route' = replica",
            "show pgweir",
            "show all",
            "reset all",
            "reset server",
            "set server roles to 'replica'",
            "show server",
            "set role to replica",
            "set pgweir.route = 'replica",
        ] {
            assert_eq!(own(text), None, "{text}");
        }
    }

    #[test]
    fn only_all_of_reset_all_resets_all() {
        assert!(resets_all(b"RESET ALL") && resets_all(b"/* x */ reset all ;"));
        for text in ["reset", "reset all x", "reset timezone", "reset all; select 1", "set all"] {
            assert!(!resets_all(text.as_bytes()), "{text}");
        }
    }
}

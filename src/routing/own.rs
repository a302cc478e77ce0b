//! Commands that are for pgweir and not for PostgreSQL: where a session's transactions are to run.
//!
//! | ours | others' |
//! |---|---|
//! | `SET [SESSION] pgweir.route = primary \| replica \| auto \| DEFAULT` | pgcat: `SET SERVER ROLE TO 'primary' \| 'replica' \| 'auto' \| 'any' \| 'default'`; pgdog: `SET pgdog.role = primary \| replica` |
//! | `SET LOCAL pgweir.route = …` | `SET LOCAL pgdog.role = …` |
//! | `RESET pgweir.route` | `RESET pgdog.role` |
//! | `SHOW pgweir.route` | `SHOW SERVER ROLE`, `SHOW pgdog.role` |
//!
//! Most texts are none of these, and are told by their first word: nothing is allocated for them.

use super::hint::Target;
use super::scan::{Scanner, Token};

/// The setting's name.
pub const ROUTE: &str = "pgweir.route";

/// What pgdog calls it.
pub const PGDOG_ROLE: &str = "pgdog.role";

/// What is told with a value that there is not.
pub const ROUTES_HINT: &str = "Available values: primary, replica, auto.";

/// What pgcat calls it; no name that PostgreSQL could read as a setting's.
const SERVER_ROLE: &str = "server role";

/// A command for pgweir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCommand {
    /// The session's transactions run there; `None`: by what they say.
    Set(Option<Target>),
    /// The transaction that was just begun runs there; `None`: by what it says.
    SetLocal(Option<Target>),
    /// What was asked for at startup counts again.
    Reset,
    /// A value that there is not.
    BadValue {
        /// The setting, as it was called.
        name: &'static str,
        /// The value.
        value: String,
    },
    /// The name that was asked for, under which the value is shown.
    Show(&'static str),
}

impl OwnCommand {
    /// A text that says the same.
    pub fn text(&self) -> String {
        match self {
            Self::Set(target) => format!("SET {ROUTE} = {}", route_name(*target)),
            Self::SetLocal(target) => {
                format!("SET LOCAL {ROUTE} = {}", route_name(*target))
            }
            Self::Reset => format!("RESET {ROUTE}"),
            Self::BadValue { name, value } => format!("SET {name} = '{value}'"),
            Self::Show(name) => format!("SHOW {name}"),
        }
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
        next_name(&mut tokens)?;
        OwnCommand::Reset
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

/// There is no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchRoute;

/// The value of the startup parameter, or of `SET`.
///
/// # Errors
/// [`NoSuchRoute`].
pub fn route(value: &[u8]) -> Result<Option<Target>, NoSuchRoute> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if is("primary") {
        Ok(Some(Target::Primary))
    } else if is("replica") {
        Ok(Some(Target::Replica))
    } else if is("auto") || is("any") {
        Ok(None)
    } else {
        Err(NoSuchRoute)
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
    let default = value.eq_ignore_ascii_case(b"default");
    Some(match route(value) {
        Ok(route) if local => OwnCommand::SetLocal(route),
        Ok(route) => OwnCommand::Set(route),
        Err(NoSuchRoute) if default && local => OwnCommand::SetLocal(None),
        Err(NoSuchRoute) if default => OwnCommand::Reset,
        Err(NoSuchRoute) => {
            OwnCommand::BadValue { name, value: String::from_utf8_lossy(value).into_owned() }
        }
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
        return [ROUTE, PGDOG_ROLE].into_iter().find(|name| {
            spelled.starts_with(b"\"") && quoted.eq_ignore_ascii_case(name.as_bytes())
        });
    }
    let (name, last) = if first.is("PGWEIR") {
        (ROUTE, "ROUTE")
    } else if first.is("PGDOG") {
        (PGDOG_ROLE, "ROLE")
    } else {
        return None;
    };
    let dot = tokens.next_spelled()?.1 == b".";
    (dot && tokens.next()?.is(last)).then_some(name)
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
        let replica = OwnCommand::Set(Some(Target::Replica));
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
            ("set pgweir.route='primary'", OwnCommand::Set(Some(Target::Primary))),
            ("set pgweir.route = auto", OwnCommand::Set(None)),
            ("SET SERVER ROLE TO 'any'", OwnCommand::Set(None)),
            ("SET SERVER ROLE TO 'default'", OwnCommand::Reset),
            ("set pgweir.route to default", OwnCommand::Reset),
            ("RESET pgweir.route;", OwnCommand::Reset),
            ("reset pgdog.role", OwnCommand::Reset),
            ("set local pgweir.route = primary", OwnCommand::SetLocal(Some(Target::Primary))),
            ("set local pgweir.route to default", OwnCommand::SetLocal(None)),
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

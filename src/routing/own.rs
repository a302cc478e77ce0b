//! Commands that are for pgweir and not for PostgreSQL: where a session's transactions are to run.
//!
//! - `SET pgweir.route = primary | replica | auto` (also `TO`, `SESSION`), `RESET pgweir.route`, `SHOW pgweir.route`
//! - `SET SERVER ROLE TO 'primary' | 'replica' | 'auto' | 'any' | 'default'`, `SHOW SERVER ROLE`: pgcat's

use super::hint::Target;

/// The setting's name.
pub const ROUTE: &str = "pgweir.route";

/// Longest text that is taken for such a command.
const LONGEST: usize = 120;

/// A command for pgweir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCommand {
    /// The session's transactions run there; `None`: by what they say.
    Set(Option<Target>),
    /// As for `RESET`: what was asked for at startup.
    Reset,
    /// A value that there is not.
    BadValue(String),
    /// The name that was asked for, under which the value is shown.
    Show(&'static str),
}

/// Reads a text; `None` if it is for PostgreSQL.
pub fn own_command(text: &[u8]) -> Option<OwnCommand> {
    if text.len() > LONGEST
        || !matches!(text.trim_ascii_start().first(), Some(b's' | b'S' | b'r' | b'R'))
    {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.trim().trim_end_matches(';').to_ascii_lowercase();
    let (verb, rest) = text.trim_end().split_once(|c: char| c.is_ascii_whitespace())?;
    let rest = rest.trim_start();
    match verb {
        "show" if rest == ROUTE => Some(OwnCommand::Show(ROUTE)),
        "show" if words(rest, &["server", "role"]) == Some("") => {
            Some(OwnCommand::Show("server role"))
        }
        "reset" if rest == ROUTE => Some(OwnCommand::Reset),
        "set" => {
            let value = match words(rest, &["server", "role"]) {
                Some(value) => value,
                None => words(rest, &["session"]).unwrap_or(rest).strip_prefix(ROUTE)?,
            };
            let value = value.trim_start();
            let value = value.strip_prefix('=').or_else(|| words(value, &["to"]))?.trim();
            Some(set(unquoted(value)))
        }
        _ => None,
    }
}

/// There is no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchRoute;

/// The value of the startup parameter, or of `SET`.
///
/// # Errors
/// [`NoSuchRoute`].
pub fn route(value: &str) -> Result<Option<Target>, NoSuchRoute> {
    match value {
        "primary" => Ok(Some(Target::Primary)),
        "replica" => Ok(Some(Target::Replica)),
        "auto" | "any" | "default" => Ok(None),
        _ => Err(NoSuchRoute),
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

fn set(value: &str) -> OwnCommand {
    match route(value) {
        Ok(_) if value == "default" => OwnCommand::Reset,
        Ok(route) => OwnCommand::Set(route),
        Err(NoSuchRoute) => OwnCommand::BadValue(value.to_owned()),
    }
}

/// What follows these words in the text.
fn words<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().try_fold(text, |text, word| {
        let rest = text.strip_prefix(word)?;
        let ends = rest.is_empty()
            || rest.starts_with(|c: char| c.is_ascii_whitespace() || c == '\'' || c == '=');
        ends.then(|| rest.trim_start())
    })
}

fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_understood() {
        let replica = OwnCommand::Set(Some(Target::Replica));
        for text in [
            "SET pgweir.route = replica",
            "set pgweir.route to 'replica';",
            " Set Session pgweir.route=\"replica\" ; ",
            "SET SERVER ROLE TO 'replica'",
            "set server role = replica",
        ] {
            assert_eq!(own_command(text.as_bytes()), Some(replica.clone()), "{text}");
        }
        let own = |text: &str| own_command(text.as_bytes());
        assert_eq!(own("set pgweir.route='primary'"), Some(OwnCommand::Set(Some(Target::Primary))));
        assert_eq!(own("set pgweir.route = auto"), Some(OwnCommand::Set(None)));
        assert_eq!(own("SET SERVER ROLE TO 'any'"), Some(OwnCommand::Set(None)));
        assert_eq!(own("set pgweir.route to default"), Some(OwnCommand::Reset));
        assert_eq!(own("RESET pgweir.route;"), Some(OwnCommand::Reset));
        assert_eq!(own("show pgweir.route"), Some(OwnCommand::Show("pgweir.route")));
        assert_eq!(own("SHOW SERVER ROLE"), Some(OwnCommand::Show("server role")));
        assert_eq!(own("set pgweir.route = standby"), Some(OwnCommand::BadValue("standby".into())));
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
            "set local pgweir.route = replica",
            "show all",
            "reset all",
            "set server roles to 'replica'",
            "show server",
        ] {
            assert_eq!(own_command(text.as_bytes()), None, "{text}");
        }
    }
}

//! The password file of libpq (manual, "The Password File"): lines of `host:port:database:user:password`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whom a password is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct For<'a> {
    /// Host name, address or directory.
    pub(super) host: &'a str,
    /// A Unix socket: `localhost` means it as well.
    pub(super) unix: bool,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password in a file; as libpq, none of a file that others may read, which is said in the `Err`.
pub(super) fn of_file(path: &Path, wanted: For<'_>) -> Result<Option<String>, String> {
    let Ok(about) = std::fs::metadata(path) else { return Ok(None) };
    if !about.is_file() {
        return Ok(None);
    }
    if about.permissions().mode() & 0o077 != 0 {
        let name = path.display();
        return Err(format!("{name}: not used, since others may read it; chmod 600 {name}"));
    }
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    Ok(find(&text, wanted))
}

/// The password of the first line that fits.
fn find(text: &str, wanted: For<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, its_port, database, user, password] = fields.as_slice() else { return None };
        let any = |field: &str, value: &str| field == "*" || field == value;
        let host = any(host, wanted.host) || (wanted.unix && host == "localhost");
        let fits = host
            && any(its_port, &port)
            && any(database, wanted.database)
            && any(user, wanted.user);
        fits.then(|| password.clone())
    })
}

/// Fields between colons; a backslash takes the sign behind it as it is.
fn fields(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            ':' => {
                all.push(String::new());
                continue;
            }
            '\\' => chars.next(),
            c => Some(c),
        };
        if let Some(last) = all.last_mut() {
            last.extend(c);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: For<'_> =
        For { host: "db", unix: false, port: 6432, database: "pgbouncer", user: "ann" };

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db:6432:pgbouncer:ann:comment\nshort:line\nother:*:*:*:no\ndb:*:*:bob:no\n\
                    db:6432:*:ann:a\\:b\\\\c\n*:*:*:*:last";
        assert_eq!(find(text, WANTED).as_deref(), Some("a:b\\c"));
        assert_eq!(find(text, For { user: "eve", ..WANTED }).as_deref(), Some("last"));
        assert_eq!(find("db:1:*:*:no", WANTED), None);
    }

    #[test]
    fn a_unix_socket_is_localhost_as_well() {
        let socket = For { host: "/run/pgweir", unix: true, ..WANTED };
        assert_eq!(find("localhost:*:*:*:yes", socket).as_deref(), Some("yes"));
        assert_eq!(find("/run/pgweir:*:*:*:yes", socket).as_deref(), Some("yes"));
        assert_eq!(find("localhost:*:*:*:no", WANTED), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(&path, "*:*:*:*:secret").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o600);
        assert_eq!(of_file(&path, WANTED), Ok(Some("secret".to_owned())));
        mode(0o640);
        let refused = of_file(&path, WANTED).unwrap_err();
        assert!(refused.contains("chmod 600") && !refused.contains("secret"), "{refused}");
        assert_eq!(of_file(&folder.path().join("none"), WANTED), Ok(None));
    }
}

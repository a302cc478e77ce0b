//! What must be remembered over a restart: the fences (setting `topology_state_file`).
//!
//! A pgweir that starts while an old primary is alive and its successor cannot be reached must not take the old one for
//! the primary. So the highest timeline of each database entry is kept in a small file:
//!
//! ```text
//! # pgweir: highest timelines seen. ...
//! app 3 127.0.0.1:5432 7711849323059061448
//! ```
//!
//! Entry, timeline, the host that was seen on it, system identifier (`-` if it is not known), with tabs between. The file
//! is written whole beside its place and renamed, so it is never half. A line that cannot be read is told, and left out:
//! for its entry pgweir is as wise as without the file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::decide::Fence;
use crate::config::HostAddr;

/// Before the lines.
const HEAD: &str = "# pgweir: the highest timeline that each database was seen on, by which host, and its system \
                    identifier.\n# Written by pgweir. Remove a line to forget it, while pgweir does not run.\n";

/// By the name of the database entry.
pub(super) type Fences = BTreeMap<String, Fence>;

/// Reads the file; one that is not there is empty. Beside what can be read: what is wrong, in words, with the file and
/// the line.
pub(super) fn read(path: &Path) -> (Fences, Vec<String>) {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(error) => return (Fences::new(), vec![format!("{}: {error}", path.display())]),
    };
    let (fences, nonsense) = parse(&String::from_utf8_lossy(&bytes));
    let problem = |line: usize| {
        format!(
            "{}:{line}: not \"database <tab> timeline <tab> host:port <tab> system identifier\"; the line is dropped",
            path.display()
        )
    };
    (fences, nonsense.into_iter().map(problem).collect())
}

/// What the lines say, and the numbers of those that make no sense.
fn parse(text: &str) -> (Fences, Vec<usize>) {
    let (mut fences, mut nonsense) = (Fences::new(), Vec::new());
    let lines = (1..).zip(text.lines());
    for (number, line) in
        lines.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty())
    {
        match entry(line) {
            Some((database, fence)) => drop(fences.insert(database, fence)),
            None => nonsense.push(number),
        }
    }
    (fences, nonsense)
}

fn entry(line: &str) -> Option<(String, Fence)> {
    let mut fields = line.split('\t');
    let (database, timeline, by, system) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (host, port) = by.rsplit_once(':')?;
    let port = port.parse().ok()?;
    // One address of a name that has several: `name(address)`.
    let resolved = host.strip_suffix(')').and_then(|host| host.rsplit_once('('));
    let by = match resolved.map(|(name, ip)| (name.to_owned(), ip.parse())) {
        Some((name, Ok(ip))) => HostAddr::Resolved { name, ip, port },
        Some((_, Err(_))) => return None,
        None => HostAddr::new(host, port),
    };
    let system_id = match system {
        "-" => None,
        number => Some(number.parse().ok()?),
    };
    let timeline = timeline.parse().ok().filter(|timeline| *timeline > 0)?;
    Some((database.to_owned(), Fence { timeline, by, system_id }))
}

/// Writes the file whole, or leaves the old one.
///
/// # Errors
/// The system's.
pub(super) fn write(path: &Path, fences: &Fences) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(HEAD.as_bytes())?;
    // A name with a tab or a line break would not be read as it was written; no sane one has any.
    let sane = |name: &str| !name.contains(['\t', '\n', '\r']);
    for (database, fence) in fences.iter().filter(|(database, _)| sane(database)) {
        let system = fence.system_id.map_or("-".to_owned(), |id| id.to_string());
        let (host, port) = match &fence.by {
            HostAddr::Tcp { host, port } => (host.clone(), port),
            HostAddr::Unix { path, port } => (path.display().to_string(), port),
            HostAddr::Resolved { port, .. } => (fence.by.place(), port),
        };
        writeln!(file, "{database}\t{}\t{host}:{port}\t{system}", fence.timeline)?;
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The rename, too, is to survive a power cut.
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fences() -> Fences {
        let tcp = |host: &str, port| HostAddr::Tcp { host: host.to_owned(), port };
        let ip = "fe80::1".parse().unwrap();
        let resolved = HostAddr::Resolved { name: "pg".to_owned(), ip, port: 5432 };
        let unix = HostAddr::Unix { path: "/var/run/pg".into(), port: 5433 };
        Fences::from([
            ("app".to_owned(), Fence { timeline: 3, by: tcp("pg2", 5432), system_id: Some(7) }),
            ("b c".to_owned(), Fence { timeline: 1, by: tcp("::1", 5432), system_id: None }),
            ("name".to_owned(), Fence { timeline: 2, by: resolved, system_id: Some(7) }),
            ("unix".to_owned(), Fence { timeline: 9, by: unix, system_id: Some(u64::MAX) }),
        ])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read(&path), (Fences::new(), Vec::new()), "there is none yet");
        write(&path, &fences()).unwrap();
        assert_eq!(read(&path), (fences(), Vec::new()));
        write(&path, &Fences::new()).unwrap();
        assert_eq!(read(&path), (Fences::new(), Vec::new()));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named_and_the_others_count() {
        for line in [
            "app",
            "app\t0\tpg1:5432\t7",
            "app\tx\tpg1:5432\t7",
            "app\t1\tpg1\t7",
            "app\t1\tpg1:5432\tx",
        ] {
            let good = "b\t1\tpg1:5432\t7";
            let (fences, nonsense) = parse(&format!("# ok\n\n{line}\n{good}\n"));
            assert_eq!(nonsense, [3], "{line}");
            assert_eq!(fences.keys().collect::<Vec<_>>(), ["b"], "the others count");
        }
    }
}

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
//! is written whole beside its place and renamed, so it is never half. What cannot be read is told, and left out: then
//! pgweir is as wise as without the file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::decide::Remembered;
use crate::config::HostAddr;

/// Before the lines.
const HEAD: &str = "# pgweir: the highest timeline that each database was seen on, by which host, and its system \
                    identifier.\n# Written by pgweir. Remove a line to forget it, while pgweir does not run.\n";

/// By the name of the database entry.
pub(super) type Fences = BTreeMap<String, Remembered>;

/// Reads the file; one that is not there is empty.
///
/// # Errors
/// In words, with the file and the line.
pub(super) fn read(path: &Path) -> Result<Fences, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fences::new()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    parse(&text).map_err(|line| {
        format!(
            "{}:{line}: not \"database <tab> timeline <tab> host:port <tab> system identifier\"; mend or remove the line",
            path.display()
        )
    })
}

/// `Err`: the number of the first line that makes no sense.
fn parse(text: &str) -> Result<Fences, usize> {
    let lines = (1..).zip(text.lines());
    let told = lines.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    told.map(|(number, line)| entry(line).ok_or(number)).collect()
}

fn entry(line: &str) -> Option<(String, Remembered)> {
    let mut fields = line.split('\t');
    let (database, timeline, by, system) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (host, port) = by.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let by = match host.starts_with(['/', '@']) {
        true => HostAddr::Unix { path: PathBuf::from(host), port },
        false => HostAddr::Tcp { host: host.to_owned(), port },
    };
    let system_id = match system {
        "-" => None,
        number => Some(number.parse().ok()?),
    };
    let timeline = timeline.parse().ok().filter(|timeline| *timeline > 0)?;
    Some((database.to_owned(), Remembered { timeline, by, system_id }))
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
        let unix = HostAddr::Unix { path: "/var/run/pg".into(), port: 5433 };
        Fences::from([
            (
                "app".to_owned(),
                Remembered { timeline: 3, by: tcp("pg2", 5432), system_id: Some(7) },
            ),
            ("b c".to_owned(), Remembered { timeline: 1, by: tcp("::1", 5432), system_id: None }),
            ("unix".to_owned(), Remembered { timeline: 9, by: unix, system_id: Some(u64::MAX) }),
        ])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read(&path), Ok(Fences::new()), "there is none yet");
        write(&path, &fences()).unwrap();
        assert_eq!(read(&path), Ok(fences()));
        write(&path, &Fences::new()).unwrap();
        assert_eq!(read(&path), Ok(Fences::new()));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        for line in [
            "app",
            "app\t0\tpg1:5432\t7",
            "app\tx\tpg1:5432\t7",
            "app\t1\tpg1\t7",
            "app\t1\tpg1:5432\tx",
        ] {
            assert_eq!(parse(&format!("# ok\n\n{line}\n")), Err(3), "{line}");
        }
    }
}

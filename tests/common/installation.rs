//! Where PostgreSQL's programs are, of one version or another, and a data directory from them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use super::home::{self, as_service, give, service_can_run, service_user};
use super::postgres::APP_PASSWORD;

/// The programs of one PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    bin: PathBuf,
}

impl Installation {
    /// The one that everything is tested with, unless a test says otherwise: `PGWEIR_PG_BIN`, else
    /// what `pg_config` says, else the newest of the usual places.
    ///
    /// # Panics
    /// There is none.
    pub fn usual() -> &'static Self {
        static USUAL: OnceLock<Installation> = OnceLock::new();
        USUAL.get_or_init(|| {
            let bin = find_bin_dir().unwrap_or_else(|tried| {
                panic!(
                    "no PostgreSQL server found: initdb is in none of\n  {}\nInstall one (`make \
                     setup` does on Debian and Ubuntu) or set PGWEIR_PG_BIN to the folder that \
                     has initdb.",
                    tried.join("\n  ")
                )
            });
            Self { bin }
        })
    }

    /// One of this major version: what `make setup` has fetched to `target/postgres`, else the
    /// usual one or another that is installed beside it. `None` when there is none.
    pub fn of_major(major: u32) -> Option<Self> {
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/postgres");
        let fetched = fetched.join(major.to_string());
        if fetched.join("bin/initdb").exists() {
            return Some(Self { bin: open_to_service(&fetched).join("bin") });
        }
        let beside = format!("/usr/lib/postgresql/{major}/bin").into();
        [Self { bin: beside }, Self::usual().clone()]
            .into_iter()
            .find(|it| it.program("initdb").exists() && it.major() == major)
    }

    /// One of its programs, which may be missing: what npm carries has no clients.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// What `postgres --version` says, e.g. `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    pub fn version(&self) -> String {
        let output = Command::new(self.program("postgres")).arg("--version").output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Its major version.
    pub fn major(&self) -> u32 {
        let version = self.version();
        let number = version.split_whitespace().nth(2).expect("postgres (PostgreSQL) VERSION");
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    /// An initdb'ed data directory with the role and database `app`. Made once per build folder,
    /// since it takes seconds and nextest runs every test in a process of its own.
    pub fn template(&self) -> PathBuf {
        static MADE: Mutex<Vec<(Installation, PathBuf)>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap();
        if let Some((_, path)) = made.iter().find(|(installation, _)| installation == self) {
            return path.clone();
        }
        let path = self.find_or_make_template();
        made.push((self.clone(), path.clone()));
        path
    }

    fn find_or_make_template(&self) -> PathBuf {
        let uid =
            service_user().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
        // Cargo says so to tests only; an example makes one per process.
        let cache = option_env!("CARGO_TARGET_TMPDIR").map(|dir| {
            // Who built it matters, too: a data directory needs the collations it was made with.
            let version = self.version().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            Path::new(dir).join(format!("pg-template-2-{version}-{uid}"))
        });
        if let Some(cache) = &cache
            && cache.exists()
        {
            return cache.clone();
        }
        let dir = TempDir::with_prefix("pgweir-template-").unwrap();
        give(dir.path());
        let data = dir.path().join("data");
        make_template(self, &data);
        let Some(cache) = cache else {
            let kept = dir.keep();
            remove_at_exit(&kept);
            return kept.join("data");
        };
        // Several processes may come here at once. Renaming is atomic: the first one wins.
        let target = cache.parent().expect("joined above");
        let mine = TempDir::with_prefix_in("pg-template-new-", target).unwrap();
        copy_folder(&data, &mine.path().join("data")).unwrap();
        match fs::rename(mine.path().join("data"), &cache) {
            Err(error) if !cache.exists() => panic!("{}: {error}", cache.display()),
            _ => cache,
        }
    }
}

/// The folder itself, or a copy where the service user cannot come at it (below /root, say).
fn open_to_service(folder: &Path) -> PathBuf {
    static COPIED: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());
    if service_can_run(&folder.join("bin/postgres")) {
        return folder.to_owned();
    }
    let mut copied = COPIED.lock().unwrap();
    if let Some((_, copy)) = copied.iter().find(|(original, _)| original == folder) {
        return copy.clone();
    }
    let kept = TempDir::with_prefix("pgweir-postgres-").unwrap().keep();
    give(&kept);
    remove_at_exit(&kept);
    let copy = kept.join("postgres");
    copy_folder(folder, &copy).unwrap();
    copied.push((folder.to_owned(), copy.clone()));
    copy
}

/// A program of the PostgreSQL that everything is tested with.
pub fn pg_bin(program: &str) -> PathBuf {
    Installation::usual().program(program)
}

/// Removes a folder when this process has ended, however it ends.
#[expect(clippy::zombie_processes, reason = "it outlives us by design")]
fn remove_at_exit(dir: &Path) {
    let script = r#"cat >/dev/null; rm -rf "$1""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "pgweir-test-sweeper"]).arg(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = home::own_group(&mut command).spawn().unwrap();
    std::mem::forget(child.stdin.take()); // closed by our end, and by nothing else
}

/// Makes a data directory with the role and database `app`.
pub(super) fn make_template(installation: &Installation, data: &Path) {
    let mut initdb = as_service(installation.program("initdb"));
    initdb.arg("-D").arg(data);
    initdb.args(["--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8"]);
    initdb.args(["--no-sync", "--wal-segsize=1"]);
    run(&mut initdb, "");
    let mut single = as_service(installation.program("postgres"));
    single.args(["--single", "-F", "-D"]).arg(data).arg("postgres");
    let sql = format!(
        "SET password_encryption = 'scram-sha-256'\n\
         CREATE ROLE app LOGIN PASSWORD '{APP_PASSWORD}'\n\
         CREATE DATABASE app OWNER app\n"
    );
    run(&mut single, &sql);
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A single-user server reports errors in its log and exits with 0 all the same.
    let failed = !output.status.success() || err.contains("ERROR:") || out.contains("ERROR:");
    assert!(!failed, "{command:?}: {}\n{out}\n{err}", output.status);
}

/// Copies a folder with all in it, for the service user.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    give(to);
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            give(&target);
        }
    }
    Ok(())
}

/// `PGWEIR_PG_BIN`, else what `pg_config` says, else the newest of the usual places.
fn find_bin_dir() -> Result<PathBuf, Vec<String>> {
    let mut candidates: Vec<(PathBuf, &str)> = Vec::new();
    if let Some(dir) = std::env::var_os("PGWEIR_PG_BIN") {
        candidates.push((dir.into(), "PGWEIR_PG_BIN, so nowhere else"));
    } else {
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
            let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            candidates.push((dir.into(), "pg_config --bindir"));
        }
        for (parent, prefix) in [
            ("/usr/lib/postgresql", ""),
            ("/usr", "pgsql-"),
            ("/opt/homebrew/opt", "postgresql@"),
            ("/usr/local/opt", "postgresql@"),
        ] {
            for version in versions_in(Path::new(parent), prefix) {
                let dir = Path::new(parent).join(format!("{prefix}{version}")).join("bin");
                candidates.push((dir, "a usual place"));
            }
            // Never a match; for the message.
            candidates.push((format!("{parent}/{prefix}*/bin").into(), "usual places"));
        }
    }
    let found = candidates.iter().find(|(dir, _)| dir.join("initdb").exists());
    found.map(|(dir, _)| dir.clone()).ok_or_else(|| {
        candidates.iter().map(|(dir, source)| format!("{} ({source})", dir.display())).collect()
    })
}

/// The numbers after `prefix` among the folder's entries, newest first.
fn versions_in(parent: &Path, prefix: &str) -> Vec<u32> {
    let entries = fs::read_dir(parent).into_iter().flatten();
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(prefix)?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
}

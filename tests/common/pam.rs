//! The system's PAM with a configuration of our own: pgweir runs in a mount namespace in which another folder stands for
//! /etc/pam.d. The system's own files stay as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use super::home::{Home, service_user};
use super::managers;

/// What it needs.
const PROGRAMS: [&str; 3] = ["unshare", "setpriv", "mount"];

/// A folder that stands for /etc/pam.d, and perhaps a file that stands for /etc/shadow.
#[derive(Clone, Debug)]
pub struct Pam {
    folder: PathBuf,
    shadow: Option<PathBuf>,
}

/// Whether there can be one; if not, says so, so that a test can end.
pub fn is_possible() -> bool {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: a mount namespace takes root");
        return false;
    }
    if !managers::are_installed(&PROGRAMS) {
        return false;
    }
    let tried =
        Command::new("unshare").args(["--mount", "mount", "--bind", "/tmp", "/mnt"]).output();
    let allowed = tried.is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("SKIPPED: no mount namespace here, even for root");
    }
    allowed
}

impl Pam {
    /// With these lines for the service `pgbouncer`, in a folder `name` of this home.
    pub fn new(home: &Home, name: &str, lines: &str) -> Self {
        let folder = home.folder(name);
        for (service, lines) in [
            ("pgbouncer", lines),
            ("other", "auth required pam_deny.so\naccount required pam_deny.so\n"),
        ] {
            fs::write(folder.join(service), lines).unwrap();
        }
        Self { folder, shadow: None }
    }

    /// With the hash of a password for whom pgweir runs as: without rights, pam_unix can check nobody else's.
    pub fn shadow(mut self, home: &Home, user: &str, hash: &str) -> Self {
        let file = home.file("shadow", &format!("{user}:{hash}:19000:0:99999:7:::\n"));
        // Whom its helper runs as differs from system to system.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        self.shadow = Some(file);
        self
    }

    /// The program with this configuration, as the service user.
    pub(super) fn command(&self, program: &Path) -> Command {
        let script = r#"
            mount --bind "$1" /etc/pam.d
            if [ -n "$2" ]; then mount --bind "$2" /etc/shadow; fi
            uid=$3 gid=$4
            shift 4
            exec setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
        "#;
        let user = service_user().expect("a mount namespace takes root");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-e", "-c", script, "sh"]).arg(&self.folder);
        command.arg(self.shadow.as_deref().unwrap_or(Path::new("")));
        command.args([user.uid.to_string(), user.gid.to_string()]).arg(program);
        command.env("HOME", "/").current_dir("/");
        command
    }
}

/// A program for pam_exec that keeps what it is told in the folder `seen`, and takes this one password.
pub fn checker(home: &Home, password: &str) -> PathBuf {
    let seen = home.folder("seen");
    let file = home.file(
        "checker",
        &format!(
            "#!/bin/sh\npassword=$(tr -d '\\000')\n\
             echo \"$PAM_SERVICE $PAM_TYPE $PAM_USER $PAM_RHOST\" >>{}/log\n\
             [ \"$password\" = '{password}' ]\n",
            seen.display()
        ),
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// What [`checker`] has been told: a line each time.
pub fn seen(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.path().join("seen/log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

//! As whom we run: never as root.

use std::io;

use nix::unistd::{User, getuid, initgroups, setgid, setuid};

/// Becomes this user (`-u`, setting `user`), with all its groups. To be called before there are threads.
pub(super) fn become_user(name: &str) -> io::Result<()> {
    let user = User::from_name(name)?.ok_or_else(|| {
        let text = format!("user: there is no user {name:?} on this system");
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    if user.uid == getuid() && !user.uid.is_root() {
        return Ok(());
    }
    let c_name = std::ffi::CString::new(name)?;
    let changed = initgroups(&c_name, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid));
    changed.map_err(|error| {
        let error = io::Error::from(error);
        let text = format!("user: cannot become {name:?}: {error}; only root can become another");
        io::Error::new(error.kind(), text)
    })
}

/// Root may do more than a pooler should ever do.
pub(super) fn refuse_root() -> io::Result<()> {
    if !getuid().is_root() {
        return Ok(());
    }
    let text = "PgBouncer should not run as root; start pgweir with -u NAME, set user = NAME, or let the service manager \
                choose the user";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

//! What the system says of a process: memory, file descriptors.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit};

use super::home::as_service;

/// A process to be looked at, through /proc.
#[derive(Clone, Copy, Debug)]
pub struct Watched(Pid);

impl Watched {
    /// The process with this number.
    pub fn new(pid: Pid) -> Self {
        Self(pid)
    }

    /// Resident memory now, KiB.
    pub fn resident_kib(self) -> u64 {
        self.status("VmRSS")
    }

    /// The most resident memory since its start or [`Self::forget_peak`], KiB.
    pub fn peak_kib(self) -> u64 {
        self.status("VmHWM")
    }

    /// Makes the present resident memory the peak.
    pub fn forget_peak(self) {
        fs::write(self.file("clear_refs"), "5").unwrap();
    }

    /// How many file descriptors it has open.
    pub fn open_files(self) -> usize {
        fs::read_dir(self.file("fd")).unwrap().count()
    }

    /// Whether this file descriptor of it is in use.
    pub fn has_file(self, number: u64) -> bool {
        fs::symlink_metadata(self.file(&format!("fd/{number}"))).is_ok()
    }

    /// Lets it open no file descriptor with this number or a greater one, from now on. As the user
    /// that it runs as: not every root may do that to others' processes.
    pub fn limit_files(self, limit: u64) {
        let mut command = as_service("/usr/bin/prlimit");
        let pid = self.0.as_raw_nonzero();
        command.arg(format!("--pid={pid}")).arg(format!("--nofile={limit}:"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn status(self, field: &str) -> u64 {
        let status = fs::read_to_string(self.file("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = line.unwrap_or_else(|| panic!("no {field} in {status}"));
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn file(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.as_raw_nonzero())
    }
}

/// Lets this test open as many files as the system permits it.
pub fn lift_own_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, all).unwrap();
}

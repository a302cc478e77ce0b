//! A pooler seen from outside: its CPU time, its memory, the cores it may use; and the limit on open files.

use std::fs;

use rustix::process::{Pid, Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// utime and stime of a process with all its threads, in microseconds (proc(5), stat, fields 14
/// and 15, in ticks of 10 ms; Linux derives their sum from the scheduler's own account, so only the last tick is rounded).
pub(crate) fn cpu_us(pid: Pid) -> f64 {
    let stat = read(pid, "stat");
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10_000.0
}

/// The same in nanoseconds' resolution, for a process whose threads do not end meanwhile
/// (`/proc/PID/task/TID/schedstat`, first field).
pub(crate) fn cpu_us_exact(pid: Pid) -> f64 {
    let nanoseconds = threads(pid).into_iter().filter_map(|thread| {
        let path = format!("/proc/{}/task/{thread}/schedstat", pid.as_raw_nonzero());
        fs::read_to_string(path).ok()?.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e3
}

/// CPU time of the calling thread in microseconds.
pub(crate) fn cpu_us_of_this_thread() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Resident memory in bytes.
pub(crate) fn resident(pid: Pid) -> f64 {
    let pages: f64 = read(pid, "statm").split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as f64
}

/// Keeps a process, all threads that it has, on one core.
pub(crate) fn pin(pid: Pid, core: usize) {
    for thread in threads(pid) {
        sched_setaffinity(Pid::from_raw(thread), &only(core)).unwrap();
    }
}

/// Keeps the calling thread on one core.
pub(crate) fn pin_this_thread(core: usize) {
    sched_setaffinity(None, &only(core)).unwrap();
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

fn threads(pid: Pid) -> Vec<i32> {
    let folder = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn read(pid: Pid, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).unwrap()
}

/// Raises the number of files that this process, and all that it starts, may open. Returns how many that is.
pub(crate) fn raise_file_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.unwrap_or(u64::MAX)
}

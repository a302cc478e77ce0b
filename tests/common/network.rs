//! Hosts with a network of their own: network namespaces around a router, so that one of them can be put behind a
//! black hole. Packets to it arrive, its answers vanish, and no ICMP tells: what a lost router or a firewall does.
//!
//! The test itself moves into the router's namespace ([`Network::new`] takes the calling thread there, and with it the
//! threads and programs that it starts later), so `127.0.0.1` is the router's own and everything else works as ever.
//! A namespace lives as long as a process in it; its keeper ends with the test, however that ends.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The router, whose namespace the test is in, and the hosts around it.
#[derive(Debug)]
pub struct Network {
    _router: Namespace,
    hosts: Vec<Host>,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    number: usize,
    namespace: Arc<Namespace>,
}

impl Network {
    /// So many hosts. `None`, with words why, where this user may not make them: that takes root on Linux, with
    /// `ip` (iproute2) and `unshare` (util-linux).
    pub fn new(hosts: usize) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("skipped: network namespaces take root");
            return None;
        }
        let router = Namespace::new()?;
        router.enter();
        ip("link set lo up");
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a router in its own namespace");
        let hosts = (1..=hosts).map(|number| Host::behind(number, &router)).collect();
        Some(Self { _router: router, hosts })
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

impl Host {
    fn behind(number: usize, router: &Namespace) -> Self {
        let namespace = Namespace::new().expect("one more like the router's");
        let host = Self { number, namespace: Arc::new(namespace) };
        let (near, far) = (host.gateway(), host.address());
        let keeper = host.namespace.keeper.id();
        router.run(|| {
            ip(&format!("link add host{number} type veth peer name eth0 netns {keeper}"));
            ip(&format!("addr add {near}/30 dev host{number}"));
            ip(&format!("link set host{number} up"));
        });
        host.run(|| {
            ip("link set lo up");
            ip(&format!("addr add {far}/30 dev eth0"));
            ip("link set eth0 up");
            ip(&format!("route add default via {near}"));
        });
        host
    }

    /// Its address, reached from the router and from the other hosts.
    pub fn address(&self) -> String {
        format!("10.213.{}.2", self.number)
    }

    fn gateway(&self) -> String {
        format!("10.213.{}.1", self.number)
    }

    /// Does something on it: starts a program, say.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work)
    }

    /// From now on nothing that it sends gets anywhere.
    pub fn vanish(&self) {
        self.answers_go("add");
    }

    /// It is back.
    pub fn reappear(&self) {
        self.answers_go("del");
    }

    fn answers_go(&self, verb: &str) {
        self.run(|| {
            ip(&format!("route {verb} blackhole {}/32", self.gateway()));
            ip(&format!("route {verb} blackhole 10.213.0.0/16"));
        });
    }
}

/// A network namespace, and the process that keeps it.
#[derive(Debug)]
struct Namespace {
    keeper: Child,
    file: File,
}

impl Namespace {
    /// `None`, with words why, if this system lets us have none.
    fn new() -> Option<Self> {
        // It ends when we do: nobody else holds the other end of its input.
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo; exec cat >/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("cannot start unshare (util-linux)");
        let mut ready = [0];
        let output = keeper.stdout.take().expect("piped").read_exact(&mut ready);
        if output.is_err() {
            eprintln!("skipped: this system lets us have no network namespaces");
            drop(keeper.wait());
            return None;
        }
        let file = File::open(format!("/proc/{}/ns/net", keeper.id())).expect("it runs");
        Some(Self { keeper, file })
    }

    /// Takes the calling thread there.
    fn enter(&self) {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter it");
    }

    /// Does something there.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.kill());
        drop(self.keeper.wait());
    }
}

/// Runs `ip` in the calling thread's namespace.
fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output();
    let output = output.expect("cannot start ip (iproute2)");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

//! The status page in a real browser: what it shows is what the console says, and everybody can use it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod browser;
#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use browser::Browser;
use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};

fn cluster(replicas: usize) -> Cluster {
    Setup::new().sql("GRANT pg_monitor TO app").cluster(replicas)
}

fn setup(cluster: &Cluster) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 4)
        .setting("route_reads", "auto")
}

fn open(weir: &Weir) -> Browser {
    let mut browser = Browser::start();
    browser.look(1280, false);
    browser.open(&format!("http://{}/", weir.http()));
    looks(&mut browser, 1);
    browser
}

/// Waits until the page has been brought up to date so many times.
fn looks(browser: &mut Browser, times: u32) {
    let looks = "Number(document.documentElement.dataset.looks ?? 0)";
    let before = browser.eval(looks).as_f64().unwrap_or(0.0);
    let enough = before + f64::from(times);
    browser.wait(&format!("{looks} >= {enough}"));
}

/// Where pictures are left for people to look at.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/status_page").join(format!("{name}.png"))
}

/// Clients that read, each over its own connection, until told to stop.
fn with_traffic<T>(weir: &Weir, clients: usize, story: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..clients {
            let (stop, port) = (&stop, weir.port());
            scope.spawn(move || {
                let mut wire = Wire::tcp(port, "app", "app").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let sleep = ["0", "0.001", "0.004"][client % 3];
                    let _ = wire.query(&format!("SELECT pg_sleep({sleep})"));
                    let _ = wire.query("SELECT 1 FROM pg_class LIMIT 5");
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            });
        }
        // However the story ends the clients do, too.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        story()
    })
}

#[test]
fn pictures_to_look_at() {
    let mut cluster = cluster(2);
    let weir = setup(&cluster).start();
    let mut browser = open(&weir);
    with_traffic(&weir, 9, || {
        looks(&mut browser, 12);
        browser.picture(&picture("light"));
        browser.look(1280, true);
        browser.picture(&picture("dark"));
        browser.look(390, false);
        browser.picture(&picture("phone"));
        browser.look(1280, false);
        cluster.primary_mut().kill(Signal::KILL);
        looks(&mut browser, 2);
        browser.picture(&picture("no-primary"));
        cluster.promote(1);
        browser.wait("document.querySelector('#events').textContent.includes('primary found')");
        looks(&mut browser, 4);
        browser.picture(&picture("after-failover"));
        browser.look(390, true);
        browser.picture(&picture("phone-dark"));
    });
}

//! pgbench in each of its protocols, reading and writing.

use crate::common::{pgbench, psql};
use crate::ways;

#[test]
fn pgbench_runs_in_each_of_its_protocols() {
    // As many servers as clients: pgbench prepares with a blocking PQprepare, one client after the
    // other in the same thread, and would wait for ever for a server that another of its clients
    // holds in an open transaction.
    ways::each_with(&[("default_pool_size", "8")], |way| {
        let login = way.login();
        pgbench(&login, &["-i", "-q", "-s", "1"]).ok();
        for protocol in ["simple", "extended", "prepared"] {
            for script in ["-S", "-N"] {
                let args = [script, "-n", "-M", protocol, "-c", "8", "-j", "2", "-t", "100"];
                let said = pgbench(&login, &args).ok().to_owned();
                let all = "number of transactions actually processed: 800/800";
                assert!(said.contains(all), "{protocol} {script}: {said}");
            }
        }
        let written = psql(&login, "SELECT count(*) FROM pgbench_history").ok().to_owned();
        assert_eq!(written, "2400", "three protocols of 800 transactions each");
    });
}

#[test]
fn pgbench_reads_with_more_clients_than_servers() {
    ways::each(|way| {
        let login = way.login();
        pgbench(&login, &["-i", "-q", "-s", "1"]).ok();
        for protocol in ["simple", "extended", "prepared"] {
            let args = ["-S", "-n", "-M", protocol, "-c", "20", "-j", "2", "-t", "50"];
            let said = pgbench(&login, &args).ok().to_owned();
            let all = "number of transactions actually processed: 1000/1000";
            assert!(said.contains(all), "{protocol}: {said}");
        }
    });
}

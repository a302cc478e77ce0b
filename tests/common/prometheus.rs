//! Debian's Prometheus, over a temporary folder.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::Value;

use super::home::{self, Home, Process, as_service, write_private};
use super::managers;
use super::wait;
use super::weir::http_get;

/// What it needs.
pub const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// A running Prometheus that looks at one target each second.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    process: Option<Process>,
    home: Home, // last: dropped after the process
}

impl Prometheus {
    /// Scrapes `/metrics` of `target` as the job `pgweir`, and evaluates these files of rules.
    #[track_caller]
    pub fn start(target: SocketAddr, rules: &[&Path]) -> Self {
        let home = Home::new();
        let mut names = Vec::new();
        for file in rules {
            let name = file.file_name().unwrap().to_str().unwrap();
            write_private(&home.path().join(name), &fs::read_to_string(file).unwrap());
            names.push(format!("  - {name}\n"));
        }
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n\
             rule_files:\n{}\
             scrape_configs:\n  - job_name: pgweir\n    static_configs:\n      - targets: ['{target}']\n",
            names.concat()
        );
        home.file("prometheus.yml", &config);
        home.folder("data");
        let mut prometheus = Self { port: 0, process: None, home };
        for _ in 0..10 {
            if prometheus.launch() {
                return prometheus;
            }
        }
        panic!("no Prometheus:\n{}", home::tail(&prometheus.home.path().join("log"), 30))
    }

    /// Whether it came up; it does not if somebody else took a port meanwhile.
    fn launch(&mut self) -> bool {
        self.port = home::free_port();
        let log = self.home.file("log", "");
        let output = || fs::File::options().append(true).open(&log).unwrap();
        let mut command = as_service(managers::find("prometheus").expect("is installed"));
        let path = |name: &str| self.home.path().join(name).display().to_string();
        command
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .stdout(output())
            .stderr(output());
        let mut process = Process::start(&mut command, &self.home);
        let is_up = wait::value("Prometheus to answer or to end", wait::DEADLINE, || {
            let ended = process.ended().map(|_| false);
            let ready = || {
                TcpStream::connect(("127.0.0.1", self.port)).ok()?;
                (http_get(self.address(), "/-/ready").0 == 200).then_some(true)
            };
            ended.or_else(ready)
        });
        self.process = is_up.then_some(process);
        is_up
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// What a path of its API says: `data`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = http_get(self.address(), path);
        let answer: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!((status, &answer["status"]), (200, &"success".into()), "{path}: {body}");
        answer["data"].clone()
    }

    /// An instant query: the labels and value of each sample.
    #[track_caller]
    pub fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in expression.bytes() {
            path.push_str(&format!("%{byte:02X}"));
        }
        let data = self.get(&path);
        assert_eq!(data["resultType"], "vector", "{expression}");
        let samples = data["result"].as_array().unwrap().iter();
        let number = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
        samples.map(|sample| (sample["metric"].clone(), number(sample))).collect()
    }

    /// Waits until a query has an answer other than nothing and not-a-number.
    #[track_caller]
    pub fn wait(&self, expression: &str) {
        wait::until(expression, wait::DEADLINE, || {
            self.query(expression).iter().any(|(_, value)| !value.is_nan())
        });
    }

    /// Waits until it has scraped so many times from now on.
    #[track_caller]
    pub fn wait_scrapes(&self, count: u32) {
        let so_far = |of: &Self| {
            of.query("count_over_time(up[1h])").first().map_or(0.0, |(_, value)| *value)
        };
        let enough = so_far(self) + f64::from(count);
        wait::until("scrapes", wait::DEADLINE, || so_far(self) >= enough);
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.end(std::time::Duration::from_secs(5));
        }
    }
}

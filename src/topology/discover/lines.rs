//! Questions to many servers at once, over connections that are kept.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::HostAddr;
use crate::server::query::{self, Rows};
use crate::server::{self, Connection, Target};

/// The connections that were good the last time.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: HashMap<HostAddr, Connection>,
}

/// What a host said, or why it did not.
pub(super) type Said = (HostAddr, Result<Rows, String>);

impl Lines {
    /// Asks all of these hosts; answers in their order. `login`: how, at whatever host.
    pub(super) async fn ask(
        &mut self,
        hosts: &[HostAddr],
        login: &Target,
        sql: &'static str,
        limit: Duration,
    ) -> Vec<Said> {
        self.open.retain(|host, _| hosts.contains(host));
        let mut asking = JoinSet::new();
        for (place, host) in hosts.iter().enumerate() {
            let target = Target { host: host.clone(), timeout: limit, ..login.clone() };
            let line = self.open.remove(host);
            asking.spawn(async move {
                let said = tokio::time::timeout(limit, ask(line, &target, sql)).await;
                let silent = || format!("no answer within {limit:?} (topology_timeout)");
                (place, target.host, said.unwrap_or_else(|_| Err(silent())))
            });
        }
        let mut said = asking.join_all().await;
        said.sort_by_key(|(place, _, _)| *place);
        let mut all = Vec::new();
        for (_, host, said) in said {
            let said = said.map(|(line, rows)| {
                self.open.insert(host.clone(), line);
                rows
            });
            all.push((host, said));
        }
        all
    }
}

async fn ask(
    line: Option<Connection>,
    target: &Target,
    sql: &str,
) -> Result<(Connection, Rows), String> {
    if let Some(mut line) = line
        && let Ok(rows) = query::simple(&mut line, sql).await
    {
        return Ok((line, rows));
    }
    let (mut line, _) = server::open(target, server::UNNUMBERED, |_| ())
        .await
        .map_err(|error| error.to_string())?;
    let rows = query::simple(&mut line, sql).await.map_err(|error| error.to_string())?;
    Ok((line, rows))
}

//! The console as workers see it: a query in, the bytes of its answer out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{
    self, CommandComplete, ErrorResponse, NoticeResponse, Severity, TransactionStatus,
};
use pgweir_codec::sqlstate::SqlState;

use super::control::{Control, Refused, ShutdownMode};
use super::gather;
use super::marks::Marks;
use super::parse::{Command, Right, parse};
use super::show::stats::{Period, Stats, StatsRow};
use super::show::{self, Show};
use super::table::Table;
use crate::net::clock;
use crate::worker::console;

/// See the module's words.
#[derive(Debug)]
pub struct Console {
    control: Arc<Control>,
    marks: Arc<Marks>,
    version: &'static str,
}

/// What a command comes to.
enum Answer {
    Table(Table),
    /// A tag, behind a notice if there is one.
    Done(String, Option<NoticeResponse>),
    /// The process ends: no answer at all.
    Nothing,
}

impl Console {
    /// Over this control.
    pub fn new(control: Arc<Control>, marks: Arc<Marks>, version: &'static str) -> Self {
        Self { control, marks, version }
    }

    async fn run(&self, right: Right, client: &str, query: &str, out: &mut BytesMut) -> bool {
        match self.answer(right, client, query).await {
            Ok(Answer::Nothing) => return false,
            Ok(Answer::Table(table)) => table.encode(out),
            Ok(Answer::Done(tag, notice)) => {
                if let Some(notice) = notice {
                    notice.encode(out);
                }
                CommandComplete { tag: Bytes::from(tag) }.encode(out);
            }
            Err((code, text)) => {
                tracing::error!("console, {client}: {text}");
                ErrorResponse::new(Severity::Error, code, &text).encode(out);
            }
        }
        backend::ready_for_query::write(out, TransactionStatus::Idle);
        true
    }

    async fn answer(
        &self,
        right: Right,
        client: &str,
        query: &str,
    ) -> Result<Answer, (SqlState, String)> {
        let wrong = |text: String| (SqlState::PROTOCOL_VIOLATION, text);
        let command = parse(query).map_err(|error| wrong(error.to_string()))?;
        if command.needs() > right {
            return Err((SqlState::INSUFFICIENT_PRIVILEGE, "admin access needed".to_owned()));
        }
        match command {
            Command::Show(what) => return Ok(self.show(what)),
            Command::ExplainRoute(sql) => {
                let rows = gather::explain_route(&self.control, &sql);
                return Ok(Answer::Table(show::routes::explained(rows)));
            }
            _ => {}
        }
        tracing::info!("console, {client}: {}", query.trim().trim_end_matches(';'));
        self.command(command).await.map_err(|refused| {
            let code = match refused {
                Refused::Reload => SqlState::CONFIG_FILE_ERROR,
                Refused::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
                _ => SqlState::PROTOCOL_VIOLATION,
            };
            (code, refused.to_string())
        })
    }

    async fn command(&self, command: Command) -> Result<Answer, Refused> {
        let control = &self.control;
        let tag = match command {
            Command::Show(_) | Command::ExplainRoute(_) => return Ok(Answer::Nothing),
            Command::Set { key, value } => {
                match control.set(&key, &value).await {
                    Ok(()) => format!("SET {key}={value}"),
                    // No error, as in pgbouncer.
                    Err(Refused::Set) if key.contains("_tls_") => {
                        let words =
                            "TLS settings could not be applied, still using old configuration";
                        let notice = NoticeResponse::new(Severity::Notice, SUCCESS, words);
                        return Ok(Answer::Done("SET".to_owned(), Some(notice)));
                    }
                    Err(refused) => return Err(refused),
                }
            }
            Command::SetIgnored(_) => {
                let notice = NoticeResponse::new(Severity::Notice, SUCCESS, "SET ignored");
                return Ok(Answer::Done("SET".to_owned(), Some(notice)));
            }
            Command::Reload => {
                control.reload().await?;
                "RELOAD".to_owned()
            }
            Command::Pause(database) => {
                control.pause(database.as_deref()).await?;
                "PAUSE".to_owned()
            }
            Command::Resume(database) => {
                control.resume(database.as_deref())?;
                "RESUME".to_owned()
            }
            Command::Disable(database) => {
                control.set_disabled(&database, true)?;
                "DISABLE".to_owned()
            }
            Command::Enable(database) => {
                control.set_disabled(&database, false)?;
                "ENABLE".to_owned()
            }
            Command::Kill(database) => {
                control.kill(database.as_deref())?;
                "KILL".to_owned()
            }
            Command::KillClient(id) => {
                control.kill_client(id)?;
                "KILL_CLIENT".to_owned()
            }
            Command::Reconnect(database) => {
                control.reconnect(database.as_deref())?;
                "RECONNECT".to_owned()
            }
            Command::WaitClose(database) => {
                control.wait_close(database.as_deref()).await?;
                "WAIT_CLOSE".to_owned()
            }
            Command::SwitchoverPrepare(database) => {
                control.prepare_switchover(database.as_deref()).await?;
                "SWITCHOVER PREPARE".to_owned()
            }
            Command::SwitchoverDone(database) => {
                control.end_switchover(database.as_deref())?;
                "SWITCHOVER DONE".to_owned()
            }
            Command::Suspend => return Err(Refused::Unsupported("SUSPEND")),
            Command::Shutdown(ShutdownMode::Immediate) => {
                control.shutdown(ShutdownMode::Immediate);
                return Ok(Answer::Nothing);
            }
            Command::Shutdown(mode) => {
                control.shutdown(mode);
                "SHUTDOWN".to_owned()
            }
        };
        Ok(Answer::Done(tag, None))
    }

    fn show(&self, what: Show) -> Answer {
        let shared = &self.control.shared;
        let now = clock::now();
        Answer::Table(match what {
            Show::Clients => show::clients::table(gather::clients(shared, now)),
            Show::Config => show::config::table(gather::config(shared)),
            Show::Databases => show::databases::table(gather::databases(shared)),
            Show::Events => show::events::table(gather::events(&self.control)),
            Show::Help => {
                let notice = NoticeResponse::new(Severity::Notice, SUCCESS, "Console usage");
                return Answer::Done("SHOW".to_owned(), Some(notice.detail(&show::help::detail())));
            }
            Show::Lists => show::lists::table(&gather::lists(shared)),
            Show::Pools => show::pools::table(gather::pools(shared, now)),
            Show::Routes => show::routes::table(gather::routes(shared)),
            Show::Servers => show::servers::table(gather::servers(shared, now)),
            Show::State => show::state::table(gather::state(shared)),
            Show::Stats => show::stats::table(self.stats()),
            Show::StatsAverages => show::stats_averages::table(self.stats()),
            Show::StatsTotals => show::stats_totals::table(self.stats()),
            Show::Topology => show::topology::table(gather::topology(&self.control)),
            Show::Totals => show::totals::table(&self.totals()),
            Show::Users => show::users::table(gather::users(shared)),
            Show::Version => show::version::table(self.version),
            Show::ClientSetting(setting) => setting.table(),
        })
    }

    fn stats(&self) -> Vec<StatsRow> {
        let periods = self.marks.periods(&self.control.shared.services, clock::now());
        periods.into_iter().map(|(database, period)| StatsRow { database, period }).collect()
    }

    fn totals(&self) -> Period {
        let (mut previous, mut current) = (Stats::default(), Stats::default());
        let mut elapsed = std::time::Duration::ZERO;
        for row in self.stats() {
            previous += row.period.previous;
            current += row.period.current;
            elapsed = row.period.elapsed;
        }
        Period { previous, current, elapsed }
    }
}

/// `successful_completion`, which notices without a better code bear.
const SUCCESS: SqlState = SqlState::SUCCESSFUL_COMPLETION;

impl console::Console for Console {
    fn answer<'a>(
        &'a self,
        right: Right,
        client: &'a str,
        query: &'a str,
        out: &'a mut BytesMut,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.run(right, client, query, out))
    }

    fn greeting(&self) -> Vec<(&'static str, String)> {
        let fixed = |name, value: &str| (name, value.to_owned());
        vec![
            ("server_version", format!("{}/bouncer", show::version::EMULATED)),
            fixed("client_encoding", "UTF8"),
            fixed("server_encoding", "UTF8"),
            fixed("DateStyle", "ISO"),
            fixed("TimeZone", "GMT"),
            fixed("standard_conforming_strings", "on"),
            fixed("is_superuser", "on"),
        ]
    }
}

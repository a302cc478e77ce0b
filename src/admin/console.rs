//! The console as workers see it: a query in, the bytes of its answer out.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{
    self, CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, Severity,
};
use pgweir_codec::sqlstate::SqlState;

use super::connections;
use super::control::{Control, Refused, ShutdownMode};
use super::gather;
use super::marks::Marks;
use super::parse::{Command, parse};
use super::show::stats::{Period, Stats, StatsRow};
use super::show::{self, Show};
use super::table::Table;
use crate::config::settings::{self, Setting};
use crate::net::clock;
use crate::report;
use crate::worker::console::{self, Asker, Form, Outcome};

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
    /// The connection is used to hand over from now on.
    HandOver,
}

impl Console {
    /// Over this control.
    pub fn new(control: Arc<Control>, marks: Arc<Marks>, version: &'static str) -> Self {
        Self { control, marks, version }
    }

    async fn run(&self, asker: &Asker, query: &str, form: Form<'_>, out: &mut BytesMut) -> Outcome {
        if is_empty(query) {
            // pgbouncer refuses it; drivers send it to see whether a connection is alive.
            EmptyQueryResponse.encode(out);
            return Outcome::Done;
        }
        self.marks.command();
        match self.answer(asker, query).await {
            Ok(Answer::Nothing) => return Outcome::End,
            Ok(Answer::HandOver) => {
                CommandComplete { tag: Bytes::from_static(b"HANDOVER") }.encode(out);
                return Outcome::HandOver;
            }
            Ok(Answer::Table(table)) => match form {
                Form::Simple => table.encode(out),
                Form::Extended(formats) => table.encode_rows(formats, out),
            },
            Ok(Answer::Done(tag, notice)) => {
                if let Some(notice) = notice {
                    notice.encode(out);
                }
                CommandComplete { tag: Bytes::from(tag) }.encode(out);
            }
            Err((code, text)) => {
                tracing::error!(of = %asker.label, "{text}");
                ErrorResponse::new(Severity::Error, code, &text).encode(out);
                return Outcome::Failed;
            }
        }
        Outcome::Done
    }

    /// What is asked for, if the asker may.
    fn read(asker: &Asker, query: &str) -> Result<Command, (SqlState, String)> {
        let command =
            parse(query).map_err(|error| (SqlState::PROTOCOL_VIOLATION, error.to_string()))?;
        if command.needs() > asker.right {
            return Err((SqlState::INSUFFICIENT_PRIVILEGE, "admin access needed".to_owned()));
        }
        Ok(command)
    }

    async fn answer(&self, asker: &Asker, query: &str) -> Result<Answer, (SqlState, String)> {
        let command = Self::read(asker, query)?;
        if let Some(answer) = self.look(&command) {
            return Ok(answer);
        }
        match command.in_pgbouncers_words() {
            Some(words) => tracing::info!("{words} command issued"),
            None => tracing::info!(of = %asker.label, "{}", told(&command, query)),
        }
        self.command(asker, command).await.map_err(|refused| {
            let code = match refused {
                Refused::Reload => SqlState::CONFIG_FILE_ERROR,
                Refused::Fds => SqlState::FEATURE_NOT_SUPPORTED,
                _ => SqlState::PROTOCOL_VIOLATION,
            };
            (code, refused.to_string())
        })
    }

    /// The answer to what changes nothing.
    fn look(&self, command: &Command) -> Option<Answer> {
        match command {
            Command::Show(what) => Some(self.show(*what)),
            Command::ExplainRoute(sql) => {
                let rows = gather::explain_route(&self.control, sql);
                Some(Answer::Table(show::routes::explained(rows)))
            }
            _ => None,
        }
    }

    async fn command(&self, asker: &Asker, command: Command) -> Result<Answer, Refused> {
        let control = &self.control;
        let tag = match command {
            Command::Show(_) | Command::ExplainRoute(_) => return Ok(Answer::Nothing),
            Command::Set { key, value } => {
                match control.set(&key, &value).await {
                    Ok(()) => format!("SET {key}={value}"),
                    // No error, as in pgbouncer.
                    Err(stays @ Refused::TlsStays) => {
                        let words = stays.to_string();
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
            Command::ResetQueries => {
                control.shared.services.queries().reset();
                "RESET QUERIES".to_owned()
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
            Command::ShowFds => return Err(Refused::Fds),
            Command::HandOver => {
                control.may_hand_over()?;
                return Ok(Answer::HandOver);
            }
            Command::Suspend => {
                control.suspend(asker.id).await?;
                "SUSPEND".to_owned()
            }
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
            Show::ActiveSockets => show::sockets::table(connections::active_sockets(shared, now)),
            Show::Clients => show::clients::table(report::connections::clients(shared, now)),
            Show::Config => show::config::table(gather::config(shared)),
            Show::Databases => show::databases::table(gather::databases(shared)),
            Show::DnsHosts => show::dns::hosts(gather::names(shared)),
            Show::DnsZones => show::dns::zones(),
            Show::Events => show::events::table(report::events::events(self.control.topology())),
            Show::Help => {
                let notice = NoticeResponse::new(Severity::Notice, SUCCESS, "Console usage");
                return Answer::Done("SHOW".to_owned(), Some(notice.detail(&show::help::detail())));
            }
            Show::Lists => show::lists::table(&gather::lists(shared)),
            Show::Mem => show::mem::table(gather::mem(shared)),
            Show::Peers => show::peers::table(gather::peers(shared)),
            Show::PeerPools => show::peers::pools(gather::peers(shared)),
            Show::Pools => show::pools::table(report::pools::pools(shared, now)),
            Show::Why => {
                let hosts =
                    report::topology::hosts(self.control.topology(), &shared.services.pools());
                show::why::table(report::why::waiting(shared, &hosts, now))
            }
            Show::Queries => show::queries::table(report::queries::queries(shared).rows),
            Show::Routes => show::routes::table(gather::routes(shared)),
            Show::Servers => show::servers::table(connections::servers(shared, now)),
            Show::Sockets => show::sockets::table(connections::sockets(shared, now)),
            Show::State => show::state::table(gather::state(shared)),
            Show::Stats => show::stats::table(self.stats()),
            Show::StatsAverages => show::stats_averages::table(self.stats()),
            Show::StatsTotals => show::stats_totals::table(self.stats()),
            Show::Topology => show::topology::table(report::topology::hosts(
                self.control.topology(),
                &shared.services.pools(),
            )),
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

/// A command as the log may have it: without secrets.
fn told<'a>(command: &Command, query: &'a str) -> Cow<'a, str> {
    match command {
        Command::Set { key, value } if settings::find(key).is_some_and(Setting::is_secret) => {
            let told = settings::find(key).map(|setting| setting.told(value)).unwrap_or_default();
            format!("SET {key} = {told}").into()
        }
        _ => query.trim().trim_end_matches(';').into(),
    }
}

/// Whether there is nothing in a query but blanks and semicolons.
fn is_empty(query: &str) -> bool {
    query.trim_matches([' ', '\t', '\n', '\r', ';']).is_empty()
}

impl console::Console for Console {
    fn answer<'a>(
        &'a self,
        asker: &'a Asker,
        query: &'a str,
        form: Form<'a>,
        out: &'a mut BytesMut,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(self.run(asker, query, form, out))
    }

    fn describe(&self, asker: &Asker, query: &str, formats: &[i16], out: &mut BytesMut) -> Outcome {
        if is_empty(query) {
            out.extend_from_slice(backend::NO_DATA);
            return Outcome::Done;
        }
        match Self::read(asker, query).map(|command| self.look(&command)) {
            Ok(Some(Answer::Table(table))) => table.describe(formats, out),
            Ok(_) => out.extend_from_slice(backend::NO_DATA),
            Err((code, text)) => {
                ErrorResponse::new(Severity::Error, code, &text).encode(out);
                return Outcome::Failed;
            }
        }
        Outcome::Done
    }

    fn left(&self, asker: &Asker) {
        self.control.admin_left(asker.id);
    }

    fn version(&self) -> &str {
        self.version
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

//! A connection to one server of a directory.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::auth::ldap::message::{self, Answer, Outcome, next_answer};
use crate::auth::ldap::{DirectoryFault, Step};
use crate::config::LdapOptions;
use crate::config::ldap::{Encryption, LdapSearch};
use crate::net::stream::{Socket, Stream};

/// How long a connection to a server may take, TLS included; then the next server is tried (pgbouncer's limit).
const CONNECT: Duration = Duration::from_secs(3);
/// How long a server may take for what it is asked.
const ANSWER: Duration = Duration::from_secs(10);

/// See the module's words.
pub(super) struct Connection {
    stream: Stream,
    inbox: BytesMut,
    /// Of the last request.
    id: u8,
    /// `host:port`.
    server: String,
}

impl Connection {
    /// To the first server that can be connected to.
    pub(super) async fn open(
        options: &LdapOptions,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, DirectoryFault> {
        let mut tried = Vec::new();
        for host in &options.servers {
            let opened = tokio::time::timeout(CONNECT, Self::to(host, options, tls.clone())).await;
            let opened = opened.unwrap_or_else(|_| {
                let late = format!("no connection within {CONNECT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, late))
            });
            match opened {
                Ok(connection) => return Ok(connection),
                Err(error) => tried.push((server(host, options.port), error.to_string())),
            }
        }
        Err(DirectoryFault::Unreachable { tried })
    }

    async fn to(
        host: &str,
        options: &LdapOptions,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect((host, options.port)).await?;
        socket.set_nodelay(true)?;
        let mut connection = Self {
            stream: Stream::Plain(Socket::from(socket)),
            inbox: BytesMut::new(),
            id: 0,
            server: server(host, options.port),
        };
        let Some(tls) = tls else { return Ok(connection) };
        if options.encryption == Encryption::StartTls {
            connection.start_tls().await?;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let plain = std::mem::replace(&mut connection.stream, Stream::Plain(Socket::nowhere()));
        let Stream::Plain(socket) = plain else { return Err(io::Error::other("TLS within TLS")) };
        let stream = TlsConnector::from(tls).connect(name, socket).await?;
        connection.stream = Stream::Tls(Box::new(stream.into()));
        Ok(connection)
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let id = self.next_id();
        self.stream.write_all(&message::start_tls(id)).await?;
        match self.answer().await.map_err(io::Error::other)? {
            Answer::Extended(Outcome { code: Outcome::SUCCESS, .. }) if self.inbox.is_empty() => {
                Ok(())
            }
            // What comes in the clear behind it must not be taken for part of what is encrypted.
            Answer::Extended(Outcome { code: Outcome::SUCCESS, .. }) => {
                Err(io::Error::other("it went on in the clear after its answer to StartTLS"))
            }
            Answer::Extended(outcome) => {
                Err(io::Error::other(format!("it refused StartTLS: {outcome}")))
            }
            other => Err(io::Error::other(format!("it answered StartTLS with {other:?}"))),
        }
    }

    /// The name of the one entry that fits.
    pub(super) async fn find(
        &mut self,
        search: &LdapSearch,
        user: &str,
    ) -> Result<String, DirectoryFault> {
        let bound = self.bind(&search.as_user, search.password.reveal(), Step::FirstBind).await?;
        if bound.code != Outcome::SUCCESS {
            return Err(self.refused(Step::FirstBind, &bound));
        }
        let seconds = u8::try_from(ANSWER.as_secs()).unwrap_or(u8::MAX);
        let request = message::search(self.next_id(), search, user, seconds);
        let searched = within(self.search(&request)).await;
        let (entry, further, outcome) = searched.map_err(|why| self.lost(Step::Search, why))?;
        let (server, filter) = (self.server.clone(), search.filter.told(user));
        if further || outcome.code == Outcome::SIZE_LIMIT_EXCEEDED {
            return Err(DirectoryFault::SeveralEntries { server, filter });
        }
        if outcome.code != Outcome::SUCCESS {
            return Err(self.refused(Step::Search, &outcome));
        }
        // Without a name, the password would be tried as nobody's, and may be taken.
        entry.filter(|name| !name.is_empty()).ok_or(DirectoryFault::NoEntry { server, filter })
    }

    /// The first entry that fits, whether there are more, and how it went.
    async fn search(&mut self, request: &[u8]) -> Result<(Option<String>, bool, Outcome), String> {
        self.send(request).await?;
        let (mut entry, mut further) = (None, false);
        loop {
            match self.answer().await? {
                Answer::Entry(name) if entry.is_none() => entry = Some(name),
                Answer::Entry(_) => further = true,
                Answer::Aside => {}
                Answer::Searched(outcome) => return Ok((entry, further, outcome)),
                other => return Err(format!("it answered a search with {other:?}")),
            }
        }
    }

    pub(super) async fn try_password(
        &mut self,
        name: String,
        password: &str,
    ) -> Result<(), DirectoryFault> {
        let outcome = self.bind(&name, password, Step::Bind).await?;
        if outcome.code == Outcome::SUCCESS {
            return Ok(());
        }
        let wrong_password = outcome.code == Outcome::INVALID_CREDENTIALS;
        let (server, said) = (self.server.clone(), outcome.to_string());
        Err(DirectoryFault::NotConfirmed { server, name, wrong_password, said })
    }

    async fn bind(
        &mut self,
        name: &str,
        password: &str,
        step: Step,
    ) -> Result<Outcome, DirectoryFault> {
        let request = message::bind(self.next_id(), name, password);
        let asked = async {
            self.send(&request).await?;
            match self.answer().await? {
                Answer::Bound(outcome) => Ok(outcome),
                other => Err(format!("it answered a bind with {other:?}")),
            }
        };
        within(asked).await.map_err(|why| self.lost(step, why))
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.stream.write_all(request).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    async fn answer(&mut self) -> Result<Answer, String> {
        loop {
            match next_answer(&mut self.inbox).map_err(|nonsense| nonsense.to_string())? {
                Some(Answer::Goodbye(outcome)) => {
                    return Err(format!("it said goodbye: {outcome}"));
                }
                Some(answer) => return Ok(answer),
                None => {}
            }
            let read = self.stream.read_buf(&mut self.inbox).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("it closed the connection".to_owned());
            }
        }
    }

    fn next_id(&mut self) -> u8 {
        self.id = self.id.saturating_add(1);
        self.id
    }

    fn lost(&self, step: Step, why: String) -> DirectoryFault {
        DirectoryFault::Lost { server: self.server.clone(), step, why }
    }

    fn refused(&self, step: Step, outcome: &Outcome) -> DirectoryFault {
        DirectoryFault::Refused { server: self.server.clone(), step, said: outcome.to_string() }
    }
}

fn server(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || Err(format!("no answer within {ANSWER:?}"));
    tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(|_| late())
}
